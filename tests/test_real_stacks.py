"""Marked real stacks: what is scored, and what is learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from benchmarks.real_sample import cut
from benchmarks.real_stacks import hand_length_um, lengths_by_hand, traced_um
from benchmarks.recipe_data import made_up_data
from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import REAL
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM
from spinecore.networks.zoo import build_network
from spinecore.training import labelled
from spinecore.training.engine import run
from spinecore.training.head_batches import BATCH, REAL_SHARE, Sampler
from spinecore.training.head_score import VARIANTS, VARIANTS_HELD, HeadScoreRecipe
from spinecore.training.labelled import LabelledCandidates
from spinecore.training.pool import PoolVolume, decode
from spinecore.training.real_stacks import (
    CHOOSING,
    CREDIT,
    FOLDER,
    LEARNED,
    Marks,
    count_by_segment,
    cut_segment,
    label_places,
    load_marks,
    places_um,
    score_real_stacks,
)
from spinecore.training.recipe import Start
from spinecore.training.recipes import default_data, run_recipe
from spinecore.training.samples import slice_example

ALONG = np.arange(0, 20.01, 0.1)


def line(y: float) -> np.ndarray:
    """A centre line along x at z 10 um."""
    return np.stack([np.full(len(ALONG), 10.0), np.full(len(ALONG), y), ALONG], 1)


def mark(y: float, x: float, base_y: float) -> list[float]:
    """A spine along y at z 10 um."""
    return [10.0, y, x, 10.0, base_y, x]


@pytest.fixture
def marks() -> Marks:
    """Two dendrites 12 um apart, with two and one spines, one of them bad."""
    places = np.array([mark(7.0, 4.0, 5.4), mark(7.0, 9.0, 5.4), mark(15.0, 4.0, 16.6)])
    return Marks(
        "day",
        Path("day.tif"),
        places,
        np.array([0, 0, 1]),
        np.array([True, False, True]),
        {0: line(5.0), 1: line(17.0)},
    )


def test_counts_stand_by_the_segment_that_a_detection_is_nearest_to(marks):
    found = np.array(
        [
            [10, 6.6, 4.0],  # a spine of segment 0
            [10, 6.6, 9.0],  # on the bad mark
            [10, 3.0, 15.0],  # false, at segment 0
            [10, 19.0, 15.0],  # false, at segment 1
            [10, 11.0, 10.0],  # between, too far from both
            [12, 5.2, 12.0],  # over the shaft
        ]
    )
    counts = count_by_segment(marks, found)
    assert (counts[0].n_truth, counts[0].n_predicted, counts[0].n_matched) == (1, 2, 1)
    assert (counts[1].n_truth, counts[1].n_predicted, counts[1].n_matched) == (1, 1, 0)
    only_first = count_by_segment(marks, found, np.arange(len(found)) == 0)
    assert (only_first[0].n_predicted, only_first[1].n_predicted) == (1, 0)


def test_only_places_beside_the_own_dendrite_are_known(marks):
    places = np.array(
        [
            [10, 6.6, 4.0],  # its spine
            [10, 6.2, 4.3],  # the same again
            [10, 6.6, 9.0],  # on the bad mark
            [10, 3.0, 15.0],  # none
            [10, 11.0, 10.0],  # too far
            [12, 5.2, 12.0],  # over the shaft
            [10, 15.3, 4.0],  # a spine of the other dendrite
            [10, 19.0, 15.0],  # beside the other
        ]
    )
    truth = label_places(marks, places, np.zeros(len(places)))
    assert truth.tolist() == [1, 0, -1, 0, -1, -1, -1, -1]
    # the second place of the first spine is taken where it is preferred
    assert label_places(marks, places, np.array([0, 5.0, 0, 0, 0, 0, 0, 0]))[:2].tolist() == [0, 1]


def test_the_centre_of_a_head_lies_inwards_from_its_mark(marks):
    np.testing.assert_allclose(marks.heads_um()[0], [10, 6.55, 4.0])
    short = Marks("s", Path("s"), np.array([mark(5.4, 1.0, 5.2)]), np.zeros(1, int), np.ones(1, bool), {})
    np.testing.assert_allclose(short.heads_um()[0], [10, 5.3, 1.0])  # never beyond the middle


@pytest.fixture
def folder(tmp_path):
    """A data folder with one stack, see `write_stacks`."""
    write_stacks(tmp_path, ("tp0",))
    return tmp_path


def write_stacks(data: Path, days: tuple[str, ...]) -> None:
    """Write stacks of 0.2 um pixels and slices 1 um apart, each with one head, a bright voxel."""
    own = data / "real_stacks"
    own.mkdir()
    voxels = np.zeros((25, 110, 101), np.uint8)
    voxels[10, 33, 20] = 200  # y 6.6 um, x 4 um
    for day in days:
        tifffile.imwrite(
            own / f"{day}.tif",
            voxels,
            imagej=True,
            resolution=(5.0, 5.0),
            metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"},
        )
    spine = {"spine": 1, "segment": 0, "is_bad": 0}
    spine |= dict(zip(("x_um", "y_um", "z_um"), (4.0, 7.05, 10.0), strict=True))
    spine |= dict(zip(("base_x_um", "base_y_um", "base_z_um"), (4.0, 5.4, 10.0), strict=True))
    pd.DataFrame([{"stack": day} | spine for day in days]).to_csv(own / "spines.csv", index=False)
    points = pd.DataFrame(line(5.0), columns=["z_um", "y_um", "x_um"]).assign(segment=0)
    pd.concat([points.assign(stack=day) for day in days]).to_csv(own / "segments.csv", index=False)


def test_a_piece_keeps_heads_where_the_image_shows_them(folder):
    (marks,) = load_marks(folder)
    piece = cut_segment(marks)
    volume = piece.volume
    assert volume.image.shape[0] == 17 and volume.z_um == 1.0  # slices 2 to 18
    brightest = np.array(np.unravel_index(decode(volume.image).argmax(), volume.image.shape))
    centre = volume.centres[0, :3]
    assert np.abs(brightest - centre).max() <= 1
    # positions of the piece's voxels are counted as its marks are
    at = places_um(centre[None], volume.z_um, piece.pixel_um)
    np.testing.assert_allclose(at, piece.marks.heads_um(), atol=0.02)
    assert CANONICAL_UM == 0.1 and not volume.classes.any()


def test_missing_real_stacks_are_named(tmp_path, folder):
    with pytest.raises(SpinecoreError, match="tp7"):
        load_marks(folder, ["tp7"])
    with pytest.raises(SpinecoreError, match="real_stacks"):
        load_marks(tmp_path / "nothing")


def candidates(value: int) -> LabelledCandidates:
    """A stack whose intensity tells where a candidate came from; the last candidate is unknown."""
    image = np.full((9, 40, 40), value, np.uint8)
    volume = PoolVolume(image, np.zeros_like(image), np.zeros((0, 4)), 0.5)
    places = np.array([[4.0, 15, 15], [4, 20, 20], [4, 25, 25]])
    maps, truth = np.zeros((6, *image.shape), np.uint8), np.array([1, 0, -1], np.int8)
    return LabelledCandidates(volume, maps, places, np.full(3, 0.5), truth, np.zeros(3, bool))


def test_a_fixed_share_of_every_batch_is_real():
    sampler = Sampler([candidates(100)], 0, [candidates(250), candidates(250)])
    batch = sampler.batch()
    middle = batch["fine"][:, 0, 4, 10, 10].numpy()
    assert (middle > 0.65).sum() == round(REAL_SHARE * BATCH)
    assert len(middle) == BATCH and set(batch["truth"].tolist()) == {0.0, 1.0}


def test_slices_carry_weight_only_beside_the_own_dendrite(folder):
    (marks,) = load_marks(folder)
    volume = cut_segment(marks).volume
    at = volume.centres[0, :3].round().astype(int)
    assert volume.known[tuple(at)]  # the marked head
    assert not volume.known[8, 50, 40]  # on the shaft, y 5 um
    assert not volume.known[8, 110, 40]  # 6 um beside it
    assert not volume.known[16, 66, 40]  # 8 slices above it
    example = slice_example(volume, 64, np.random.default_rng(0))
    shares = example.mask_weight.mean(), example.centre_weight.mean()
    assert 0 <= shares[1] <= shares[0] < 1


def test_real_stacks_are_scored_by_the_heights_of_the_centre_map(folder):
    class Bright(torch.nn.Module):
        """Says that a head is where the middle plane is brightest."""

        def __init__(self):
            super().__init__()
            self.stride, self.in_channels = 1, len(CONTEXT_UM)
            self.scale = torch.nn.Parameter(torch.tensor(12.0))

        def forward(self, x):
            middle = x[:, x.shape[1] // 2]
            return torch.stack([-9 + 0 * middle, -9 + 0 * middle, self.scale * middle - 6], 1)

    (marks,) = load_marks(folder)
    counts = score_real_stacks(Bright(), [cut_segment(marks)], np.array([0.5]))
    assert counts.tolist() == [[1, 1, 1]]


def test_traced_length_counts_by_segment(marks):
    beside = line(5.5)  # 20 um along segment 0
    elsewhere = line(30.0)
    assert traced_um([beside, elsewhere], marks, 0) == pytest.approx(20.0)
    assert traced_um([beside, elsewhere], marks, 1) == 0
    assert traced_um([beside, elsewhere], marks, None) == pytest.approx(20.0)


def test_the_length_by_hand_is_not_that_of_its_steps():
    x = np.arange(0, 40, 0.12)
    stepped = np.stack([np.round(x / 8), np.round(0.5 * x / 0.12) * 0.12, x], 1)
    true = np.hypot(np.hypot(x[-1], 0.5 * x[-1]), x[-1] / 8)
    assert hand_length_um(stepped) == pytest.approx(true, rel=0.02)


def test_too_small_a_pool_is_refused(folder):
    with pytest.raises(SpinecoreError, match="--stacks"):
        run_recipe("head-score", folder, pool_size=3)


def bright_maps(model, volume):
    """Stand in for the network's maps: a head wherever it is bright."""
    maps = np.zeros((6, *volume.image.shape), np.uint8)
    maps[2] = np.clip(decode(volume.image) * 255, 0, 255)
    return maps


