"""`spinecore dashboard`: start the Streamlit app that belongs to this installation, from any folder."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from spinecore.cli.tools import user_mistakes
from spinecore.errors import SpinecoreError
from spinecore.paths import APP_DIR


def dashboard(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on (default: 8501, or the next free).")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on (default: this computer only). There is no log-in: see docs."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the dashboard in the browser.")] = True,
) -> None:
    """Start the dashboard; other options (--server.maxUploadSize 4096) go to Streamlit as they are."""
    with user_mistakes():
        if find_spec("streamlit") is None:
            raise SpinecoreError("the dashboard needs more packages: pip install 'spinecore[dashboard]'")
    from streamlit.web.cli import main as streamlit

    streamlit(streamlit_arguments(port, address, browser, context.args), prog_name="streamlit")


def streamlit_arguments(port: int | None, address: str | None, browser: bool, others: list[str]) -> list[str]:
    """Return what Streamlit is called with.

    Examples
    --------
    >>> streamlit_arguments(8600, None, False, ["--server.maxUploadSize=4096"])[2:]
    ['--server.port=8600', '--server.headless=true', '--server.maxUploadSize=4096']
    """
    arguments = ["run", str(APP_DIR / "app.py")]
    if port is not None:
        arguments.append(f"--server.port={port}")
    if address is not None:
        arguments.append(f"--server.address={address}")
    if not browser:
        arguments.append("--server.headless=true")
    return arguments + others


def register(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(dashboard)
