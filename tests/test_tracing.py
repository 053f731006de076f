"""A user's own tracing in place of the traced centre lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.errors import SpinecoreError
from spinecore.export.bundle import methods_text
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_DIR, SAMPLE_STACK
from spinecore.tracing.swc import keep_tracing, read_swc, read_tracing

SHAPE, SPACING = (24, 320, 320), (0.3, 0.08, 0.08)


def swc(tmp_path, points, name="line.swc"):
    """Write a line of (z, y, x) in um as SWC."""
    rows = [f"{k} 3 {x} {y} {z} 1.0 {k - 1 or -1}" for k, (z, y, x) in enumerate(points, 1)]
    path = tmp_path / name
    path.write_text("# by hand\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_tracing_keeps_its_length_and_gets_even_points(tmp_path):
    path = swc(tmp_path, [(3, 2, 2), (3, 2, 12), (3, 10, 12)])
    (dendrite,) = read_tracing(path, SHAPE, SPACING).dendrites
    assert dendrite.path_length_um == pytest.approx(18.0)
    gaps = np.linalg.norm(np.diff(dendrite.branches[0].points_um, axis=0), axis=1)
    assert gaps.max() < 0.11
    (flat,) = read_tracing(path, (1, 320, 320), SPACING).dendrites
    assert (flat.branches[0].points_um[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("points", "word"), [([(3, 200, 200), (3, 200, 260)], "does not lie inside this stack of 25.56 x 25.56")]
)
def test_a_tracing_of_another_stack_is_refused(tmp_path, points, word):
    with pytest.raises(SpinecoreError, match=word):
        read_tracing(swc(tmp_path, points), SHAPE, SPACING)
    with pytest.raises(SpinecoreError, match="cannot be read"):
        read_tracing(tmp_path / "none.swc", SHAPE, SPACING)


def test_an_upload_is_kept_by_its_content_and_checked(tmp_path):
    good = swc(tmp_path, [(1, 1, 1), (1, 1, 5)]).read_bytes()
    first, again = (keep_tracing(tmp_path, "a.swc", good) for _ in range(2))
    assert first == again and first.read_bytes() == good
    with pytest.raises(SpinecoreError, match="line 1"):
        keep_tracing(tmp_path, "b.swc", b"no swc at all")
    assert not list((tmp_path / "tracings").glob("*/b.swc"))


def test_an_analysis_uses_the_tracing_and_says_so(tmp_path):
    stack = read_stack(SAMPLE_STACK)
    plain = analyse(stack, Settings())
    truth = SAMPLE_DIR / "truth.swc"
    traced = analyse(stack, Settings(tracing=str(truth)))
    lines = read_tracing(truth, stack.shape, stack.spacing.zyx_um()).dendrites
    assert traced.dendrites["path_length_um"].tolist() == pytest.approx(
        [d.path_length_um for d in lines], rel=1e-3
    )
    assert any("truth.swc" in note for note in traced.notes)
    assert "taken from the tracing truth.swc" in methods_text(traced)
    assert "thinning" in methods_text(plain) and "read from the image" in methods_text(plain)
    assert len(traced.spines) == pytest.approx(len(plain.spines), rel=0.1)
    assert traced.spines["dendrite_id"].notna().mean() > 0.9
    radii = np.concatenate([b.radii_um for d in traced.candidates.dendrites for b in d.branches])
    assert 0.1 < np.median(radii) < 1.5
    save_analysis(traced, tmp_path / "kept")
    back = load_analysis(tmp_path / "kept")
    assert back.settings.tracing == str(truth)
    assert back.dendrites["path_length_um"].sum() == pytest.approx(traced.dendrites["path_length_um"].sum())
    one = swc(tmp_path, lines[0].branches[0].points_um.tolist())
    alone = analyse(stack, Settings(tracing=str(one)))
    assert not alone.candidates.untraced.any(), "no spines off the tracing, whatever their neighbours"
    assert 0 < len(alone.spines) < len(traced.spines) and set(alone.spines["dendrite_id"].dropna()) == {1}


def test_the_command_line_takes_a_tracing(tmp_path):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    call = ["analyse", str(SAMPLE_STACK), "--out", str(tmp_path / "out"), "--swc"]
    done = CliRunner().invoke(app, [*call, str(SAMPLE_DIR / "truth.swc")])
    assert done.exit_code == 0, done.output
    kept = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert kept["settings"]["tracing"].endswith("truth.swc")
    bad = CliRunner().invoke(app, [*call, str(SAMPLE_STACK)])
    assert bad.exit_code == 2


def written(path: Path, *nodes: str) -> Path:
    path.write_text("\n".join(nodes), encoding="utf-8")
    return path


def test_swc_from_elsewhere_only_dendrites_ids_from_zero_rows_in_any_order(tmp_path):
    """A soma with a stub, an axon, a basal and an apical dendrite, children before parents."""
    path = written(
        tmp_path / "a.swc",
        "0 1 5 5 1 2 -1", "4 3 9 5 1 0.5 3", "3 3 7 5 1 0.5 0", "6 2 1 5 1 0.3 0", "7 2 0 5 1 0.3 6",
        "8 4 5 8 1 0.5 0", "9 4 5 10 1 0.5 8",
    )  # fmt: skip
    found = read_swc(path)
    lengths = sorted(sum(b.length_um for b in d.branches) for d in found.dendrites)
    assert lengths == pytest.approx([2.0, 2.0])
    assert found.soma_um is not None and found.soma_um.tolist() == [1, 5, 5]
    assert "1 of soma, 2 of axon" in found.notes[0]
    pixels = read_swc(path, (0.5, 0.1, 0.2), "pixels")
    assert sorted(sum(b.length_um for b in d.branches) for d in pixels.dendrites) == pytest.approx([0.2, 0.4])


def test_untyped_tracings_are_taken_and_that_is_said(tmp_path):
    nodes = [f"{k} 1 {k} 5 1 0.5 {k - 1}" for k in range(30)]
    found = read_swc(written(tmp_path / "a.swc", *nodes))
    assert len(found.dendrites) == 1 and found.soma_um is None
    assert "30 nodes of type 1 are taken" in found.notes[0]
    with pytest.raises(SpinecoreError, match="no dendrite node"):
        read_swc(written(tmp_path / "b.swc", "1 2 0 0 0 1 -1", "2 2 1 0 0 1 1"))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (("1 3 0 0 0 1 3", "2 3 1 0 0 1 1", "3 3 2 0 0 1 2"), "form a circle"),
        (("1 3 0 0 0 1 -1", "2 3 1 0 0 1 7"), "node 2 .* has the parent 7, which does not exist"),
        (("1 3 0 0 0 1 -1", "1 3 1 0 0 1 1"), "node 1 .* comes twice"),
        (("1 3 nan 0 0 1 -1",), "no number"),
    ],
)
def test_broken_tracings_are_named(tmp_path, nodes, said):
    with pytest.raises(SpinecoreError, match=said):
        read_swc(written(tmp_path / "a.swc", *nodes))
