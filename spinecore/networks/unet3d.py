"""A small 3-D U-Net whose kernels follow the voxel's shape."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

Triple = tuple[int, int, int]


def plan_levels(spacing_zyx_um: tuple[float, float, float], levels: int) -> tuple[list[Triple], list[Triple]]:
    """Choose kernels and poolings for anisotropic voxels.

    Kernels are 1 x 3 x 3 while slices lie at least twice as far apart as pixels, then 3 x 3 x 3;
    slices are pooled only from there on. Rule of nnU-Net (Isensee et al. 2021), without its search
    over patch sizes.

    Parameters
    ----------
    spacing_zyx_um : tuple of float
        Voxel size at the finest level in um.
    levels : int

    Returns
    -------
    kernels : list of (z, y, x)
        One a level, finest first.
    poolings : list of (z, y, x)
        Between the levels, one fewer.

    Examples
    --------
    >>> plan_levels((0.4, 0.1, 0.1), 4)
    ([(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)], [(1, 2, 2), (1, 2, 2), (2, 2, 2)])
    """
    z, pixel = spacing_zyx_um[0], min(spacing_zyx_um[1:])
    kernels: list[Triple] = []
    poolings: list[Triple] = []
    for _ in range(levels):
        flat = z > 1.99 * pixel
        kernels.append((1 if flat else 3, 3, 3))
        step = 1 if flat else 2
        poolings.append((step, 2, 2))
        z, pixel = z * step, pixel * 2
    return kernels, poolings[:-1]


class ConvBlock3d(nn.Module):
    """Two convolutions with batch normalisation and a residual connection."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.skip = (
            nn.Conv3d(in_channels, out_channels, 1, bias=False)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, Z, Y, X) to (N, out_channels, Z, Y, X)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x), inplace=True)


class UNet3d(nn.Module):
    """3-D U-Net with same padding and trilinear upsampling (Cicek et al. 2016, residual blocks).

    Its layers are named and sized as those of `UNet2d`, so that a 2-D network can be inflated
    into it (`inflate`).

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in, and maps out (logits).
    widths : sequence of int
        Filters at each level, finest first.
    spacing_zyx_um : tuple of float
        Voxel size it is made for (um); decides the kernels, see `plan_levels`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: tuple[int, ...],
        spacing_zyx_um: tuple[float, float, float],
    ) -> None:
        super().__init__()
        kernels, self.poolings = plan_levels(spacing_zyx_um, len(widths))
        self.down = nn.ModuleList()
        channels = in_channels
        for width, kernel in zip(widths, kernels, strict=True):
            self.down.append(ConvBlock3d(channels, width, kernel))
            channels = width
        self.up = nn.ModuleList()
        for width, kernel in zip(reversed(widths[:-1]), reversed(kernels[:-1]), strict=True):
            self.up.append(ConvBlock3d(channels + width, width, kernel))
            channels = width
        self.head = nn.Conv3d(channels, out_channels, 1)

    @property
    def stride(self) -> Triple:
        """Sides of the input divide by these numbers (z, y, x)."""
        total = [1, 1, 1]
        for pooling in self.poolings:
            total = [t * p for t, p in zip(total, pooling, strict=True)]
        return (total[0], total[1], total[2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, Z, Y, X) to logits (N, out_channels, Z, Y, X)."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool3d(x, self.poolings[level - 1]))
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="trilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)


def inflate(flat: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn the weights of a 2-D U-Net into those of a 3-D one that treats every slice alike.

    A kernel's weights become the middle slice of the deeper kernel, the other slices are 0; in this
    way the network begins with what the 2-D one knows and learns to look up and down (Carreira and
    Zisserman 2017 spread them evenly instead). A first layer with several planes is summed over them,
    and outputs that the 3-D network lacks are left out.

    Parameters
    ----------
    flat : dict
        State of a `UNet2d` of the same widths.
    state : dict
        State of the `UNet3d`; decides the shapes.
    """
    out = {}
    for name, wanted in state.items():
        value = flat[name]
        if value.dim() == 4:
            if value.shape[1] != wanted.shape[1]:
                value = value.sum(1, keepdim=True)
            deep = torch.zeros_like(wanted)
            deep[:, :, wanted.shape[2] // 2] = value[: len(wanted)]
            value = deep
        out[name] = value[: len(wanted)] if value.dim() else value
    return out
