"""What a stack must be for an analysis; pages ask the same before a job is queued."""

from __future__ import annotations

from spinecore.errors import SpinecoreError
from spinecore.stack import Spacing, Stack

#: Pixel sizes (um) that can show spines at all.
PIXEL_UM = (0.01, 1.0)


def check_spacing(name: str, spacing: Spacing, is_2d: bool) -> None:
    """Check that a voxel size lets an analysis run.

    Raises
    ------
    SpinecoreError
        If it is unknown or cannot be true; pages ask this before a job is queued.
    """
    pixel = spacing.pixel_um
    if pixel is None:
        raise SpinecoreError(
            f"the pixel size of {name} is unknown: give it in the field “Pixel size” of its card",
            f"the pixel size of {name} is unknown: give it with --pixel-size",
        )
    low, high = PIXEL_UM
    if not low <= pixel <= high:
        problem = f"a pixel size of {pixel:.4g} um cannot show spines ({low:g} to {high:g} um can)"
        raise SpinecoreError(
            f"{problem}: correct the field “Pixel size” of {name}, or choose another image",
            f"{problem}: correct it with --pixel-size",
        )
    _, y_um, x_um = spacing.zyx_um(z_default=1.0)
    if not 0.2 < y_um / x_um < 5:
        raise SpinecoreError(
            f"pixels of {y_um:.4g} x {x_um:.4g} um are not plausible: correct the pixel sizes of {name}",
            f"pixels of {y_um:.4g} x {x_um:.4g} um are not plausible: give --pixel-size and --pixel-size-y",
        )
    if not is_2d and not spacing.known_z:
        raise SpinecoreError(
            f"the distance between the slices of {name} is unknown: give it in the field “Slice step” of its card",
            f"the distance between the slices of {name} is unknown: give it with --z-step",
        )


def check_stack(stack: Stack) -> list[str]:
    """Return notes about a stack that can be analysed.

    Raises
    ------
    SpinecoreError
        If it cannot: unknown or impossible pixel size, too small, or without contrast.
    """
    check_spacing(stack.name, stack.spacing, stack.is_2d)
    pixel = stack.spacing.pixel_um or 0.0
    if min(stack.shape[1:]) * pixel < 1.5 or min(stack.shape[1:]) < 16:
        raise SpinecoreError(
            f"the image is only {stack.shape[2]} x {stack.shape[1]} pixels: choose one that shows at least 2 x 2 um"
        )
    sample = stack.voxels[:, :: max(1, stack.shape[1] // 256), :: max(1, stack.shape[2] // 256)]
    if float(sample.max()) == float(sample.min()) and float(stack.voxels.max()) == float(stack.voxels.min()):
        raise SpinecoreError(
            f"every voxel of this channel has the value {float(sample.max()):g}: choose another channel or file"
        )
    notes = list(stack.notes)
    return notes
