"""Intensities of every spine in every channel of its stack, above the local background of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from spinecore.errors import SpinecoreError
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.intensity import BACKGROUND_PX, CLEAR_PX, local_background
from spinecore.reading import open_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.stackfile import AS_IT_IS
from spinecore.tables.column import Column, by_name


def channel_columns(names: Sequence[str]) -> dict[str, Column]:
    """Return the columns for channels of these names: mean, max, integrated, background and shaft for each.

    Examples
    --------
    >>> list(channel_columns(["GFP"]))[:3]
    ['spine_id', 'intensity_mean_ch1', 'intensity_max_ch1']
    """
    columns = [Column("spine_id", "", "Spine", "Number of the spine.", "As in spines.csv.")]
    no_voxels = "the spine has no voxels in the stack"
    for k, name in enumerate(names, 1):
        at = f"channel {k}" + (f" ({name})" if name else "")
        columns += [
            Column(
                f"intensity_mean_ch{k}",
                "",
                f"Mean, {at}",
                f"Mean intensity above the local background in {at}.",
                f"Mean over the spine's voxels minus intensity_background_ch{k}.",
                no_voxels,
            ),
            Column(
                f"intensity_max_ch{k}",
                "",
                f"Maximum, {at}",
                f"Largest intensity above the local background in {at}.",
                f"Maximum over the spine's voxels minus intensity_background_ch{k}.",
                no_voxels,
            ),
            Column(
                f"intensity_integrated_ch{k}",
                "",
                f"Integrated, {at}",
                f"Sum of the intensity above the local background in {at}.",
                f"Sum over the spine's voxels of intensity minus intensity_background_ch{k}.",
                no_voxels,
            ),
            Column(
                f"intensity_background_ch{k}",
                "",
                f"Background, {at}",
                f"Intensity beside the spine in {at}.",
                "As intensity_background in spines.csv.",
                no_voxels,
            ),
            Column(
                f"intensity_shaft_ch{k}",
                "",
                f"Shaft, {at}",
                f"Mean intensity of the dendrite beside the spine above its local background in {at}.",
                "Mean over the voxels of the dendrite within 10 pixels of the spine's box in its slices.",
                "no dendrite lies there",
            ),
        ]
    return by_name(*columns)


def measure_channel(
    labels: np.ndarray, dendrite_labels: np.ndarray, intensity: np.ndarray, channel: int
) -> pd.DataFrame:
    """Measure every spine in one channel.

    Parameters
    ----------
    labels, dendrite_labels : ndarray of int, shape (Z, Y, X)
        Spine and dendrite numbers, 0 outside.
    intensity : ndarray, shape (Z, Y, X)
    channel : int
        Counted from 1; ends the columns' names.

    Returns
    -------
    DataFrame
        spine_id and the channel's columns of `channel_columns`, by spine.

    Raises
    ------
    SpinecoreError
        When the shapes differ.
    """
    if not labels.shape == dendrite_labels.shape == intensity.shape:
        raise SpinecoreError(
            f"the stack has shape {intensity.shape} and the analysis {labels.shape}: give the stack that was analysed"
        )
    step = max(1, intensity.shape[1] // 256)
    fallback = float(np.percentile(intensity[:, ::step, ::step], 10))
    margin = BACKGROUND_PX + CLEAR_PX
    rows = []
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        window = (
            box[0],
            *(slice(max(s.start - margin, 0), s.stop + margin) for s in box[1:]),
        )
        own = labels[window]
        mask = own == number
        crop = SpineCrop(
            (window[0].start, window[1].start, window[2].start),
            mask,
            (own > 0) & ~mask,
            dendrite_labels[window],
            intensity[window],
        )
        background = local_background(crop, fallback)
        values = crop.image[mask].astype(float) - background
        shaft = crop.image[crop.dendrite > 0]
        rows.append(
            {
                "spine_id": number,
                f"intensity_mean_ch{channel}": values.mean(),
                f"intensity_max_ch{channel}": values.max(),
                f"intensity_integrated_ch{channel}": values.sum(),
                f"intensity_background_ch{channel}": background,
                f"intensity_shaft_ch{channel}": shaft.mean(dtype=float) - background
                if len(shaft)
                else np.nan,
            }
        )
    return pd.DataFrame(
        rows,
        columns=["spine_id", *(n for n in channel_columns([""] * channel) if n.endswith(f"_ch{channel}"))],
    )


def measure_channels(
    labels: np.ndarray,
    dendrite_labels: np.ndarray,
    path: Path,
    time_point: int = 0,
    choices: ReadingChoices = AS_IT_IS,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Measure every spine in every channel of a file, one channel in memory at a time.

    Parameters
    ----------
    labels, dendrite_labels : ndarray of int, shape (Z, Y, X)
    path : Path
        The stack that was analysed.
    time_point : int
    choices : ReadingChoices
        How it was read.

    Returns
    -------
    table : DataFrame
        Columns of `channel_columns`.
    names : tuple of str
        The channels' names, empty where the file has none.

    Raises
    ------
    SpinecoreError
    """
    with open_stack(path, choices=choices) as file:
        n = file.shape_tczyx[1]
        names = tuple((*file.channel_names, *[""] * n)[:n])
        parts = [
            measure_channel(labels, dendrite_labels, file.read(k, time_point).voxels, k + 1).set_index(
                "spine_id"
            )
            for k in range(n)
        ]
    return pd.concat(parts, axis=1).reset_index(), names
