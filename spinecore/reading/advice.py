"""What a person should know before a file is analysed: one list for the pages and the command line.

Each sentence stands in page words; where the command line needs other words for what to do, it has them beside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from spinecore.reading.limits import in_words
from spinecore.reading.stackfile import StackFile
from spinecore.stack import Spacing

#: In-plane sizes (um) the methods were trained for.
TRAINED_PIXEL_UM = (0.05, 0.2)
#: Coarser z steps (um) leave spines in a single slice.
COARSE_Z_UM = 1.0
#: Share of voxels at the top value from which a warning is given.
SATURATED_WARNING = 0.001
#: Signal over noise below which spines are hard to see; noise alone gives 3 to 4.
MIN_SIGNAL_TO_NOISE = 5.0
#: From here on channels of one slice may be slices, whatever else the file says.
_MANY_CHANNELS = 5


class Advice(str):
    """A sentence for the page.

    Parameters
    ----------
    text : str
    command : str, optional
        The same for the command line.
    """

    command: str

    def __new__(cls, text: str, command: str | None = None) -> Advice:
        """Make the sentence; see the class."""
        made = super().__new__(cls, text)
        made.command = text if command is None else command
        return made


def _do(problem: str, page: str, command: str) -> Advice:
    return Advice(f"{problem}{page}", f"{problem}{command}")


def size_advice(shape_tczyx: tuple[int, int, int, int, int], spacing: Spacing) -> list[Advice]:
    """Return what the shape and the voxel size of a file give reason to say."""
    found = []
    z, y, x = shape_tczyx[2:]
    if not spacing.known_xy:
        found.append(
            _do(
                "The pixel size is unknown: give it",
                ", or no result in micrometres can be trusted.",
                " with --pixel-size.",
            )
        )
    else:
        pixel_um = spacing.pixel_um or 0.0
        if pixel_um > TRAINED_PIXEL_UM[1]:
            found.append(
                Advice(
                    f"{pixel_um:.3g} um per pixel is too coarse to resolve thin spines (at most "
                    f"{TRAINED_PIXEL_UM[1]} is advised): expect misses."
                )
            )
        elif pixel_um < 0.6 * TRAINED_PIXEL_UM[0]:
            found.append(
                Advice(
                    f"{pixel_um:.3g} um per pixel is far finer than the methods were trained for: check it."
                )
            )
        if spacing.x_um and spacing.y_um and abs(spacing.x_um / spacing.y_um - 1) > 0.02:
            found.append(
                _do(
                    f"A pixel is {spacing.x_um:.4g} um wide and {spacing.y_um:.4g} um high; both are used. ",
                    "Correct them beside the picture if that is wrong.",
                    "Give --pixel-size and --pixel-size-y if that is wrong.",
                )
            )
    if z > 1 and not spacing.known_z:
        found.append(
            _do(
                "The z step is unknown: give it",
                ", or lengths and volumes in 3-D cannot be trusted.",
                " with --z-step.",
            )
        )
    elif z > 1 and (spacing.z_um or 0.0) > COARSE_Z_UM:
        found.append(
            Advice(
                f"A z step of {spacing.z_um:.3g} um is too coarse to separate spines above and below the shaft."
            )
        )
    if z > 500:
        found.append(
            _do(
                f"{z:,} slices are unusual for a z stack: if they are time points, ",
                "say so under “Axes”.",
                "add --axes TYX.",
            )
        )
    if min(y, x) < 64:
        found.append(Advice(f"The image is only {x} x {y} pixels, so most spines would touch its border."))
    return found


def file_advice(file: StackFile, line_shift_px: int) -> list[Advice]:
    """Return what the axes, images and scan lines of a file give reason to say.

    Parameters
    ----------
    file : StackFile
    line_shift_px : int
        As `spinecore.reading.lines.measure_line_shift` gives it.
    """
    found = []
    times, channels, slices = file.shape_tczyx[:3]
    has_step = any(finding.z_um for finding in file.findings)
    if times > 1 and slices == 1:
        found.append(
            _do(
                f"The file holds {times} time points of one slice, and one time point is analysed as a single image: if they "
                "are z slices, ",
                "choose “Read as z slices” under “Axes”; if they are frames of one slice, average them there.",
                f"add --axes {'ZYX' if channels == 1 else 'ZCYX'}; if they are frames of one slice, add --average-time.",
            )
        )
    elif times > 1 and file.repeats_slices:
        found.append(
            _do(
                f"Each slice was recorded {times} times, and one of them is analysed: to use them all, ",
                "choose “Average the time points” under “Axes”.",
                "add --average-time.",
            )
        )
    many = channels >= _MANY_CHANNELS or (has_step and times == 1)
    if channels > 1 and slices == 1 and many and not file.is_colour:
        why = ", and a distance between slices" if has_step else ""
        found.append(
            _do(
                f"The file holds {channels} channels of one slice{why}, and one channel is analysed as a single image: if they "
                "are z slices, ",
                "choose “Read as z slices” under “Axes”.",
                f"add --axes {'ZYX' if times == 1 else 'TZYX'}.",
            )
        )
    if len(file.images) > 1:
        listed = "; ".join(f"{k}: {image.words}" for k, image in enumerate(file.images[:8]))
        found.append(
            _do(
                f"The file holds {len(file.images)} images ({listed}); image {file.image} is read. ",
                "Choose another under “Axes”.",
                "Choose another with --series.",
            )
        )
    if line_shift_px:
        found.append(
            _do(
                f"Odd lines are shifted by {-line_shift_px} pixels against even ones (bidirectional scanning): ",
                "choose “Align the lines” under “Axes”.",
                f"add --line-shift {line_shift_px} to move them back.",
            )
        )
    return found


def channel_words(names: tuple[str, ...], channel: int, suggested: int) -> str | None:
    """Say for the command line which of several channels is analysed, or None where there is one.

    Parameters
    ----------
    names : tuple of str
    channel, suggested : int
        The channel in use, and the one in which structures stand out most; from 0.
    """
    if len(names) == 1:
        return None
    own = "" if names[channel] == f"channel {channel}" else f" ({names[channel]})"
    chosen = f"Channel {channel}{own} of channels 0 to {len(names) - 1} is analysed"
    if channel == suggested:
        return f"{chosen}: thin structures stand out most there; choose another with --channel."
    return f"{chosen} as asked; thin structures stand out most in channel {suggested}."


def time_words(times: int, time_point: int, said: Sequence[str]) -> str | None:
    """Say for the command line which of several time points is analysed; None for one, or where it is `said` already.

    Examples
    --------
    >>> time_words(4, 0, [])
    'Time point 0 of time points 0 to 3 is analysed: choose another with --time-point.'
    """
    if times == 1 or any("time point" in text or "recorded" in text for text in said):
        return None
    return f"Time point {time_point} of time points 0 to {times - 1} is analysed: choose another with --time-point."


def value_advice(low: float, high: float, saturated: float, noise_ratio: float | None) -> list[Advice]:
    """Return what the intensities give reason to say.

    Parameters
    ----------
    low, high : float
        Extremes.
    saturated : float
        Share of saturated voxels.
    noise_ratio : float or None
        Signal over noise.
    """
    if low == high:
        return [Advice(f"Every voxel has the same value ({low:g}): check the channel and the export.")]
    found = []
    if saturated >= SATURATED_WARNING:
        found.append(
            Advice(
                f"{saturated:.1%} of the voxels are saturated (at {high:g}): their intensities are too low and "
                "widths there too large."
            )
        )
    if noise_ratio is not None and noise_ratio < MIN_SIGNAL_TO_NOISE:
        found.append(
            Advice(
                f"The image is noisy (signal {noise_ratio:.1f} times the noise, at least {MIN_SIGNAL_TO_NOISE:.0f} is "
                "advised): expect misses and false alarms."
            )
        )
    return found


def memory_advice(needed: int) -> list[Advice]:
    """Return a warning where an analysis needs more memory (bytes) than the computer has."""
    try:
        present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return []
    if needed <= present:
        return []
    return [
        Advice(
            f"An analysis may need {in_words(needed)} of memory, more than this computer's {in_words(present)}: crop it."
        )
    ]
