"""Pictures of a section: in grey, with its membranes, with its cells in colour, and weight maps; nothing of Streamlit."""

from __future__ import annotations

import colorsys

import numpy as np
import plotly.graph_objects as go

from spinecore.ui.planes import image_uri

#: Longest side of a picture (px); larger sections are shown with every second, third, ... pixel.
LONGEST_PX = 1400
MEMBRANE_RGB = np.array([230, 60, 30], np.float32)
CHOSEN_RGB = np.array([255, 235, 40], np.float32)
_STRENGTH = 0.45


def step_for(shape_yx: tuple[int, ...]) -> int:
    """Return of how many pixels one is shown."""
    return max(1, -(-max(shape_yx[-2:]) // LONGEST_PX))


def grey(image: np.ndarray) -> np.ndarray:
    """Return a section as uint8 RGB (Y, X, 3), stretched from its 1st to its 99th percentile."""
    low, high = np.percentile(image, (1, 99))
    scaled = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=2)


def with_membranes(picture: np.ndarray, membrane: np.ndarray) -> np.ndarray:
    """Return a picture (Y, X, 3) with the membrane probability (Y, X) in red on top."""
    alpha = (0.85 * membrane)[..., None]
    return (picture * (1 - alpha) + MEMBRANE_RGB * alpha).astype(np.uint8)


def probability(membrane: np.ndarray) -> np.ndarray:
    """Return the membrane probability as grey RGB, membranes dark."""
    return np.repeat((255 * (1 - membrane)).astype(np.uint8)[..., None], 3, axis=2)


def cell_colours(count: int) -> np.ndarray:
    """Return a colour for each number 0..count, float32 RGB; neighbouring numbers differ in hue, 0 is black."""
    hues = (np.arange(count + 1) * 0.618034) % 1.0
    lights = np.array([0.95, 0.75, 0.85])[np.arange(count + 1) % 3]
    colours = np.array(
        [colorsys.hsv_to_rgb(h, 0.75, v) for h, v in zip(hues, lights, strict=True)], np.float32
    )
    colours[0] = 0
    return colours * 255


def with_cells(picture: np.ndarray, labels: np.ndarray, chosen: tuple[int, ...] = ()) -> np.ndarray:
    """Return a picture (Y, X, 3) with each cell of `labels` (Y, X) in a colour of its own; chosen ones in yellow."""
    present, place = np.unique(labels, return_inverse=True)
    table = cell_colours(int(present.max(initial=0)))[present] if len(present) < 65_536 else None
    if table is None:
        return picture
    strength = np.where(present > 0, _STRENGTH, 0.0).astype(np.float32)
    for number in chosen:
        table[present == number], strength[present == number] = CHOSEN_RGB, 0.75
    place = place.reshape(labels.shape)
    alpha = strength[place][..., None]
    return (picture * (1 - alpha) + table[place] * alpha).astype(np.uint8)


def heat(values: np.ndarray, most: float | None = None) -> np.ndarray:
    """Return non-negative values (Y, X) in the colours of "viridis", uint8 RGB; `most` is the brightest."""
    from matplotlib import colormaps

    top = most or float(values.max(initial=0)) or 1.0
    return (colormaps["viridis"](np.clip(values / top, 0, 1))[..., :3] * 255).astype(np.uint8)


def picture_figure(rgb: np.ndarray, step: int = 1, line: list[tuple[int, int]] | None = None) -> go.Figure:
    """Return a figure of a picture whose axes count the section's own pixels.

    Parameters
    ----------
    rgb : ndarray, uint8, shape (rows, columns, 3)
    step : int
        Pixels of the section for one of the picture.
    line : list of (y, x), optional
        Points that are marked, and joined when there are two.
    """
    height, width = rgb.shape[0] * step, rgb.shape[1] * step
    figure = go.Figure(
        go.Scatter(x=[0, width], y=[0, height], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    )
    if line:
        figure.add_trace(
            go.Scatter(
                x=[x for _, x in line],
                y=[y for y, _ in line],
                mode="lines+markers",
                line={"color": "#ffe600", "width": 2},
                marker={"size": 8},
                hoverinfo="skip",
            )
        )
    figure.add_layout_image(
        source=image_uri(np.ascontiguousarray(rgb), lossless=True),
        xref="x",
        yref="y",
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        sizing="stretch",
        layer="below",
    )
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
        plot_bgcolor="white",
        dragmode="pan",
        uirevision="membranes",
    )
    figure.update_xaxes(range=[0, width], visible=False, constrain="domain")
    figure.update_yaxes(range=[height, 0], visible=False, scaleanchor="x", constrain="domain")
    return figure
