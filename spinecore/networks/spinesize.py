"""The small 3-D network that reads the size of a spine from its surroundings."""

from __future__ import annotations

import torch
from torch import nn

from spinecore.networks.headscore import Tower

#: The spread it gives (logarithm) is kept within these.
SPREAD = (-4.0, 1.0)


class SpineSize(nn.Module):
    """Natural logarithms of a spine's sizes, and of how far off each may be.

    Parameters
    ----------
    channels : int
        Channels of each cube.
    width : int
        Filters of the first convolution of the fine cube's tower; the wide cube's has half as many.
    middle : list of float
        Logarithm of a common value of each size, to which the network's answer is added.
    """

    def __init__(self, channels: int, width: int, middle: list[float]) -> None:
        super().__init__()
        self.fine, self.wide = Tower(channels, width), Tower(channels, width // 2)
        self.head = nn.Sequential(
            nn.Linear(self.fine.out + self.wide.out + 2, 96),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Linear(96, 2 * len(middle)),
        )
        self.register_buffer("middle", torch.tensor(middle, dtype=torch.float32), persistent=False)

    def forward(self, fine: torch.Tensor, wide: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return (n, sizes, 2): logarithm of each size, and of the scale of its (Laplace) error.

        Parameters
        ----------
        fine, wide : Tensor, shape (n, channels, z, y, x)
            See `spinecore.methods.second_look.cut_cubes`.
        features : Tensor, shape (n, 2)
            See `spinecore.methods.second_look.plain_features`.
        """
        seen = self.head(torch.cat([self.fine(fine), self.wide(wide), features], 1)).float()
        value, spread = seen.chunk(2, dim=1)
        return torch.stack([value + self.middle, spread.clamp(*SPREAD)], dim=2)
