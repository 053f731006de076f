"""The 3-D U-Net: kernels that follow the voxel, partly labelled stacks, tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinecore.methods import METHODS
from spinecore.networks.unet import UNet2d
from spinecore.networks.unet3d import UNet3d, inflate, plan_levels
from spinecore.networks.volumes import planned_slices, predict_volume, resample_z
from spinecore.networks.zoo import MODELS_DIR, build_network, load_network, memory_format, save_network
from spinecore.training import unet3d
from spinecore.training.pool import to_volume

needs_weights = pytest.mark.skipif(
    not (MODELS_DIR / "unet3d.safetensors").exists() or "unet3d" not in METHODS,
    reason="the weights of unet3d are not here",
)


@pytest.fixture(scope="module")
def volume():
    from spinecore.simulation import simulate

    made = simulate(4, "confocal", (8, 200, 200), (0.7, 0.1, 0.1))
    return to_volume(made.stack.voxels, made)


def test_kernels_are_flat_until_pixels_are_as_coarse_as_slices():
    kernels, poolings = plan_levels((1.0, 0.1, 0.1), 5)
    assert kernels == [(1, 3, 3), (1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)]
    assert poolings == [(1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert plan_levels((0.4, 0.1, 0.1), 3)[0] == [(1, 3, 3), (1, 3, 3), (3, 3, 3)]
    assert plan_levels((0.1, 0.1, 0.1), 2) == ([(3, 3, 3), (3, 3, 3)], [(2, 2, 2)])


def test_network_keeps_the_shape_and_finest_level_does_not_mix_slices():
    model = UNet3d(1, 2, (4, 4, 4), (0.4, 0.1, 0.1)).eval()
    assert model.stride == (1, 4, 4)
    assert model(torch.zeros(1, 1, 5, 16, 24)).shape == (1, 2, 5, 16, 24)
    assert model.down[0].conv1.kernel_size == (1, 3, 3) and model.down[2].conv1.kernel_size == (3, 3, 3)


def test_an_inflated_network_begins_as_the_flat_one_on_every_slice():
    flat = UNet2d(5, 3, (4, 6, 8)).eval()
    model = UNet3d(1, 2, (4, 6, 8), (0.4, 0.1, 0.1)).eval()
    model.load_state_dict(inflate(flat.state_dict(), model.state_dict()))
    x = torch.rand(1, 1, 3, 16, 16)
    same = torch.stack([flat(x[:, 0, z : z + 1].repeat(1, 5, 1, 1))[:, :2] for z in range(3)], 2)
    torch.testing.assert_close(model(x), same, atol=1e-5, rtol=1e-4)


def test_weights_round_trip_in_their_layout(tmp_path):
    architecture = unet3d.ARCHITECTURE | {"widths": [4, 4, 4]}
    model = build_network(architecture)
    assert memory_format(model) == torch.channels_last_3d
    save_network(model, "tiny3d", {"architecture": architecture}, tmp_path)
    again = load_network("tiny3d", "cpu", tmp_path)
    x = torch.rand(1, 1, 4, 16, 16)
    torch.testing.assert_close(again(x), model.half().float().eval()(x), atol=1e-3, rtol=1e-3)


def test_slices_are_kept_averaged_or_interpolated():
    ramp = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((1, 3, 3), np.float32)
    assert resample_z(ramp, 8) is ramp
    np.testing.assert_allclose(resample_z(ramp, 4)[:, 0, 0], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(resample_z(ramp, 16)[2:-2, 0, 0], (np.arange(2, 14) + 0.5) / 2 - 0.5)
    assert resample_z(np.stack([ramp, ramp]), 4).shape == (2, 4, 3, 3)
    assert planned_slices(10, 0.3) == 10 and planned_slices(10, 1.0) == 25 and planned_slices(10, 0.2) == 5
    assert planned_slices(1, 1.0) == 1


class Passes(torch.nn.Module):
    """Returns its input as logits, so that tiles and pads must leave no trace."""

    stride = (2, 8, 8)

    def forward(self, x):
        assert all(n % s == 0 for n, s in zip(x.shape[2:], self.stride, strict=True))
        return torch.cat([x, -x], 1)


@pytest.mark.parametrize("shape", [(1, 37, 50), (7, 300, 41), (50, 20, 30)])
def test_tiles_and_pads_leave_no_trace(shape):
    value = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    out = predict_volume(Passes(), value)
    np.testing.assert_allclose(out[0], 1 / (1 + np.exp(-value)), atol=1e-5)
    np.testing.assert_allclose(out[1], 1 / (1 + np.exp(value)), atol=1e-5)


def test_unlabelled_bright_voxels_carry_no_weight():
    labelled = np.zeros((5, 40, 40), bool)
    labelled[2, 10, :] = True
    image = np.zeros((5, 40, 40))
    image[2, 10], image[2, 30] = 0.9, 0.9  # the second branch was not segmented
    known = unet3d.known_weights(labelled, image, (0.4, 0.1, 0.1), near_um=0.8, dark=0.1)
    assert known[2, 10].all() and known[2, 17].all() and not known[2, 30].any()
    assert known[2, 25].all()  # dark


def test_one_dendrite_stays_with_its_spines():
    classes = np.zeros((3, 40, 40), np.uint8)
    classes[1, 8], classes[1, 32] = 1, 1
    classes[1, 10:12, 5], classes[1, 29:31, 20] = 2, 2
    kept = unet3d.keep_one_dendrite(classes, (0.4, 0.1, 0.1), np.random.default_rng(0))
    upper, lower = (kept[:, :20] > 0).any(), (kept[:, 20:] > 0).any()
    assert upper != lower
    part = kept[:, :20] if upper else kept[:, 20:]
    assert set(np.unique(part)) == {0, 1, 2}
    single = np.where(classes == 2, 0, classes) * (np.arange(40) < 20)[None, :, None]
    np.testing.assert_array_equal(
        unet3d.keep_one_dendrite(single, (1, 1, 1), np.random.default_rng(0)), single
    )


def test_examples_have_the_patch_size_whatever_the_stack(volume):
    rng = np.random.default_rng(3)
    made = [unet3d.make_example(volume, rng) for _ in range(12)]
    for example in made:
        assert example["image"].shape == (1, *unet3d.PATCH) and example["image"].dtype == np.float32
        assert not ((example["spine"] > 0) & (example["dendrite"] > 0)).any()
    assert max(e["spine"].max() for e in made) == 1 and min(e["weight"].min() for e in made) == 0


@needs_weights
def test_a_simulated_stack_and_its_projection_are_analysed():
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse
    from spinecore.simulation import simulate

    made = simulate(960, "confocal", (12, 160, 160), (0.4, 0.1, 0.1))
    analysis = analyse(made.stack, Settings(method="unet3d"))
    assert len(analysis.dendrites) and len(analysis.spines)
    assert analysis.models[0]["name"] == "unet3d"
