"""Class and probability of spines by a network, and the rules' answer beside it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects

from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.networks.answers import answer, softmax
from spinecore.networks.device import describe_run, device_of, pick_device
from spinecore.networks.zoo import Network, get_card, load_card
from spinecore.paths import MODELS_DIR
from spinecore.reading import read_stack
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.classes import CLASSES, four_way
from spinecore.shapes.patches import WINDOW_UM, Patch, cut_patch, shaft_around
from spinecore.shapes.rules import named_class
from spinecore.stack import Stack
from spinecore.tables.column import Column, measures

DEFAULT_MODEL = "shape-focus"
#: Names of the probability columns, in the order of `CLASSES`.
PROBABILITY_COLUMNS = tuple(f"p_{name}" for name in CLASSES)
_BATCH = 16
#: Answers kept, by the weights and the patch's digest: a spine that is cut again with the same outline, as its
#: neighbours are at another threshold, does not go through the network again.
_KEPT_ANSWERS = 50_000
_answers: OrderedDict[tuple[str, bytes], np.ndarray] = OrderedDict()
_answers_lock = Lock()


@dataclass(frozen=True)
class SpineView:
    """What a patch is cut from: a crop around one spine, arrays of one ZYX shape.

    Parameters
    ----------
    image : ndarray
        Raw intensity.
    mask : ndarray of bool
        The spine.
    dendrite : ndarray of bool
        Where the shaft is.
    spacing_zyx_um : tuple of float
        Voxel size.
    origin : tuple of int
        Grid index (ZYX) of the crop's first voxel.
    """

    image: np.ndarray
    mask: np.ndarray
    dendrite: np.ndarray
    spacing_zyx_um: tuple[float, float, float]
    origin: tuple[int, int, int] = (0, 0, 0)

    def patch(self, turn: bool = True) -> Patch:
        """Cut the patch that the networks see."""
        window = _window(self.mask, self.spacing_zyx_um)
        patch = cut_patch(
            self.image[window], self.mask[window], self.dendrite[window], self.spacing_zyx_um, turn
        )
        shift = np.array([window[1].start, window[2].start])
        return Patch(patch.image, patch.outline, patch.depth, patch.matrix, patch.offset + shift)


def _window(mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The spine's slices, and its rows and columns with room around them."""
    pad = [0, *(np.ceil(1.5 * WINDOW_UM / np.array(spacing[1:])).astype(int))]
    out = []
    for axis, extra in enumerate(pad):
        inside = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        out.append(slice(max(int(inside[0]) - extra, 0), int(inside[-1]) + 1 + int(extra)))
    return out[0], out[1], out[2]


def has_model(name: str = DEFAULT_MODEL, folder: Path = MODELS_DIR) -> bool:
    """Say whether a classifier's weights are there."""
    try:
        get_card(name, folder)
    except SpinecoreError:
        return False
    return True


def load_classifier(
    name: str = DEFAULT_MODEL, device: str = "auto", folder: Path = MODELS_DIR, folded: bool = False
) -> Network:
    """Load a shape network onto a device.

    Parameters
    ----------
    name : str
    device : str
        One of `spinecore.networks.device.DEVICES`.
    folder : Path
        Of the weights.
    folded : bool
        In its fastest form, which gives classes but neither features nor heat maps (see
        `spinecore.networks.zoo.load_card`).

    Raises
    ------
    SpinecoreError
        If the weights are missing or do not fit their card, or there is no such device.
    """
    return load_card(get_card(name, folder), pick_device(device), folded)


def classify_patches(patches: Sequence[Patch], classifier: Network) -> np.ndarray:
    """Return four-way probabilities, float64 (n, 4) in the order of `CLASSES`.

    The logits are divided by the card's temperature, which was fitted so that probabilities say how often the
    answer is right.
    """
    if not patches:
        return np.zeros((0, len(CLASSES)))
    card, network = classifier.card, classifier.model
    temperature = float(card.data.get("temperature", 1.0))
    planes = [np.ascontiguousarray(patch.planes, np.float32) for patch in patches]
    weights = f"{card.sha256} {temperature} {describe_run(network)}"
    keys = [(weights, blake2b(plane.tobytes(), digest_size=16).digest()) for plane in planes]
    with _answers_lock:
        known = {key: _answers[key] for key in keys if key in _answers}
    new = {key: plane for key, plane in zip(keys, planes, strict=True) if key not in known}
    if new:
        answers = _ask(network, list(new.values()), temperature)
        known |= dict(zip(new, answers, strict=True))
        with _answers_lock:
            _answers.update({key: known[key] for key in new})
            while len(_answers) > _KEPT_ANSWERS:
                _answers.popitem(last=False)
    return np.stack([known[key] for key in keys])


