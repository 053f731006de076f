"""A person's own marks of spines, from files of other programs, as the beginning of an analysis."""