def test_head_score_learns_from_real_stacks_and_chooses_by_them(tmp_path, monkeypatch):
    monkeypatch.setattr(labelled, "draw_maps", bright_maps)
    write_stacks(tmp_path, (*LEARNED, *CHOOSING))
    with made_up_data(tmp_path) as context:
        recipe = HeadScoreRecipe("head-score")
        recipe.prepare(context)
        days = [day for day in LEARNED for _ in range(VARIANTS)]
        assert [s.marks.name for s in recipe.real] == [*LEARNED, *days]
        assert [s.marks.name for s in recipe.real_held] == list(CHOOSING)
        assert len(recipe.real_changed) == VARIANTS_HELD * len(CHOOSING)
        assert all((s.truth > 0).sum() == 1 for s in recipe.real)
        # each as another microscope shows it: neither the light nor the size is that of another
        shapes = {s.volume.image.shape for s in recipe.real}
        brightest = {int(s.volume.image.max()) for s in recipe.real}
        assert min(len(shapes), len(brightest)) > 1 + len(days) // 2
        (stage,) = recipe.stages(context, recipe.start(build_network(recipe.architecture()), context))
        before = stage.start_scores
        assert before is not None and before["select"] == pytest.approx(
            (before["f1"] + before["f1_real"] + before["f1_changed"]) / 3
        )
        assert recipe.stages(context, Start())[0].start_scores is None
        # a training that gains nothing leaves the weights as they are
        card = run(recipe, replace(context, minutes=1e-6), tmp_path / "models", precision="float32")
        assert card is not None and CREDIT in card.data["trained_on"]
        own, changed = (score["value"] for score in card.data["scores"][-2:])
        assert own + changed >= round(before["f1_real"] + before["f1_changed"], 3) - 0.001
        assert 0.5 ** (1 / card.data["score_power"]) == pytest.approx(
            card.data["chosen_by"]["threshold"], abs=1e-3
        )


