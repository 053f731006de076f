"""Bias and spread of every measure on phantoms with closed-form truth.

    python -m benchmarks.measurement_accuracy

Writes the tables and plots of docs/accuracy.md. The phantoms are a straight dendrite (a tube) with one spine (a
cylinder and a ball), turned, tilted and shifted between voxels; once with the exact mask, once with a mask cut at half
maximum from a blurred and noisy image.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from spinecore.tracing.trace import trace_dendrites
from tests.phantoms import grid, measure, spine_phantom, tube

SPACINGS = ((0.05, 0.05, 0.05), (0.2, 0.05, 0.05), (0.3, 0.1, 0.1), (0.5, 0.1, 0.1), (1.0, 0.2, 0.2))
#: (length, head diameter, neck diameter) in um.
SIZES = ((0.9, 0.3, 0.15), (1.2, 0.45, 0.2), (1.5, 0.6, 0.25), (1.8, 0.8, 0.3))
#: (tilt out of the plane, turn in the plane) in degrees.
POSES = ((0, 0), (0, 30), (30, 60), (60, 15), (90, 45), (-45, 80))
#: Standard deviation of the Gaussian blur along Z, Y, X in um, and of the noise relative to the brightness.
BLUR_UM, NOISE = (0.25, 0.1, 0.1), 0.05
MEASURES = {
    "length_um": "spine length",
    "head_width_um": "head width",
    "neck_width_um": "neck width",
    "neck_length_um": "neck length",
    "volume_um3": "volume",
    "volume_fluorescence_um3": "volume by fluorescence",
    "surface_um2": "surface",
}
DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- results: written by benchmarks.measurement_accuracy -->", "<!-- end of results -->"


def truth(length: float, head: float, neck: float, shaft: float = 0.4) -> dict[str, float]:
    """Return the closed forms of a ball on a cylinder; its foot on the round shaft counts as flat."""
    r, a = head / 2, neck / 2
    stalk = length - r - np.sqrt(r**2 - a**2)
    cap = r - np.sqrt(r**2 - a**2)
    volume = np.pi * a**2 * stalk + 4 / 3 * np.pi * r**3 - np.pi * cap**2 * (3 * r - cap) / 3
    return {
        "length_um": length,
        "head_width_um": head,
        "neck_width_um": neck,
        "neck_length_um": stalk,
        "volume_um3": volume,
        "volume_fluorescence_um3": volume,
        "surface_um2": 2 * np.pi * a * stalk + 4 * np.pi * r**2 - 2 * np.pi * r * cap + np.pi * a**2,
    }


def measured_spines() -> pd.DataFrame:
    """Return one row per phantom, condition and measure: the true and the measured value."""
    rng = np.random.default_rng(0)
    rows = []
    for spacing, size, (tilt, turn) in itertools.product(SPACINGS, SIZES, POSES):
        shift = tuple(rng.uniform(-0.5, 0.5, 3) * spacing)
        phantom = spine_phantom(spacing, *size, tilt, shift, (6.6, 6.6, 6.6), turn_deg=turn)
        bright = ndi.gaussian_filter((phantom.dendrite | phantom.spine) * 1.0, np.array(BLUR_UM) / spacing)
        image = 100 + 1000 * (bright + rng.normal(0, NOISE, bright.shape))
        level = bright[tuple(np.rint(phantom.head_um / spacing).astype(int))] / 2
        cut = (bright > level) & ~phantom.dendrite
        near = np.linalg.norm(grid(cut.shape, spacing) - phantom.head_um, axis=-1) < size[0]
        pieces, _ = ndi.label(cut & near & ndi.binary_dilation(phantom.spine, iterations=3))
        cut = pieces == pieces[tuple(np.rint(phantom.head_um / spacing).astype(int))]
        for condition, mask in (("exact mask", phantom.spine), ("blur and noise", cut & (pieces > 0))):
            if not mask.any():
                continue
            row, _ = measure(mask, phantom.dendrite, image, spacing, phantom.head_um)
            for name, value in truth(*size).items():
                flag = str(row.get(f"{name}_flag", ""))
                rows.append(
                    (spacing, size[1], condition, name, value, row[name], "resolution-limited" in flag)
                )
    names = ["spacing", "head", "condition", "measure", "truth", "found", "limited"]
    table = pd.DataFrame(rows, columns=names)
    table["error"] = 100 * (table.found.astype(float) / table.truth - 1)
    return table


def measured_dendrites() -> pd.DataFrame:
    """Return one row per wavy dendrite that runs through the volume: relative error of its length (%)."""
    rows = []
    extent = np.array([9.0, 10.0, 10.0])
    s = np.linspace(-11, 11, 45)
    fine = np.linspace(-11, 11, 20001)
    for spacing, angle, radius in itertools.product(SPACINGS[1:], (0, 20, 40, 60), (0.35, 0.6)):
        shape = tuple(np.round(extent / spacing).astype(int))
        tilt = np.deg2rad(angle)
        along = np.array([np.sin(tilt), 0.3 * np.cos(tilt), np.sqrt(0.91) * np.cos(tilt)])
        side = np.cross(along, [1.0, 0.0, 0.0])
        points = (
            extent / 2 + s[:, None] * along + 0.5 * np.sin(s / 1.6)[:, None] * side / np.linalg.norm(side)
        )
        dense = np.stack([np.interp(fine, s, points[:, k]) for k in range(3)], axis=1)
        inside = np.all(
            (dense >= -np.array(spacing) / 2) & (dense <= (np.array(shape) - 0.5) * spacing), axis=1
        )
        length = np.linalg.norm(np.diff(dense[inside], axis=0), axis=1).sum()
        found = trace_dendrites(tube(grid(shape, spacing), points, radius), spacing)
        total = sum(d.path_length_um for d in found)
        rows.append((spacing, angle, radius, 100 * (total / length - 1)))
    return pd.DataFrame(rows, columns=["spacing", "angle", "radius", "error"])


def voxel(spacing: tuple[float, float, float]) -> str:
    """Return a voxel size for people."""
    return f"{spacing[0]:g} x {spacing[1]:g}"


def tables(spines: pd.DataFrame, dendrites: pd.DataFrame) -> str:
    """Return the results as Markdown."""
    lines = [f"Phantoms: {len(SPACINGS)} voxel sizes x {len(SIZES)} sizes x {len(POSES)} poses.", ""]
    for condition, part in spines.groupby("condition", sort=False):
        lines += [f"### {condition[0].upper()}{condition[1:]}", ""]
        lines.append(
            "Median relative error / half the interquartile range (%), and the share that has a value."
        )
        lines += ["", "| voxel z x xy (um) | head (um) | " + " | ".join(MEASURES.values()) + " |"]
        lines.append("|---|---|" + "---|" * len(MEASURES))
        for (spacing, head), group in part.groupby(["spacing", "head"]):
            cells = [voxel(spacing), f"{head:g}"]
            for name in MEASURES:
                error = group.loc[group.measure == name, "error"]
                known = error.dropna()
                half = (known.quantile(0.75) - known.quantile(0.25)) / 2
                share = "" if len(known) == len(error) else f" ({len(known)}/{len(error)})"
                cells.append(f"{known.median():+.0f} / {half:.0f}{share}" if len(known) else "none")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["### Dendrite length", "", "Relative error (%) of wavy dendrites through the volume.", ""]
    lines += [
        "| voxel z x xy (um) | " + " | ".join(f"tilt {a} degrees" for a in (0, 20, 40, 60)) + " |",
        "|---|" + "---|" * 4,
    ]
    for spacing, group in dendrites.groupby("spacing"):
        cells = [
            "; ".join(f"{e:+.1f}" for e in group.loc[group.angle == a, "error"]) for a in (0, 20, 40, 60)
        ]
        lines.append(f"| {voxel(spacing)} | " + " | ".join(cells) + " |")
    median = dendrites.error.abs().median()
    return "\n".join([*lines, "", f"(radius 0.35 um; 0.6 um.) Median absolute error {median:.1f} %.", ""])


def draw(spines: pd.DataFrame, path: Path) -> None:
    """Draw the error of each measure against the head's size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(14, 6.5), sharex=True, layout="constrained")
    for axis, (name, title) in zip(axes.flat, MEASURES.items(), strict=False):
        for k, spacing in enumerate(SPACINGS):
            for condition, style in (("exact mask", "-o"), ("blur and noise", "--^")):
                chosen = spines[
                    (spines.spacing == spacing) & (spines.condition == condition) & (spines.measure == name)
                ]
                median = chosen.groupby("head")["error"].median()
                axis.plot(median.index, median, style, color=f"C{k}", ms=4, lw=1.2)
        axis.axhline(0, color="0.6", lw=0.8, zorder=0)
        axis.set_title(title)
        axis.set_ylim(-60, 100)
        axis.set_xlabel("head diameter (um)")
    for axis in axes[:, 0]:
        axis.set_ylabel("median error (%)")
    key = axes.flat[-1]
    key.axis("off")
    for k, spacing in enumerate(SPACINGS):
        key.plot([], [], color=f"C{k}", label=f"{voxel(spacing)} um")
    key.plot([], [], "-o", color="0.3", label="exact mask")
    key.plot([], [], "--^", color="0.3", label="blur and noise")
    key.legend(loc="center", frameon=False, title="voxel z x xy")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure all phantoms and write the results into docs/accuracy.md."""
    spines, dendrites = measured_spines(), measured_dendrites()
    text = tables(spines, dendrites)
    print(text)
    draw(spines, DOCS / "measurement_accuracy.png")
    page = DOCS / "accuracy.md"
    old = page.read_text(encoding="utf-8")
    start, stop = old.index(BEGIN) + len(BEGIN), old.index(END)
    page.write_text(f"{old[:start]}\n\n{text}\n{old[stop:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
