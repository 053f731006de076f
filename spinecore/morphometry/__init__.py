"""Measures of spines and dendrites."""
