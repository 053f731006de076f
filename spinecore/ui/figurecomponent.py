"""A figure that is changed in place and reports where it was clicked.

Streamlit's own chart starts a new WebGL scene at each change (1.5 s without a graphics card), and does not report
clicks beside the points. This component gives the figure to `Plotly.react` of plotly.js, which comes out of the
installed plotly package through the `static` folder of the dashboard, or through Streamlit's media files where that
folder cannot be written (a system-wide installation). Where neither works, Streamlit's chart is used, without clicks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
from streamlit import runtime

from spinecore.files import replacing
from spinecore.paths import STATIC_DIR
from spinecore.ui.charts import draw_chart, plotly_config

#: plotly.js in the installed package.
_LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

_JS = """
const library = (address) => {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  window.spinecorePlotly ??= new Promise((done, failed) => {
    const script = document.createElement("script")
    script.src = new URL(address, document.baseURI)
    script.onload = () => done(window.Plotly)
    script.onerror = () => failed(new Error("plotly.js could not be loaded"))
    document.head.append(script)
  })
  return window.spinecorePlotly
}

// a press and release at the same place of a flat plot, in the units of its axes
const listen = (host) => {
  host.on("plotly_click", (event) => {
    const spine = event.points[0]?.customdata
    if (spine == null) return
    host.lastClick = performance.now()
    host.report({ spine: Number(spine) })
  })
  let from = null
  host.addEventListener("pointerdown", (event) => {
    from = event.target.closest(".nsewdrag") ? [event.clientX, event.clientY] : null
  }, true)
  // drawn with the button held down, where the figure wants lines: a line over the plot, reported when it ends
  let line = null
  const place = (event) => {
    const box = host.getBoundingClientRect(), { xaxis, yaxis } = host._fullLayout
    return [xaxis.p2d(event.clientX - box.left - xaxis._offset), yaxis.p2d(event.clientY - box.top - yaxis._offset)]
  }
  host.addEventListener("pointerdown", (event) => {
    if (!host.lines || event.button !== 0 || !event.target.closest(".nsewdrag")) return
    event.preventDefault(); event.stopPropagation()
    from = null
    const sheet = document.createElementNS("http://www.w3.org/2000/svg", "svg")
    sheet.style.cssText = "position:absolute;inset:0;width:100%;height:100%;pointer-events:none"
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polyline")
    for (const [name, value] of [["fill", "rgba(255,230,0,.25)"], ["stroke", "#ffe600"], ["stroke-width", "2"]])
      drawn.setAttribute(name, value)
    sheet.append(drawn)
    host.style.position = "relative"
    host.append(sheet)
    line = { sheet, drawn, at: [], places: [] }
    host.setPointerCapture(event.pointerId)
    extend(event)
  }, true)
  const extend = (event) => {
    const box = host.getBoundingClientRect()
    const at = [event.clientX - box.left, event.clientY - box.top], last = line.at.at(-1)
    if (last && Math.hypot(at[0] - last[0], at[1] - last[1]) < 2) return
    line.at.push(at); line.places.push(place(event))
    line.drawn.setAttribute("points", line.at.map((p) => p.join(",")).join(" "))
  }
  host.addEventListener("pointermove", (event) => { if (line) { event.stopPropagation(); extend(event) } }, true)
  const ended = (event) => {
    if (!line) return
    event.stopPropagation()
    const { sheet, places } = line
    line = null
    sheet.remove()
    if (event.type === "pointerup" && places.length > 2) host.report({ line: places })
  }
  host.addEventListener("pointerup", ended, true)
  host.addEventListener("pointercancel", ended, true)
  window.addEventListener("pointerup", (event) => {
    if (!from || Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 3) return
    const [x, y] = place(event)
    from = null
    setTimeout(() => { if (!(performance.now() - host.lastClick < 400)) host.report({ x, y }) }, 150)
  }, true)
  // the room can change without the window: the sidebar folds, columns stack
  let width = host.clientWidth
  const resized = new ResizeObserver(() => {
    if (!host.clientWidth || host.clientWidth === width) return
    width = host.clientWidth
    window.Plotly.Plots.resize(host)
  })
  resized.observe(host)
  const purge = setInterval(() => {
    if (host.isConnected) return
    clearInterval(purge)
    resized.disconnect()
    window.Plotly.purge(host)
  }, 2000)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".spinecore-figure")
  host.report = (what) => setTriggerValue("click", what)
  host.style.cursor = data.cursor
  host.lines = data.lines
  if (host.drawn === data.figure) return
  host.drawn = data.figure
  host.style.height = data.height + "px"
  host.setAttribute("role", "img")
  host.setAttribute("aria-label", data.alt)
  library(data.library).then(async (Plotly) => {
    const figure = JSON.parse(data.figure)
    await Plotly.react(host, figure.data, figure.layout, data.config)
    const frame = requestAnimationFrame
    frame(() => frame(() => { host.dataset.drawn = Math.round(performance.now()) }))
    if (!host.listening) listen(host)
    host.listening = true
  }).catch((error) => { host.textContent = "The figure could not be drawn: " + error.message })
}
"""
_FIGURE = st.components.v2.component(
    "spinecore_figure", html='<div class="spinecore-figure"></div>', js=_JS, isolate_styles=False
)


@dataclass(frozen=True)
class Click:
    """A click: on something with `customdata` (its number), or at a place of a flat plot (in the axes' units).

    A line that was drawn holds its places (x, y) and nothing else.
    """

    spine: int | None = None
    x: float = float("nan")
    y: float = float("nan")
    line: tuple[tuple[float, float], ...] = ()


@lru_cache(maxsize=1)
def library_address(folder: Path = STATIC_DIR) -> str | None:
    """Put plotly.js where Streamlit serves it; return its address, or None where that cannot be done."""
    target = folder / f"plotly-{plotly.__version__}.min.js"
    try:
        if not target.exists() or target.stat().st_size != _LIBRARY.stat().st_size:
            folder.mkdir(exist_ok=True)
            with replacing(target) as temporary:
                shutil.copyfile(_LIBRARY, temporary)
    except OSError:
        return None
    return f"app/static/{target.name}"


def media_address() -> str | None:
    """Hand plotly.js to Streamlit's media files for this session; return its address, or None without a server."""
    if not runtime.exists():
        return None
    media = runtime.get_instance().media_file_mgr
    return media.add(str(_LIBRARY), "text/javascript", "spinecore-plotly").lstrip("/")


def _address() -> str | None:
    served = library_address() if st.get_option("server.enableStaticServing") else None
    return served or media_address()


def can_report_clicks() -> bool:
    """True where the component can be used."""
    return _address() is not None


def show_figure(
    figure: go.Figure,
    height: int,
    key: str,
    alt: str,
    config: dict[str, Any],
    on_click: Callable[[Click], None],
    cursor: str = "auto",
    lines: bool = False,
) -> None:
    """Draw a figure.

    Parameters
    ----------
    figure : Figure
    height : int
        In px.
    key : str
    alt : str
        What is seen, in words.
    config : dict
        Of plotly.js.
    on_click : callable
        Called with each click, before the page is drawn again.
    cursor : str
        CSS name of the mouse pointer over it.
    lines : bool
        Report lines that are drawn with the button held down in place of clicks; the figure is not moved then.
    """
    if not can_report_clicks():
        draw_chart(figure, key, alt, height, **config)
        return

    def report() -> None:
        found = st.session_state[key].click
        if found is not None:
            on_click(read_click(found))

    _FIGURE(
        key=key,
        data={
            "figure": figure.to_json(),
            "height": height,
            "library": _address(),
            "config": plotly_config(responsive=True, **config),
            "alt": alt,
            "cursor": cursor,
            "lines": lines,
        },
        height=height,
        on_click_change=report,
    )


def read_click(found: dict[str, Any]) -> Click:
    """Return what the browser sent as a `Click`."""
    spine = found.get("spine")
    return Click(
        None if spine is None else int(spine),
        float(found.get("x", "nan")),
        float(found.get("y", "nan")),
        tuple((float(x), float(y)) for x, y in found.get("line", ())),
    )
