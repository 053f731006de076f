"""A 3-D figure that is changed in place: the browser keeps its scene, so that another view is there in under a second.

Streamlit's own chart starts a new WebGL scene at each change (1.5 s without a graphics card). This component gives the
figure to `Plotly.react` of plotly.js, which comes out of the installed plotly package through the `static` folder of
the dashboard. Where that folder cannot be written, Streamlit's chart is used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st

from spinecore.ui.session import select_spine

#: Where Streamlit serves files from: `static` beside `app.py`.
STATIC = Path(__file__).resolve().parents[2] / "static"

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

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".spinecore-scene")
  host.choose = (spine) => setTriggerValue("spine", spine)
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
    if (host.listening) return
    host.listening = true
    host.on("plotly_click", (event) => {
      const spine = event.points[0]?.customdata
      if (spine != null) host.choose(Number(spine))
    })
    const purge = setInterval(() => {
      if (host.isConnected) return
      clearInterval(purge)
      Plotly.purge(host)
    }, 2000)
  }).catch((error) => { host.textContent = "The 3-D view could not be drawn: " + error.message })
}
"""
_SCENE = st.components.v2.component(
    "spinecore_scene", html='<div class="spinecore-scene"></div>', js=_JS, isolate_styles=False
)


@lru_cache(maxsize=1)
def library_address(folder: Path = STATIC) -> str | None:
    """Put plotly.js where Streamlit serves it; return its address, or None where that cannot be done."""
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = folder / f"plotly-{plotly.__version__}.min.js"
    try:
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            folder.mkdir(exist_ok=True)
            temporary = target.with_suffix(f".{os.getpid()}.tmp")
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
    except OSError:
        return None
    return f"app/static/{target.name}"


def show_scene(figure: go.Figure, height: int, key: str, alt: str, file_name: str) -> None:
    """Draw a 3-D figure; a click on something with `customdata` chooses the spine of that number.

    Parameters
    ----------
    figure : Figure
    height : int
        In px.
    key : str
    alt : str
        What is seen, in words.
    file_name : str
        Of the picture that the figure's own button stores, without ending.
    """
    config = {
        "displaylogo": False,
        "responsive": True,
        "toImageButtonOptions": {"format": "png", "scale": 3, "filename": file_name},
    }
    address = library_address() if st.get_option("server.enableStaticServing") else None
    if address is None:
        st.plotly_chart(figure, width="stretch", height=height, theme=None, key=key, config=config, alt=alt)
        return
    _SCENE(
        key=key,
        data={
            "figure": figure.to_json(),
            "height": height,
            "library": address,
            "config": config,
            "alt": alt,
        },
        height=height,
        on_spine_change=_choose(key),
    )


def _choose(key: str) -> Callable[[], None]:
    def choose() -> None:
        chosen = st.session_state[key].spine
        if chosen is not None:
            select_spine(int(chosen))

    return choose
