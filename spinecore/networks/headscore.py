"""The small 3-D network that gives candidate heads a second look."""

from __future__ import annotations

import torch
from torch import nn


def _stage(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    ]


class Tower(nn.Module):
    """Reads one cube: its mean, its strongest and its middle response."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(channels, width),
            nn.MaxPool3d((1, 2, 2)),
            *_stage(width, 2 * width),
            *_stage(2 * width, 2 * width),
            nn.MaxPool3d(2),
            *_stage(2 * width, 3 * width),
            *_stage(3 * width, 3 * width),
        )
        self.out = 9 * width

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        """Map cubes, shape (n, channels, z, y, x), to features, shape (n, features)."""
        x = self.body(cube)
        middle = tuple(n // 2 for n in x.shape[2:])
        return torch.cat([x.mean((2, 3, 4)), x.amax((2, 3, 4)), x[(..., *middle)]], 1)


class HeadScore(nn.Module):
    """Logit that a candidate is a spine of its own: that of its peak's height, corrected.

    Parameters
    ----------
    channels : int
        Channels of each cube.
    width : int
        Filters of the first convolution.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.fine, self.wide = Tower(channels, width), Tower(channels, width)
        self.head = nn.Sequential(
            nn.Linear(self.fine.out + self.wide.out + 2, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(0.2),
            nn.Linear(64, 1),
        )

    def forward(self, fine: torch.Tensor, wide: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n,).

        Parameters
        ----------
        fine, wide : Tensor, shape (n, channels, z, y, x)
            See `spinecore.methods.second_look.cut_cubes`.
        features : Tensor, shape (n, 2)
            See `spinecore.methods.second_look.plain_features`.
        """
        seen = torch.cat([self.fine(fine), self.wide(wide), features], 1)
        return self.head(seen)[:, 0] + features[:, 0]
