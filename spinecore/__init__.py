"""Find, measure and explain dendritic spines in microscope stacks."""

__version__ = "0.1.0"
