"""Number fields: a number that cannot be used is told in words, and nothing is done with the one before."""

from __future__ import annotations

import ast
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest
from test_pages_view import open_page, served

from spinecore.corrections.samplecheck import read_check
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent


@pytest.fixture
def space(tmp_path, monkeypatch):
    yield from served(Workspace(tmp_path / "space"), monkeypatch)


def add(space: Workspace, shape: tuple[int, ...], axes: str) -> str:
    """Put a file without a voxel size into the workspace; return its key."""
    file = BytesIO()
    voxels = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    tifffile.imwrite(file, voxels, imagej=True, metadata={"axes": axes})
    file.seek(0)
    return space.add_stack(file, "a.tif").sha256


def errors(at: AppTest) -> list[str]:
    assert not at.exception, [e.value for e in at.exception]
    return [error.value for error in at.error]


def button(at: AppTest, key: str):
    return next(b for b in at.button if (b.key or "").startswith(key))


def test_no_field_has_limits_that_keep_the_old_value_in_silence() -> None:
    found = []
    for path in (ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "spinecore/ui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "number_input":
                named = {keyword.arg for keyword in node.keywords}
                found += [len(node.args) == 1 and not named & {"min_value", "max_value"}]
    assert found and all(found)


def test_a_voxel_size_that_cannot_be_one_is_not_kept(space) -> None:
    key = add(space, (3, 64, 64), "ZYX")
    at = open_page("pages/upload.py")
    at.number_input(key=f"pixel_{key}").set_value(0.1).run()
    at.number_input(key=f"z_{key}").set_value(0.5).run()
    assert not errors(at)
    at.number_input(key=f"pixel_{key}").set_value(0.0).run()
    assert errors(at) == ["The field Pixel size (µm) takes 0.0001 to 1000, not 0."]
    assert button(at, f"analyse_{key}").disabled
    at.number_input(key=f"z_{key}").set_value(0.4).run()
    assert space.stack(key).spacing.pixel_um == 0.1 and space.stack(key).spacing.z_um == 0.5
    at.number_input(key=f"pixel_{key}").set_value(0.2).run()
    assert not errors(at) and not button(at, f"analyse_{key}").disabled
    assert space.stack(key).spacing.pixel_um == 0.2 and space.stack(key).spacing.z_um == 0.4
    at.number_input(key=f"pixel_{key}").set_value(None).run()
    assert not errors(at) and space.stack(key).spacing.pixel_um is None


def test_a_time_point_that_is_not_there_starts_nothing(space) -> None:
    key = add(space, (4, 64, 64), "TYX")
    space.set_spacing(key, 0.1, None)
    at = open_page("pages/analyse.py")
    at.number_input(key="time_4").set_value(5).run()
    assert errors(at) == ["The field Time point takes 1 to 4, not 5."] and button(at, "start").disabled
    at.number_input(key="time_4").set_value(4).run()
    assert not errors(at) and not button(at, "start").disabled


def test_membranes_are_not_sought_with_numbers_that_cannot_be_used(space) -> None:
    key = add(space, (64, 64), "YX")
    at = open_page("pages/membranes.py")
    at.number_input(key=f"membrane_nm_{key}").set_value(-4.0).run()
    assert errors(at) == ["The field Pixel size (nm) takes 0.01 to 10000, not -4."]
    assert "find_membranes" not in [b.key for b in at.button]
    at.number_input(key=f"membrane_nm_{key}").set_value(4.0).run()
    at.number_input(key="membrane_smallest").set_value(-1).run()
    assert errors(at) == ["The field Smallest cell (px) takes 0 to 100000, not -1."]


def test_a_sample_check_is_drawn_with_what_was_typed_or_not_at_all(space, tmp_path) -> None:
    job = put_in_workspace(space, tmp_path)
    folder = space.result_folder(job.id)
    at = open_page("pages/check.py", job)
    at.number_input(key=f"check_n_{job.id}").set_value(99)
    at.button(key="check_draw").click().run()  # typed just before the click
    assert errors(at) == ["The field Segments to check takes 1 to 2, not 99."] and read_check(folder) is None
    at.number_input(key=f"check_n_{job.id}").set_value(1)
    at.button(key="check_draw").click().run()
    assert not errors(at) and read_check(folder).n == 1
    count = next(w for w in at.number_input if w.key.endswith("_count"))
    count.set_value(-1)
    at.button(key="check_done").click().run()
    assert at.toast[0].value.endswith("The field Spines on this segment takes 0 to 999, not -1.")
    assert not read_check(folder).checked
