"""An executor whose tasks run in processes of their own: a crash ends one task, and the next gets a fresh process.

`concurrent.futures.ProcessPoolExecutor` is not used, for three reasons: one dead worker breaks its whole pool;
its children import the parent's main script again, which is the dashboard; and a killed server leaves
its workers running. Here a worker is a new interpreter that reads tasks from a pipe and ends with that pipe.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


class WorkerDied(BrokenExecutor):
    """The process that ran a task ended before the task did.

    Parameters
    ----------
    exit_code : int
        As `subprocess` gives it: minus the signal's number where a signal ended the process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the worker process ended early (exit code {exit_code})")
        self.exit_code = exit_code

    @property
    def killed(self) -> bool:
        """True when the process was ended from outside, which is what a system short of memory does."""
        return self.exit_code == -getattr(signal, "SIGKILL", 9)

    @property
    def signal_name(self) -> str | None:
        """Name of the signal that ended the process, or None."""
        try:
            return signal.Signals(-self.exit_code).name if self.exit_code < 0 else None
        except ValueError:
            return None


class WorkerExecutor(Executor):
    """Runs tasks in worker processes, at most `workers` at a time; a worker is kept for the next task.

    Parameters
    ----------
    workers : int
        Number of processes; each is started when its first task comes.
    niceness : int
        How far they step back behind other programs, as `os.nice` takes it; without effect on Windows.
    """

    def __init__(self, workers: int = 1, niceness: int = 0) -> None:
        self._niceness = niceness
        self._tasks: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._running: dict[Future[Any], _Worker] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._lanes = [threading.Thread(target=self._lane, daemon=True) for _ in range(workers)]
        for lane in self._lanes:
            lane.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call of an importable function with picklable arguments."""
        task = pickle.dumps((fn, args, kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future: Future[Any] = Future()
            self._tasks.put((future, task))
        return future

    def kill(self, future: Future[Any]) -> bool:
        """End the process that runs `future`, which then raises `WorkerDied`; False when it is not running."""
        with self._lock:
            worker = self._running.get(future)
        if worker is None:
            return False
        worker.process.kill()
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `cancel_futures` also drop those that wait."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                while not self._tasks.empty():
                    item = self._tasks.get()
                    if item is not None:
                        item[0].cancel()
            for _ in self._lanes:
                self._tasks.put(None)
        if wait:
            for lane in self._lanes:
                lane.join()

    def _lane(self) -> None:
        worker: _Worker | None = None
        while (item := self._tasks.get()) is not None:
            future, task = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if worker is None or worker.process.poll() is not None:
                    worker = _Worker(self._niceness)
                with self._lock:
                    self._running[future] = worker
                succeeded, value = worker.run(task)
            except Exception as error:
                succeeded, value = False, error
            finally:
                with self._lock:
                    self._running.pop(future, None)
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)
        if worker is not None:
            worker.close()


class _Worker:
    """One child interpreter and the two pipes to it."""

    def __init__(self, niceness: int) -> None:
        paths = [path or os.getcwd() for path in sys.path]
        own_group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from spinecore.jobs.executor import serve; serve({niceness})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            **own_group,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._to: IO[bytes] = self.process.stdin
        self._from: IO[bytes] = self.process.stdout

    def run(self, task: bytes) -> tuple[bool, Any]:
        """Run one pickled task and return (succeeded, result or exception).

        Raises
        ------
        WorkerDied
            When the process ends first.
        """
        try:
            _send(self._to, task)
            answer = _receive(self._from)
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise WorkerDied(self.process.wait())
        return pickle.loads(answer)

    def close(self) -> None:
        """Close the pipes, which ends the process."""
        for pipe in (self._to, self._from):
            try:
                pipe.close()
            except OSError:
                continue
        self.process.wait()


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)) + message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    """Read one message; None when the other side is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(head)[0]
    message = pipe.read(size)
    return message if len(message) == size else None


def serve(niceness: int = 0) -> None:
    """Be a worker: run the tasks that come in, until the pipe closes because the parent closed it or died."""
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        while (message := _receive(incoming)) is not None:
            tasks.put(message)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        _send(outgoing, _answer(tasks.get()))


def _answer(task: bytes) -> bytes:
    try:
        fn, args, kwargs = pickle.loads(task)
        answer: tuple[bool, Any] = (True, fn(*args, **kwargs))
    except Exception as error:
        answer = (False, error)
    try:
        return pickle.dumps(answer)
    except Exception as error:
        return pickle.dumps((False, RuntimeError(f"the answer cannot be sent back: {error}")))
