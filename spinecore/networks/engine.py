"""How networks are computed on a processor: by ONNX Runtime or PyTorch, in float32, bfloat16 or whole numbers of 8 bits.

Which is fastest differs by a factor of several between processors, so it is tried once for half a second and
remembered in the user's cache folder. `SPINECORE_ENGINE` chooses without a trial. GPUs always use PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.files import write_atomic, write_json
from spinecore.paths import cache_folder

#: What computes the default method's networks and the shape classifier, by its name in `SPINECORE_ENGINE`.
ENGINES = {
    "onnx-int8": "ONNX Runtime, int8",
    "onnx": "ONNX Runtime, float32",
    "torch-float32": "PyTorch, float32",
    "torch-bfloat16": "PyTorch, bfloat16",
}
VARIABLE = "SPINECORE_ENGINE"
#: Features of a processor that decide how fast each engine is; the first ones help most.
FEATURES = ("amx_bf16", "avx512_vnni", "avx_vnni", "asimddp", "avx512_bf16", "avx512f", "avx2", "asimd")
#: Side of the trial's image (px), how often each engine runs it at most (the fastest run counts), and the time after
#: which no further round begins (s).
_TRIAL_PX, _ROUNDS, _TRIAL_S = 128, 4, 0.5
#: Raised whenever the trial tries something else, so that remembered ones count no more.
_TRIAL_VERSION = 2
#: So many trials before the last one are remembered.
_KEPT_TRIALS = 9


@dataclass(frozen=True)
class Engine:
    """What computes networks on this processor.

    Parameters
    ----------
    name : str
        A key of `ENGINES`: for the networks that have a graph (`spinecore.networks.onnx_graph`). With "onnx-int8" those whose
        cards say how to round them are rounded, the others compute in float32.
    precision : str
        "float32" or "bfloat16": of the other networks, which PyTorch computes.
    reason : str
        Why this one, for people.
    """

    name: str
    precision: str
    reason: str

    def describe(self) -> str:
        """Return what people should know of it, in one line."""
        return f"{ENGINES[self.name]} ({self.reason})"


def cpu_engine() -> Engine:
    """Return the engine for this processor: the one chosen in the environment or on the Start page, or the fastest.

    Raises
    ------
    SpinecoreError
        If the environment names an engine that does not exist.
    """
    return chosen_engine() or tried_engine()


def chosen_engine() -> Engine | None:
    """Return the engine that someone chose, or None; the environment's choice counts before that on the Start page.

    Raises
    ------
    SpinecoreError
        If the environment names an engine that does not exist.
    """
    name, reason = os.environ.get(VARIABLE, "").strip().lower(), f"chosen with {VARIABLE}"
    if name and name not in ENGINES:
        raise SpinecoreError(f"{VARIABLE} is {name!r}: set it to one of {', '.join(ENGINES)}")
    if not name:
        try:
            name, reason = _choice_file().read_text(encoding="utf-8").strip(), "chosen on the Start page"
        except (OSError, ValueError):
            return None
    if name not in ENGINES:
        return None
    return Engine(name, "bfloat16" if name == "torch-bfloat16" else "float32", reason)


def choose_engine(name: str | None) -> None:
    """Remember an engine for all analyses on this computer from now on; None leaves it to the trial again.

    Raises
    ------
    SpinecoreError
        If this cannot be written.
    """
    path = _choice_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, (name or "").encode())
    except OSError as error:
        raise SpinecoreError(
            f"the choice cannot be kept in {path.parent} ({error.strerror}): set {VARIABLE} instead"
        ) from error


def _choice_file() -> Path:
    return cache_folder() / "engine.txt"


@lru_cache(maxsize=1)
def tried_engine() -> Engine:
    """Return the fastest engine, by the trial that is remembered or a new one."""
    return fastest(remembered_trial())


def known_engine() -> Engine | None:
    """Return the engine as far as it is known without a trial, which takes seconds."""
    found = chosen_engine()
    seconds = None if found else _last_trial()
    return fastest(seconds) if seconds else found


def fastest(seconds: dict[str, float]) -> Engine:
    """Return the engine that a trial recommends.

    Parameters
    ----------
    seconds : dict of str to float
        Time of each engine that could run, by its name in `ENGINES`.

    Examples
    --------
    >>> fastest({"onnx": 0.05, "torch-float32": 0.2, "torch-bfloat16": 0.1})
    Engine(name='onnx', precision='bfloat16', reason='the fastest in a trial on this processor')
    """
    name = min(seconds, key=lambda engine: seconds[engine])
    half, full = (seconds.get(f"torch-{kind}", float("inf")) for kind in ("bfloat16", "float32"))
    precision = "bfloat16" if half < full else "float32"
    return Engine(name, precision, "the fastest in a trial on this processor")


def remembered_trial() -> dict[str, float]:
    """Return the seconds of each engine from the last trial on this processor with these libraries, or try anew."""
    seconds = _last_trial()
    if not seconds:
        seconds = run_trial()
        trial = {name: round(value, 5) for name, value in seconds.items()}
        _remember(cache_folder() / "engine.json", _known_trials() | {_machine(): trial})
    return seconds


def _last_trial() -> dict[str, float]:
    """Return what is remembered of this processor with these libraries; nothing where that is nothing."""
    try:
        known = _known_trials()[_machine()]
        return {name: float(known[name]) for name in known if name in ENGINES}
    except (ValueError, KeyError, TypeError):
        return {}


def _known_trials() -> dict[str, Any]:
    """Return the last trials by `_machine`: of some numbers of threads and versions of the libraries."""
    try:
        known = json.loads((cache_folder() / "engine.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return dict([item for item in known.items() if isinstance(item[1], dict)][-_KEPT_TRIALS:])


def _remember(path: Path, trial: dict[str, dict[str, float]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, trial)
    except OSError:  # a read-only home: the trial runs again next time
        return


def run_trial() -> dict[str, float]:
    """Time the default method's network, with random weights, on a small image with each engine (s).

    It is the processor's time on one thread: what else a busy computer does would decide otherwise.
    """
    import torch  # as in `_trial_runs`

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _timed(_trial_runs())
    finally:
        torch.set_num_threads(threads)


def _timed(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least seconds that each of some engines' runs takes."""
    start = perf_counter()
    seconds: dict[str, float] = {}
    for number in range(1 + _ROUNDS):  # the first warms up
        for name, run in runs.items():
            begin = process_time()
            run()
            if number:
                seconds[name] = min(process_time() - begin, seconds.get(name, float("inf")))
        if number and perf_counter() - start > _TRIAL_S:
            break
    return seconds


