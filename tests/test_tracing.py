"""A user's own tracing in place of the traced centre lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinecore.analysis.edits import set_soma
from spinecore.analysis.owntracing import read_own_tracing
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.errors import SpinecoreError
from spinecore.export.bundle import methods_text
from spinecore.morphometry.soma import read_soma
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_DIR, SAMPLE_STACK
from spinecore.stack import Spacing, Stack
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
    assert not alone.candidates.untraced[~alone.candidates.far].any(), (
        "no spines off the tracing, whatever their neighbours"
    )
    assert 0 < len(alone.spines) < len(traced.spines) and set(alone.spines["dendrite_id"].dropna()) == {1}


def test_the_command_line_takes_a_tracing(tmp_path):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    call = ["analyse", str(SAMPLE_STACK), "--out", str(tmp_path / "out"), "--swc"]
    truth = (SAMPLE_DIR / "truth.swc").read_text(encoding="utf-8")
    with_soma = written(tmp_path / "cell.swc", truth, "9001 1 -4.0 2.0 3.0 5.0 -1")
    done = CliRunner().invoke(app, [*call, str(with_soma)])
    assert done.exit_code == 0, done.output
    assert "soma of the tracing was marked" in done.output
    kept = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert kept["settings"]["tracing"].endswith("cell.swc")
    spines = load_analysis(tmp_path / "out").spines
    base_um = spines[["base_z_px", "base_y_px", "base_x_px"]].to_numpy() * SPACING
    straight = np.linalg.norm(base_um - (3.0, 2.0, -4.0), axis=1)
    known = spines["soma_distance_um"].notna().to_numpy()
    assert known.mean() > 0.9
    assert spines["soma_distance_um"].to_numpy()[known] == pytest.approx(straight[known], rel=1e-3)
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
        (("1 3 0 0 0 1 -1",), "single points of dendrite and no line"),
        (("1 3 0 0 0 1 -1", "2 3 0 0 0 1 1"), "single points of dendrite and no line"),
    ],
)
def test_broken_tracings_are_named(tmp_path, nodes, said):
    with pytest.raises(SpinecoreError, match=said):
        read_swc(written(tmp_path / "a.swc", *nodes))


@pytest.mark.parametrize(
    "row",
    [
        "{} 3 {},5 0 0 1 {}",
        "{};3;{},5;0;0;1;{}",
        "{}, 3, {}.5, 0, 0, 1, {}",
        "{},3,{}.5,0,0,1,{}",
        "{}\t3\t{}.5\t0\t0\t1\t{}",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_rows_with_other_separators_and_decimal_commas(tmp_path, row, encoding):
    """A decimal comma once made two numbers of one, and so other positions and parents."""
    rows = [row.format(1, 0, -1), row.format(2, 2, 1), row.format(3, 4, 2)]
    (tmp_path / "a.swc").write_text("\n".join(rows), encoding=encoding)
    (dendrite,) = read_swc(tmp_path / "a.swc").dendrites
    assert sum(branch.length_um for branch in dendrite.branches) == pytest.approx(4.0)
    assert dendrite.branches[0].points_um[0].tolist() == [0, 0, 0.5]


def test_several_somas_are_no_mark(tmp_path):
    line = ("3 3 5 5 1 0.5 1", "4 3 9 5 1 0.5 3")
    near = read_swc(written(tmp_path / "a.swc", "1 1 2 5 1 2 -1", "2 1 4 5 1 2 -1", *line))
    assert near.soma_um is not None and near.soma_um.tolist() == [1, 5, 3]
    far = read_swc(written(tmp_path / "b.swc", "1 1 2 5 1 2 -1", "2 1 90 5 1 2 -1", *line))
    assert far.soma_um is None and any("2 somas" in note for note in far.notes)


@pytest.fixture
def with_soma(tmp_path):
    """A small stack of 0.05 um pixels, finer than the analysis grid, and a tracing of it in um whose soma lies outside."""
    rng = np.random.default_rng(3)
    voxels = rng.poisson(20, (5, 80, 120)).astype(np.uint16)
    voxels[1:4, 36:46] += 300
    voxels[2, 30:36, 60:66] += 300
    stack = Stack(voxels, Spacing(0.3, 0.05, 0.05, "user"), "drawn")
    nodes = ("1 1 -1.0 2.0 0.6 1 -1", "2 3 0.0 2.0 0.6 0.25 1", "3 3 5.5 2.0 0.6 0.25 2")
    return stack, written(tmp_path / "cell.swc", *nodes)


def test_the_soma_of_a_tracing_becomes_a_mark(with_soma, tmp_path):
    stack, path = with_soma
    found = analyse(stack, Settings(tracing=str(path)))
    assert found.corrections.soma_px == pytest.approx((2, 40, -20))
    assert any(
        "soma of the tracing was marked (x, y, z = -1.00, 2.00, 0.60 um)" in note for note in found.notes
    )
    save_analysis(found, tmp_path / "kept")
    assert read_soma(tmp_path / "kept") == pytest.approx((2, 40, -20))
    assert load_analysis(tmp_path / "kept").corrections.soma_px == pytest.approx((2, 40, -20))
    assert set_soma(tmp_path / "kept", None).corrections.soma_px is None, (
        "it can be taken away like any other mark"
    )
    assert load_analysis(tmp_path / "kept").spines["soma_distance_um"].isna().all()


def test_pixels_of_a_tracing_are_those_of_the_stack(with_soma, tmp_path):
    stack, path = with_soma
    nodes = ("1 1 -20 40 2 20 -1", "2 3 0 40 2 5 1", "3 3 110 40 2 5 2")
    pixels = written(tmp_path / "pixels.swc", *nodes)
    by_um, by_pixels = (
        read_own_tracing(p, stack, (0.3, 0.1, 0.1), units) for p, units in ((path, "um"), (pixels, "pixels"))
    )
    for one in (by_um, by_pixels):
        (dendrite,) = one.dendrites
        assert dendrite.path_length_um == pytest.approx(5.5)
        assert dendrite.branches[0].points_um[0] == pytest.approx((0.6, 1.975, -0.025)), (
            "from the grid's first voxel"
        )
        assert one.soma_px == pytest.approx((2, 40, -20))
