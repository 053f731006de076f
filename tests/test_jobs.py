"""The queue of analyses: the good way, cancels, crashes of a worker, and the death of the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from job_work import GO, Background, Copy, Deaf, Fragile, Patient
from waiting import wait_until

from spinecore.errors import SpinecoreError
from spinecore.jobs.executor import WorkerDied, WorkerExecutor
from spinecore.jobs.kinds import KINDS
from spinecore.jobs.manager import JobManager, JobStatus
from spinecore.jobs.work import Kind, sentence_for
from spinecore.workspace.records import JOB_FOLDERS, Progress, now
from spinecore.workspace.workspace import Workspace

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "space")


@pytest.fixture
def stack(workspace: Workspace) -> str:
    return workspace.add_stack(BytesIO(b"voxels"), "cell.tif").sha256


@pytest.fixture
def manage(workspace: Workspace) -> Iterator[Callable[..., JobManager]]:
    made: list[JobManager] = []

    def make(*kinds: Kind, **options: object) -> JobManager:
        made.append(JobManager(workspace, kinds={kind.name: kind for kind in kinds}, **options))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


def wait_for(manager: JobManager, job_id: str, *states: str) -> JobStatus:
    wait_until(
        lambda: manager.status(job_id).job.state in states,
        lambda: f"still {manager.status(job_id).job.state}, wanted {states}: {manager.log(job_id)}",
    )
    return manager.status(job_id)


def let_go(manager: JobManager, job_id: str) -> None:
    """Let a patient job go on."""
    (manager.workspace.job_folder(job_id) / GO).touch()


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_ends_with_a_whole_result(manage, workspace: Workspace, stack: str) -> None:
    manager = manage(Copy())
    workspace.set_spacing(stack, 0.07, None)
    job = manager.submit(stack, {"pixel_um": None, "z_um": 0.4, "method": "x"})
    status = wait_for(manager, job.id, "done")
    assert status.job.settings == {"pixel_um": 0.07, "z_um": 0.4, "method": "x"}
    assert (workspace.result_folder(job.id) / "result.txt").read_text().startswith("6 ")
    assert status.progress is not None
    assert status.progress.summary["spines"] == 3
    assert status.progress.pid != os.getpid()
    assert status.fraction == 1.0
    assert status.seconds_taken is not None and status.seconds_taken >= 0
    assert not (workspace.job_folder(job.id) / "result.partial").exists()
    log = manager.log(job.id)
    assert "cell.tif was queued" in log and "Looking" in log and log.rstrip().endswith("Done")
    with pytest.raises(SpinecoreError, match="done"):
        manager.run_again(job.id)


def test_jobs_run_one_after_another(manage, stack: str) -> None:
    manager = manage(Patient())
    first, second = (manager.submit(stack, {"n": n}) for n in range(2))
    running = wait_for(manager, first.id, "running")
    let_go(manager, second.id)
    assert manager.status(second.id).stage == "Waiting to start"
    assert [status.job.id for status in manager.active()] == [first.id, second.id]
    assert running.stage in ("Starting", "Going slowly")
    let_go(manager, first.id)
    one, two = (wait_for(manager, job.id, "done") for job in (first, second))
    assert one.progress.pid == two.progress.pid, "a worker is kept for the next task"
    assert two.progress.started >= one.progress.updated


def test_any_executor_fits(manage, workspace: Workspace, stack: str) -> None:
    manager = manage(Copy(), executor=ThreadPoolExecutor(2))
    jobs = [manager.submit(stack, {"n": number}) for number in range(4)]
    for job in jobs:
        assert wait_for(manager, job.id, "done").progress.pid == os.getpid()
        assert workspace.result_folder(job.id).is_dir()


def test_cancel_while_running_and_while_waiting(manage, workspace: Workspace, stack: str) -> None:
    manager = manage(Patient())
    first, second = (manager.submit(stack, {"n": n}) for n in range(2))
    wait_for(manager, first.id, "running")
    assert manager.submit(stack, {"n": 0}).id == first.id, "a double click starts one analysis"
    manager.cancel(second.id)
    assert wait_for(manager, second.id, "cancelled").progress is None
    manager.cancel(first.id)
    ended = wait_for(manager, first.id, "cancelled")
    assert ended.job.error == "Cancelled by the user."
    assert not workspace.result_folder(first.id).exists()
    assert not (workspace.job_folder(first.id) / "result.partial").exists()


def test_a_second_manager_can_cancel_the_first_ones_job(manage, stack: str) -> None:
    owner, other = manage(Patient()), manage(Patient())
    job = owner.submit(stack, {})
    wait_for(other, job.id, "running")
    other.cancel(job.id)
    assert wait_for(other, job.id, "cancelled").job.manager == owner.token


def test_a_worker_that_does_not_listen_is_killed(manage, stack: str) -> None:
    manager = manage(Deaf(), grace_s=0.3)
    job = manager.submit(stack, {})
    pid = wait_for(manager, job.id, "running").progress.pid
    manager.cancel(job.id)
    assert wait_for(manager, job.id, "cancelled").job.error == "Cancelled by the user."
    wait_until(lambda: not is_alive(pid), "the worker was not killed")


@posix
@pytest.mark.parametrize(("end", "says"), [("killed", "want of memory"), ("segfault", "SIGSEGV")])
def test_a_crash_fails_one_job_and_not_the_next(manage, stack: str, end: str, says: str) -> None:
    manager = manage(Fragile())
    bad, good = manager.submit(stack, {"end": end}), manager.submit(stack, {})
    error = wait_for(manager, bad.id, "failed").job.error
    assert says in error and error.count(". ") == 0
    wait_for(manager, good.id, "done")


def test_errors_are_one_sentence_and_the_log_has_the_rest(manage, stack: str) -> None:
    manager = manage(Fragile())
    refused, fault = manager.submit(stack, {"end": "value"}), manager.submit(stack, {"end": "fault"})
    assert wait_for(manager, refused.id, "failed").job.error == "the file has 5 axes: choose one time point"
    assert "KeyError" in wait_for(manager, fault.id, "failed").job.error
    assert "Traceback" in manager.log(fault.id)
    assert "not enough memory" in sentence_for(MemoryError())
    assert "No space left" in sentence_for(OSError(28, "No space left on device"))


@posix
def test_kill_9_of_the_server(manage, workspace: Workspace, stack: str) -> None:
    script = "import sys, job_work; job_work.be_a_server(sys.argv[1], sys.argv[2])"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    server = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.root), stack],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        running, waiting, unwanted = (server.stdout.readline().strip() for _ in range(3))
        bystander = manage(Copy())
        worker = wait_for(bystander, running, "running").progress.pid
        assert bystander.recover() == [], "the owner lives"
        (workspace.job_folder(unwanted) / "cancel").touch()
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stdin.close()
        server.stdout.close()
    wait_until(lambda: not is_alive(worker), "the worker outlived its server")

    manager = manage(Copy())
    assert workspace.catalogue.usable()
    status = manager.status(running)
    assert status.job.state == "interrupted" and "run it again" in status.job.error
    assert manager.status(unwanted).job.state == "cancelled"
    assert wait_for(manager, waiting, "done").job.manager == manager.token, (
        "what had only waited goes on by itself"
    )
    again = manager.run_again(running)
    assert again.id == running and again.settings == {"n": 0}
    assert wait_for(manager, running, "done").job.error is None


def test_a_result_that_was_complete_when_the_server_died_counts(
    manage, workspace: Workspace, stack: str
) -> None:
    job = workspace.new_job(stack, {}, manager="gone")
    workspace.result_folder(job.id).mkdir()
    manager = manage(Copy())
    assert manager.status(job.id).job.state == "done"


def test_two_managers_share_the_orphans(manage, workspace: Workspace, stack: str) -> None:
    orphans = [workspace.new_job(stack, {}, manager="gone").id for _ in range(6)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: manage(Copy()), range(2))
    for job_id in orphans:
        assert wait_for(first, job_id, "done").job.manager in (first.token, second.token)
        assert first.log(job_id).count("queued again") == 1


def test_the_stack_of_a_waiting_job_was_removed(manage, workspace: Workspace, stack: str) -> None:
    job = workspace.new_job(stack, {}, manager="gone")
    workspace._to_trash("stacks", stack, "cell.tif")
    assert "upload it again" in manage(Copy()).status(job.id).job.error


def test_time_left_is_estimated_from_the_time_gone() -> None:
    at = now()
    progress = Progress(
        pid=1, started=at.fromtimestamp(at.timestamp() - 30, at.tzinfo), updated=at, stage="", fraction=0.75
    )
    assert progress.seconds_left(at) == pytest.approx(10.0, abs=0.1)
    assert progress.model_copy(update={"fraction": 0.01}).seconds_left(at) is None


def test_executor_reports_a_dead_worker_and_refuses_after_shutdown() -> None:
    executor = WorkerExecutor()
    assert executor.submit(pow, 2, 5).result(180) == 32
    if sys.platform != "win32":
        with pytest.raises(WorkerDied) as caught:
            executor.submit(os.abort).result(180)
        assert caught.value.signal_name == "SIGABRT"
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result(180)
    with pytest.raises(RuntimeError, match="cannot be sent back"):
        executor.submit(memoryview, b"unpicklable").result(180)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(pow, 2, 5)


def test_work_in_the_background_keeps_no_analysis_waiting(manage, workspace: Workspace, stack: str) -> None:
    manager = manage(Copy(), Background())
    long = manager.submit(None, {"name": "mine"}, "training")
    wait_for(manager, long.id, "running")
    wait_for(manager, manager.submit(stack, {}).id, "done")
    (status,) = manager.active("training")
    assert status.job.title == "mine" and manager.active("analysis") == []
    let_go(manager, long.id)
    assert wait_for(manager, long.id, "done").job.stack_sha256 == ""
    folder = workspace.root / JOB_FOLDERS["training"] / long.id
    assert workspace.job_folder(long.id) == folder and (folder / "result" / "result.txt").exists()
    if sys.platform != "win32":
        assert int((folder / "niceness").read_text()) >= os.nice(0) + 5
    assert [job.id for job in workspace.jobs(kind="training")] == [long.id]
    assert long.id not in [job.id for job in workspace.jobs()], "lists of analyses hold analyses only"


def test_each_kind_has_a_folder_and_is_deleted_when_it_has_ended(manage, workspace: Workspace) -> None:
    assert set(KINDS) <= set(JOB_FOLDERS)
    manager = manage(Background())
    job = manager.submit(None, {"name": "mine"}, "training")
    with pytest.raises(SpinecoreError, match="training is still running"):
        manager.delete(job.id)
    manager.cancel(job.id)
    wait_for(manager, job.id, "cancelled")
    manager.delete(job.id)
    assert workspace.jobs(kind=None) == [] and [entry.kind for entry in workspace.trash()] == ["trainings"]
    assert workspace.trash()[0].noun == "training"
    workspace.restore(workspace.trash()[0].entry)
    assert [kept.id for kept in workspace.jobs(kind="training")] == [job.id]
