"""Membranes in electron micrographs."""
