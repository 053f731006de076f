"""The check of everything on a GPU, small and on the processor."""

from __future__ import annotations

import sys

import torch

from benchmarks import gpu_check
from spinecore.methods import METHODS


def test_small_checks_run_on_the_processor(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "METHODS", {"mip-unet": METHODS["mip-unet"]})
    failed = gpu_check.run_checks("cpu", True, list(gpu_check.PARTS), ["spine-size"])
    lines = capsys.readouterr().out.splitlines()
    assert failed == []
    assert [line.split(" s  ")[0].rsplit(maxsplit=1)[0].strip() for line in lines] == [
        "method mip-unet",
        "recipe spine-size",
        "speed 2 x 128 x 128",
    ]
    assert "ms a step, select" in lines[1] and "from file to tables" in lines[2]


def test_what_fails_is_named_and_the_rest_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "check_recipe", lambda name, *_: {"spine-size": "fine"}[name])
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "gpu_check",
            "--device",
            "cpu",
            "--quick",
            "--only",
            "recipes",
            "--recipes",
            "mip-unet",
            "spine-size",
        ],
    )
    assert gpu_check.main() == 1
    printed = capsys.readouterr().out
    assert "FAILED: KeyError" in printed and "fine" in printed
    assert printed.splitlines()[-1].endswith("FAILED: recipe mip-unet")


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert gpu_check.main() == 2
    assert "no GPU on this machine" in capsys.readouterr().out


def test_every_large_recipe_exists():
    assert set(gpu_check.LARGE) <= set(gpu_check.RECIPES)
