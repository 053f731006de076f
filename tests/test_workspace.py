"""The workspace: content hashes, catalogue, trash, the server's data folder, settings."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import threading
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from spinecore.errors import SpinecoreError
from spinecore.files import safe_name, write_model
from spinecore.workspace.datafolder import DataFolder
from spinecore.workspace.settings import load_settings
from spinecore.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "space")


def test_a_stack_is_kept_by_its_content(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "cell 1.ome.tif"
    source.write_bytes(b"abc" * 1000)
    copied: list[int] = []
    record = workspace.add_stack(source, origin="server folder", progress=copied.append)
    assert record.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert workspace.stack_path(record.sha256).read_bytes() == source.read_bytes()
    assert (record.file, record.bytes, record.origin) == ("cell 1.ome.tif", 3000, "server folder")
    assert copied == [3000]
    again = workspace.add_stack(BytesIO(source.read_bytes()), "copy.tif")
    assert again == record, "the same content is stored once, under its first name"
    assert workspace.stacks() == [record]
    assert not [path for path in (workspace.root / "tmp").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "name", ["../../evil.tif", "/etc/passwd", "..\\..\\x.tif", "a\0b.tif", "", "..", "stack.json"]
)
def test_no_name_leads_out_of_the_folder(workspace: Workspace, name: str) -> None:
    record = workspace.add_stack(BytesIO(b"x"), name)
    path = workspace.stack_path(record.sha256)
    assert path.resolve().parent == (workspace.root / "stacks" / record.sha256).resolve()
    assert path.read_bytes() == b"x"


def test_long_names_keep_their_suffix() -> None:
    assert len(safe_name("a" * 400 + ".ome.tif")) == 120
    assert safe_name("a" * 400 + ".ome.tif").endswith(".ome.tif")


def test_spacing_is_kept_per_stack(workspace: Workspace) -> None:
    sha256 = workspace.add_stack(BytesIO(b"x"), "a.tif").sha256
    workspace.set_spacing(sha256, 0.08, 0.5)
    reopened = Workspace(workspace.root).stack(sha256)
    assert (reopened.spacing.pixel_um, reopened.spacing.z_um) == (0.08, 0.5)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(SpinecoreError, match="above 0"):
            workspace.set_spacing(sha256, bad, None)
    assert workspace.set_spacing(sha256, None, None).spacing.pixel_um is None


def test_the_catalogue_comes_back_from_the_folders(workspace: Workspace) -> None:
    stacks = [workspace.add_stack(BytesIO(bytes([n])), f"{n}.tif") for n in range(3)]
    jobs = [workspace.new_job(stacks[0].sha256, {"n": n}) for n in range(3)]
    before = workspace.stacks(), workspace.jobs()
    for path in workspace.root.glob("catalogue.sqlite*"):
        path.unlink()
    reopened = Workspace(workspace.root)
    assert (reopened.stacks(), reopened.jobs()) == before
    assert {job.id for job in reopened.jobs()} == {job.id for job in jobs}
    assert reopened.jobs(limit=1) == before[1][:1]
    assert reopened.jobs(stack_sha256=stacks[1].sha256) == []
    assert reopened.jobs(states=("done",)) == []


@pytest.mark.parametrize("damage", [b"", b"this is no database" * 400])
def test_a_damaged_catalogue_is_rebuilt(workspace: Workspace, damage: bytes) -> None:
    record = workspace.add_stack(BytesIO(b"x"), "a.tif")
    for path in workspace.root.glob("catalogue.sqlite*"):
        path.unlink()
    workspace.catalogue.path.write_bytes(damage)
    assert Workspace(workspace.root).stacks() == [record]


def test_bad_folders_are_named_and_left_out(workspace: Workspace) -> None:
    record = workspace.add_stack(BytesIO(b"x"), "a.tif")
    job = workspace.new_job(record.sha256, {})
    (workspace.root / "stacks" / "empty").mkdir()
    half = workspace.root / "analyses" / "20260101-000000-abcdef"
    half.mkdir()
    (half / "job.json").write_text('{"id": "20260101-000')
    moved = workspace.root / "analyses" / "20260101-000000-000000"
    moved.mkdir()
    (moved / "job.json").write_text(job.model_dump_json())
    (workspace.root / "analyses" / "notes.txt").write_text("a stray file")
    problems = workspace.rebuild_catalogue()
    assert len(problems) == 4 and all("left out" in problem for problem in problems)
    assert workspace.stacks() == [record]
    assert workspace.jobs() == [job]
    with pytest.raises(SpinecoreError):
        workspace.job(half.name)


def test_a_lost_file_is_stored_again(workspace: Workspace) -> None:
    record = workspace.add_stack(BytesIO(b"x"), "a.tif")
    workspace.stack_path(record.sha256).unlink()
    again = workspace.add_stack(BytesIO(b"x"), "b.tif")
    assert workspace.stack_path(again.sha256).read_bytes() == b"x"


def test_trash_and_back(workspace: Workspace) -> None:
    stack = workspace.add_stack(BytesIO(b"x"), "a.tif")
    job = workspace.new_job(stack.sha256, {})
    with pytest.raises(SpinecoreError, match="cancel"):
        workspace.delete_stack(stack.sha256)
    with pytest.raises(SpinecoreError, match="cancel"):
        workspace.delete_job(job.id)
    workspace.put_job(job.model_copy(update={"state": "done"}))
    workspace.delete_job(job.id)
    workspace.delete_stack(stack.sha256)
    assert (workspace.jobs(), workspace.stacks()) == ([], [])
    entries = {entry.kind: entry for entry in workspace.trash()}
    assert entries["stacks"].title == "a.tif" and entries["analyses"].title.startswith("a.tif, ")
    for entry in entries.values():
        workspace.restore(entry.entry)
    assert workspace.stacks() == [stack]
    assert workspace.jobs()[0].state == "done"
    assert workspace.trash() == []
    with pytest.raises(SpinecoreError, match="not in the trash"):
        workspace.restore(entries["stacks"].entry)
    workspace.delete_job(job.id)
    assert workspace.empty_trash() == 1
    assert not list((workspace.root / "trash").iterdir())


def test_restoring_over_something_is_refused(workspace: Workspace) -> None:
    stack = workspace.add_stack(BytesIO(b"x"), "a.tif")
    workspace.delete_stack(stack.sha256)
    workspace.add_stack(BytesIO(b"x"), "a.tif")
    with pytest.raises(SpinecoreError, match="already"):
        workspace.restore(workspace.trash()[0].entry)


@pytest.mark.parametrize("key", ["", ".", "..", "../../etc", "a/b", "a\\b", "a\0b", "é"])
def test_keys_from_an_address_build_no_path(workspace: Workspace, key: str) -> None:
    for ask in (workspace.job, workspace.stack, workspace.restore):
        with pytest.raises(SpinecoreError):
            ask(key)


def test_many_threads_write_at_once(workspace: Workspace) -> None:
    errors: list[Exception] = []

    def add(first: int) -> None:
        try:
            own = Workspace(workspace.root)
            for number in range(first, first + 5):
                stack = own.add_stack(BytesIO(str(number % 7).encode()), f"{number}.tif")
                own.put_job(own.new_job(stack.sha256, {}).model_copy(update={"state": "done"}))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(5 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(workspace.stacks()) == 7
    assert len(workspace.jobs(states=("done",))) == 20


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpinecoreError, match="SPINECORE_WORKSPACE"):
        Workspace(tmp_path / "file" / "space")


def test_the_catalogue_of_version_0_1_is_made_anew(workspace: Workspace) -> None:
    stack = workspace.add_stack(BytesIO(b"voxels"), "a.tif")
    job = workspace.new_job(stack.sha256, {"n": 1})
    facts = json.loads((workspace.job_folder(job.id) / "job.json").read_text())
    del facts["kind"]  # as version 0.1 wrote it
    (workspace.job_folder(job.id) / "job.json").write_text(json.dumps(facts))
    with closing(sqlite3.connect(workspace.catalogue.path)) as old:
        old.executescript(
            "DROP TABLE jobs; CREATE TABLE analyses (id TEXT PRIMARY KEY); PRAGMA user_version = 1;"
        )
    reopened = Workspace(workspace.root)
    assert reopened.jobs() == [job] and reopened.stacks() == [stack]


def test_a_state_asked_for_is_the_state_returned(workspace: Workspace) -> None:
    stack = workspace.add_stack(BytesIO(b"voxels"), "a.tif")
    job = workspace.new_job(stack.sha256, {})
    ended = job.model_copy(update={"state": "done"})
    write_model(workspace.job_folder(job.id) / "job.json", ended)  # and the catalogue is not told yet
    assert workspace.jobs(states=("queued", "running")) == []
    workspace.put_job(ended)
    assert workspace.jobs(states=("done",)) == [ended]


def test_the_data_folder_shows_nothing_outside(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    (root / "day 1").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.tif").write_bytes(b"s")
    for name in ("b.tif", "a.OME.TIF", "notes.txt", ".hidden.tif", "day 1/c.png"):
        (root / name).write_bytes(b"12")
    folder = DataFolder(root)
    assert [file.path for file in folder.files()] == ["a.OME.TIF", "b.tif"]
    assert folder.files("day 1")[0].path == "day 1/c.png" and folder.files("day 1")[0].bytes == 2
    assert folder.folders() == ["day 1"]
    assert folder.resolve("day 1/../b.tif") == (root / "b.tif").resolve()
    for bad in ("../outside/secret.tif", str(outside / "secret.tif"), "missing.tif", "a\0b"):
        with pytest.raises(SpinecoreError):
            folder.resolve(bad)
    with pytest.raises(SpinecoreError, match="not a folder"):
        folder.files("b.tif")
    with pytest.raises(SpinecoreError, match="SPINECORE_DATA_ROOT"):
        DataFolder(tmp_path / "missing")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_out_of_the_data_folder_are_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.tif").write_bytes(b"s")
    (root / "inside.tif").write_bytes(b"i")
    (root / "leak.tif").symlink_to(outside / "secret.tif")
    (root / "door").symlink_to(outside)
    (root / "alias.tif").symlink_to(root / "inside.tif")
    (root / "loop.tif").symlink_to(root / "loop.tif")
    for name in ("whole.zarr", "linked.zarr"):
        (root / name / "0").mkdir(parents=True)
        (root / name / ".zgroup").write_bytes(b"{}")
    (root / "linked.zarr" / "0" / "0").symlink_to(outside / "secret.tif")
    folder = DataFolder(root)
    assert [file.path for file in folder.files()] == ["alias.tif", "inside.tif", "linked.zarr", "whole.zarr"]
    assert folder.image("whole.zarr") == (root / "whole.zarr").resolve()
    assert folder.image("alias.tif") == (root / "inside.tif").resolve()
    with pytest.raises(SpinecoreError, match="links to other places"):
        folder.image("linked.zarr")
    assert folder.folders() == []
    for bad in ("leak.tif", "door/secret.tif", "door", "loop.tif"):
        with pytest.raises(SpinecoreError):
            folder.resolve(bad)


def test_settings_come_from_the_environment_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WORKSPACE", "DATA_ROOT", "WORKERS"):
        monkeypatch.delenv(f"SPINECORE_{name}", raising=False)
    assert load_settings().workspace == Path.home() / "spinecore"
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "spinecore.toml").write_text(
        f"workspace = {json.dumps(str(tmp_path / 'x'))}\nworkers = 2\n"
    )
    assert (load_settings().workspace, load_settings().workers) == (tmp_path / "x", 2)
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(tmp_path / "y"))
    assert (load_settings().workspace, load_settings().workers) == (tmp_path / "y", 2)
    monkeypatch.setenv("SPINECORE_WORKERS", "many")
    with pytest.raises(SpinecoreError, match="workers"):
        load_settings()
    monkeypatch.delenv("SPINECORE_WORKERS")
    (tmp_path / ".streamlit" / "spinecore.toml").write_text("workspace = ")
    with pytest.raises(SpinecoreError, match=r"spinecore\.toml"):
        load_settings()
