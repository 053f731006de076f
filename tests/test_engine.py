"""Engines: the ONNX graph gives what PyTorch gives; which engine is taken, and what is remembered of the trial."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spinecore.errors import SpinecoreError
from spinecore.jobs import work
from spinecore.methods import METHODS
from spinecore.methods.second_look import CHANNELS, CUBES
from spinecore.networks import byte_products, engine, onnx_export, zoo
from spinecore.networks.answers import answer
from spinecore.networks.byte_products import LARGEST_WEIGHTS, largest_weight, products_are_exact
from spinecore.networks.device import describe_run, inference
from spinecore.networks.onnx_export import cached, exported
from spinecore.networks.onnx_int8 import measure_ranges
from spinecore.networks.onnx_runtime import OnnxNetwork
from spinecore.networks.shapes import FocusShapeNet, JointShapeNet
from spinecore.networks.slices import predict_slices
from spinecore.networks.unet import UNet2d, folded
from spinecore.networks.views import TWO_VIEWS
from spinecore.networks.zoo import Card, build_network, load_card, save_network
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_STACK


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder, no choice in the environment, and nothing remembered in this process."""
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    monkeypatch.setenv("SPINECORE_CACHE", str(tmp_path / "cache"))
    engine.tried_engine.cache_clear()
    zoo._fastest.cache_clear()
    yield tmp_path / "cache" / "engine.json"
    engine.tried_engine.cache_clear()
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
        wanted = model(image).numpy()
    for source in (model, folded(model)):
        made = OnnxNetwork(exported(source))
        np.testing.assert_allclose(made(image.numpy()), wanted, atol=1e-5, rtol=1e-4)
        turned = np.ascontiguousarray(image.numpy().swapaxes(2, 3)).swapaxes(2, 3)
        np.testing.assert_allclose(made(turned), wanted, atol=1e-5, rtol=1e-4)
    assert made.planes == planes and made.stride == model.stride == 4


@pytest.mark.parametrize(("planes", "maps", "shape"), [(5, 3, (1, 48, 64)), (1, 2, (2, 64, 32))])
def test_whole_numbers_give_nearly_what_the_network_gives(planes, maps, shape):
    model = seen_unet(planes, maps)
    image = torch.rand(shape[0], planes, *shape[1:])
    with torch.inference_mode():
        wanted = model(image).numpy()
    made = OnnxNetwork(exported(model, measure_ranges(model, [{"image": image.numpy()}])))
    assert made.engine == "onnx-int8" and made.stride == model.stride
    assert np.abs(made(image.numpy()) - wanted).mean() < 0.03 * wanted.std()


def test_values_beyond_the_ranges_are_held_at_their_ends():
    model = seen_unet(5, 3)
    rng = np.random.default_rng(0)
    dim, bright = (rng.random((1, 5, 32, 32), np.float32) * most for most in (0.5, 50))
    made = OnnxNetwork(exported(model, measure_ranges(model, [{"image": dim}])))
    np.testing.assert_allclose(made(bright), made(bright.clip(max=dim.max())), atol=0.1, rtol=0.1)


def test_ranges_count_for_the_weights_they_were_measured_with_alone():
    facts = {"sha256": "a", "int8": {"sha256": "a", "ranges": [[-1, 2.5]]}}
    assert Card("x", Path("x.json"), facts).rounding == [(-1, 2.5)]
    assert Card("x", Path("x.json"), facts | {"sha256": "b"}).rounding is None
    assert Card("x", Path("x.json"), {"sha256": "a"}).rounding is None


def test_the_shipped_weights_for_stacks_find_the_same_in_whole_numbers(fresh, monkeypatch):
    stack = read_stack(SAMPLE_STACK)
    stack = replace(stack, voxels=stack.voxels[8:12, 40:168, 40:168])
    maps = []
    for name in ("onnx", "onnx-int8"):
        monkeypatch.setenv(engine.VARIABLE, name)
        engine.tried_engine.cache_clear()
        zoo.forget_networks()
        method = METHODS["centre-unet"]
        weights = method.load(is_2d=False, device="cpu")
        assert weights.main.model.engine == name
        assert weights.scorer is None or weights.scorer.model.engine == "onnx"
        found = method.predict(stack, weights)
        maps.append(np.stack([found.dendrite, found.spine, found.centre]).astype(int))
    assert maps[0].max() > 200 and np.abs(maps[0] - maps[1]).mean() < 1


