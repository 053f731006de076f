"""The methods a user can choose, one file each; all return a `Prediction`."""

from spinecore.methods.registry import DEFAULT_METHOD, METHODS, Method, get_method

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "get_method"]
