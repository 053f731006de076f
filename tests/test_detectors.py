"""The two-stage detectors: linking, merging, rendering, samples and networks, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from spinecore.errors import SpinecoreError
from spinecore.evaluation.edges import box_overlap
from spinecore.methods.faster_rcnn import spread, z_blocks
from spinecore.methods.instance_maps import box_foreground, paint_tracks, put_blob, render_boxes
from spinecore.methods.merging import merge_panoptic, pixel_iou
from spinecore.methods.peaks import find_peaks
from spinecore.methods.tracks import Detections, Track, box_iom, drop_large, link, suppress
from spinecore.networks.tiles import owned_tiles


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x_min, y_min, x_max, y_max, score."""
    array = np.array(rows, float).reshape(-1, 5)
    return Detections(array[:, :4], array[:, 4])


NOTHING = detections()
BOX = (10.0, 10.0, 20.0, 20.0)


def test_iom_is_the_evaluators():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 20, (2, 6, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 15, (2, 6, 2))], -1)
    assert np.allclose(box_iom(boxes[0], boxes[1]), box_overlap(boxes[0], boxes[1], "iom"))
    assert box_iom([[0, 0, 10, 10]], [[5, 0, 10, 10]])[0, 0] == 1.0
    assert box_iom([[0, 0, 4, 4]], [[2, 0, 10, 4]])[0, 0] == 0.5


def test_suppression_keeps_the_strongest_of_an_overlap_and_all_others():
    kept = suppress(detections((10, 10, 20, 20, 0.6), (11, 10, 21, 20, 0.9), (15, 10, 25, 20, 0.5)))
    # the third shares 0.6 of the second; the first 0.9
    assert kept.scores.tolist() == [0.9]
    half = suppress(detections((0, 0, 10, 10, 0.9), (5, 0, 15, 10, 0.8)))
    assert len(half) == 2, "an IoM of exactly 0.5 is not above 0.5"


def test_area_limit_is_20_square_micrometres():
    found = detections((0, 0, 50, 40, 0.9), (0, 0, 50, 41, 0.9))
    assert drop_large(found, pixel_um=0.1).boxes.tolist() == [[0, 0, 50, 40]]


def test_one_spine_through_slices_is_one_track():
    tracks = link([NOTHING, detections((*BOX, 0.6)), detections((*BOX, 0.9)), NOTHING])
    assert len(tracks) == 1
    assert (tracks[0].first, tracks[0].last, tracks[0].score) == (1, 2, 0.9)


def test_one_missed_slice_is_bridged_and_two_end_a_track():
    one = detections((*BOX, 0.9))
    other = detections((12, 10, 22, 20, 0.8))
    bridged = link([one, NOTHING, other])
    assert len(bridged) == 1 and bridged[0].last == 2
    assert bridged[0].boxes[1].tolist() == [11, 10, 21, 20], "the missed box lies between its neighbours"
    assert np.isnan(bridged[0].scores[1]) and bridged[0].members == [0, -1, 0]
    ended = link([one, NOTHING, NOTHING, other])
    assert [(t.first, t.last) for t in ended] == [(0, 0), (3, 3)]


def test_pairs_with_the_highest_overlap_come_first_and_half_is_not_enough():
    first = detections((0, 0, 10, 10, 0.9), (12, 0, 22, 10, 0.9))
    second = detections((6, 0, 16, 10, 0.9), (11, 0, 21, 10, 0.9))
    tracks = link([first, second])
    # 2-2 overlap 0.9; 1-1 only 0.4, so both stay alone
    assert sorted((t.first, t.last) for t in tracks) == [(0, 0), (0, 1), (1, 1)]
    assert len(link([detections((0, 0, 10, 10, 0.9)), detections((5, 0, 15, 10, 0.9))])) == 2


def test_centre_of_a_track_weighs_slices_by_score():
    z, y, x = link([detections((*BOX, 0.5)), detections((*BOX, 0.5)), detections((*BOX, 0.5))])[0].centre()
    assert (z, y, x) == (1.0, 14.5, 14.5)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 500, 1024, 4001])
