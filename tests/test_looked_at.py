"""Tests of what a network looks at: faint things are, noise is not, and the tables stay the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.networks.boxes import cover
from spinecore.networks.looked_at import LookedAt, find_looked_at, where_seen
from spinecore.networks.slices import predict_slices
from spinecore.networks.views import TWO_VIEWS
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack


def looked_at(stack, z_um=0.3):
    return find_looked_at(lambda i: stack[i], len(stack), stack.shape[1:], z_um)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(0.2, 0.05, (24, 160, 160)).astype(np.float32)


def test_noise_alone_is_hardly_looked_at(noise):
    assert looked_at(noise).share < 0.25


def test_a_faint_dendrite_in_a_corner_is_looked_at(noise):
    rows = np.arange(160)
    noise[10:13, :, 4:8] += (
        0.08 * (rows < 60)[:, None]
    )  # the noise of a voxel is 0.05, the brightest things are 1
    where = looked_at(noise)
    assert all(where.of_slice(i, (320, 320))[:120, :24].all() for i in range(8, 15))
    assert where.share < 0.5


def test_a_stack_without_noise_is_looked_at_where_something_is():
    stack = np.zeros((5, 160, 160), np.float32)
    stack[2, 80, 80] = 0.5
    where = looked_at(stack, z_um=1.0)
    assert where.of_slice(2, (320, 320))[160, 160] and not where.of_slice(2, (320, 320))[10, 10]


def test_boxes_hold_every_cell_once():
    mask = np.random.default_rng(1).random((30, 40)) < 0.03
    count = np.zeros(mask.shape, int)
    for box in cover(mask, 2):
        count[box.window] += 1
    assert count.max() == 1 and count[mask].min() == 1
    assert cover(np.zeros((3, 3), bool), 1) == []


def test_a_network_gives_the_same_where_it_looks(noise):
    class Blur(torch.nn.Module):
        stride = 16
        planes = 1

        def forward(self, x):
            assert x.shape[2] % 16 == 0 and x.shape[3] % 16 == 0
            return torch.nn.functional.avg_pool2d(x, 5, 1, 2)

    noise[10:12, 20:24, 20:24] += 1
    where = looked_at(noise)
    full, part = np.zeros((2, 24, 500, 470), np.float32)
    rng = np.random.default_rng(2)
    planes = rng.random((24, 500, 470)).astype(np.float32)
    for out, chosen in ((full, None), (part, where)):
        predict_slices(
            Blur(),
            planes.__getitem__,
            24,
            0.3,
            lambda i, p, o=out: o.__setitem__(i, p[0]),
            tile_px=320,
            looked_at=chosen,
        )
    seen = np.stack([where.of_slice(i, (500, 470)) for i in range(24)])
    assert 0 < seen.mean() < 0.5
    np.testing.assert_allclose(part[seen], full[seen], atol=1e-5)
    assert (part == 0).mean() > 0.3


def test_a_second_view_is_taken_only_where_the_first_is_unsure():
    class Leaning(torch.nn.Module):
        """What it gives depends on where a place lies in what it is shown: views differ everywhere."""

        stride = 16
        planes = 1

        def forward(self, x):
            lean = torch.linspace(0, 1, x.shape[2])[None, None, :, None]
            return torch.cat([x * 0 + 3, 8 * x - 6 + lean], 1)

    plane = np.zeros((320, 320), np.float32)
    plane[40:44, 60:64] = 1
    found = {}
    for name, views, unsure_from in (
        ("one", TWO_VIEWS[:1], None),
        ("both", TWO_VIEWS, None),
        ("some", TWO_VIEWS, 0.1),
    ):
        out = []
        predict_slices(
            Leaning(),
            lambda _: plane,
            1,
            1.0,
            lambda _, maps, out=out: out.append(maps),
            views=views,
            unsure_from=unsure_from,
        )
        (found[name],) = out
    assert found["one"][1].max() > 0.1 > found["one"][1, 100:].max()
    np.testing.assert_allclose(found["some"][:, 100:], found["one"][:, 100:], atol=1e-6)
    assert np.abs(found["some"] - found["one"])[1, 42, 62] > 0.01
    assert (found["one"][0] > 0.9).all(), "the first map, of shafts, says nothing of it"


def test_tables_are_the_same_with_and_without_the_empty_parts():
    made = simulate(3, "confocal", (12, 96, 96), (0.3, 0.1, 0.1)).stack
    dark = made.voxels[made.voxels <= np.percentile(made.voxels, 50)]
    voxels = np.random.default_rng(0).choice(dark, (20, 96, 420)).astype(made.voxels.dtype)
    voxels[4:16, :, :96] = made.voxels
    stack = Stack(voxels, Spacing(0.3, 0.1, 0.1, source="user"), "mostly empty")
    here = analyse(stack, Settings(device="cpu"))
    all_ = analyse(stack, Settings(device="cpu", everywhere=True))
    assert len(all_.spines) > 0 and "looked at" in here.versions["device"]
    assert "looked at" not in all_.versions["device"]
    pd.testing.assert_frame_equal(here.spines, all_.spines, rtol=1e-3, atol=2e-3)
    pd.testing.assert_frame_equal(here.dendrites, all_.dendrites, rtol=1e-3, atol=2e-3)


def test_what_is_looked_at_once_more_is_what_was_seen_and_a_little_around():
    before = LookedAt(np.ones((5, 8, 6), bool), (128, 96))  # blocks of 16 px of 0.2 um
    maps = np.zeros((3, 5, 256, 192), np.uint8)
    maps[1, 2, 70, 100] = 40
    seen = where_seen(maps, 26, before)
    assert sorted(set(np.nonzero(seen.blocks)[0])) == [1, 2, 3]
    rows, columns = np.nonzero(seen.blocks[2])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 2, 4)
    assert not where_seen(maps, 41, before).blocks.any()
    before.blocks[2, 2, 3] = False  # what was left out at first stays so
    assert where_seen(maps, 26, before).blocks.sum() == seen.blocks.sum() - 1


@pytest.mark.parametrize("shape", [(50, 61), (33, 200)])
def test_something_seen_anywhere_is_looked_at_once_more(shape):
    coarse = (-(-shape[0] // 2), -(-shape[1] // 2))
    before = LookedAt(np.ones((1, -(-coarse[0] // 16), -(-coarse[1] // 16)), bool), coarse)
    for y, x in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, 3)):
        maps = np.zeros((3, 1, *shape), np.uint8)
        maps[0, 0, y, x] = 255
        assert where_seen(maps, 26, before).of_slice(0, shape)[y, x]
