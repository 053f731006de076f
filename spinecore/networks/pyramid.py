"""The down and up paths of the default method's U-Net as a feature pyramid for detectors."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from spinecore.networks.unet import ConvBlock, down_path

#: Name of the pyramid's level at the image's own resolution.
FULL = "full"


class UNetPyramid(nn.Module):
    """The U-Net's residual blocks as a feature pyramid at strides 2, 4 and 8.

    Its parameters have the names of `spinecore.networks.unet.UNet2d`, without the last up block and head.

    Parameters
    ----------
    in_channels : int
    widths : tuple of int
        Filters at each level of the U-Net, finest first (at least four).
    out_channels : int
        Filters of every pyramid level.
    full : bool
        Add a level "full" at the image's own resolution, for masks.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], out_channels: int, full: bool = False
    ) -> None:
        super().__init__()
        self.down = down_path(in_channels, widths)
        channels = widths[-1]
        self.up = nn.ModuleList()
        self.first_level = 0 if full else 1
        for width in reversed(widths[self.first_level : -1]):
            self.up.append(ConvBlock(channels + width, width))
            channels = width
        self.full = nn.Conv2d(widths[0], out_channels, 1) if full else None
        self.lateral = nn.ModuleList(nn.Conv2d(w, out_channels, 1) for w in widths[1:4])
        self.planes = in_channels
        self.stride = 2 ** (len(widths) - 1)
        self.out_channels = out_channels
        self.frozen = False

    def freeze(self) -> None:
        """Keep the U-Net's blocks as they are; only the layers that lead out of it go on learning."""
        self.frozen = True
        self.down.requires_grad_(False)
        self.up.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> UNetPyramid:
        """Set the mode; the statistics of frozen blocks stay as they are."""
        super().train(mode)
        if self.frozen:
            self.down.eval()
            self.up.eval()
        return self

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """Map (N, in_channels, Y, X) to levels "0", "1", "2" of (N, out_channels, Y / 2, X / 2) and coarser.

        Level "full" of (N, out_channels, Y, X) follows where the pyramid has it.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            levels = self._levels(x.contiguous(memory_format=torch.channels_last))
        finest = levels.pop(0) if self.full is not None else None
        # anchors take the features' precision: bfloat16 could not hold a coordinate beyond 256
        out = OrderedDict(
            (str(k), lateral(level).float())
            for k, (lateral, level) in enumerate(zip(self.lateral, levels[:3], strict=True))
        )
        if self.full is not None:
            out[FULL] = self.full(finest).float()
        return out

    def _levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Run the U-Net up; its levels, finest first."""
        skips = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        levels = [x]
        for block, skip in zip(self.up, reversed(skips[self.first_level : -1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
            levels.append(x)
        return levels[::-1]
