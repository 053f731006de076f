"""Stacks like and unlike the training data: measures, ranges, words, and where they are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.methods import METHODS
from spinecore.methods.trained_range import (
    QUANTITIES,
    SLACK,
    find_outside,
    join_ranges,
    make_range,
    measure_network_planes,
    measure_stack,
    slice_step,
    trained_range,
)
from spinecore.networks.zoo import get_card, list_cards, write_card
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack
from spinecore.training.pool import load_volume, make_volume, save_volume, seed_of, voxel_plan
from spinecore.training.ranges import pool_rows, range_for, write_ranges

SPACING = Spacing(0.4, 0.1, 0.1, "user")


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return simulate(520, "confocal", (12, 200, 200), (0.4, 0.1, 0.1)).stack.voxels.astype(np.float32)


@pytest.fixture(scope="module")
def limits() -> dict:
    return trained_range(get_card("centre-unet-3d").data, is_2d=False)


def outside(voxels: np.ndarray, limits: dict, spacing: Spacing = SPACING) -> set[str]:
    return set(find_outside(measure_stack(Stack(voxels, spacing)), limits))


def test_measures_of_a_known_plane():
    plane = np.full((200, 200), 0.1, np.float32)
    plane[:, 95:105] = 0.9  # 5 % of the area
    found = measure_network_planes([plane])
    assert found["background"] == pytest.approx(0.1, abs=1e-3)
    assert found["signal"] == pytest.approx(0.8, abs=0.01) and found["noise"] < 1e-3


def test_noise_is_reported_whatever_the_pixel_size_it_came_with():
    rng = np.random.default_rng(0)
    found = []
    for pixel in (0.05, 0.1):
        n = round(20 / pixel)
        clean = np.full((n, n), 100.0, np.float32)
        clean[:, n // 2 : n // 2 + n // 20] = 1000.0
        noisy = clean + rng.normal(0, 20.0 * 0.1 / pixel, clean.shape)  # the same noise per area
        stack = Stack(noisy[None].astype(np.float32), Spacing(None, pixel, pixel, "user"))
        found.append(measure_stack(stack)["noise"])
    assert 1 / 1.6 < found[0] / found[1] < 1.6  # the background level moves with the noise of single pixels


def test_intensity_may_be_scaled_at_will(voxels):
    one, other = (measure_stack(Stack(v, SPACING)) for v in (voxels, voxels * 7.0 + 300))
    assert one == pytest.approx(other, rel=0.02, abs=2e-3)


def test_an_unseen_simulated_stack_is_inside(voxels, limits):
    assert outside(voxels, limits) == set()


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [(Spacing(0.4, 0.4, 0.4, "user"), "pixel_um"), (Spacing(2.5, 0.1, 0.1, "user"), "z_um")],
)
def test_sizes_outside_are_reported(voxels, limits, spacing, expected):
    assert expected in outside(voxels, limits, spacing)


def test_noise_alone_inversion_and_a_glaring_spot_are_reported(voxels, limits):
    rng = np.random.default_rng(0)
    assert "noise" in outside(rng.normal(100, 10, voxels.shape).astype(np.float32), limits)
    assert {"background", "signal"} <= outside(voxels.max() - voxels, limits)
    spot = voxels.copy()
    spot[:, :15, :15] = voxels.max() * 200
    assert outside(spot, limits) == {"signal"}


def test_ranges_hold_their_data_and_join():
    rows = [{"noise": v, "pixel_um": 0.1} for v in np.linspace(0, 1, 1001)]
    made = make_range(rows)
    assert made["n"] == 1001 and made["noise"] == pytest.approx([0.005, 0.995])
    joined = join_ranges(made, make_range([{"noise": 2.0, "z_um": 0.5}]))
    assert joined["noise"] == [0.005, 2.0] and joined["z_um"] == [0.5, 0.5] and joined["n"] == 1002
    assert find_outside({"noise": 2.0 * (1 + SLACK) - 1e-9}, joined) == {}


def test_a_card_without_ranges_still_knows_the_usual_pixel_sizes():
    assert set(find_outside({"pixel_um": 0.5, "noise": 9.0}, trained_range({}, True))) == {"pixel_um"}


def test_few_slices_are_looked_at():
    for count in (1, 5, 9, 10, 40, 1000):
        assert 1 <= len(range(0, count, slice_step(count))) <= 9


@pytest.mark.parametrize("method", sorted(METHODS))
def test_cards_of_methods_have_ranges(method):
    cards = {card.name: card.data for card in list_cards()}
    for name, view in ((METHODS[method].model_2d, "image"), (METHODS[method].model_3d, "stack")):
        if name in cards and method == "centre-unet":
            found = cards[name]["trained_range"][view]
            assert found["n"] > 100 and all(low <= high for k, (low, high) in _pairs(found))


def _pairs(found: dict) -> list:
    return [(k, v) for k, v in found.items() if k in QUANTITIES]


def test_ranges_are_measured_from_the_pool(tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    for index in range(2):
        volume = make_volume(1_000_000 + index)
        save_volume(volume, pool / f"volume_{index:05d}.npz")
    path = pool / "volume_00001.npz"
    plan = voxel_plan(seed_of(path))
    assert load_volume(path).z_um == pytest.approx(plan.z_um)
    rows = list(pool_rows(pool))
    assert rows[1][0]["pixel_um"] == plan.pixel_um and "z_um" not in rows[1][1]
    card = {"trained_on": {"simulation": "made"}}
    found = range_for(card, {"stack"}, {"stack": {"simulation": [s for s, _ in rows]}})
    assert found["stack"]["n"] == 2 and found["stack"]["z_um"][0] == pytest.approx(plan.z_um, rel=0.02)
    models = tmp_path / "models"
    models.mkdir()
    for suffix in (".json", ".safetensors"):
        source = get_card("centre-unet-3d").path.with_suffix(suffix)
        (models / source.name).write_bytes(source.read_bytes())
    before = json.loads((models / "centre-unet-3d.json").read_text())
    write_card(models / "centre-unet-3d.json", {k: v for k, v in before.items() if k != "trained_range"})
    assert write_ranges(models, Path(tmp_path / "none"), pool)["centre-unet-3d"]["stack"]["n"] == 2


def test_an_analysis_says_it_and_keeps_it(tmp_path, voxels):
    analysis = analyse(Stack(voxels[:2, :64, :64], Spacing(3.0, 0.1, 0.1, "user")), Settings(device="cpu"))
    assert "z_um" in analysis.domain["outside"]
    assert any("slice step (3 µm) is above" in note for note in analysis.notes)
    save_analysis(analysis, tmp_path / "a")
    facts = json.loads((tmp_path / "a" / "analysis.json").read_text(encoding="utf-8"))
    assert facts["domain"]["measured"]["z_um"] == 3.0
    assert load_analysis(tmp_path / "a").domain == analysis.domain
