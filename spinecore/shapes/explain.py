"""Where a shape network looked: heat maps, a control, and the share of the heat that lies on the spine.

A heat map is evidence only next to its control: the same method on the same network with randomised
weights (Adebayo et al. 2018). If both look alike, the map shows the picture and not what was learned.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from scipy.ndimage import affine_transform, binary_dilation

from spinecore.errors import SpinecoreError
from spinecore.networks.device import device_of, mixed_precision, one_thread
from spinecore.networks.zoo import Network
from spinecore.shapes.classes import BALL_AS, CLASSES, LABELS, four_way
from spinecore.shapes.classify import load_classifier, mirror_averaged
from spinecore.shapes.patches import Patch

#: The methods by the name shown. Score-CAM uses no gradient: it asks how the class's score changes when
#: the patch is covered by each activation map, and so it differs between classes.
#: Occlusion covers a part of the patch and asks how far the score falls (Zeiler and Fergus 2014).
METHODS = ("Grad-CAM", "Grad-CAM++", "Score-CAM", "Occlusion")
#: Side of the part that occlusion covers, and its steps (pixels of 0.1 um).
COVER_PX, COVER_STEP_PX = 4, 2
#: An outline is grown by this many pixels (0.1 um each) before the heat inside is added up.
RIM_PX = 1
_CONTROL_SEED = 20181
_controls: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


@dataclass(frozen=True)
class Heat:
    """Heat maps of some spines.

    Parameters
    ----------
    maps, controls : ndarray, float32, shape (n, Y, X)
        0..1 within each map; the controls come from randomised weights.
    classes : tuple of str
        The class each map explains.
    against : tuple of str or None
        The class it is contrasted with, or None.
    probabilities : ndarray, shape (n, 4)
        In the order of `CLASSES`.
    inside, control_inside : ndarray, shape (n,)
        Share of the heat on the spine (grown by `RIM_PX`); NaN where a map is empty.
    area : ndarray, shape (n,)
        Share of the patch that the spine covers: what an even map would give.
    alike : ndarray, shape (n,)
        Correlation of map and control; near 1 means that the map does not depend on what was learned.
    """

    maps: np.ndarray
    controls: np.ndarray
    classes: tuple[str, ...]
    against: tuple[str | None, ...]
    probabilities: np.ndarray
    inside: np.ndarray
    control_inside: np.ndarray
    area: np.ndarray
    alike: np.ndarray


class ClassScore:
    """Score of a reported class minus that of another: what a map explains (mushroom and ball count together)."""

    def __init__(self, name: str, against: str | None) -> None:
        self.name, self.against = name, against

    def __call__(self, logits: Any) -> Any:
        """Return the score of one spine's logits, shape (5,)."""
        score = self._of(logits, self.name)
        return score if self.against is None else score - self._of(logits, self.against)

    @staticmethod
    def _of(logits: Any, name: str) -> Any:
        import torch

        score = logits[..., LABELS.index(name)]
        return torch.logaddexp(score, logits[..., LABELS.index("ball")]) if name == BALL_AS else score


def explain(
    patches: Sequence[Patch],
    classifier: Network,
    method: str = "Grad-CAM",
    name: str | None = None,
    contrast: bool = False,
) -> Heat:
    """Compute heat maps and their controls.

    Parameters
    ----------
    patches : sequence of Patch
    classifier : Network
        From `spinecore.shapes.classify.load_classifier`.
    method : str
        One of `METHODS`.
    name : str, optional
        The class to explain; by default each spine's own answer.
    contrast : bool
        Explain the class against its strongest rival instead of on its own.

    Raises
    ------
    SpinecoreError
        If the method or class is unknown.
    """
    import torch

    if method not in METHODS:
        raise SpinecoreError(f"there is no method {method!r}: choose one of {', '.join(METHODS)}")
    if name is not None and name not in CLASSES:
        raise SpinecoreError(f"there is no class {name!r}: choose one of {', '.join(CLASSES)}")
    network = classifier.model
    images = np.stack([p.planes for p in patches]).astype(np.float32)
    planes = torch.from_numpy(images).to(device_of(network))
    temperature = float(classifier.card.data.get("temperature", 1.0))
    with one_thread():
        chance = four_way(mirror_averaged(network, images, temperature))
    order = np.argsort(-chance, axis=1, kind="stable")
    chosen = [name or CLASSES[row[0]] for row in order]
    rivals = [next(CLASSES[k] for k in row if CLASSES[k] != c) for row, c in zip(order, chosen, strict=True)]
    against = [rival if contrast else None for rival in rivals]
    targets = [ClassScore(c, a) for c, a in zip(chosen, against, strict=True)]
    with one_thread():
        maps = heat_maps(network, planes, targets, method)
        controls = heat_maps(_control(classifier), planes, targets, method)
    masks = np.stack([binary_dilation(p.outline > 0, iterations=RIM_PX) for p in patches])
    return Heat(
        maps,
        controls,
        tuple(chosen),
        tuple(against),
        chance,
        share_inside(maps, masks),
        share_inside(controls, masks),
        masks.mean((1, 2)),
        np.array([_correlation(a, b) for a, b in zip(maps, controls, strict=True)]),
    )


def warm_up() -> None:
    """Load what the first heat map needs (libraries, weights, the control), so that it does not wait for them."""
    importlib.import_module("pytorch_grad_cam")
    _control(load_classifier())


