"""Waiting for a condition: however slow the machine, a test goes on as soon as it holds and fails only when it never does."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from playwright import sync_api as playwright

Value = TypeVar("Value")
#: Far longer than anything waited for takes, even on a machine that is busy with other things (s).
DEADLINE_S = 180.0


def wait_until(look: Callable[[], Value], why: Callable[[], str] | str = "it never came true") -> Value:
    """Return what `look` returns as soon as that counts as true."""
    end = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not (found := look()):
        assert time.monotonic() < end, why if isinstance(why, str) else why()
        pause.wait(0.02)
    return found


def wait_for_answer(url: str, is_alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until a server answers at an address; fail at once when it has died."""

    def answers() -> bool:
        assert is_alive(), "the server ended"
        try:
            urllib.request.urlopen(url, timeout=30).close()
        except OSError:
            return False
        return True

    wait_until(answers, f"nothing answers at {url}")


def settle(page: playwright.Page, quiet_ms: int = 500) -> None:
    """Wait until no script of a page in Chromium has run for a while, however long the last one takes."""
    page.evaluate("() => { window.lastBusy = performance.now() }")
    page.wait_for_function(
        """quiet => {
            const app = document.querySelector('[data-testid=stApp]')
            if (app?.dataset.testScriptState !== 'notRunning') window.lastBusy = performance.now()
            return performance.now() - window.lastBusy > quiet
        }""",
        arg=quiet_ms,
    )