@pytest.mark.parametrize("kind", ["head-score", "spine-size"])
def test_the_graph_of_the_second_look_gives_what_the_network_gives(kind):
    torch.manual_seed(0)
    more = {"middle": [-2.0, -0.7, 0.1]} if kind == "spine-size" else {}
    model = build_network({"kind": kind, "channels": CHANNELS, "width": 4} | more)
    given = [torch.rand(9, CHANNELS, *cube.shape) for cube in CUBES] + [torch.randn(9, 2)]
    for _ in range(3):  # batch normalisation that has seen something
        model(*given)
    with torch.inference_mode():
        wanted = model.eval()(*given).numpy()
    found = OnnxNetwork(exported(model))(*(tensor.numpy() for tensor in given))
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", [JointShapeNet(5, width=4), FocusShapeNet(5, width=4, fine=6)])
def test_the_graph_of_a_shape_classifier_gives_what_the_network_gives(model):
    torch.manual_seed(0)
    patches = torch.rand(6, 3, 40, 40)
    for _ in range(3):  # batch normalisation that has seen something
        model(patches)
    with torch.inference_mode():
        wanted = model.eval()(patches).numpy()
    found = OnnxNetwork(exported(model))(patches.numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-4)


def test_other_networks_have_no_graph():
    with pytest.raises(TypeError, match="kind Linear"):
        exported(torch.nn.Linear(2, 2))


def test_a_written_network_is_kept_and_a_damaged_file_is_written_anew(fresh):
    written = []

    def write() -> bytes:
        written.append(1)
        return exported(seen_unet(1, 2))

    first = cached("weights", None, write)
    assert cached("weights", None, write) == first and len(written) == 1
    (path,) = (fresh.parent / "networks").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cached("weights", None, write) == first and len(written) == 2
    assert cached("weights", None, write) == first and len(written) == 2
    cached("weights", [(0.0, 1.0)], write)
    cached("other weights", None, write)
    assert len(written) == 4, "other weights and other rounding are other networks"


