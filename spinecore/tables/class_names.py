"""Names of the shape classes, apart from what needs numpy."""

from __future__ import annotations

#: The four classes that are reported.
CLASSES = ("mushroom", "thin", "stubby", "filopodium")
