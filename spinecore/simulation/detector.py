"""From light to a file's numbers: haze, attenuation, photons, noise, jitter and bit depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter, shift, zoom

from spinecore.simulation.rendering import Grid


@dataclass(frozen=True)
class Camera:
    """Detector settings of one simulated stack.

    Parameters
    ----------
    photons : float
        Expected photons in a voxel of full shaft brightness.
    background : float
        Mean background as a share of shaft brightness.
    haze : float
        Contrast of the smooth background.
    attenuation : float
        Share of the light lost from the first to the last slice.
    read_noise : float
        Standard deviation of additive noise, in photons.
    excess : float
        Noise factor of the multiplier (1 = pure Poisson).
    jitter_px : float
        Standard deviation of each slice's in-plane shift.
    row_jitter_px : float
        Standard deviation of each row's shift (scanning jitter).
    bits : int
        8, 12 or 16.
    saturation : float
        Share of the brightest signal at which the range ends; below 1 some voxels saturate.
    smoothing : str
        "none", "gaussian" or "median": filtering that a lab applied before saving.
    """

    photons: float
    background: float
    haze: float
    attenuation: float
    read_noise: float
    excess: float
    jitter_px: float
    row_jitter_px: float
    bits: int
    saturation: float
    smoothing: str


def draw_camera(rng: np.random.Generator, photons: tuple[float, float]) -> Camera:
    """Draw detector settings."""
    return Camera(
        photons=float(np.exp(rng.uniform(*np.log(photons)))),
        background=float(np.exp(rng.uniform(np.log(0.005), np.log(0.12)))),
        haze=float(rng.uniform(0, 0.6)),
        attenuation=float(rng.uniform(0, 0.5)),
        read_noise=float(rng.uniform(0, 1.0)),
        excess=float(rng.uniform(1.0, 1.5)),
        jitter_px=float(rng.choice([0.0, 0.15, 0.6])),
        row_jitter_px=float(rng.choice([0.0, 0.0, 0.25])),
        bits=int(rng.choice([8, 12, 16])),
        saturation=float(rng.choice([1.2, 1.0, 0.7, 0.45])),
        smoothing=str(rng.choice(["none", "gaussian", "median"], p=[0.7, 0.2, 0.1])),
    )


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], cells: int) -> np.ndarray:
    """Return a smooth random field with mean 0 and unit spread."""
    field = np.zeros(shape, np.float32)
    for octave, weight in ((1, 1.0), (2, 0.5), (4, 0.25)):
        n = cells * octave + 2
        coarse = rng.standard_normal((3, n, n))
        factors = (shape[0] / 3, shape[1] / n, shape[2] / n)
        fine = zoom(coarse, factors, order=1, grid_mode=True, mode="nearest")
        field += weight * fine[: shape[0], : shape[1], : shape[2]]
    return field


def distant_light(scene_distant: list, grid: Grid) -> np.ndarray:
    """Return a (Y, X) image of out-of-focus neurites, each blurred by its distance."""
    _, ny, nx = grid.shape_zyx
    _, py, px = grid.spacing_um
    light = np.zeros((ny, nx), np.float32)
    for points, radii, depth in scene_distant:
        drawn = np.zeros((ny, nx), np.float32)
        fine = np.repeat(points, 4, axis=0) + np.linspace(0, 0.2, 4)[np.arange(len(points) * 4) % 4, None]
        rows, columns = np.round(fine[:, 1] / py).astype(int), np.round(fine[:, 2] / px).astype(int)
        ok = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        drawn[rows[ok], columns[ok]] = 1
        width = radii[0] + 0.35 * depth
        blurred = gaussian_filter(drawn, width / px)
        if blurred.max() > 0:
            light += blurred / blurred.max() * (0.35 / (1 + depth))
    return light


def expose(
    light: np.ndarray, scene_distant: list, camera: Camera, grid: Grid, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Record a stack.

    Parameters
    ----------
    light : ndarray, shape (Z, Y, X)
        Blurred signal, 1.0 = a shaft wider than the blur.
    scene_distant : list
        Structures far out of focus, which add a wide glow.
    camera : Camera
    grid : Grid
    rng : Generator

    Returns
    -------
    recorded : ndarray of uint8 or uint16
        What the file holds.
    shifts_px : ndarray, shape (Z, 2)
        In-plane shift (y, x) of each slice; truth is given without it.
    noise : ndarray, float32, shape (Z, Y, X)
        Standard deviation of the noise of each voxel before any smoothing, in units of `light`.
    """
    nz = light.shape[0]
    background = camera.background * np.exp(
        camera.haze * smooth_field(rng, light.shape, int(rng.integers(1, 5)))
    )
    distant = distant_light(scene_distant, grid)
    z_fade = np.clip(
        1 + 0.3 * np.interp(np.arange(nz), np.linspace(0, max(nz - 1, 1), 3), rng.standard_normal(3)), 0.2, 2
    )[:, None, None]
    total = light + background + distant[None] * z_fade
    total = total * np.linspace(1, 1 - camera.attenuation, nz)[:, None, None]
    total *= np.clip(1 + 0.15 * smooth_field(rng, light.shape, 2), 0.4, 1.6)
    noise = (
        np.sqrt(np.maximum(total, 0) * camera.photons * camera.excess + camera.read_noise**2) / camera.photons
    )
    shifts = rng.normal(0, camera.jitter_px, (nz, 2)) if camera.jitter_px else np.zeros((nz, 2))
    if camera.jitter_px:
        for k in range(nz):
            total[k] = shift(total[k], shifts[k], order=1, mode="nearest")
    if camera.row_jitter_px:
        total = _jitter_rows(total, camera.row_jitter_px, rng)
    expected = np.maximum(total, 0) * camera.photons
    counts = rng.poisson(expected / camera.excess).astype(np.float32) * camera.excess
    counts += rng.normal(0, camera.read_noise, counts.shape).astype(np.float32)
    if camera.smoothing == "gaussian":
        counts = gaussian_filter(counts, (0, 0.8, 0.8))
    elif camera.smoothing == "median":
        counts = median_filter(counts, (1, 3, 3))
    top = 2**camera.bits - 1
    offset = rng.uniform(0.0, 0.08) * top
    full = max(float(np.quantile(counts, 0.9999)), 1e-3) * camera.saturation
    recorded = np.clip(offset + counts / full * (top - offset), 0, top).round()
    return recorded.astype(np.uint8 if camera.bits == 8 else np.uint16), shifts, noise.astype(np.float32)


def _jitter_rows(volume: np.ndarray, sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    nz, ny, nx = volume.shape
    moves = rng.normal(0, sigma_px, (nz, ny, 1))
    low = np.floor(moves).astype(int)
    part = (moves - low).astype(np.float32)
    columns = np.arange(nx)[None, None, :] - low
    first = np.take_along_axis(volume, np.clip(columns, 0, nx - 1), axis=2)
    second = np.take_along_axis(volume, np.clip(columns - 1, 0, nx - 1), axis=2)
    return first * (1 - part) + second * part
