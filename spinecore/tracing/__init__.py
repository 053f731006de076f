"""Centre lines of dendrites."""
