"""A small 3-D U-Net whose kernels follow the voxel's shape."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

Triple = tuple[int, int, int]


def plan_levels(spacing_zyx_um: tuple[float, float, float], levels: int) -> tuple[list[Triple], list[Triple]]:
    """Choose kernels and poolings for anisotropic voxels.

    Kernels are 1 x 3 x 3 while slices lie more than twice as far apart as pixels, then 3 x 3 x 3;
    slices are pooled only once pixels have become (nearly) as coarse as they are. Rule of nnU-Net
    (Isensee et al. 2021), without its search over patch sizes.

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
    ([(1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)], [(1, 2, 2), (1, 2, 2), (2, 2, 2)])
    """
    z, pixel = spacing_zyx_um[0], min(spacing_zyx_um[1:])
    kernels: list[Triple] = []
    poolings: list[Triple] = []
    for _ in range(levels):
        kernels.append((1 if z > 2.01 * pixel else 3, 3, 3))
        step = 1 if z > 1.99 * pixel else 2
        poolings.append((step, 2, 2))
        z, pixel = z * step, pixel * 2
    return kernels, poolings[:-1]


class ConvBlock3d(nn.Module):
    """Two convolutions with batch normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


class UNet3d(nn.Module):
    """3-D U-Net with same padding, max pooling and transposed convolutions (Cicek et al. 2016).

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
        self.rise, self.up = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths) - 1)):
            step, width = self.poolings[level], widths[level]
            self.rise.append(nn.ConvTranspose3d(channels, width, step, stride=step))
            self.up.append(ConvBlock3d(2 * width, width, kernels[level]))
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
        for rise, block, skip in zip(self.rise, self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([rise(x), skip], dim=1))
        return self.head(x)
