"""The wheel, installed in a clean place: the command line and the dashboard work from any folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner
from waiting import wait_for_answer

from spinecore import __version__
from spinecore.cli.main import app
from spinecore.paths import APP_DIR, MODELS_DIR, STATIC_DIR, find_app

ROOT = Path(__file__).parent.parent
WINDOWS = sys.platform == "win32"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of an environment that holds the wheel, and the packages it needs, but no checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=not WINDOWS)
    packages = folder / "Lib/site-packages" if WINDOWS else next(folder.glob("lib/python*/site-packages"))
    needed = [folder for folder in sys.path if folder.endswith("site-packages")]
    # .pth files in these folders, as of an editable installation, are not read
    (packages / "needed.pth").write_text("\n".join(needed))
    scripts = folder / ("Scripts" if WINDOWS else "bin")
    python = scripts / ("python.exe" if WINDOWS else "python")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--force-reinstall",
        wheel,
    ]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return scripts


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder to work in."""
    return tmp_path_factory.mktemp("elsewhere")


def environment(**more: str) -> dict[str, str]:
    """The environment without what could lead to the checkout."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def test_the_wheel_holds_what_the_program_needs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    app = {f"spinecore/_app/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "pages").glob("*.py")}
    app |= {f"spinecore/_app/models/{p.name}" for p in (ROOT / "models").iterdir() if p.name[0] != "."}
    app |= {"spinecore/_app/app.py", "spinecore/_app/.streamlit/config.toml"}
    stores = {p.relative_to(ROOT).as_posix() for p in (ROOT / "spinecore").rglob("*.json")}
    sample = {f"spinecore/sample/{name}" for name in ("sample_stack.tif", "truth_spines.csv", "truth.swc")}
    assert app | stores | sample <= names
    assert not [n for n in names if "__pycache__" in n or n.startswith(("tests/", "benchmarks/", "docs/"))]
    assert wheel.name.startswith(f"spinecore-{__version__}-")


def test_the_version_is_printed(scripts: Path, elsewhere: Path) -> None:
    done = subprocess.run(
        [scripts / "spinecore", "--version"], cwd=elsewhere, env=environment(), capture_output=True, text=True
    )
    assert done.stdout.strip() == f"spinecore {__version__}", done.stderr


def test_the_sample_is_analysed_from_another_folder(scripts: Path, elsewhere: Path) -> None:
    find = "import spinecore.simulation.sample as s; print(s.SAMPLE_DIR)"
    sample = subprocess.run(
        [scripts / "python", "-c", find], cwd=elsewhere, env=environment(), capture_output=True, text=True
    ).stdout.strip()
    assert Path(sample).is_dir() and ROOT not in Path(sample).parents
    command = [scripts / "spinecore", "analyse", Path(sample) / "sample_stack.tif", "--out", "found"]
    done = subprocess.run(command, cwd=elsewhere, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads((elsewhere / "found/analysis.json").read_text(encoding="utf-8"))
    assert facts["versions"]["spinecore"] == __version__
    assert len(pd.read_csv(elsewhere / "found/spines.csv")) > 40


@pytest.fixture(scope="module")
def address(scripts: Path, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard that `spinecore dashboard` serves from another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    space = tmp_path_factory.mktemp("space")
    server = subprocess.Popen(
        [scripts / "spinecore", "dashboard", "--port", str(port), "--no-browser"],
        cwd=elsewhere,
        env=environment(SPINECORE_WORKSPACE=str(space), HOME=str(space), USERPROFILE=str(space)),
        stdin=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    wait_for_answer(f"{url}/_stcore/health", lambda: server.poll() is None)
    yield url
    server.terminate()
    server.wait(timeout=30)


def test_the_dashboard_of_the_wheel_serves_its_page(address: str) -> None:
    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=10) as health:
        assert health.read() == b"ok"
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200 and b'<div id="root">' in page.read()


def test_the_dashboard_of_the_wheel_draws_the_start_page(address: str, chromium: object) -> None:
    page = chromium.new_page()  # type: ignore[attr-defined]
    page.goto(address)
    page.get_by_role("button", name="Try the sample").wait_for(timeout=60_000)
    assert page.get_by_text("Traceback").count() == 0
    page.close()


def test_a_checkout_uses_its_own_files_and_a_wheel_those_inside_it(tmp_path: Path) -> None:
    assert APP_DIR == ROOT and MODELS_DIR == ROOT / "models" and STATIC_DIR == ROOT / "static"
    package = tmp_path / "spinecore"
    (package / "_app").mkdir(parents=True)
    assert find_app(package) == package / "_app"


def test_options_of_the_dashboard_reach_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("streamlit.web.cli.main", lambda arguments, **_: asked.append(arguments))
    call = [
        "dashboard",
        "--port",
        "8600",
        "--address",
        "0.0.0.0",
        "--no-browser",
        "--server.maxUploadSize",
        "4096",
    ]
    assert CliRunner().invoke(app, call).exit_code == 0
    options = ["--server.port=8600", "--server.address=0.0.0.0", "--server.headless=true"]
    assert asked == [["run", str(APP_DIR / "app.py"), *options, "--server.maxUploadSize", "4096"]]


def test_a_dashboard_without_streamlit_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spinecore.cli.dashboard.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["dashboard"])
    assert done.exit_code == 2 and "pip install 'spinecore[dashboard]'" in done.output


def test_the_first_start_asks_nothing_and_listens_on_this_computer_only() -> None:
    config = tomllib.loads((APP_DIR / ".streamlit/config.toml").read_text(encoding="utf-8"))
    assert config["server"]["showEmailPrompt"] is False and config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "127.0.0.1"


def test_the_command_line_needs_no_package_of_the_dashboard() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('streamlit', 'plotly', 'pytorch_grad_cam')));"
        "from spinecore.cli.main import app; app(['models'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0 and "centre-unet-3d" in done.stdout, done.stderr