def _ask(network: Any, planes: Sequence[np.ndarray], temperature: float) -> np.ndarray:
    """Return four-way probabilities (n, 4) of planes (3, Y, X), batch by batch."""
    starts = range(0, len(planes), _BATCH)
    blocks = (np.stack(planes[start : start + _BATCH]) for start in starts)
    return np.concatenate([four_way(mirror_averaged(network, block, temperature)) for block in blocks])


def patch_features(patches: Sequence[Patch], classifier: Network) -> np.ndarray:
    """Return the vector that a network makes its decision from, for every patch, float32 (n, features)."""
    import torch

    network, out = classifier.model, []
    planes = np.stack([patch.planes for patch in patches]).astype(np.float32)
    with torch.inference_mode():
        for start in range(0, len(planes), _BATCH):
            block = torch.from_numpy(planes[start : start + _BATCH]).to(device_of(network))
            out.append(network.features(block).cpu().numpy())
    return np.concatenate(out)


def mirror_averaged(network: Any, patches: np.ndarray, temperature: float) -> np.ndarray:
    """Return five-way probabilities (N, 5) of patches (N, 3, Y, X), averaged over each and its mirror image."""
    return mean_chance(both_logits(network, patches), temperature)


def both_logits(network: Any, patches: np.ndarray) -> np.ndarray:
    """Return the logits (N, 2, 5) of patches (N, 3, Y, X) and of their mirror images."""
    return np.stack([answer(network, patches), answer(network, np.flip(patches, 3))], 1)


