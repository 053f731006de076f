"""Shared fixtures: a dashboard of its own and a Chromium for the browser tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
from waiting import wait_for_answer

ROOT = Path(__file__).parent.parent
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture(scope="session", autouse=True)
def engine_of_tests() -> Iterator[None]:
    """Compute with one engine, whatever a trial would choose on this computer; tests of the choice undo it."""
    chosen = os.environ.get("SPINECORE_ENGINE")
    os.environ.setdefault("SPINECORE_ENGINE", "onnx")
    yield
    if chosen is None:
        del os.environ["SPINECORE_ENGINE"]


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is remembered of this computer out of the user's cache folder."""
    before = os.environ.get("SPINECORE_CACHE")
    os.environ["SPINECORE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["SPINECORE_CACHE"]
    else:
        os.environ["SPINECORE_CACHE"] = before


@pytest.fixture(scope="module")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the workspace of the dashboard at `address`, empty at first."""
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def address(workspace_folder: Path) -> Iterator[str]:
    """Address of a dashboard whose workspace is `workspace_folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.headless=true",
        f"--server.port={port}",
    ]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "SPINECORE_WORKSPACE": str(workspace_folder)},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    wait_for_answer(f"{url}/_stcore/health", lambda: server.poll() is None)
    yield url
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A running Chromium; without one the test is skipped, or fails where SPINECORE_REQUIRE_BROWSER is set."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("SPINECORE_REQUIRE_BROWSER"):
            pytest.fail("Chromium is required here and not installed")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With several workers one runs all tests in a browser, which need a core; each other file stays with one worker.

    Not by pytest-xdist's own groups: its release 3.8 writes them where pytest 9 does not look.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneBrowser(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "browser" if _in_browser(file) else file

    return OneBrowser(config, log)  # type: ignore[arg-type]


@cache
def _in_browser(file: str) -> bool:
    path = ROOT / file
    return path.name.startswith("test_browser") or "chromium" in path.read_text(encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, for a browser test that failed, what its open pages said."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("chromium")
    if browser is not None and report.when == "call" and report.failed:
        for context in browser.contexts:
            for page in context.pages:
                try:
                    page.set_default_timeout(5_000)
                    report.sections.append((f"Page {page.url}", page.locator("body").inner_text()))
                except Exception as problem:  # the report of the failure itself must not be lost
                    report.sections.append((f"Page {page.url}", f"could not be read: {problem}"))
                page.close()
    return report
