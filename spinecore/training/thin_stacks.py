"""Real projections as thin stacks: for networks that read stacks, of which few real ones are marked.

A projection shows real heads, shafts and noise, but no depth. Its light is laid around a tilted plane and falls off above and below it as that
of a two-photon microscope does, and every slice gets noise of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from torch import nn

from spinecore.files import replacing
from spinecore.networks.scale import CANONICAL_UM
from spinecore.training.labelled import LabelledCandidates, draw_maps, label_candidates
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.samples import RealImage, load_points
from spinecore.training.variants import Variant

#: Images taken of each subset of points2d, one of each group of alike ones.
IMAGES = {"findspines": 44, "flimage_max": 12, "smirnov_spineyolo": 20}
SLICES, Z_UM = 9, 1.0
#: Largest side of the piece that is cut out around the marks.
SIDE_PX = 320
#: Standard deviation along z of the light of what is seen (um), and how far one side of the image lies above the other one (um).
DEPTH_UM, TILT_UM = (0.9, 1.6), 3.0
#: Standard deviation of the noise of a slice, in parts of the range of intensities.
NOISE = (0.01, 0.05)
#: Below this percentile an image shows background, which does not fall off.
BACKGROUND = 20.0
#: Farther than this from every mark (um) nobody may have looked.
JUDGED_UM = 3.0


def thin_stack(image: RealImage, rng: np.random.Generator) -> PoolVolume:
    """Make a thin stack of a projection, around one of its marks.

    Parameters
    ----------
    image : RealImage
        With a mark or more.
    rng : numpy.random.Generator

    Returns
    -------
    PoolVolume
        Its classes are all 0.
    """
    size = np.minimum(SIDE_PX, image.image.shape)
    anchor = image.centres[rng.integers(len(image.centres))]
    low = np.clip(np.round(anchor - size / 2), 0, np.array(image.image.shape) - size).astype(int)
    plane = image.image[low[0] : low[0] + size[0], low[1] : low[1] + size[1]]
    centres = image.centres - low
    centres = centres[((centres >= 0) & (centres < size)).all(1)]
    tilt_um = rng.uniform(-TILT_UM / 2, TILT_UM / 2, 2)

    def depth_um(places: np.ndarray) -> np.ndarray:
        return (SLICES - 1) / 2 * Z_UM + ((places / size - 0.5) * tilt_um).sum(-1)

    middle_um = depth_um(np.moveaxis(np.indices(plane.shape), 0, -1))
    away_um = np.arange(SLICES)[:, None, None] * Z_UM - middle_um
    background = float(np.percentile(plane, BACKGROUND))
    share = np.exp(-(away_um**2) / (2 * rng.uniform(*DEPTH_UM) ** 2))
    slices = background + (plane - background) * share
    slices += rng.uniform(*NOISE) * rng.standard_normal(slices.shape)
    marks = np.ones((len(centres), 4), np.float32)
    marks[:, 0], marks[:, 1:3] = depth_um(centres) / Z_UM, centres
    return PoolVolume(encode(slices), np.zeros(slices.shape, np.uint8), marks, Z_UM)


def pick_images(data: Path, seed: int = 0) -> list[RealImage]:
    """Return `IMAGES` of the learning split of points2d with marks, each of another group."""
    rng = np.random.default_rng(seed)
    images = [image for image in load_points(data, "train") if len(image.centres)]
    picked = []
    for subset, wanted in IMAGES.items():
        groups: dict[str, list[RealImage]] = {}
        for image in images:
            if image.subset == subset:
                groups.setdefault(image.group, []).append(image)
        for name in rng.permutation(sorted(groups))[:wanted]:
            picked.append(groups[name][rng.integers(len(groups[name]))])
    return picked


def label_thin_stack(volume: PoolVolume, maps: np.ndarray) -> LabelledCandidates:
    """Find the candidates of a thin stack, and what each is: unknown without a mark within `JUDGED_UM`."""
    stack = label_candidates(volume, maps)
    away = cKDTree(volume.centres[:, 1:3]).query(stack.centres_px[:, 1:])[0] * CANONICAL_UM
    stack.truth[(stack.truth == 0) & ~stack.again & (away > JUDGED_UM)] = -1
    return stack


def load_thin_stacks(
    data: Path, store: Path, model: nn.Module, say: Callable[[str], None] = print
) -> list[LabelledCandidates]:
    """Return thin stacks with their candidates, each as it is and changed at random; maps are kept in `store` for the next time."""
    store.mkdir(parents=True, exist_ok=True)
    out = []
    for number, image in enumerate(pick_images(data)):
        plain = thin_stack(image, np.random.default_rng(number))
        for name, volume in (("", plain), ("_changed", Variant.drawn(number).of(plain))):
            kept = store / f"{Path(image.name).stem}{name}.npy"
            if not kept.exists():
                with replacing(kept) as temporary:
                    np.save(temporary, draw_maps(model, volume))
            out.append(label_thin_stack(volume, np.load(kept)))
    say(f"real projections as thin stacks: {len(out)}")
    return out
