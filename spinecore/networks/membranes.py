"""Networks that find neuronal membranes in electron micrographs: four published ones and a compact one.

The published ones follow Gupta and Verma, "Neuronal structure segmentation in electron microscopy images":
two U-Nets of 31 million parameters (Ronneberger, Fischer and Brox 2015), one of 8.6 million, and a deep multilevel
contextual network (Chen et al. 2016). Where that text leaves a layer open, the docstring says what was chosen.
Every network maps one normalised section to logits of "membrane".
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from spinecore.networks.unet import ConvBlock

#: Pixels that valid padding takes from each side of a U-Net with four poolings.
VALID_MARGIN_PX = 92


def initialise(model: nn.Module, classifier: nn.Module) -> None:
    """Draw weights He-normal before ReLU and Glorot-uniform before the sigmoid; biases are 0.

    He normal is a normal distribution truncated at two standard deviations with variance 2 / fan_in (as in Keras);
    Glorot uniform lies within sqrt(6 / (fan_in + fan_out)). An output pixel of a transposed convolution whose stride
    is its kernel size sees `in_channels` values.

    Parameters
    ----------
    model : Module
        Its convolutions are set in place.
    classifier : Module
        The convolution that a sigmoid follows.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        area = module.kernel_size[0] * module.kernel_size[1]
        fan_in = module.in_channels * (area if isinstance(module, nn.Conv2d) else 1)
        if module is classifier:
            limit = (6 / (fan_in + module.out_channels * area)) ** 0.5
            nn.init.uniform_(module.weight, -limit, limit)
        else:
            # 0.8796 is the standard deviation of a standard normal truncated at +-2
            std = (2 / fan_in) ** 0.5 / 0.87962566
            nn.init.trunc_normal_(module.weight, 0.0, std, -2 * std, 2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _pair(in_channels: int, out_channels: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=padding),
        nn.ReLU(inplace=True),
    )


class PublishedUNet(nn.Module):
    """The U-Net of 2015: 18 convolutions of 3x3, 4 poolings, 4 up-convolutions and a 1x1 classifier; no normalisation.

    Parameters
    ----------
    widths : tuple of int
        Filters at each of five levels; (64, 128, 256, 512, 1024) has 31.0 million parameters.
    valid : bool
        Valid padding: the output is 184 pixels smaller than the input, whose sides must be 12 more than a multiple
        of 16. Otherwise same padding, for sides that divide by 16.
    dropout : float
        Share of the features dropped at the end of the two lowest levels while training (where, the text leaves open).
    """

    def __init__(
        self, widths: tuple[int, ...] = (64, 128, 256, 512, 1024), valid: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        padding = 0 if valid else 1
        self.down = nn.ModuleList(
            _pair(a, b, padding) for a, b in zip((1, *widths[:-1]), widths, strict=True)
        )
        pairs = list(pairwise(widths))[::-1]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for high, low in pairs)
        self.up = nn.ModuleList(_pair(2 * high, high, padding) for high, _ in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)
        self.dropout = nn.Dropout(dropout)
        self.stride = 2 ** (len(widths) - 1)
        self.margin_px = VALID_MARGIN_PX if valid else 0
        initialise(self, self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, Y, X) to logits (N, 1, Y - 2 margin, X - 2 margin)."""
        skips = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            if index >= len(self.down) - 2:
                x = self.dropout(x)
            skips.append(x)
        for enlarge, block, skip in zip(self.enlarge, self.up, reversed(skips[:-1]), strict=True):
            x = F.relu(enlarge(x))
            cut_y, cut_x = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
            skip = skip[:, :, cut_y : cut_y + x.shape[2], cut_x : cut_x + x.shape[3]]
            x = block(torch.cat([skip, x], dim=1))
        return self.head(x)


class DeepContextualNet(nn.Module):
    """Deep multilevel contextual network: 16 convolutions, 3 poolings, 3 transposed convolutions, 7.8 million parameters.

    The text gives those counts, ReLU after each layer, and "multilevel contextual information is fused with a
    concatenation and fed into a classification layer". Chosen here: ten convolutions down (2, 2, 3 and 3 of them at
    64, 128, 256 and 512 filters); from each of the three lower levels a convolution to `branch` filters and one
    transposed convolution back to full size; these and the first level are concatenated, two convolutions fuse them,
    and a 1x1 convolution classifies.

    Parameters
    ----------
    widths : tuple of int
        Filters at each level.
    depths : tuple of int
        Convolutions at each level.
    branch : int
        Filters of each upsampled level.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        depths: tuple[int, ...] = (2, 2, 3, 3),
        branch: int = 8,
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        channels = 1
        for width, depth in zip(widths, depths, strict=True):
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self.down.append(nn.Sequential(*layers))
        self.narrow = nn.ModuleList(nn.Conv2d(w, branch, 3, padding=1) for w in widths[1:])
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(branch, branch, 2**k, 2**k) for k in range(1, len(widths))
        )
        fused = widths[0] + branch * (len(widths) - 1)
        self.fuse = _pair(fused, 4 * branch, 1)
        self.head = nn.Conv2d(4 * branch, 1, 1)
        self.stride = 2 ** (len(widths) - 1)
        self.margin_px = 0
        initialise(self, self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, Y, X), sides a multiple of 8, to logits of the same size."""
        levels = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            levels.append(x)
        maps = [levels[0]]
        for level, narrow, enlarge in zip(levels[1:], self.narrow, self.enlarge, strict=True):
            maps.append(F.relu(enlarge(F.relu(narrow(level)))))
        return self.head(self.fuse(torch.cat(maps, dim=1)))


class WideContext(nn.Module):
    """Dilated 3x3 convolutions side by side, joined by a 1x1 convolution and added to the input."""

    def __init__(self, channels: int, dilations: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        part = channels // len(dilations)
        self.parts = nn.ModuleList(
            nn.Conv2d(channels, part, 3, padding=d, dilation=d, bias=False) for d in dilations
        )
        self.norm = nn.BatchNorm2d(part * len(dilations))
        self.join = nn.Conv2d(part * len(dilations), channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, channels, Y, X)."""
        return x + self.join(F.relu(self.norm(torch.cat([p(x) for p in self.parts], dim=1))))


class MembraneFast(nn.Module):
    """Ours: a residual U-Net with batch normalisation and wide context at the lowest level, 1.6 million parameters.

    Two maps come out: membrane, and the line along which two cells part, which is what the watershed needs.

    Parameters
    ----------
    widths : tuple of int
        Filters at each level; few at full size, where pixels are many.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 48, 96, 128, 144)) -> None:
        super().__init__()
        self.down = nn.ModuleList(ConvBlock(a, b) for a, b in zip((1, *widths[:-1]), widths, strict=True))
        self.context = WideContext(widths[-1])
        channels = widths[-1]
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(ConvBlock(channels + width, width))
            channels = width
        self.head = nn.Conv2d(channels, 2, 1)
        self.stride = 2 ** (len(widths) - 1)
        self.margin_px = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, Y, X), sides a multiple of 16, to logits (N, 2, Y, X) of membrane and dividing line."""
        skips = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        x = self.context(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)


def build_membrane_network(architecture: dict[str, Any]) -> nn.Module:
    """Build the untrained network of a card's `architecture`, whose kind starts with "membrane-"."""
    kind = architecture["kind"]
    widths = tuple(architecture["widths"])
    if kind == "membrane-unet":
        return PublishedUNet(widths, architecture["valid"], architecture["dropout"])
    if kind == "membrane-dmcn":
        return DeepContextualNet(widths, tuple(architecture["depths"]), architecture["branch"])
    return MembraneFast(widths)
