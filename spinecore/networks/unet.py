"""A compact U-Net in two dimensions, the body of the default method."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Net = TypeVar("Net", bound=nn.Module)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a residual connection."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(out_channels)
        self.skip = (
            nn.Conv2d(in_channels, out_channels, 1, bias=False)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, Y, X) to (N, out_channels, Y, X)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x), inplace=True)


def down_path(in_channels: int, widths: tuple[int, ...]) -> nn.ModuleList:
    """Return one `ConvBlock` for each level, finest first; between them the image is halved."""
    return nn.ModuleList(ConvBlock(a, b) for a, b in zip((in_channels, *widths[:-1]), widths, strict=True))


class UNet2d(nn.Module):
    """U-Net with same padding and bilinear upsampling.

    Parameters
    ----------
    in_channels, out_channels : int
        Planes in (neighbouring slices) and maps out (logits).
    widths : tuple of int
        Filters at each level, finest first.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    ) -> None:
        super().__init__()
        self.down = down_path(in_channels, widths)
        channels = widths[-1]
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(ConvBlock(channels + width, width))
            channels = width
        self.head = nn.Conv2d(channels, out_channels, 1)
        self.planes = in_channels
        self.stride = 2 ** (len(widths) - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, Y, X) to logits (N, out_channels, Y, X); Y and X divide by `stride`."""
        skips = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)


def folded(model: Net) -> Net:
    """Return a copy, for prediction only, with each batch normalisation folded into the convolution before it.

    The same function but for rounding; less to compute.
    """
    out = copy.deepcopy(model).eval()
    for block in out.modules():
        if isinstance(block, ConvBlock):
            block.conv1, block.norm1 = _folded_pair(block.conv1, block.norm1)
            block.conv2, block.norm2 = _folded_pair(block.conv2, block.norm2)
    return out


def _folded_pair(conv: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    if not isinstance(norm, nn.BatchNorm2d):  # folded before
        return conv, norm
    return fuse_conv_bn_eval(conv, norm), nn.Identity()
