"""Networks run on the device that their weights are on: a stand-in on another device says what it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinecore.errors import SpinecoreError
from spinecore.methods.detect import detect_plane
from spinecore.methods.panoptic import dendrite_plane
from spinecore.methods.second_look import score_heads
from spinecore.networks import device
from spinecore.networks.device import (
    describe_run,
    device_of,
    inference,
    mixed_precision,
    pick_device,
    pick_present,
)
from spinecore.networks.engine import Engine
from spinecore.networks.slices import predict_slices
from spinecore.networks.views import TWO_VIEWS
from spinecore.networks.volumes import predict_volume
from spinecore.networks.zoo import Card, Network
from spinecore.shapes.classify import classify_patches, patch_features
from spinecore.shapes.explain import explain
from spinecore.shapes.patches import PATCH_PX, Patch
from spinecore.training.pool import PoolVolume, encode


class Elsewhere(Exception):
    """Raised by the stand-in, so that nothing has to come back from the device it is on."""


class OnMeta(torch.nn.Module):
    """A network with one weight on a device that is not the CPU; refuses inputs from anywhere else."""

    stride, planes, temperature = 8, 5, 1.0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
        self.dendrites = self.spines = self

    def forward(self, *given):
        tensors = given[0] if isinstance(given[0], list) else given
        assert {t.device.type for t in tensors} == {"meta"}
        raise Elsewhere

    features = forward


class VolumesOnMeta(OnMeta):
    stride = (2, 8, 8)


IMAGE = np.random.default_rng(0).random((40, 48), np.float32)
VOLUME = PoolVolume(encode(np.stack([IMAGE] * 4)), np.zeros((4, 40, 48), np.uint8), np.zeros((1, 4)), 0.4)
PATCH = Patch(*np.zeros((3, PATCH_PX, PATCH_PX), np.float32), np.eye(2), np.zeros(2))
CLASSIFIER = Network(Card("meta", None, {"sha256": "0"}), OnMeta())
MAPS = np.zeros((3, 4, 40, 48), np.uint8)


def _scored() -> None:
    crop = lambda window: IMAGE[None][(slice(0, 1), *window[1:])].repeat(4, 0)[window[0]]  # noqa: E731
    score_heads(OnMeta(), crop, MAPS, np.array([[2.0, 20, 20]]), np.array([0.5]), (0.4, 0.1, 0.1))


PREDICTIONS = {
    "slices": lambda: predict_slices(OnMeta(), lambda _: IMAGE, 3, 0.4, lambda *_: None, views=TWO_VIEWS),
    "volume": lambda: predict_volume(VolumesOnMeta(), np.stack([IMAGE] * 3)),
    "boxes": lambda: detect_plane(OnMeta(), np.stack([IMAGE] * 5)),
    "dendrite of a plane": lambda: dendrite_plane(OnMeta(), IMAGE),
    "heads": _scored,
    "shapes": lambda: classify_patches([PATCH], CLASSIFIER),
    "features of shapes": lambda: patch_features([PATCH], CLASSIFIER),
    "heat maps": lambda: explain([PATCH], CLASSIFIER),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_what_goes_in_is_on_the_device_of_the_weights(name):
    with pytest.raises(Elsewhere):
        PREDICTIONS[name]()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_prediction_is_on_the_network_s_device_and_in_the_engine_s_precision(monkeypatch, precision):
    monkeypatch.setattr("spinecore.networks.device.cpu_engine", lambda: Engine("onnx", precision, "a test"))
    network = torch.nn.Conv2d(1, 1, 1)
    with inference(network) as place:
        assert place == torch.device("cpu") and not torch.is_grad_enabled()
        assert network(torch.zeros(1, 1, 4, 4, device=place)).dtype == getattr(torch, precision)
    assert describe_run(network).endswith(f"PyTorch, {precision}")
    assert device_of(torch.nn.Identity()).type == "cpu" and device_of(OnMeta()).type == "meta"


def test_the_best_device_there_is_is_chosen(monkeypatch):
    monkeypatch.setattr(device, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(SpinecoreError, match="no CUDA GPU was found"):
        pick_device("cuda")
    with pytest.raises(SpinecoreError, match="no Apple GPU was found"):
        pick_device("mps")
    assert pick_present("cuda") == "cpu", "an analysis made on a GPU opens without one"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("mps") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == "cuda"
    with pytest.raises(SpinecoreError, match="choose one of auto, cpu, cuda, mps"):
        pick_device("tpu")


def test_pytorch_is_not_asked_for_a_gpu_that_no_driver_is_for(monkeypatch):
    def no_driver(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device.ctypes, "CDLL", no_driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked"))
    assert pick_device("auto") == "cpu"
    monkeypatch.setattr(device, "version", lambda _: "2.14.0")
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == "cuda"
    monkeypatch.setattr(device, "version", lambda _: "2.14.0+cpu")
    assert pick_device("auto") == "cpu", "this PyTorch was built without GPUs"


def test_apples_gpu_computes_in_float32():
    a = torch.ones(2, 2)
    with mixed_precision("mps"):
        assert (a @ a).dtype == torch.float32
