"""Synthetic truth: dendrites with spines, imaged by a simulated microscope."""

from spinecore.simulation.scene import PRESETS, Preset
from spinecore.simulation.simulate import Simulated, simulate, write_simulated

__all__ = ["PRESETS", "Preset", "Simulated", "simulate", "write_simulated"]
