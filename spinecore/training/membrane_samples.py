"""Training examples for membrane networks: random crops of the labelled sections, zoomed, turned and bent.

Zoom, rotation, flips and elastic deformation as in the publication, drawn afresh for every crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from spinecore.errors import SpinecoreError
from spinecore.membranes.predict import normalise_section
from spinecore.membranes.weight_map import dividing_lines, membrane_weights

#: Numbers of the sections to learn from and to validate on (the data's README).
TRAIN = range(20)
VALIDATION = range(20, 25)


@dataclass(frozen=True)
class Section:
    """One labelled section: raw `image` (Y, X) and `interior` (Y, X), True inside cells."""

    number: int
    image: np.ndarray
    interior: np.ndarray


def load_sections(data: Path, numbers: range) -> list[Section]:
    """Read labelled sections of em_isbi2012.

    Raises
    ------
    SpinecoreError
        If one is missing.
    """
    from PIL import Image

    sections = []
    for number in numbers:
        paths = [data / "em_isbi2012" / part / f"section_{number:02d}.png" for part in ("images", "labels")]
        for path in paths:
            if not path.is_file():
                raise SpinecoreError(f"{path} is missing: give the folder of labelled images with --data")
        image, labels = (np.asarray(Image.open(path)) for path in paths)
        sections.append(Section(number, image, labels > 127))
    return sections


def planes_of(section: Section) -> torch.Tensor:
    """Return image, membrane, weight and dividing line of a section as one tensor (4, Y, X)."""
    planes = (
        normalise_section(section.image),
        ~section.interior,
        membrane_weights(section.interior),
        dividing_lines(section.interior),
    )
    return torch.from_numpy(np.stack([np.asarray(p, np.float32) for p in planes]))


@dataclass(frozen=True)
class Deformation:
    """How crops differ from the section they are cut from.

    Parameters
    ----------
    zoom : tuple of float
        Least and greatest magnification.
    elastic_px : float
        Standard deviation of the displacements on a grid of 3 x 3 points (10 in Ronneberger et al. 2015, for 512 px).
    gain, offset : float
        Standard deviation of the logarithm of the contrast, and of the brightness (in units of the image's spread).
    noise, blur : float
        Greatest standard deviation of added noise, and of a blur (px); each in three crops of ten.
    plain : float
        Share of crops that are mirrored and turned by right angles only, so that every pixel is one of the section and of
        its label: membranes are found to the pixel, which interpolated ones do not teach.
    """

    zoom: tuple[float, float] = (0.8, 1.3)
    elastic_px: float = 8.0
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.0
    blur: float = 0.0
    plain: float = 0.5


def sampling_grid(
    size: int, shape_yx: tuple[int, ...], how: Deformation, rng: np.random.Generator
) -> torch.Tensor:
    """Return where in a section each pixel of a crop comes from, as `grid_sample` wants it, (1, size, size, 2)."""
    angle, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(how.zoom)))
    flip = rng.choice([-1.0, 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1.0])
    span = np.arange(size) - (size - 1) / 2
    offsets = np.stack(np.meshgrid(span, span, indexing="ij"), -1) @ turn.T / zoom
    # the crop's centre lies inside; what sticks out is mirrored
    reach = [min(0.4 * size / zoom, 0.45 * n) for n in shape_yx]
    centre = [rng.uniform(r, n - 1 - r) for r, n in zip(reach, shape_yx, strict=True)]
    coarse = torch.from_numpy(rng.normal(0, how.elastic_px, (1, 2, 3, 3)).astype(np.float32))
    bend = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0]
    at = torch.from_numpy((offsets + centre).astype(np.float32)) + bend.permute(1, 2, 0)
    scale = torch.tensor([2 / (n - 1) for n in shape_yx])
    return (at * scale - 1).flip(-1)[None]


def change_intensity(image: torch.Tensor, how: Deformation, rng: np.random.Generator) -> torch.Tensor:
    """Change contrast, brightness, noise and sharpness of a normalised crop (Y, X)."""
    from scipy.ndimage import gaussian_filter

    image = image * float(np.exp(rng.normal(0, how.gain))) + float(rng.normal(0, how.offset))
    if how.blur and rng.random() < 0.3:
        image = torch.from_numpy(gaussian_filter(image.numpy(), rng.uniform(0.3, how.blur)))
    if how.noise and rng.random() < 0.3:
        noise = rng.standard_normal(tuple(image.shape)).astype(np.float32)
        image = image + float(rng.uniform(0, how.noise)) * torch.from_numpy(noise)
    return image


class MembraneSampler:
    """Draws batches of crops.

    Parameters
    ----------
    sections : list of Section
    size, batch : int
        Side of a crop (px) and crops in a batch.
    how : Deformation
    seed : int
    """

    def __init__(
        self, sections: list[Section], size: int, batch: int, how: Deformation, seed: int = 0
    ) -> None:
        self.planes = [planes_of(section) for section in sections]
        self.size, self.number, self.how = size, batch, how
        self.rng = np.random.default_rng(seed)

    def crop(self) -> torch.Tensor:
        """Return one example (4, size, size): image, membrane, weight, dividing line."""
        planes = self.planes[int(self.rng.integers(len(self.planes)))]
        _, height, width = planes.shape
        if self.rng.random() < self.how.plain and min(height, width) >= self.size:
            top, left = (int(self.rng.integers(n - self.size + 1)) for n in (height, width))
            part = planes[:, top : top + self.size, left : left + self.size]
            crop = torch.rot90(part, int(self.rng.integers(4)), (1, 2))
            crop = (crop.flip(2) if self.rng.random() < 0.5 else crop).clone()
            crop[0] = crop[0] * float(np.exp(self.rng.normal(0, self.how.gain)))
            crop[0] += float(self.rng.normal(0, self.how.offset))
            return crop
        grid = sampling_grid(self.size, (height, width), self.how, self.rng)
        crop = F.grid_sample(
            planes[None], grid, mode="bilinear", padding_mode="reflection", align_corners=True
        )[0]
        crop[0] = change_intensity(crop[0], self.how, self.rng)
        crop[1], crop[3] = crop[1] > 0.5, crop[3] > 0.5
        return crop

    def batch(self) -> torch.Tensor:
        """Return a batch (N, 4, size, size)."""
        return torch.stack([self.crop() for _ in range(self.number)])
