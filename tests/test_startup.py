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
