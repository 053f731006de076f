"""The cubes that small 3-D networks read around a candidate head; without torch, since they are cut without it too."""

from __future__ import annotations

#: Points of each cube along z, y and x.
CUBE_SHAPE = (9, 21, 21)
