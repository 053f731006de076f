"""How long the dashboard's pages take on a large stack, in a real Chromium: `python -m benchmarks.pages`.

Starts a dashboard with an empty workspace, uploads a stack of 100 MB by the browser and waits for its
card, analyses a 40 x 1024 x 1024 stack by clicks, then opens each page on that analysis and changes one
thing on it. A time ends with the last change of the page's content (nothing changed for 2.5 seconds after).
Needs playwright and a Chromium; run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from benchmarks.screenshots import dashboard
from benchmarks.speed import make_stack

#: Notes when what the middle of the page shows changed last; what only the side bar or a class shows does not
#: count. The 3-D scene says in an attribute when a picture of it is done.
_WATCH = """() => {
  window.lastChange = performance.now();
  if (window.watched) return;
  window.watched = true;
  const seen = {subtree: true, childList: true, characterData: true,
                attributes: true, attributeFilter: ['d', 'src', 'transform', 'aria-valuenow', 'data-drawn']};
  new MutationObserver((changes) => {
    const counts = (c) => (c.target.nodeType === 1 ? c.target : c.target.parentElement)
      ?.closest('[data-testid=stMain], [data-testid=stPopoverBody]');
    if (changes.some(counts)) window.lastChange = performance.now();
  }).observe(document.body, seen);
}"""
LINKS = {
    "overlay": "Overlay",
    "view3d": "3-D",
    "shapes": "Shapes",
    "results": "Results",
    "analyse": "Analyse",
    "upload": "Upload",
}
_QUIET = "(quiet) => performance.now() - window.lastChange > quiet"


def settled_s(page: Page, action: Callable[[], object]) -> float:
    """Do something and return the seconds until the page changed for the last time."""
    page.evaluate(_WATCH)
    begin = page.evaluate("() => performance.now()")
    action()
    page.wait_for_function(_QUIET, arg=2500, timeout=300_000, polling=50)
    return (page.evaluate("() => window.lastChange") - begin) / 1000


def nudge(page: Page) -> None:
    """Move the first slider of the page by one step."""
    handle = page.get_by_test_id("stMain").get_by_role("slider").first
    handle.focus()
    handle.press("ArrowRight")


def switch(page: Page, text: str) -> None:
    """Click a toggle by its label."""
    page.get_by_test_id("stMain").get_by_text(text, exact=True).first.click()


def in_popover(page: Page, name: str) -> None:
    """Open a popover, so that what it holds can be changed."""
    page.get_by_test_id("stPopover").get_by_role("button", name=name).first.click()
    page.wait_for_timeout(1500)


def redraw(page: Page, name: str) -> float:
    """Change one thing on a page; return seconds."""
    if name == "results":
        in_popover(page, "Filter")
        return settled_s(page, lambda: page.get_by_text("Exclude spines that touch the border").click())
    if name == "shapes":
        in_popover(page, "Rules")
        sliders = page.get_by_test_id("stPopoverBody").get_by_role("slider")
        sliders.first.focus()
        return settled_s(page, lambda: sliders.first.press("ArrowRight"))
    if name in ("analyse", "upload"):
        text = {"analyse": "Use the model's threshold", "upload": "From a folder on the server"}[name]
        return settled_s(page, lambda: switch(page, text))
    if name == "view3d":
        chooser = page.get_by_test_id("stSelectbox").filter(has_text="Spine colour")
        chooser.locator("input").click()
        page.wait_for_timeout(1000)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        return settled_s(page, lambda: page.keyboard.press("Enter"))
    return settled_s(page, lambda: nudge(page))


def come_close(page: Page, row: int) -> float:
    """Choose a row of the table on page 3-D; return seconds until the scene has come close to that spine."""
    table = page.get_by_test_id("stMain").get_by_test_id("stDataFrame").first.bounding_box()
    row_px, first_px = 35, 46
    return settled_s(page, lambda: page.mouse.click(table["x"] + 25, table["y"] + first_px + row * row_px))


def open_page(page: Page, name: str) -> float:
    """Go to a page by its link in the side bar; return seconds."""
    link = page.get_by_test_id("stSidebarNavLink").filter(has_text=re.compile(f"^{LINKS[name]}$"))
    return settled_s(page, link.first.click)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--upload-slices", type=int, default=48, help="48 of 1024 x 1024 are 101 MB")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        upload, stack = root / "upload.tif", root / "stack.tif"
        make_stack(upload, args.upload_slices, 1024)
        make_stack(stack, args.slices, 1024)
        if hasattr(os, "sync"):
            os.sync()  # or else the uploads wait for these files to reach the disk
        with dashboard(root / "space") as (page, address):
            page.goto(f"{address}/upload")
            page.get_by_text("Workspace:").wait_for()
            settled_s(page, lambda: None)
            for number, path in enumerate((upload, stack)):
                begin = time.perf_counter()
                page.locator("input[type=file]").first.set_input_files(path)
                page.get_by_role("button", name="Analyse this stack").nth(number).wait_for()
                page.get_by_test_id("stImage").nth(number).wait_for()
                print(
                    f"upload of {path.stat().st_size / 1e6:.0f} MB to a finished card: "
                    f"{time.perf_counter() - begin:.1f} s",
                    flush=True,
                )
                settled_s(page, lambda: None)
            page.get_by_role("button", name="Analyse this stack").first.click()
            page.get_by_role("button", name=re.compile("^Start")).first.click()
            begin = time.perf_counter()
            done = page.get_by_test_id("stButton").get_by_role("button", name="Open", exact=True)
            done.first.wait_for(timeout=600_000)
            print(f"analysis by clicks: {time.perf_counter() - begin:.0f} s", flush=True)
            print(f"overlay: first opening {settled_s(page, done.first.click):.2f} s", flush=True)
            for name in LINKS:
                first, again = open_page(page, name), redraw(page, name)
                page.keyboard.press("Escape")
                print(f"{name}: opened in {first:.2f} s, one change {again:.2f} s", flush=True)
                if name == "view3d":
                    times = [f"{come_close(page, row):.2f}" for row in (2, 5, 3, 7, 4)]
                    print(f"view3d: close to another spine in {', '.join(times)} s", flush=True)


if __name__ == "__main__":
    main()