def _trial_runs() -> dict[str, Callable[[], object]]:
    """Return one run of the trial's network for each engine that there is."""
    # torch and ONNX Runtime take seconds to load, and a command's help asks only for `ENGINES`
    import torch

    from spinecore.networks.unet import UNet2d, folded

    model = folded(UNet2d(5, 3).eval()).to(memory_format=torch.channels_last)
    image = torch.rand(1, 5, _TRIAL_PX, _TRIAL_PX).contiguous(memory_format=torch.channels_last)

    def run_torch(dtype: torch.dtype) -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            model(image)

    runs: dict[str, Callable[[], object]] = {
        "torch-float32": lambda: run_torch(torch.float32),
        "torch-bfloat16": lambda: run_torch(torch.bfloat16),
    }
    try:
        from spinecore.networks.onnx_runtime import OnnxNetwork
    except ImportError:  # no build of ONNX Runtime for this computer
        return runs
    from spinecore.networks.byte_products import largest_weight
    from spinecore.networks.onnx_export import exported
    from spinecore.networks.onnx_int8 import measure_ranges

    pixels = image.contiguous().numpy()
    session = OnnxNetwork(exported(model)).on_threads(1)
    found: dict[str, Callable[[], object]] = {"onnx": lambda: session(pixels)}
    if largest_weight():
        ranges = measure_ranges(model, [{"image": pixels}])
        rounded = OnnxNetwork(exported(model, ranges)).on_threads(1)
        found["onnx-int8"] = lambda: rounded(pixels)
    return found | runs


def processor() -> tuple[str, tuple[str, ...]]:
    """Return the processor's name and which of `FEATURES` it has, as far as the system says."""
    name, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip().lower() in ("flags", "features"):
                flags = set(value.split())
                break
    except OSError:
        pass
    return name, tuple(feature for feature in FEATURES if feature in flags)


def _machine() -> str:
    """Return what a trial depends on, as a short key."""
    libraries = [f"{name} {version(name)}" for name in ("torch", "onnxruntime") if _installed(name)]
    facts = [
        *processor(),
        os.cpu_count(),
        os.environ.get("OMP_NUM_THREADS"),
        *libraries,
        *ENGINES,
        _TRIAL_VERSION,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:  # PackageNotFoundError is one
        return False
    return True