def test_tiles_cover_a_plane_and_every_centre_belongs_to_one(length):
    tiles = list(owned_tiles((length,), 256, 64))
    covered = np.zeros(length, int)
    owners = np.zeros(length, int)
    for (window,), ((low, high),) in tiles:
        covered[window] += 1
        owners[int(np.ceil(max(low, 0))) : int(np.ceil(min(high, length)))] += 1
        # nothing within 32 px of a centre is cut off by its tile
        assert np.isinf(low) or low - window.start >= 32
        assert np.isinf(high) or window.stop - high >= 32
    assert covered.min() >= 1 and (owners == 1).all()


def test_blocks_of_a_fast_projection_and_their_slices():
    blocks = z_blocks(20, 0.5, 1.5)
    assert [z for b in blocks for z in b] == list(range(20))
    assert {len(b) for b in blocks} <= {2, 3}
    assert z_blocks(1, 1.0) == [range(0, 1)]
    track = Track(1, np.array([BOX, BOX]), np.array([0.5, 0.9]), [0, 0])
    wide = spread([track], [range(0, 3), range(3, 5), range(5, 8)])[0]
    assert (wide.first, wide.last, wide.score) == (3, 7, 0.9)


def test_more_boxes_than_one_image_may_hold():
    """300 boxes in a plane are all linked: the limit of 80 holds for a tile only."""
    grid = [(x, y, x + 8, y + 8, 0.9) for x in range(0, 400, 20) for y in range(0, 300, 20)]
    assert len(link([suppress(detections(*grid))] * 3)) == 300


def bright_disc(shape=(5, 40, 40), centre=(20, 20), radius=5.0) -> np.ndarray:
    yy, xx = np.mgrid[: shape[1], : shape[2]]
    disc = np.hypot(yy - centre[0], xx - centre[1]) <= radius
    return np.where(disc, 200.0, 10.0)[None].repeat(shape[0], 0).astype(np.float32)


def test_foreground_of_a_box_is_the_half_maximum_beside_the_dendrite():
    image = bright_disc()
    dendrite = np.zeros(image.shape, bool)
    dendrite[:, :, :17] = True
    track = link([detections((12, 12, 29, 29, 0.8))] * 5)[0]
    found = box_foreground(track, image, dendrite, 10.0, (1.0, 1.0))
    assert [z for z, _, _ in found] == [0, 1, 2, 3, 4]
    whole = np.zeros(image.shape, bool)
    for z, window, mask in found:
        whole[z][window] = mask
    truth = (image > 100) & ~dendrite
    inside, union = pixel_iou(whole, truth)
    assert inside / union > 0.9
    assert not (whole & dendrite).any()


def test_rendered_boxes_come_back_as_heads():
    image = bright_disc()
    tracks = link([NOTHING, *[detections((14, 14, 27, 27, 0.8))] * 3, NOTHING])
    spine, centre = render_boxes(
        tracks, image, np.zeros(image.shape, bool), 10.0, (0.5, 0.1, 0.1), (1.0, 1.0)
    )
    heads, scores = find_peaks(centre, (0.5, 0.1, 0.1))
    assert np.allclose(heads, [[2, 20, 20]], atol=0.1) and scores[0] == pytest.approx(0.8, abs=0.01)
    assert (spine[1:4].max((1, 2)) == 255).all() and spine[[0, 4]].max() == 0


def test_blobs_of_neighbouring_heads_stay_apart_and_keep_their_scores():
    heat = np.zeros((7, 50, 50), np.uint8)
    put_blob(heat, np.array([3, 20, 20]), 0.9, (0.5, 0.1, 0.1))
    put_blob(heat, np.array([3, 20, 27]), 0.5, (0.5, 0.1, 0.1))
    put_blob(heat, np.array([3, 0, 49]), 0.7, (0.5, 0.1, 0.1))
    _, scores = find_peaks(heat, (0.5, 0.1, 0.1))
    assert np.allclose(scores, [0.9, 0.7, 0.5], atol=0.01)


