"""Correct: spines and dendrites corrected on the image, with every measure following at once."""

from __future__ import annotations

from spinecore.ui.editor.page import draw_correct
from spinecore.ui.shown import open_shown

draw_correct(open_shown("Correct"))