@pytest.mark.skipif(
    not (default_data() / FOLDER).is_dir(), reason="needs real_stacks of the shared data (SPINE_DATA)"
)
def test_the_real_sample_is_the_crop_that_its_command_cuts() -> None:
    folder = default_data() / FOLDER
    voxels, marks, line = cut(folder)
    np.testing.assert_array_equal(tifffile.imread(REAL.stack), voxels)
    pd.testing.assert_frame_equal(pd.read_csv(REAL.truth), marks)
    pd.testing.assert_frame_equal(pd.read_csv(REAL.truth.with_name("segments.csv")), line)
    assert (REAL.stack.parent / "LICENSE").read_bytes() == (folder / "LICENSE").read_bytes()


def test_lengths_are_compared_with_the_hand_drawn_ones_of_the_same_spines():
    """Three spines 10 um apart; the one that is far from every mark and the mark that is bad take no part."""
    base = np.array([[5.0, 10.0, x] for x in (10.0, 20.0, 30.0)])
    tip = base + np.array([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 3.0, 0.0]])
    places, line = np.hstack([tip, base]), np.array([[5.0, 10.0, x] for x in range(40)])
    marks = Marks("d", Path("d.tif"), places, np.zeros(3, int), np.array([True, True, False]), {0: line})
    heads = np.vstack([marks.heads_um(), [[5.0, 20.0, 5.0]]])
    spines = pd.DataFrame(heads, columns=["z_um", "y_um", "x_um"]).assign(length_um=[1.1, 1.9, 3.0, 9.0])
    found = lengths_by_hand(marks, SimpleNamespace(spines=spines), 0)
    assert sorted(found["by_hand_um"]) == pytest.approx([1.0, 2.0])
    assert sorted(found["length_um"]) == pytest.approx([1.1, 1.9])
    assert found["length_estimated_um"].isna().all()
