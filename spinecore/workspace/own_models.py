"""A user's own weights: checked, kept in the workspace's `models` folder, chosen in place of a method's shipped ones.

Only safetensors with a card (JSON) come in. A format that can run code when it is opened (pickles: .pt, .pth,
.pkl, .bin, zip ...) is refused by name and by content, and nothing here ever unpickles.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.methods import METHODS
from spinecore.networks.zoo import (
    Card,
    build_network,
    file_sha256,
    get_card,
    list_cards,
    write_card,
)

MAX_WEIGHT_BYTES = 2 * 1024**3
MAX_CARD_BYTES = 4 * 1024**2
MAX_PARAMETERS = 500_000_000
#: Suffixes of formats that run code while they are read, or archives that may hold such.
UNSAFE_SUFFIXES = frozenset(
    [
        ".pt",
        ".pth",
        ".pkl",
        ".pickle",
        ".bin",
        ".ckpt",
        ".zip",
        ".joblib",
        ".dill",
        ".npy",
        ".npz",
        ".h5",
        ".hdf5",
        ".keras",
        ".tar",
        ".gz",
        ".model",
        ".mar",
    ]
)
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{1,59}$")


def models_folder(workspace: Path) -> Path:
    """Return the folder of own weights in a workspace folder."""
    return workspace / "models"


def list_own(folder: Path) -> list[Card]:
    """Return the cards of own weights, by name; unreadable ones are left out."""
    try:
        return list_cards(folder)
    except (OSError, ValueError):
        readable = []
        for path in sorted(folder.glob("*.json")):
            try:
                readable.append(Card(path.stem, path, json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError):
                continue
        return readable


def check_file_name(name: str) -> None:
    """Refuse a file that could run a program when opened, by its name.

    Raises
    ------
    SpinecoreError
        With one sentence.
    """
    suffix = Path(name).suffix.lower()
    if suffix in UNSAFE_SUFFIXES:
        raise SpinecoreError(
            f"{name} is refused, because a {suffix} file can run code when it is opened: "
            "save the weights as .safetensors"
        )


def tensor_shapes(path: Path, name: str | None = None) -> dict[str, list[int]]:
    """Return the shapes of the tensors in a safetensors file by name, without loading them.

    Raises
    ------
    SpinecoreError
        If it is no such file.
    """
    name = name or path.name
    check_file_name(name)
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise SpinecoreError(f"{name} is larger than {MAX_WEIGHT_BYTES // 1024**3} GB, too large for weights")
    try:
        with safe_open(path, "pt") as file:
            return {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError:
        with path.open("rb") as raw:
            start = raw.read(2)
        unsafe = start == b"PK" or start[:1] == b"\x80"
        why = (
            "a pickle or zip, which can run code when it is opened" if unsafe else "no whole safetensors file"
        )
        raise SpinecoreError(
            f"{name} is refused, because it is {why}: save the weights as .safetensors"
        ) from None


def read_card(path: Path, name: str | None = None) -> dict[str, Any]:
    """Return a card's JSON, checked as far as it can be without the weights.

    Raises
    ------
    SpinecoreError
        If it is no card, or speaks of a method or network that this version does not know.
    """
    name = name or path.name
    check_file_name(name)
    if path.stat().st_size > MAX_CARD_BYTES:
        raise SpinecoreError(f"{name} is too large for a card: give the JSON that lies beside the weights")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise SpinecoreError(
            f"{name} cannot be read as JSON: give the card that lies beside the weights"
        ) from None
    if not isinstance(data, dict) or not isinstance(data.get("architecture"), dict):
        raise SpinecoreError(
            f"{name} is no card, because it has no architecture: give the JSON beside the weights"
        )
    if data.get("method") not in METHODS:
        raise SpinecoreError(
            f"{name} must say for which method the weights are: set method to one of {', '.join(METHODS)}"
        )
    threshold, power = data.get("threshold", 0.5), data.get("score_power", 1.0)
    if not _is_number(threshold) or not 0.1 <= threshold <= 1:
        raise SpinecoreError(f"{name}: threshold must be a number from 0.1 to 1, not {threshold!r}")
    if not _is_number(power) or not 0.05 <= power <= 20:
        raise SpinecoreError(f"{name}: score_power must be a number from 0.05 to 20, not {power!r}")
    _check_range(name, data.get("trained_range"))
    return data | {"threshold": float(threshold), "score_power": float(power)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_range(name: str, found: Any) -> None:
    """Refuse a `trained_range` whose ends are no numbers."""
    if found is None:
        return
    views = [found[v] for v in ("image", "stack") if v in found] if isinstance(found, dict) else [None]
    for view in views:
        ends = [v for k, v in view.items() if k != "n"] if isinstance(view, dict) else [None]
        if not all(isinstance(v, list) and len(v) == 2 and all(map(_is_number, v)) for v in ends):
            raise SpinecoreError(
                f"{name}: trained_range must give two numbers for each measure: correct or remove it"
            )


def replaced_model(data: dict[str, Any]) -> str:
    """Return the shipped model that weights with this card can stand in for.

    Raises
    ------
    SpinecoreError
        If their network takes or gives something else than the method's own.
    """
    method = METHODS[data["method"]]
    own = data["architecture"]
    keys = ("kind", "in_channels", "out_channels", "outputs")
    names = list(dict.fromkeys((method.model_2d, *method.roles(is_2d=False))))
    for name in names:
        try:
            shipped = get_card(name).data["architecture"]
        except SpinecoreError:
            continue
        if all(own.get(key) == shipped.get(key) for key in keys if key in shipped):
            return name
    raise SpinecoreError(
        f"the network on the card does not fit {method.name}: its kind, planes in and maps out must be those of "
        f"{' or '.join(names)}"
    )


def check_model(
    weights: Path, card: Path, weights_name: str | None = None, card_name: str | None = None
) -> dict[str, Any]:
    """Check weights and card together and return the card's data as it will be stored.

    Parameters
    ----------
    weights, card : Path
    weights_name, card_name : str, optional
        What the files are called in messages.

    Raises
    ------
    SpinecoreError
        One sentence: unsafe or damaged file, unknown network, other tensors than the network has, a checksum that
        differs, numbers that are not finite.
    """
    import torch  # takes seconds to import, and pages that only list models do without
    from safetensors.torch import load_file

    weights_name = weights_name or weights.name
    shapes = tensor_shapes(weights, weights_name)
    data = read_card(card, card_name)
    replaces = replaced_model(data)
    network = _unfilled_network(data["architecture"])
    expected = {key: list(value.shape) for key, value in network.state_dict().items()}
    wrong = [key for key in expected if shapes.get(key) != expected[key]]
    wrong += [key for key in shapes if key not in expected]
    if wrong:
        raise SpinecoreError(
            f"{weights_name} does not fit the architecture on its card ({len(wrong)} of {len(expected)} tensors differ, "
            f"the first is {wrong[0][:60]}): give the card that was written with these weights"
        )
    sha256 = file_sha256(weights)
    if data.get("sha256") not in (None, "", sha256):
        raise SpinecoreError(
            f"{weights_name} is not the file its card describes (checksum differs): give both files as they were saved"
        )
    state = load_file(weights)
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise SpinecoreError(
            f"{weights_name} holds numbers that are not finite, so its training failed: give others"
        )
    return data | {
        "replaces": replaces,
        "title": str(data.get("title", ""))[:200],
        "recipe": str(data.get("recipe", ""))[:500],
        "scores": _plain_scores(data.get("scores")),
        "parameters": sum(p.numel() for p in network.parameters()),
        "bytes": weights.stat().st_size,
        "sha256": sha256,
    }


def _plain_scores(found: Any) -> list[dict[str, Any]]:
    """Return the scores of a card that can be shown: each with a number and words for what it says."""
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return [
        row | {key: str(row.get(key, ""))[:300] for key in ("data", "measure", "command")}
        for row in rows[:200]
        if _is_number(row.get("value"))
    ]


def _unfilled_network(architecture: dict[str, Any]) -> Any:
    """Return the network that a card describes, whose tensors have shapes but take no memory."""
    import torch  # as in `check_model`

    numbers = [n for v in architecture.values() for n in (v if isinstance(v, list) else [v])]
    if any(isinstance(n, int) and not 0 <= n <= 4096 for n in numbers) or len(numbers) > 64:
        raise SpinecoreError(
            "the network on the card is implausibly large: give the card written with the weights"
        )
    try:
        with torch.device("meta"):
            network = build_network(architecture)
    except SpinecoreError:
        raise
    except Exception as error:  # whatever a network's constructor makes of wrong values
        raise SpinecoreError(
            "the architecture on the card cannot be built: give the card written with the weights"
        ) from error
    if sum(p.numel() for p in network.parameters()) > MAX_PARAMETERS:
        raise SpinecoreError(f"the network on the card has more than {MAX_PARAMETERS:,} parameters")
    return network


def check_name(name: str, folder: Path) -> str:
    """Return a name for own weights if it may be used.

    Raises
    ------
    SpinecoreError
        If it is taken, or holds other characters than small letters, digits, dots, dashes and underscores.
    """
    name = name.strip().lower()
    if not _NAME.match(name) or ".." in name:
        raise SpinecoreError(
            f"{name!r} cannot be a name: use 2 to 60 small letters, digits, dots, dashes and underscores"
        )
    if any(card.name == name for card in list_cards()):
        raise SpinecoreError(f"{name} is the name of a shipped model: choose another name")
    if (folder / f"{name}.json").exists():
        raise SpinecoreError(
            f"there is a model named {name} already: choose another name, or delete that one"
        )
    return name


def suggest_name(text: str, folder: Path) -> str:
    """Return a free name made from a file's or parent's name.

    Examples
    --------
    >>> suggest_name("My Model (2).safetensors", Path("nowhere"))
    'my-model-2'
    """
    base = re.sub(r"[^a-z0-9]+", "-", Path(text).name.lower().removesuffix(".safetensors")).strip("-")[:50]
    base = base if len(base) > 1 else f"own-{base or 'model'}"
    taken = {card.name for card in list_cards()} | {path.stem for path in folder.glob("*.json")}
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name not in taken)


def add_model(
    folder: Path,
    weights: Path,
    card: Path,
    name: str | None = None,
    weights_name: str | None = None,
    card_name: str | None = None,
) -> Card:
    """Check own weights and take them in under a name; half of them is never left behind.

    Parameters
    ----------
    folder : Path
        From `models_folder`; made when missing.
    weights, card : Path
        The safetensors file and its card.
    name : str, optional
        By default made from the weights' file name.
    weights_name, card_name : str, optional
        What the files are called in messages, where they lie under other names.

    Raises
    ------
    SpinecoreError
        As `check_model` and `check_name`.
    """
    data = check_model(weights, card, weights_name, card_name)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        chosen = check_name(name or suggest_name(weights_name or weights.name, folder), folder)
        target = folder / f"{chosen}.safetensors"
        with replacing(target) as temporary:
            shutil.copyfile(weights, temporary)
        write_card(target.with_suffix(".json"), data | {"name": chosen})
    return get_card(chosen, folder)


def remove_model(folder: Path, name: str) -> None:
    """Delete own weights for good; analyses made with them stay.

    Raises
    ------
    SpinecoreError
        If there are none of that name.
    """
    card = get_card(name, folder)
    with FileLock(folder / ".lock"):
        card.path.unlink(missing_ok=True)
        card.weights.unlink(missing_ok=True)
