"""Pictures of every page on the sample, for the documentation: `python -m benchmarks.screenshots`.

Starts a dashboard with an empty workspace, clicks the sample, and photographs each page at
1440 x 900 into docs/screenshots/. Needs playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

PAGES = (
    "overlay",
    "correct",
    "view3d",
    "results",
    "shapes",
    "upload",
    "analyse",
    "evaluate",
    "methods",
    "groups",
    "agreement",
    "train",
    "ownmodels",
    "start",
)
#: What is added to the address of a page.
CHOSEN = {"correct": "&spine=11"}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def settle(page: Page) -> None:
    """Wait until the page has stopped running and no longer changes."""
    page.wait_for_timeout(2000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=180_000)
    before = b""
    for _ in range(20):
        page.wait_for_timeout(1500)
        now = page.screenshot()
        if now == before:
            return
        before = now


def wait_for(port: int, seconds: float = 120.0) -> None:
    """Wait until a server answers on a port of this computer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing answers on port {port}")


@contextmanager
def dashboard(space: Path) -> Iterator[tuple[Page, str]]:
    """Start a dashboard with its workspace in `space`, and yield a page of a Chromium and the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    server = subprocess.Popen(
        [*command, f"--server.port={port}"],
        env={**os.environ, "SPINECORE_WORKSPACE": str(space)},
        stdout=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as engine:
            wait_for(port)
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            page = engine.chromium.launch(executable_path=chromium, args=ARGUMENTS).new_page(
                viewport={"width": 1440, "height": 900}
            )
            page.set_default_timeout(300_000)
            yield page, f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--pages", nargs="*", default=PAGES)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as space, dashboard(Path(space)) as (page, address):
        page.goto(address)
        page.get_by_role("button", name="Try the sample").click()
        page.wait_for_url("**/overlay?**")
        settle(page)
        analysis = page.url.split("analysis=")[1].split("&")[0]
        for name in args.pages:
            start = time.perf_counter()
            page.goto(
                f"{address}/{'' if name == 'start' else name}?analysis={analysis}{CHOSEN.get(name, '')}"
            )
            settle(page)
            page.screenshot(path=args.out / f"{name}.png")
            print(f"{name}: {time.perf_counter() - start:.1f} s, {args.out / f'{name}.png'}", flush=True)


if __name__ == "__main__":
    main()
