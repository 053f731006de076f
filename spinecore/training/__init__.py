"""Recipes: the only way a weight file comes into being."""