def test_changed_weights_are_refused_although_they_were_written_before(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv(engine.VARIABLE, "onnx")
    torch.manual_seed(0)
    architecture = {"kind": "unet2d", "in_channels": 1, "out_channels": 2, "widths": [4, 8]}
    card = save_network(build_network(architecture), "small", {"architecture": architecture}, tmp_path)
    assert isinstance(load_card(card, folded=True).model, OnnxNetwork)
    zoo.forget_networks()
    card.weights.write_bytes(card.weights.read_bytes() + b"x")
    with pytest.raises(SpinecoreError, match="checksum differs"):
        load_card(card, folded=True)


def test_slices_come_out_the_same_with_either():
    model = seen_unet(5, 3)
    stack = np.random.default_rng(0).random((4, 70, 90), np.float32)
    maps = []
    for one in (model, OnnxNetwork(exported(model))):
        assert describe_run(one).startswith("CPU")
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
    assert isinstance(network, OnnxNetwork) == name.startswith("onnx")
    conv = torch.nn.Conv2d(1, 1, 1)
    with inference(conv):
        half = conv(torch.zeros(1, 1, 2, 2)).dtype == torch.bfloat16
    assert half == (name == "torch-bfloat16")
    assert not fresh.exists()


def test_a_choice_is_kept_and_the_environment_counts_before_it(fresh, monkeypatch):
    monkeypatch.setattr(engine, "run_trial", lambda: {"onnx": 0.1, "torch-float32": 0.2})
    assert engine.known_engine() is None, "no trial yet"
    assert engine.cpu_engine().name == "onnx" and engine.known_engine() == engine.cpu_engine()
    engine.choose_engine("torch-bfloat16")
    found = engine.cpu_engine()
    assert (found.name, found.precision) == (
        "torch-bfloat16",
        "bfloat16",
    ) and "Start page" in found.describe()
    network = METHODS["centre-unet"].load(is_2d=True, device="cpu").main.model
    assert not isinstance(network, OnnxNetwork)
    monkeypatch.setenv(engine.VARIABLE, "torch-float32")
    assert engine.cpu_engine().name == engine.known_engine().name == "torch-float32"
    monkeypatch.delenv(engine.VARIABLE)
    engine.choose_engine(None)
    assert engine.chosen_engine() is None and engine.cpu_engine().name == "onnx"
    network = METHODS["centre-unet"].load(is_2d=True, device="cpu").main.model
    assert isinstance(network, OnnxNetwork), "networks that are loaded follow the choice"


def test_the_worker_tries_and_names_the_device_alone(fresh, monkeypatch):
    monkeypatch.setattr(engine, "run_trial", lambda: {"onnx": 0.1, "torch-float32": 0.2})
    monkeypatch.setattr(work, "pick_device", lambda _: "cpu")
    assert "ONNX" not in work.describe_device()
    assert engine.known_engine().name == "onnx"


def test_a_choice_that_cannot_be_kept_is_said(fresh):
    fresh.parent.write_text("a file where the folder should be")
    with pytest.raises(SpinecoreError, match="set SPINECORE_ENGINE instead"):
        engine.choose_engine("onnx")


def test_an_unknown_engine_is_named(fresh, monkeypatch):
    monkeypatch.setenv(engine.VARIABLE, "magic")
    with pytest.raises(
        SpinecoreError, match="set it to one of onnx-int8, onnx, torch-float32, torch-bfloat16"
    ):
        engine.cpu_engine()


def test_the_trial_runs_once_and_is_remembered(fresh, monkeypatch):
    runs = []
    monkeypatch.setattr(
        engine, "run_trial", lambda: runs.append(1) or {"torch-float32": 0.2, "torch-bfloat16": 0.4}
    )
    for _ in range(2):
        engine.tried_engine.cache_clear()
        found = engine.cpu_engine()
        assert (found.name, found.precision) == ("torch-float32", "float32")
    assert len(runs) == 1
    (trial,) = json.loads(fresh.read_text()).values()
    assert trial == {"torch-float32": 0.2, "torch-bfloat16": 0.4}
    monkeypatch.setattr(engine, "processor", lambda: ("another one", ()))
    engine.tried_engine.cache_clear()
    engine.cpu_engine()
    assert len(runs) == 2, "another processor is tried anew"
    monkeypatch.undo()
    monkeypatch.setattr(engine, "cache_folder", lambda: fresh.parent)
    assert engine.remembered_trial() == trial, "and the first is still known"


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
    expected = set(engine.ENGINES) if largest_weight() else set(engine.ENGINES) - {"onnx-int8"}
    assert set(seconds) == expected and min(seconds.values()) > 0


def test_a_processor_that_adds_bytes_up_wrongly_is_not_offered_whole_numbers(monkeypatch):
    monkeypatch.setattr(byte_products, "largest_weight", lambda: 0)
    assert "onnx-int8" not in engine.run_trial()


@pytest.mark.parametrize(("exact", "expected"), [({127, 63}, 127), ({63}, 63), (set(), 0)])
def test_weights_have_as_many_bits_as_the_processor_adds_up_exactly(monkeypatch, exact, expected):
    monkeypatch.setattr(byte_products, "products_are_exact", exact.__contains__)
    assert largest_weight.__wrapped__() == expected


def test_sums_of_small_products_are_exact_everywhere():
    assert products_are_exact(1) and products_are_exact(LARGEST_WEIGHTS[-1])


def test_networks_rounded_to_fewer_bits_are_kept_beside_the_others(fresh, monkeypatch):
    kept = []
    for largest in LARGEST_WEIGHTS:
        monkeypatch.setattr(onnx_export, "largest_weight", lambda largest=largest: largest)
        kept += [cached("0", [(0.0, 1.0)], lambda largest=largest: bytes([largest]))[0]]
        assert cached("0", None, lambda: b"float") == b"float"
    assert kept == list(LARGEST_WEIGHTS)


def test_facts_about_the_processor_are_found():
    name, features = engine.processor()
    assert name and set(features) <= set(engine.FEATURES)


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the memory of a process is read as on Linux"
)
def test_memory_is_given_back_and_the_answers_stay():
    network = OnnxNetwork(exported(seen_unet(5, 3)))
    image = np.random.default_rng(0).random((1, 5, 1024, 1024), np.float32)
    first = network(image)
    network.give_memory_back()
    np.testing.assert_allclose(network.on_threads(1)(image), first, atol=1e-5)
    # in a process of its own: here the weights may lie in memory that an earlier test's images took
    code = """
import os
from pathlib import Path
import numpy as np
from test_engine import exported, seen_unet
from spinecore.networks.onnx_runtime import OnnxNetwork

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

network = OnnxNetwork(exported(seen_unet(5, 3)))
network(np.zeros((1, 5, 1024, 1024), np.float32))
held = resident_mb()
network.give_memory_back()
assert resident_mb() < held - 20, (held, resident_mb())
"""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, check=True)


def test_both_ways_of_computing_give_the_same_answers():
    model = build_network(
        {"kind": "spine-size", "channels": CHANNELS, "width": 4, "middle": [-2.0, -0.7, 0.1]}
    )
    rng = np.random.default_rng(0)
    given = [rng.random((3, CHANNELS, *cube.shape), np.float32) for cube in CUBES]
    given.append(rng.random((3, 2), np.float32))
    one, other = (answer(way, *given) for way in (model.eval(), OnnxNetwork(exported(model))))
    assert one.shape == other.shape == (3, 3, 2)
    np.testing.assert_allclose(one, other, atol=0.05)  # PyTorch may compute in bfloat16 here