def mean_chance(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities (N, 5) that logits (N, 2, 5) mean."""
    return softmax(logits / temperature).mean(1)


def classify_spines(views: Iterable[SpineView], classifier: Network) -> np.ndarray:
    """Return four-way probabilities (n, 4) of spines in crops; see `classify_patches`."""
    return classify_patches([view.patch() for view in views], classifier)


_NO_NETWORK = "no shape network is installed, or the spine has fewer than 4 voxels"
_WORDED = {"mushroom": "a mushroom", "thin": "thin", "stubby": "stubby", "filopodium": "a filopodium"}


@measures(
    Column(
        "class",
        "",
        "Class",
        "Shape class by the network: mushroom, thin, stubby or filopodium. Shapes form a continuum: see the probabilities.",
        "Most probable class of the shape network (see the model's card); a person's correction replaces it.",
        _NO_NETWORK,
        text=True,
    ),
    Column(
        "class_probability",
        "",
        "Class probability",
        "The network's probability of the class shown, from 0 to 1.",
        "Softmax of the shape network with its fitted temperature, mean of the spine and its mirror image.",
        _NO_NETWORK,
    ),
    *(
        Column(
            f"p_{name}",
            "",
            f"P({name})",
            f"The network's probability that the spine is {_WORDED[name]}, from 0 to 1.",
            "As class_probability; the four add up to 1.",
            _NO_NETWORK,
        )
        for name in CLASSES
    ),
    Column(
        "class_rule",
        "",
        "Class by rules",
        "Class by a published rule set, with the rule that fired; not decided where a measure is missing or its error spans a "
        "threshold.",
        "Rodriguez et al. 2008 on length_um, head_width_um, neck_width_um and neck_length_um, each with its median error; other "
        "sets and thresholds can be chosen on the Shapes page or with analyse --rules.",
        text=True,
    ),
    Column(
        "class_disagrees",
        "",
        "Classes differ",
        "True where class and class_rule name different classes.",
        "class against the class in class_rule.",
        "one of the two has no answer",
    ),
    Column(
        "edited",
        "",
        "Edited",
        "True when a person added this spine, let it count below the threshold, or changed its head, outline, base, tip, dendrite or class.",
        "From the lists of corrections beside the analysis.",
    ),
)
def fill_classes(
    table: pd.DataFrame,
    probabilities: Mapping[int, np.ndarray],
    rules: ChosenRules | None = None,
    corrections: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Return a spine table with both answers about shape: the network's and the rules'.

    Parameters
    ----------
    table : DataFrame
        With `spine_id` and the measures.
    probabilities : mapping from spine number to ndarray, shape (4,)
        In the order of `CLASSES`; spines without an entry stay without a class.
    rules : ChosenRules, optional
        By default those of Rodriguez et al. with their published thresholds.
    corrections : mapping from spine number to class, optional
        A person's answers; they replace `class` (its probability then is the network's for that class)
        and say which spines are `edited`.

    Returns
    -------
    DataFrame
        A copy with class, class_probability, class_rule, class_disagrees, `PROBABILITY_COLUMNS` and edited.
    """
    out = table.copy()
    ids = out["spine_id"].astype(int).tolist()
    missing = np.full(len(CLASSES), np.nan)
    values = np.array([probabilities.get(i, missing) for i in ids], float).reshape(-1, len(CLASSES))
    known = ~np.isnan(values).any(1)
    best = np.where(known, np.nan_to_num(values, nan=-1.0).argmax(1), -1)
    answer = [CLASSES[k] if k >= 0 else None for k in best]
    corrected = dict(corrections or {})
    chosen = [corrected.get(i, a) for i, a in zip(ids, answer, strict=True)]
    out["class"] = pd.Series(chosen, out.index, dtype=object)
    out["class_probability"] = [
        row[CLASSES.index(name)] if name in CLASSES else np.nan
        for row, name in zip(values, chosen, strict=True)
    ]
    for k, name in enumerate(PROBABILITY_COLUMNS):
        out[name] = values[:, k]
    rules = rules or ChosenRules()
    out["class_rule"] = rules.texts(rules.apply(out))
    out["class_disagrees"] = disagreement(out)
    if corrections is not None:
        out["edited"] = out["spine_id"].isin(list(corrections))
    return out


def disagreement(table: pd.DataFrame) -> pd.Series:
    """Return True where class and rule differ, False where they agree, missing where either has no answer."""
    ruled = table["class_rule"].map(named_class)
    both = ruled.notna() & table["class"].notna() & (table["class"] != "")
    return (ruled != table["class"]).astype("boolean").where(both)


def views_of_labels(stack: Stack, labels: np.ndarray) -> dict[int, SpineView]:
    """Return a view per label of an image with given outlines.

    Parameters
    ----------
    stack : Stack
        With a pixel size; without a slice distance the depth extent is left out.
    labels : ndarray of int, shape (Z, Y, X) or (Y, X)
        Spine numbers, 0 outside.

    Raises
    ------
    SpinecoreError
        If the shapes differ, the pixel size is unknown or no spine is labelled.
    """
    labels = labels[None] if labels.ndim == 2 else labels
    if labels.shape != stack.shape:
        raise SpinecoreError(
            f"the labels have the shape {labels.shape} and {stack.name} has {stack.shape}: give labels of the same image"
        )
    if not stack.spacing.known_xy:
        raise SpinecoreError(f"the pixel size of {stack.name} is unknown: give it with --pixel-size")
    boxes = {k: box for k, box in enumerate(find_objects(labels), start=1) if box is not None}
    if not boxes:
        raise SpinecoreError("the labels hold no spine (every pixel is 0): give an image of spine numbers")
    spacing = stack.spacing.zyx_um(0.0)
    shaft = shaft_around(stack.voxels, labels)
    pad = [0, *(np.ceil(2 * WINDOW_UM / np.array(spacing[1:])).astype(int))]
    views = {}
    for number, box in boxes.items():
        window = tuple(slice(max(s.start - p, 0), s.stop + p) for s, p in zip(box, pad, strict=True))
        origin = (window[0].start, window[1].start, window[2].start)
        views[number] = SpineView(
            stack.voxels[window], labels[window] == number, shaft[window], spacing, origin
        )
    return views


def shape_table(views: Mapping[int, SpineView], classifier: Network) -> pd.DataFrame:
    """Classify views: spine_id, class, and one probability column per class."""
    probabilities = classify_spines(views.values(), classifier)
    table = pd.DataFrame(probabilities, columns=list(PROBABILITY_COLUMNS))
    table.insert(0, "spine_id", list(views))
    table.insert(1, "class", [CLASSES[k] for k in probabilities.argmax(1)])
    return table


def classify_files(
    image: Path,
    labels: Path,
    out: Path,
    pixel_um: float | None = None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Classify the labelled spines of an image file and write the table as CSV.

    Raises
    ------
    SpinecoreError
        With one sentence for the user.
    """
    stack = read_stack(image, pixel_um=pixel_um)
    outlines = np.rint(read_stack(labels, pixel_um=pixel_um or 1.0).voxels).astype(np.int64)
    if outlines.min() < 0 or outlines.max() > 10_000_000:
        raise SpinecoreError(f"{labels.name} is not an image of spine numbers: its values must be 0 and up")
    table = shape_table(
        views_of_labels(stack, outlines.astype(np.int32)), load_classifier(model, device, folded=True)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", encoding="utf-8")
    return table
