"""Files that appear whole or not at all, logs that several processes append to, and locks that end with a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spinecore.files import (
    AppendOnlyLog,
    replacing,
    replacing_files,
    scratch_folder,
    try_lock,
    write_atomic,
    write_json,
)


def _python(code: str, *arguments: Path | str) -> subprocess.Popen[bytes]:
    """Start another process that says "ready" and reads a line before it goes on where `code` does so."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_stops_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("half")
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


def test_the_temporary_name_keeps_the_suffix_and_hides_from_patterns(tmp_path: Path) -> None:
    with replacing(tmp_path / "volume_1.npz") as temporary:
        np.savez(temporary, image=np.arange(3))
        assert temporary.exists(), "numpy added no suffix"
        assert not list(tmp_path.glob("volume_*.npz"))
    assert np.load(tmp_path / "volume_1.npz")["image"].tolist() == [0, 1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_permissions_are_those_of_a_plain_open(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_json(tmp_path / "card.json", {"name": "dendrite µm"})
        with replacing_files(tmp_path / "out") as scratch:
            (scratch / "a.csv").write_text("x")
    finally:
        os.umask(old)
    for path in (tmp_path / "card.json", tmp_path / "out" / "a.csv"):
        assert path.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert "µm" in (tmp_path / "card.json").read_text(encoding="utf-8")


def test_files_move_together_and_the_last_ones_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = os.replace

    def noting(source: Path, target: Path) -> None:
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    with replacing_files(tmp_path / "out", last=("analysis.json",)) as scratch:
        for name in ("analysis.json", "spines.csv", "labels.tif"):
            (scratch / name).write_text(name)
        assert not (tmp_path / "out" / "spines.csv").exists()
    assert moved == ["labels.tif", "spines.csv", "analysis.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(moved)


def test_files_of_a_failed_block_do_not_appear(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing_files(tmp_path) as scratch:
        (scratch / "spines.csv").write_text("half")
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


def test_a_scratch_folder_goes_unless_it_was_moved(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "a").write_text("x")
        os.rename(folder, tmp_path / "kept")
    with scratch_folder(tmp_path) as folder:
        (folder / "b").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_log_passes_over_a_torn_line_and_goes_on_after_it(tmp_path: Path) -> None:
    log = AppendOnlyLog(tmp_path / "steps.jsonl")
    assert log.read() == []
    log.append({"step": 1})
    with log.path.open("ab") as file:
        file.write('{"step": "µ'.encode()[:-1])  # cut off in the middle of a letter
    assert log.read() == [{"step": 1}]
    log.append({"step": 2})
    assert log.read() == [{"step": 1}, {"step": 2}]


def test_two_processes_append_to_one_log_without_losing_a_line(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spinecore.files import AppendOnlyLog\n"
        "for n in range(25): AppendOnlyLog(Path(sys.argv[1])).append({'who': sys.argv[2], 'n': n, 'pad': 'x' * 9000})"
    )
    path = tmp_path / "steps.jsonl"
    writers = [_python(code, path, who) for who in "ab"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    lines = AppendOnlyLog(path).read()
    for who in "ab":
        assert [line["n"] for line in lines if line["who"] == who] == list(range(25))
    assert path.read_bytes().count(b"\n") == 50


def test_nobody_appends_while_a_log_is_locked(tmp_path: Path) -> None:
    log = AppendOnlyLog(tmp_path / "steps.jsonl")
    code = (
        "import sys; from pathlib import Path; from spinecore.files import AppendOnlyLog\n"
        "print('ready', flush=True); AppendOnlyLog(Path(sys.argv[1])).append({'n': 2})"
    )
    with log.locked():
        other = _python(code, log.path)
        assert other.stdout is not None and other.stdout.readline() == b"ready\n"
        log.append({"n": 0})
        log.append({"n": 1})
        assert other.poll() is None
    assert other.wait(timeout=120) == 0
    assert [line["n"] for line in log.read()] == [0, 1, 2]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "x.lock")
    assert first is not None and try_lock(tmp_path / "x.lock") is None
    first.release()
    second = try_lock(tmp_path / "x.lock")
    assert second is not None
    second.release()


def test_a_lock_is_freed_when_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spinecore.files import try_lock\n"
        "lock = try_lock(Path(sys.argv[1])); print(lock is not None, flush=True); sys.stdin.readline()"
    )
    other = _python(code, tmp_path / "x.lock")
    assert other.stdout is not None and other.stdout.readline() == b"True\n"
    assert try_lock(tmp_path / "x.lock") is None
    other.kill()
    other.wait(timeout=60)
    lock = try_lock(tmp_path / "x.lock")
    assert lock is not None
    lock.release()
