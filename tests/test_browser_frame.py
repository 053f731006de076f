"""The first pages in a real Chromium: nothing from outside is asked for, and the main button is always in sight."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("SPINECORE_REQUIRE_BROWSER"),
        reason="Chromium is not installed",
    ),
]
ROOT = Path(__file__).parent.parent
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            "--server.headless=true",
            f"--server.port={port}",
        ],
        cwd=ROOT,
        env={**os.environ, "SPINECORE_WORKSPACE": str(tmp_path_factory.mktemp("space"))},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
            break
        except OSError:
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.2)
    yield url
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def test_a_linked_page_an_upload_and_the_way_on(
    address: str, chromium: playwright.Browser, tmp_path: Path
) -> None:
    files = []
    for name, known in (("known.tif", {"resolution": (10, 10)}), ("unknown.tif", {})):
        voxels = np.random.default_rng(len(files)).integers(0, 4000, (3, 96, 96)).astype(np.uint16)
        details = {"axes": "ZYX", "spacing": 0.4, "unit": "um"} if known else {"axes": "ZYX"}
        tifffile.imwrite(tmp_path / name, voxels, imagej=True, metadata=details, **known)
        files.append(tmp_path / name)
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))

    page.goto(f"{address}/upload")
    page.get_by_text("Workspace:").wait_for()
    assert page.get_by_test_id("stSidebarNavLink").first.inner_text() == "Start"
    page.locator("input[type=file]").set_input_files(files)
    page.get_by_role("button", name="Analyse these 2 stacks").wait_for()
    for name in ("Analyse these 2 stacks", "Analyse this stack"):
        box = page.get_by_role("button", name=name).first.bounding_box()
        assert box is not None and box["y"] + box["height"] < 900, f"{name} is out of sight"

    page.reload()
    page.get_by_role("button", name="Analyse these 2 stacks").click()
    page.get_by_text("please type it in").wait_for()
    start = page.get_by_role("button", name="Start 2 analyses")
    assert start.is_disabled()
    for label, value in (("Pixel size (µm)", "0.1"), ("Slice step (µm)", "0.5")):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Enter")
    page.get_by_text("please type it in").wait_for(state="detached")
    playwright.expect(start).to_be_enabled()
    box = start.bounding_box()
    assert box is not None and box["y"] + box["height"] < 900
    assert hosts == {address.split("/")[2]}, "no outside fonts, icons or statistics"
    page.close()
