"""Electron micrographs are told from fluorescence images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from spinecore.reading.inspection import inspect_stack
from spinecore.reading.micrograph import coherence, looks_like_micrograph
from spinecore.simulation.sample import SAMPLE_DIR
from spinecore.training.membrane_samples import load_sections
from spinecore.training.recipes import default_data


def tissue(seed=0, size=256):
    """Grey tissue with thin dark membranes that run in every direction."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((size, size)), 6)
    walls = np.exp(-((field / (0.15 * field.std())) ** 2))
    return (
        (150 - 90 * walls + gaussian_filter(rng.normal(0, 60, field.shape), 1.2))
        .clip(0, 255)
        .astype(np.uint8)
    )


def test_tissue_is_a_micrograph_and_its_negative_on_black_is_not():
    image = tissue()
    assert looks_like_micrograph(image)
    assert not looks_like_micrograph(image[:30, :30]), "too small to tell"
    half = image.copy()
    half[:, 100:] = 0
    assert not looks_like_micrograph(half), "a dark background"
    assert not looks_like_micrograph(np.full((100, 100), 7, np.uint8))


def test_stripes_have_a_direction_and_noise_has_none():
    stripes = np.tile(np.sin(np.arange(128) / 3), (128, 1))
    assert coherence(stripes) > 0.95 and coherence(np.random.default_rng(0).random((128, 128))) < 0.1
    grey = (120 + 60 * stripes).astype(np.uint8)
    assert not looks_like_micrograph(grey)


def test_the_sample_is_none():
    assert not inspect_stack(SAMPLE_DIR / "sample_stack.tif").micrograph


@pytest.mark.data
@pytest.mark.skipif(
    not (default_data() / "em_isbi2012").is_dir(), reason="the labelled sections are not here"
)
def test_real_sections_are_micrographs():
    assert all(
        looks_like_micrograph(section.image) for section in load_sections(default_data(), range(20, 25))
    )
