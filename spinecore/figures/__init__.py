"""Pictures, plots and surfaces of an analysis."""
