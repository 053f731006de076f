"""What is said about an error: advice only where the program raised it for the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spinecore.cli import batch
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.jobs.work import sentence_for

SAMPLE = Path(__file__).parents[1] / "spinecore" / "sample" / "sample_stack.tif"


def test_a_job_repeats_only_sentences_that_are_meant_for_the_user():
    assert (
        sentence_for(SpinecoreError("the file is empty: choose another"))
        == "the file is empty: choose another"
    )
    internal = sentence_for(ValueError("operands could not be broadcast together"))
    assert "internal error" in internal and "ValueError" in internal and "report it" in internal


@pytest.mark.parametrize(
    ("error", "code"),
    [(SpinecoreError("the file is empty: choose another"), 2), (ValueError("axes do not match"), 1)],
)
def test_the_command_line_exits_2_for_a_mistake_and_1_for_an_internal_error(
    monkeypatch, tmp_path, error, code
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(batch, "analyse_marked", fail)
    result = CliRunner().invoke(app, ["analyse", str(SAMPLE), "--out", str(tmp_path / "out")])
    assert result.exit_code == code
    if code == 2:
        assert "the file is empty: choose another" in result.stderr
        assert "Traceback" not in result.stderr
    else:
        assert result.exception is error


def test_help_and_mistakes_in_the_call_load_no_libraries_for_arrays():
    heavy = {"numpy", "pandas", "scipy", "torch", "skimage", "matplotlib", "tifffile", "streamlit"}
    code = f"import sys, spinecore.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
