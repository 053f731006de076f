"""What the editor refuses says what is wrong and what to do."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_analysis import HEADS, SPACING, drawn_analysis

from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import save_analysis
from spinecore.errors import SpinecoreError


@pytest.fixture
def editor(tmp_path) -> Editor:
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path)
    return Editor(tmp_path, lambda r: voxels[r.start : r.stop], by="Ada")


def test_joining_a_dendrite_to_itself_names_it(editor):
    """It had said that no dendrite is traced there."""
    editor.cut(np.array([7, 45, 50]))
    with pytest.raises(SpinecoreError, match=r"both places are on dendrite \d: click its end"):
        editor.join(np.array([7, 45, 20]), np.array([7, 45, 30]))
    joined = editor.join(np.array([7, 45, 48]), np.array([7, 45, 52]))
    assert joined.words.startswith("join dendrites")


def test_an_outline_may_be_drawn_as_wide_as_a_person_wants(tmp_path):
    """In haze the slider had been refused: what is bright there has no border within the reach of a head."""
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in voxels.shape), indexing="ij"), -1)
    glow = 600 * np.exp(-0.5 * (((grid - HEADS[0]) * SPACING / 2.0) ** 2).sum(-1))
    hazy = (voxels + glow).astype(voxels.dtype)
    editor = Editor(tmp_path, lambda r: hazy[r.start : r.stop], by="Ada")
    area = []
    for level in (0.7, 0.1):
        editor.grow(1, level)
        area.append(editor.analysis.spines.set_index("spine_id").loc[1, "area_um2"])
    assert area[1] > 1.5 * area[0]
