"""Sample check: count a few random segments by eye, and get a density with a valid interval."""

from __future__ import annotations

from spinecore.ui.samplecheck import draw_sample_check
from spinecore.ui.shown import open_shown

draw_sample_check(open_shown("Sample check"))
