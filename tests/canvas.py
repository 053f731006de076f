"""The page Correct in a Chromium, driven as a person does, and compared with the tables of its analysis."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright import sync_api as playwright
from waiting import wait_until

from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.ui.colours import value_text
from spinecore.ui.editor.scenedata import DENDRITE_MEASURES, SPINE_MEASURES

EDITOR = "document.querySelector('.sce').editor"
Place = Sequence[float]


class Canvas:
    """The page of an analysis."""

    def __init__(self, page: playwright.Page, address: str, analysis: str, folder: Path) -> None:
        self.page, self.folder = page, folder
        page.goto(f"{address}/correct?analysis={analysis}")
        self.wait_for_voxels()

    def wait_for_voxels(self) -> None:
        self.page.wait_for_function("() => document.querySelector('.sce')?.editor?.voxels?.loaded > 0")

    def point(self, z: float, y: float, x: float, look: bool = True) -> tuple[float, float]:
        """Return where a voxel is in the window; first, the picture is moved so that it is in the middle."""
        return tuple(
            self.page.evaluate(
                f"""([z, y, x, look]) => {{
                    const editor = {EDITOR}, view = editor.views[0], place = [z, y, x]
                    if (look) editor.lookAt(place)
                    const box = view.canvas.getBoundingClientRect()
                    return [box.left + view.toX(place[view.across]), box.top + view.toY(place[view.down])]
                }}""",
                [float(z), float(y), float(x), look],
            )
        )

    def click(self, z: float, y: float, x: float, look: bool = True) -> None:
        self.page.mouse.click(*self.point(z, y, x, look))

    def not_twice(self) -> None:
        """Wait until a click is none of a double click."""
        self.page.wait_for_function(
            "() => performance.now() - (document.querySelector('.sce-xy').clicked ?? -1e9) > 400"
        )

    def mask_of(self, spine: int) -> tuple[list[int], np.ndarray]:
        """Return the first voxel of a spine's outline on the grid, and its voxels (Z, Y, X)."""
        shown = self.ask(f"(({{ o, s, m }}) => ({{ o, s, m }}))(editor.scene.byId.get({spine}))")
        bits = np.unpackbits(np.frombuffer(base64.b64decode(shown["m"]), np.uint8))
        return shown["o"], bits[: np.prod(shown["s"])].reshape(shown["s"]).astype(bool)

    def drag(self, places: Sequence[Place]) -> None:
        """Draw a line through places of one slice with the button held."""
        middle = np.mean(np.asarray(places, float), axis=0)
        self.point(*middle)
        self.page.mouse.move(*self.point(*places[0], look=False))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.point(*place, look=False), steps=3)
        self.page.mouse.up()

    def slide(self, label: str, share: float) -> None:
        """Click a slider at a share of its width; it is made anew whenever the card is."""
        slider = self.page.get_by_label(label)
        box = wait_until(slider.bounding_box)
        slider.click(position={"x": share * box["width"], "y": box["height"] / 2})

    def says(self, text: str) -> None:
        self.page.locator(".sce-message").filter(has_text=text).wait_for()

    def saved(self) -> None:
        self.page.locator(".sce-saved").filter(has_text="All changes are saved").wait_for()

    def dendrites(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "dendrites.csv").set_index("dendrite_id")

    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "spines.csv").set_index("spine_id")

    def ask(self, script: str) -> Any:
        return self.page.evaluate(f"() => {{ const editor = {EDITOR}; return {script} }}")

    def zoom_to(self, zoom: float) -> None:
        """Show so many pixels of the screen per um."""
        self.ask(f"(editor.zoom = {zoom}, editor.settle())")

    def picture(self) -> str:
        """The picture in XY as it is drawn."""
        return self.ask("(editor.views[0].draw(), editor.views[0].canvas.toDataURL())")

    def agrees(self) -> None:
        """What the canvas shows is what the tables in the analysis folder hold."""
        scene = self.ask("JSON.parse(editor.sceneText)")
        spines, dendrites = self.table(), self.dendrites()
        assert [s["id"] for s in scene["spines"]] == spines.index.tolist()
        for shown in scene["spines"]:
            row = spines.loc[shown["id"]]
            titles = {SPINE_COLUMNS[n].title: n for n in SPINE_MEASURES}
            for title, text in shown["values"]:
                assert text == value_text(row[titles[title]], SPINE_COLUMNS[titles[title]]), title
            assert shown["class"] == (row["class"] if isinstance(row["class"], str) else "")
            belongs = row["dendrite_id"]
            assert shown["dendrite"] == (None if pd.isna(belongs) else int(belongs))
        assert sorted(d["id"] for d in scene["dendrites"]) == sorted(dendrites.index)
        voxel = np.array(scene["voxel"])
        for shown in scene["dendrites"]:
            row = dendrites.loc[shown["id"]]
            titles = {DENDRITE_COLUMNS[n].title: n for n in DENDRITE_MEASURES}
            for title, text in shown["values"]:
                assert text == value_text(row[titles[title]], DENDRITE_COLUMNS[titles[title]]), title
            lines = [np.reshape(line["points"], (-1, 3)) * voxel for line in shown["lines"]]
            drawn = sum(np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in lines)
            assert drawn == pytest.approx(row["path_length_um"], rel=0.01)
