"""Where the program's own files lie: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

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
