"""Deletion and insertion: a map of what a network reads beats chance, a map of anything else does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spinecore.networks.shapes import JointShapeNet
from spinecore.networks.zoo import Card, Network
from spinecore.shapes.classes import CLASSES, LABELS
from spinecore.shapes.examples import nearest_examples, read_examples, to_bytes
from spinecore.shapes.explain import ClassScore, Heat, occlusion_maps
from spinecore.shapes.faithful import faithfulness, judge
from spinecore.shapes.patches import PATCH_PX, Patch
from spinecore.shapes.pictures import example_picture

READ = (slice(16, 24), slice(18, 22))


class Reader(torch.nn.Module):
    """Says mushroom by the light of one place, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(8.0))

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 5)."""
        light = patch[:, 0, *READ].mean((1, 2)) - 0.5
        return torch.nn.functional.one_hot(torch.tensor(0), len(LABELS)) * (self.gain * light)[:, None]


@pytest.fixture
def patch() -> np.ndarray:
    planes = np.zeros((3, PATCH_PX, PATCH_PX), np.float32)
    planes[0, 8:32, 8:32] = 1
    planes[1, 14:26, 16:24] = 1
    return planes


@pytest.fixture
def reader() -> Network:
    return Network(Card("r", Path("r.json"), {"temperature": 1.0, "sha256": "0"}), Reader().eval())


def test_a_true_map_beats_chance_and_a_false_one_does_not(patch: np.ndarray, reader: Network) -> None:
    true, false = np.zeros((2, PATCH_PX, PATCH_PX), np.float32)
    true[READ] = 1
    false[8:12, 8:32] = 1
    maps = np.stack([true, false])
    curves = faithfulness(maps, np.stack([patch, patch]), ("mushroom", "mushroom"), reader)
    assert curves.faithful.tolist() == [True, False]
    assert curves.deletion[0] < curves.deletion_outline[0] < curves.deletion_chance[0]
    assert curves.insertion[0] > curves.insertion_outline[0] > curves.insertion_chance[0]
    again = faithfulness(maps, np.stack([patch, patch]), ("mushroom", "mushroom"), reader)
    assert np.array_equal(curves.deletion, again.deletion)

    def heat(inside: list[float], control: list[float]) -> Heat:
        two, chance = ("mushroom",) * 2, np.eye(len(CLASSES))[[0, 0]]
        share = np.array(control)
        return Heat(maps, maps, two, (None, None), chance, np.array(inside), share, share, share)

    told, why = judge(heat([0.9, 0.9], [0.2, 0.2]), curves, 0)
    assert told and why.startswith("90% of the heat is on the spine, 20% of the control's; with the hottest")
    told, why = judge(heat([0.9, 0.9], [0.2, 0.2]), curves, 1)
    assert not told and "of the heat is on the spine" not in why
    told, why = judge(heat([np.nan, 0.1], [0.2, 0.2]), curves, 0)
    assert not told and why == "0% of the heat is on the spine, 20% of the control's"


def test_occlusion_finds_what_is_read(patch: np.ndarray, reader: Network) -> None:
    heat = occlusion_maps(reader.model, torch.from_numpy(patch[None]), [ClassScore("mushroom", None)])[0]
    inside = np.zeros_like(heat, bool)
    inside[READ[0].start - 4 : READ[0].stop + 4, READ[1].start - 4 : READ[1].stop + 4] = True
    assert heat.max() == pytest.approx(1) and heat[~inside].max() == 0
    assert heat[READ].mean() > 0.5


def test_the_examples_are_labelled_and_the_nearest_of_one_is_itself() -> None:
    torch.manual_seed(0)
    examples = read_examples()
    assert examples is not None and set(examples.labels) == set(LABELS)
    assert examples.planes.shape[1:] == (3, PATCH_PX, PATCH_PX)
    classifier = Network(Card("n", Path("n.json"), {}), JointShapeNet(5, 4).eval())
    image, outline, depth = examples.planes[7]
    patch = Patch(image, outline, depth, np.eye(2), np.zeros(2))
    found = nearest_examples([patch], classifier, examples)[0]
    assert len(found) == 3 and found[0].index == 7 and found[0].likeness == pytest.approx(1, abs=1e-4)
    assert found[0].likeness >= found[1].likeness >= found[2].likeness
    assert example_picture(examples.planes[7]).shape == (168, 168, 3)
    back = to_bytes(examples.planes)
    assert np.array_equal(back[:, 0], to_bytes(back[:, 0] / 255 * 2 - 0.5)), "stored without further loss"


def test_small_patches_are_computed_on_one_thread(patch: np.ndarray, reader: Network) -> None:
    """With two, the first map took six seconds on a busy machine with two cores."""
    before, seen = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        hook = reader.model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
        faithfulness(patch[None, 1], patch[None], ("mushroom",), reader)
        hook.remove()
        assert seen == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
