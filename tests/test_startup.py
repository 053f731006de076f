"""What is loaded at the start: PyTorch only where a network runs, so that pages and the command line answer at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
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


ANALYSE = """
import sys
from dataclasses import replace
from pathlib import Path
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import save_analysis
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_STACK
stack = read_stack(SAMPLE_STACK)
made = analyse(replace(stack, voxels=stack.voxels[6:15, 40:168, 40:168]), Settings(device="auto"))
save_analysis(made, Path(sys.argv[1]))
heavy = ("torch", "torchvision", "onnx", "matplotlib", "trimesh", "sympy")
print(made.shape, len(made.spines), [m for m in heavy if m in sys.modules])
"""


@pytest.mark.parametrize("engine", ["onnx", "torch-float32"])
def test_an_analysis_loads_what_it_computes_with(tmp_path: Path, engine: str) -> None:
    """The second one, since the first writes the networks for ONNX Runtime."""
    surroundings = {**os.environ, "SPINECORE_CACHE": str(tmp_path / "cache"), "SPINECORE_ENGINE": engine}
    surroundings["CUDA_VISIBLE_DEVICES"] = ""
    said = []
    for out in ("first", "second"):
        command = [sys.executable, "-c", ANALYSE, str(tmp_path / out)]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True, env=surroundings)
        said.append(done.stdout.strip())
    first, second = (pd.read_csv(tmp_path / out / "spines.csv", comment="#") for out in ("first", "second"))
    pd.testing.assert_frame_equal(first, second)
    assert len(first) and said[0].startswith("(9, 128, 128)")
    loaded = "[]" if engine == "onnx" else "['torch']"
    assert said[1].endswith(loaded)
    assert engine == "torch-float32" or said[0].endswith("['torch', 'onnx']")
