"""Find, measure and explain dendritic spines in microscope stacks."""

__version__ = "0.2.0"
