"""Figures are drawn in one place, with settings that keep the user's image on this computer."""

from __future__ import annotations

import ast
from pathlib import Path

import plotly.graph_objects as go
import pytest

from spinecore.ui import charts

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("spinecore/**/*.py")]


def test_only_one_module_draws_plotly_figures() -> None:
    calls = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "plotly_chart"
    }
    assert calls == {"spinecore/ui/charts.py"}


def test_no_figure_can_switch_the_upload_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(charts.st, "plotly_chart", lambda figure, **options: given.update(options))
    charts.draw_chart(
        go.Figure(),
        "key",
        "words",
        showSendToCloud=True,
        plotlyServerURL="https://example.org",
        scrollZoom=True,
    )
    assert given["config"] == {
        "displaylogo": False,
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "scrollZoom": True,
    }
