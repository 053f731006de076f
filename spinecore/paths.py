"""Where the program's own files lie: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_app(package: Path) -> Path:
    """Return the folder of `app.py`, `pages`, `models`, `static` and `.streamlit`.

    Parameters
    ----------
    package : Path
        Folder of the package `spinecore`.

    Returns
    -------
    Path
        `_app` within the package where a wheel was installed (`hatch_build.py` puts it there), else the checkout.
    """
    installed = package / "_app"
    return installed if installed.is_dir() else package.parent


#: Folder of the dashboard.
APP_DIR = find_app(_PACKAGE)
#: Folder of the shipped weights and their cards.
MODELS_DIR = APP_DIR / "models"
#: Folder that Streamlit serves as files.
STATIC_DIR = APP_DIR / "static"


def cache_folder() -> Path:
    """Return the folder for what can be made again: `SPINECORE_CACHE`, or the system's place for it."""
    chosen = os.environ.get("SPINECORE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "spinecore"
