"""Engines: the ONNX graph gives what PyTorch gives; which engine is taken, and what is remembered of the trial."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from spinecore.errors import SpinecoreError
from spinecore.methods import METHODS
from spinecore.methods.second_look import CHANNELS, CUBES
from spinecore.networks import engine, zoo
from spinecore.networks.device import device_of, inference
from spinecore.networks.onnx_runtime import OnnxNetwork
from spinecore.networks.shapes import FocusShapeNet, JointShapeNet
from spinecore.networks.slices import predict_slices
from spinecore.networks.unet import UNet2d, folded
from spinecore.networks.views import TWO_VIEWS
from spinecore.networks.zoo import build_network


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder, no choice in the environment, and nothing remembered in this process."""
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    monkeypatch.setenv("SPINECORE_CACHE", str(tmp_path / "cache"))
    engine.cpu_engine.cache_clear()
    zoo._fastest.cache_clear()
    yield tmp_path / "cache" / "engine.json"
    engine.cpu_engine.cache_clear()
    zoo._fastest.cache_clear()


def seen_unet(planes: int, maps: int) -> UNet2d:
    """A small U-Net whose batch normalisation has seen something."""
    torch.manual_seed(0)
    model = UNet2d(planes, maps, (4, 8, 12))
    for _ in range(3):
        model(torch.rand(2, planes, 32, 32))
    return model.eval()


@pytest.mark.parametrize(("planes", "maps", "shape"), [(5, 3, (1, 32, 48)), (1, 2, (3, 64, 16))])
def test_the_graph_gives_what_the_network_gives(planes, maps, shape):
    model = seen_unet(planes, maps)
    image = torch.randn(shape[0], planes, *shape[1:])
    with torch.inference_mode():
        wanted = model(image)
    for source in (model, folded(model)):
        made = OnnxNetwork(source)
        torch.testing.assert_close(made(image), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            made(image.contiguous(memory_format=torch.channels_last)), wanted, atol=1e-5, rtol=1e-4
        )
    assert made.planes == planes and made.stride == model.stride == 4


@pytest.mark.parametrize("kind", ["head-score", "spine-size"])
def test_the_graph_of_the_second_look_gives_what_the_network_gives(kind):
    torch.manual_seed(0)
    more = {"middle": [-2.0, -0.7, 0.1]} if kind == "spine-size" else {}
    model = build_network({"kind": kind, "channels": CHANNELS, "width": 4} | more)
    given = [torch.rand(9, CHANNELS, *cube.shape) for cube in CUBES] + [torch.randn(9, 2)]
    for _ in range(3):  # batch normalisation that has seen something
        model(*given)
    with torch.inference_mode():
        wanted = model.eval()(*given)
    torch.testing.assert_close(OnnxNetwork(model)(*given), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", [JointShapeNet(5, width=4), FocusShapeNet(5, width=4, fine=6)])
def test_the_graph_of_a_shape_classifier_gives_what_the_network_gives(model):
    torch.manual_seed(0)
    patches = torch.rand(6, 3, 40, 40)
    for _ in range(3):  # batch normalisation that has seen something
        model(patches)
    with torch.inference_mode():
        wanted = model.eval()(patches)
    torch.testing.assert_close(OnnxNetwork(model)(patches), wanted, atol=1e-5, rtol=1e-4)


def test_other_networks_have_no_graph():
    with pytest.raises(TypeError, match="kind Linear"):
        OnnxNetwork(torch.nn.Linear(2, 2))


def test_slices_come_out_the_same_with_either():
    model = seen_unet(5, 3)
    stack = np.random.default_rng(0).random((4, 70, 90), np.float32)
    maps = []
    for one in (model, OnnxNetwork(model)):
        assert device_of(one).type == "cpu"
        out = np.zeros((4, 3, 70, 90), np.float32)
        predict_slices(one, stack.__getitem__, 4, 0.5, out.__setitem__, tile_px=80, views=TWO_VIEWS)
        maps.append(out)
    assert np.abs(maps[0] - maps[1]).max() < 0.02  # PyTorch may compute in bfloat16 here


@pytest.mark.parametrize("name", engine.ENGINES)
def test_the_environment_chooses(fresh, monkeypatch, name):
    monkeypatch.setenv(engine.VARIABLE, name.upper())
    monkeypatch.setattr(engine, "run_trial", lambda: pytest.fail("tried although chosen"))
    found = engine.cpu_engine()
    assert found.name == name and "chosen with SPINECORE_ENGINE" in found.describe()
    network = METHODS["centre-unet"].load(is_2d=True, device="cpu").main.model
    assert isinstance(network, OnnxNetwork) == (name == "onnx")
    conv = torch.nn.Conv2d(1, 1, 1)
    with inference(conv):
        half = conv(torch.zeros(1, 1, 2, 2)).dtype == torch.bfloat16
    assert half == (name == "torch-bfloat16")
    assert not fresh.exists()


def test_an_unknown_engine_is_named(fresh, monkeypatch):
    monkeypatch.setenv(engine.VARIABLE, "magic")
    with pytest.raises(SpinecoreError, match="set it to one of onnx, torch-float32, torch-bfloat16"):
        engine.cpu_engine()


def test_the_trial_runs_once_and_is_remembered(fresh, monkeypatch):
    runs = []
    monkeypatch.setattr(
        engine, "run_trial", lambda: runs.append(1) or {"torch-float32": 0.2, "torch-bfloat16": 0.4}
    )
    for _ in range(2):
        engine.cpu_engine.cache_clear()
        found = engine.cpu_engine()
        assert (found.name, found.precision) == ("torch-float32", "float32")
    assert len(runs) == 1
    (trial,) = json.loads(fresh.read_text()).values()
    assert trial == {"torch-float32": 0.2, "torch-bfloat16": 0.4}
    monkeypatch.setattr(engine, "processor", lambda: ("another one", ()))
    engine.cpu_engine.cache_clear()
    engine.cpu_engine()
    assert len(runs) == 2, "another processor is tried anew"


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', "\x00"])
def test_a_damaged_memory_is_written_anew(fresh, monkeypatch, content):
    fresh.parent.mkdir()
    fresh.write_text(content)
    monkeypatch.setattr(engine, "run_trial", lambda: {"torch-float32": 0.1})
    assert engine.cpu_engine().name == "torch-float32"
    assert list(json.loads(fresh.read_text()).values()) == [{"torch-float32": 0.1}]


def test_a_cache_that_cannot_be_written_does_no_harm(fresh, monkeypatch):
    fresh.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(engine, "run_trial", lambda: {"onnx": 0.1})
    assert engine.cpu_engine().name == "onnx"


def test_the_trial_times_every_engine():
    seconds = engine.run_trial()
    assert set(seconds) == set(engine.ENGINES) and min(seconds.values()) > 0
    name, features = engine.processor()
    assert name and set(features) <= set(engine.FEATURES)
