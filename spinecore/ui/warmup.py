"""Load early, once per server, what the first change of a threshold and the first heat map would wait for."""

from __future__ import annotations

import atexit
import gc
import importlib
import threading

import streamlit as st

from spinecore.shapes.classify import has_model, load_classifier

#: A page is drawn before anything is loaded for later.
AFTER_S = 4.0


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> threading.Timer:
    """Load in the background, behind the first page that shows an analysis; not earlier, as PyTorch takes time from analyses."""
    timer = threading.Timer(AFTER_S, _load)
    timer.daemon = True
    timer.start()
    return timer


def _load() -> None:
    if has_model():
        load_classifier(folded=True)  # first, as it is soon done
        importlib.import_module("spinecore.shapes.explain").warm_up()
    # what is loaded by now stays: collections need not look through a million objects of libraries each time,
    # while a page waits to be sent
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or else libraries complain of leaks when the server stops
