"""From maps to spines: peaks, regions, thresholds, and the network's way in."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinecore.analysis.cutter import Cutter
from spinecore.detection.candidates import find_candidates
from spinecore.detection.cutting import cut_region
from spinecore.methods.peaks import find_peaks
from spinecore.methods.prediction import Prediction
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.networks.slices import CONTEXT_UM, context_planes, predict_slices
from spinecore.networks.volumes import resample_z
from spinecore.stack import Spacing

SPACING = (0.3, 0.1, 0.1)


def ball(shape, centre_zyx, radius_um, spacing=SPACING):
    grids = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    centre = np.array(centre_zyx) * np.array(spacing)
    return sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True)) <= radius_um**2


def bump(shape, centre_zyx, height, sigma_px=2.0):
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    d2 = sum((g - c) ** 2 for g, c in zip(grids, centre_zyx, strict=True))
    return height * np.exp(-d2 / (2 * sigma_px**2))


def scene(scores=(0.9, 0.6), gap_px=14):
    """A straight dendrite along x with two spines on the same side, `gap_px` apart."""
    shape = (12, 60, 100)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    dendrite = (((z - 6) * 0.3) ** 2 + ((y - 20) * 0.1) ** 2) <= 0.4**2
    spine, heat = np.zeros(shape, bool), np.zeros(shape)
    for k, score in enumerate(scores):
        centre = (6, 31, 40 + k * gap_px)
        spine |= ball(shape, centre, 0.45)
        spine |= (abs(x - centre[2]) <= 1) & (y > 22) & (y < 31) & (abs(z - 6) < 1)
        heat = np.maximum(heat, bump(shape, centre, score))
    spine &= ~dendrite
    intensity = (100 + 1000 * dendrite + 600 * spine).astype(np.uint16)
    as_byte = lambda a: (a * 255).round().astype(np.uint8)  # noqa: E731
    return Prediction(
        as_byte(dendrite), as_byte(spine), as_byte(heat), intensity, SPACING, (1.0, 1.0), "made by hand"
    )


def test_peaks_are_found_where_they_were_put():
    shape = (8, 40, 60)
    heat = np.maximum(bump(shape, (3, 10, 10), 0.9), bump(shape, (5, 25, 45), 0.5))
    centres, scores = find_peaks((heat * 255).astype(np.uint8), SPACING)
    np.testing.assert_allclose(centres, [[3, 10, 10], [5, 25, 45]], atol=0.05)
    np.testing.assert_allclose(scores, [0.9, 0.5], atol=0.005)


def test_one_head_over_several_slices_is_one_peak():
    heat = np.zeros((6, 30, 30))
    for z, height in ((1, 0.5), (2, 0.5), (3, 0.5)):
        heat[z, 15, 15] = height
    centres, _ = find_peaks((heat * 255).astype(np.uint8), SPACING)
    assert len(centres) == 1
    np.testing.assert_allclose(centres[0, 1:], [15, 15])


def test_heads_above_each_other_stay_two():
    heat = np.zeros((12, 30, 30))
    heat[1, 15, 15] = heat[9, 15, 15] = 0.8
    assert len(find_peaks((heat * 255).astype(np.uint8), SPACING)[0]) == 2


def test_nothing_above_the_floor_is_nothing():
    assert len(find_peaks(np.full((3, 20, 20), 20, np.uint8), SPACING)[0]) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 49), st.integers(0, 49)),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
@settings(max_examples=30, deadline=None)
def test_kept_peaks_are_never_closer_than_the_separation(points):
    heat = np.zeros((10, 50, 50), np.uint8)
    for k, point in enumerate(points):
        heat[point] = 100 + 10 * k
    separation_um = (1.1, 0.4, 0.4)
    centres, scores = find_peaks(heat, SPACING, separation_um=separation_um)
    kept = [
        round((255 * score - 100) / 10) for score in scores
    ]  # heights are unique, so they name the points
    assert kept[0] == len(points) - 1 and kept == sorted(kept, reverse=True), "strongest first"
    scaled = np.array(points) * SPACING / separation_um
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    assert all(apart[a, b] > 1 for a, b in combinations(kept, 2))
    neighbours = np.abs(np.array(points)[:, None] - np.array(points)[None]).max(axis=2) <= 1
    for dropped in set(range(len(points))) - set(kept):
        has_stronger_neighbour = neighbours[dropped, dropped + 1 :].any()
        assert has_stronger_neighbour or any(apart[dropped, k] <= 1 for k in kept if k > dropped)
    assert (np.abs(centres - np.array(points)[kept]) <= (1, 2, 2)).all(), "refined within the neighbourhood"


def test_two_spines_on_a_dendrite():
    candidates, ids = find_candidates(scene())
    assert len(candidates.dendrites) == 1 and ids.max() == 1
    cutter = Cutter(candidates, candidates.shape, Spacing(*SPACING, source="user"))
    table = cutter.table(0.3)
    assert list(table["spine_id"]) == [1, 2]
    np.testing.assert_allclose(
        table[["x_px", "y_px", "z_px"]].to_numpy(float), [[40, 31, 6], [54, 31, 6]], atol=0.3
    )
    assert (table["dendrite_id"] == 1).all()


def test_a_threshold_takes_spines_away_and_gives_them_back():
    candidates, _ = find_candidates(scene())
    cutter = Cutter(candidates, candidates.shape, Spacing(*SPACING, source="user"))
    assert len(cutter.table(0.3)) == 2
    assert list(cutter.table(0.7)["spine_id"]) == [1]
    assert len(cutter.table(0.95)) == 0
    assert len(cutter.table(0.3)) == 2


def test_touching_spines_are_split_between_their_heads():
    candidates, _ = find_candidates(scene(gap_px=8))
    assert len(candidates.regions) == 1, "the two masks touch"
    region = candidates.regions[0]
    labels, members = cut_region(region, candidates, candidates.counting(region.peaks, 0.3))
    assert len(members) == 2
    sizes = [(labels == k).sum() for k in (1, 2)]
    assert min(sizes) > 0.7 * max(sizes)
    whole, one = cut_region(region, candidates, candidates.counting(region.peaks, 0.7))
    assert len(one) == 1 and (whole > 0).sum() == sum(sizes)


def test_label_volume_and_projections_agree():
    candidates, _ = find_candidates(scene())
    cutter = Cutter(candidates, candidates.shape, Spacing(*SPACING, source="user"))
    volume = cutter.label_volume(0.3)
    for axis, name in enumerate(("xy", "xz", "yz")):
        np.testing.assert_array_equal(volume.max(axis) > 0, cutter.label_projection(0.3, name) > 0)


def test_without_a_dendrite_there_is_no_spine():
    prediction = scene()
    prediction.dendrite[:] = 0
    candidates, ids = find_candidates(prediction)
    assert not len(belonging(candidates)) and ids.max() == 0


def test_intensity_scale_does_not_matter():
    image = np.random.default_rng(0).gamma(2, 100, (5, 64, 64)).astype(np.float32)
    a = normalise(image, *intensity_range(image))
    b = normalise(image * 3 + 50, *intensity_range(image * 3 + 50))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_a_blanked_background_does_not_set_the_range():
    image = np.zeros((1, 100, 100))
    image[0, 40:45] = np.linspace(50, 200, 100)
    low, high = intensity_range(image)
    assert low == 0 and 150 < high <= 200
    assert intensity_range(np.full((2, 9, 9), 7.0)) == (7.0, 8.0)


@given(st.integers(1, 40), st.floats(0.1, 2.0))
def test_context_planes_stay_inside_and_centre_on_the_slice(n, z_um):
    for index in {0, n // 2, n - 1}:
        planes = context_planes(n, index, z_um)
        assert len(planes) == len(CONTEXT_UM)
        assert all(0 <= a <= b < n and 0 <= w < 1 for a, b, w in planes)
        assert planes[len(CONTEXT_UM) // 2][0] == index


def test_canonical_shape_covers_the_same_ground():
    assert canonical_shape((200, 400), (0.05, 0.05)) == (100, 200)
    plane = np.random.default_rng(1).random((100, 60)).astype(np.float32)
    assert abs(resize_plane(plane, (50, 30)).mean() - plane.mean()) < 0.01


@given(*[st.integers(1, 60)] * 3, st.integers(2, 60))  # PyTorch 2 averages wrongly towards a single column
def test_planes_are_resized_as_pytorch_does_it(height, width, to_height, to_width):
    import torch

    plane = np.random.default_rng(1).random((height, width), np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(plane)[None, None],
        (to_height, to_width),
        mode="bilinear",
        antialias=to_height < height,
    )[0, 0].numpy()
    np.testing.assert_allclose(resize_plane(plane, (to_height, to_width)), wanted, atol=2e-5)


@pytest.mark.parametrize("n_slices", [1, 4, 5, 9])
def test_slices_are_averaged_as_pytorch_does_it(n_slices):
    import torch

    volume = np.random.default_rng(1).random((2, 9, 3, 4), np.float32)
    wanted = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(volume), (n_slices, 3, 4)).numpy()
    np.testing.assert_allclose(resample_z(volume, n_slices), wanted, atol=1e-6)


def test_tiles_give_what_the_whole_gives():
    import torch

    class Local(torch.nn.Module):
        stride = 1
        planes = 1

        def forward(self, x):
            return x[:, :1] * 2 - 1

    image = np.random.default_rng(0).random((300, 280)).astype(np.float32)
    found = {}
    for tile in (1024, 160):
        out = []
        predict_slices(Local(), lambda i: image, 1, 1.0, lambda i, p, o=out: o.append(p), tile_px=tile)
        found[tile] = out[0]
    np.testing.assert_allclose(found[160], found[1024], atol=1e-5)


def belonging(candidates) -> np.ndarray:
    """Centres of the heads that may count: those too far from every shaft wait behind them for one to be traced."""
    first = len(candidates.scores) - len(candidates.far_scores)
    assert candidates.far.tolist() == [False] * first + [True] * len(candidates.far_scores)
    assert not len(candidates.counting(np.arange(first, len(candidates.scores)), 0.0))
    return candidates.centres_px[:first]


def test_a_far_head_counts_only_with_a_mask_that_reaches_the_shaft():
    shape = (12, 90, 100)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    dendrite = (((z - 6) * 0.3) ** 2 + ((y - 10) * 0.1) ** 2) <= 0.4**2
    bouton, tip = (6, 50, 30), (6, 50, 70)
    spine = ball(shape, bouton, 0.4) | ball(shape, tip, 0.25)
    spine |= (abs(x - 70) <= 1) & (y > 14) & (y < 50) & (abs(z - 6) < 1)
    heat = np.maximum(bump(shape, bouton, 0.8), bump(shape, tip, 0.8))
    maps = [(a * 255.0).astype(np.uint8) for a in (dendrite, spine & ~dendrite, heat)]
    intensity = (100 + 900 * (dendrite | spine)).astype(np.uint16)
    candidates, _ = find_candidates(Prediction(*maps, intensity, SPACING, (1.0, 1.0), "made by hand"))
    np.testing.assert_allclose(belonging(candidates), [tip], atol=0.5)


def test_heads_with_neighbours_stay_though_their_dendrite_is_not_traced():
    shape = (12, 140, 100)
    z, y, _ = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    dendrite = (((z - 6) * 0.3) ** 2 + ((y - 10) * 0.1) ** 2) <= 0.4**2
    row = [(6, 58, 10 + 9 * k) for k in range(5)]
    alone, weak = (6, 130, 20), [(6, 120, 50 + 9 * k) for k in range(5)]
    spine, heat = np.zeros(shape, bool), np.zeros(shape)
    for centre in [*row, alone, *weak]:
        spine |= ball(shape, centre, 0.3)
        heat = np.maximum(heat, bump(shape, centre, 0.3 if centre in weak else 0.8))
    maps = [(a * 255.0).astype(np.uint8) for a in (dendrite, spine & ~dendrite, heat)]
    intensity = (100 + 900 * (dendrite | spine)).astype(np.uint16)
    candidates, _ = find_candidates(Prediction(*maps, intensity, SPACING, (1.0, 1.0), "made by hand"))
    assert sorted(belonging(candidates)[:, 2].round()) == [c[2] for c in row]
    assert candidates.untraced.all()
    table = Cutter(candidates, shape, Spacing(*SPACING, source="user")).table(0.5)
    assert table["dendrite_id"].isna().all(), "the traced dendrite 4.4 um away is not theirs"
    assert table["length_um"].isna().all() and (table["volume_um3"] > 0).all()
    assert set(table["missing_reason"]) == {"its dendrite could not be traced"}


@pytest.mark.parametrize("far_heads", [True, False])
def test_heads_of_a_single_image_count_up_to_5_um_from_a_shaft(far_heads: bool):
    shape = (1, 140, 100)
    dendrite = np.zeros(shape, bool)
    dendrite[:, 6:15] = True
    near, far, beyond = (0, 35, 20), (0, 58, 50), (0, 75, 80)  # 2.1, 4.4 and 6.1 um from its surface
    heat = np.max([bump(shape, head, 0.8) for head in (near, far, beyond)], axis=0)
    spine = heat > 0.4
    maps = [(a * 255.0).astype(np.uint8) for a in (dendrite, spine, heat)]
    intensity = (100 + 900 * (dendrite | spine)).astype(np.uint16)
    made = Prediction(*maps, intensity, (1.0, 0.1, 0.1), (1.0, 1.0), "made by hand", far_heads=far_heads)
    candidates, _ = find_candidates(made)
    expected = [near, far] if far_heads else [near]
    np.testing.assert_allclose(sorted(belonging(candidates).tolist()), expected, atol=0.5)
    assert candidates.untraced[~candidates.far].tolist().count(True) == len(expected) - 1, (
        "it has no length to a shaft that far"
    )


def test_a_head_with_a_second_look_counts_up_to_5_um_from_a_shaft():
    from spinecore.methods.prediction import Heads

    shape = (12, 140, 100)
    z, y, _ = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    dendrite = (((z - 6) * 0.3) ** 2 + ((y - 10) * 0.1) ** 2) <= 0.4**2
    near, far, beyond = (6, 35, 20), (6, 58, 50), (6, 75, 80)  # 2.1, 4.4 and 6.1 um from its surface
    spine = ball(shape, near, 0.3) | ball(shape, far, 0.3) | ball(shape, beyond, 0.3)
    heat = np.max([bump(shape, c, 0.8) for c in (near, far, beyond)], axis=0)
    maps = [(a * 255.0).astype(np.uint8) for a in (dendrite, spine & ~dendrite, heat)]
    intensity = (100 + 900 * (dendrite | spine)).astype(np.uint16)
    heads = Heads(np.array([near, far, beyond], float), np.array([0.9, 0.8, 0.7]))
    plain = Prediction(*maps, intensity, SPACING, (1.0, 1.0), "made by hand")
    looked = Prediction(*maps, intensity, SPACING, (1.0, 1.0), "made by hand", heads=heads)
    assert belonging(find_candidates(plain)[0])[:, 2].round().tolist() == [20]
    candidates, _ = find_candidates(looked)
    assert belonging(candidates)[:, 2].tolist() == [20, 50]
    assert candidates.untraced[:2].tolist() == [False, True], (
        "the far one belongs to no dendrite that is traced"
    )
    nothing = Prediction(
        np.zeros_like(maps[0]), *maps[1:], intensity, SPACING, (1.0, 1.0), "made by hand", heads=heads
    )
    assert not len(belonging(find_candidates(nothing)[0])), "without any shaft none of them counts"


def test_views_are_turned_back():
    import torch

    from spinecore.networks.views import MIRRORED, TWO_VIEWS, View

    image = torch.arange(5 * 6 * 9, dtype=torch.float32).reshape(1, 5, 6, 9)
    for view in (*TWO_VIEWS, *MIRRORED, View((3,), transposed=True)):
        back = view.back(view.of(image))  # maps have no order of slices, so that stays as the network saw it
        torch.testing.assert_close(back.flip(1) if 1 in view.mirrored else back, image, msg=str(view))
    assert len({v.of(image).flatten()[0].item() for v in MIRRORED}) == 4


def test_a_slice_is_seen_in_two_views_with_the_slices_reversed():
    import torch

    from spinecore.networks.views import TWO_VIEWS

    class First(torch.nn.Module):
        """Answers with the first plane that it is given, one pixel to the left."""

        stride = 1
        planes = 5

        def forward(self, x):
            return torch.roll(x[:, :1], -1, 3)

    rng = np.random.default_rng(0)
    stack = rng.random((9, 12, 10)).astype(np.float32)
    out = {}
    predict_slices(First(), lambda i: stack[i], 9, 1.0, out.__setitem__, views=TWO_VIEWS)
    got = out[4][0]
    # as it is: the slice 1 um below; the other: the slice 1 um above, where "left" lies along y
    below = 1 / (1 + np.exp(-stack[3][5, 4]))
    candidates = {
        (dy, dx): 1 / (1 + np.exp(-stack[5][5 + dy, 3 + dx])) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    }
    matches = [k for k, v in candidates.items() if abs((below + v) / 2 - got[5, 3]) < 1e-5]
    assert matches in ([(1, 0)], [(-1, 0)])


def test_tiles_are_as_few_and_as_small_as_can_be():
    from itertools import pairwise

    from spinecore.networks.tiles import even_tile, tile_starts

    for length in (1, 200, 512, 513, 700, 960, 961, 1024, 2048, 3001):
        tile = even_tile(length, 512, 64)
        starts = tile_starts(length, tile, 64)
        assert tile <= 512
        assert starts[0] == 0 and starts[-1] + tile == length
        assert all(b - a <= tile - 64 for a, b in pairwise(starts))
        assert len(starts) == len(tile_starts(length, 512, 64))
        assert length <= 512 or len(starts) * (tile - 64) < length - 64 + len(starts)
