"""What is loaded at the start: PyTorch only where a network runs, so that pages and the command line answer at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "onnxruntime", "matplotlib", "statsmodels", "pytorch_grad_cam")


@pytest.mark.parametrize(
    "module", ["spinecore.cli.main", "spinecore.ui.session", "spinecore.ui.stackcard", "spinecore.ui.queue"]
)
def test_pages_and_commands_start_without_the_heavy_libraries(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_an_analysis_does_without_torchvision(tmp_path: Path) -> None:
    code = (
        "import sys; from dataclasses import replace; from spinecore.analysis.result import Settings;"
        "from spinecore.analysis.run import analyse; from spinecore.reading import read_stack;"
        "from spinecore.simulation.sample import SAMPLE_STACK; stack = read_stack(SAMPLE_STACK);"
        "made = analyse(replace(stack, voxels=stack.voxels[8:13, :128, :128]), Settings(device='cpu'));"
        "print(made.shape, [m for m in ('torchvision', 'torch._dynamo', 'sympy') if m in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "(5, 128, 128) []"