def masked(score: float, top: int, left: int, shape: tuple[int, int], value: float = 0.9) -> Detections:
    box = (left, top, left + shape[1], top + shape[0])
    return Detections(
        np.array([box], float),
        np.array([score]),
        [np.full(shape, value, np.float32)],
        np.array([[top, left]]),
    )


def joined(*parts: Detections) -> Detections:
    return Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.scores for p in parts]),
        [m for p in parts for m in p.masks],
        np.concatenate([p.corners for p in parts]),
    )


def test_panoptic_map_goes_to_the_higher_score():
    dendrite = np.zeros((20, 20), np.float32)
    dendrite[:, :6] = 0.95
    dendrite[:, 6:8] = 0.6
    found = joined(masked(0.9, 5, 5, (4, 5)), masked(0.7, 5, 8, (4, 5)))
    panoptic, kept = merge_panoptic(dendrite, found)
    assert kept == [0, 1]
    assert (panoptic[5:9, 5] == 1).all(), "a mask of 0.9 loses to a dendrite of 0.95"
    assert (panoptic[5:9, 6:10] == 2).all(), "and wins over one of 0.6, and over the weaker instance"
    assert (panoptic[5:9, 10:13] == 3).all()
    assert set(np.unique(panoptic)) == {0, 1, 2, 3}
    leaning, _ = merge_panoptic(dendrite, found, dendrite_weight=0.9)
    assert (leaning[5:9, 5] == 2).all(), "0.9 wins over 0.9 x 0.95"


def test_panoptic_map_ends_where_the_mask_falls_below_its_level():
    found = masked(0.9, 5, 5, (1, 4))
    found.masks[0][0] = (0.6, 0.45, 0.3, 0.1)
    for level, expected in ((0.5, 1), (0.4, 2), (0.25, 3)):
        panoptic, _ = merge_panoptic(np.zeros((20, 20), np.float32), found, mask_level=level)
        assert (panoptic >= 2).sum() == expected


def test_panoptic_map_drops_weak_and_covered_instances():
    dendrite = np.zeros((20, 20), np.float32)
    found = joined(masked(0.9, 5, 5, (4, 8)), masked(0.8, 5, 6, (4, 8)), masked(0.4, 15, 0, (3, 3)))
    panoptic, kept = merge_panoptic(dendrite, found, confidence=0.5)
    assert kept == [0], "the second keeps one eighth of itself, the third is below the confidence"
    assert (panoptic == 2).sum() == 32 and panoptic.max() == 2


def test_panoptic_map_needs_masks():
    with pytest.raises(ValueError, match="masks"):
        merge_panoptic(np.zeros((4, 4), np.float32), detections((0, 0, 2, 2, 0.9)))


def test_masks_of_a_missed_slice_are_those_of_the_nearest():
    slices = [masked(0.9, 5, 5, (4, 4)), Detections(np.zeros((0, 4)), np.zeros(0), [], np.zeros((0, 2), int))]
    slices += [masked(0.8, 5, 5, (4, 4), 0.7)]
    tracks = link(slices)
    planes = [paint_tracks(tracks, slices, z, (20, 20)) for z in range(3)]
    assert planes[1].max() == pytest.approx(0.9) and planes[2].max() == pytest.approx(0.7)
    assert all((p > 0).sum() == 16 for p in planes)


def test_a_method_without_weights_is_not_offered_and_says_how_to_make_them(monkeypatch, tmp_path):
    from spinecore.methods import registry

    monkeypatch.setattr(registry, "MODELS_DIR", tmp_path / "models")
    assert not registry.KNOWN["panoptic"].has_weights
    monkeypatch.setattr(registry, "METHODS", {"centre-unet": registry.KNOWN["centre-unet"]})
    with pytest.raises(SpinecoreError, match="spinecore train faster-rcnn"):
        registry.get_method("faster-rcnn-fast")
    with pytest.raises(SpinecoreError, match="choose one of centre-unet"):
        registry.get_method("magic")