def share_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the share of each map's sum that lies in its mask, (n,); NaN where a map is empty.

    Examples
    --------
    >>> share_inside(np.ones((1, 2, 2)), np.array([[[True, False], [False, False]]]))
    array([0.25])
    """
    total = maps.sum((1, 2), dtype=float)
    inside = (maps * masks).sum((1, 2), dtype=float)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def to_source(
    heat: np.ndarray, patch: Patch, shape_yx: tuple[int, int], start_yx: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Put a heat map of a patch (Y, X) back on the projection that the patch was cut from.

    Parameters
    ----------
    heat : ndarray, shape (PATCH_PX, PATCH_PX)
    patch : Patch
    shape_yx, start_yx : tuple of int
        Size of the part of the projection that is wanted, and its first pixel.
    """
    back = np.linalg.inv(patch.matrix)
    return affine_transform(heat, back, back @ (np.array(start_yx) - patch.offset), shape_yx, order=1)


def on_projection(
    maps: np.ndarray,
    patches: Sequence[Patch],
    origins_yx: Sequence[tuple[int, int]],
    shape_yx: tuple[int, int],
) -> np.ndarray:
    """Put the heat maps of several spines back on one projection; where they overlap the hotter one counts.

    Parameters
    ----------
    maps : ndarray, shape (n, PATCH_PX, PATCH_PX)
    patches : sequence of Patch
    origins_yx : sequence of tuple of int
        Where the crop that each patch was cut from begins on the projection.
    shape_yx : tuple of int
        Size of the projection.

    Returns
    -------
    ndarray, float32, shape `shape_yx`
        0..1; 0 where no patch reaches.
    """
    out = np.zeros(shape_yx, np.float32)
    for heat, patch, origin in zip(maps, patches, origins_yx, strict=True):
        ends = np.array([[y, x] for y in (0, heat.shape[0] - 1) for x in (0, heat.shape[1] - 1)])
        corners = ends @ patch.matrix.T + patch.offset + origin
        low = np.clip(np.floor(corners.min(0)).astype(int), 0, shape_yx)
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, shape_yx)
        if (high <= low).any():
            continue
        part = out[low[0] : high[0], low[1] : high[1]]
        start = (int(low[0] - origin[0]), int(low[1] - origin[1]))
        np.maximum(part, to_source(heat, patch, part.shape, start), out=part)
    return out


def heat_maps(network: Any, planes: Any, targets: list[ClassScore], method: str) -> np.ndarray:
    """Return heat maps (n, Y, X), 0..1 each, of patches (n, 3, Y, X) for one target per patch."""
    if method == "Occlusion":
        return occlusion_maps(network, planes, targets)
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, ScoreCAM

    class HalfScoreCAM(ScoreCAM):
        """Asks in half precision: its hundreds of questions a map take half the time, and the maps are the same."""

        def get_cam_weights(self, *args: Any) -> Any:
            with mixed_precision(planes.device):
                return super().get_cam_weights(*args)

    kind = {"Grad-CAM": GradCAM, "Grad-CAM++": GradCAMPlusPlus, "Score-CAM": HalfScoreCAM}[method]
    out = [np.zeros((0, *planes.shape[2:]), np.float32)]
    with kind(model=network, target_layers=[network.heatmap_layer]) as cam:
        cam.batch_size = 32
        for start in range(0, len(planes), 50):
            part = slice(start, start + 50)
            out.append(np.asarray(_quiet(cam, planes[part], targets[part]), np.float32))
    return np.nan_to_num(np.concatenate(out))


def occlusion_maps(network: Any, planes: Any, targets: list[ClassScore]) -> np.ndarray:
    """Return how far the score falls where a square is made dark and outside the outline, (n, Y, X), 0..1 each."""
    import torch

    height, width = planes.shape[2:]
    out = np.zeros((len(planes), height, width), np.float32)
    corners = [
        (y, x)
        for y in range(0, height - COVER_PX + 1, COVER_STEP_PX)
        for x in range(0, width - COVER_PX + 1, COVER_STEP_PX)
    ]
    for number, (patch, target) in enumerate(zip(planes, targets, strict=True)):
        seen = [(y, x) for y, x in corners if patch[:, y : y + COVER_PX, x : x + COVER_PX].any()]
        covered = patch.repeat(1 + len(seen), 1, 1, 1)
        for k, (y, x) in enumerate(seen, start=1):
            covered[k, :, y : y + COVER_PX, x : x + COVER_PX] = 0
        with torch.inference_mode():
            logits = torch.cat([network(part).float() for part in covered.split(64)])
            scores = torch.stack([target(row) for row in logits.log_softmax(1)]).cpu().numpy()
        count = np.zeros((height, width), np.float32)
        for (y, x), fall in zip(seen, scores[0] - scores[1:], strict=True):
            out[number, y : y + COVER_PX, x : x + COVER_PX] += max(float(fall), 0.0)
            count[y : y + COVER_PX, x : x + COVER_PX] += 1
        out[number] /= np.maximum(count, 1)
        out[number] /= max(float(out[number].max()), 1e-9)
    return out


def _quiet(cam: Any, planes: Any, targets: list[ClassScore]) -> np.ndarray:
    """Run a method without the progress bar that Score-CAM prints."""
    import sys

    scores = sys.modules["pytorch_grad_cam.score_cam"]
    bar, scores.tqdm.tqdm = scores.tqdm.tqdm, lambda items, *_, **__: items
    try:
        return cam(input_tensor=planes.clone(), targets=targets)
    finally:
        scores.tqdm.tqdm = bar


def _control(classifier: Network) -> Any:
    """Return the network with randomised weights that belongs to a classifier; made once."""
    network = classifier.model
    if network not in _controls:
        _controls[network] = randomised(network)
    return _controls[network]


def randomised(network: Any) -> Any:
    """Return a copy of a network with every weight drawn anew (fixed seed), in evaluation mode."""
    import torch

    network = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_CONTROL_SEED)
        for part in network.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    return network.eval()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else float("nan")
