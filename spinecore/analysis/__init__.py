"""From a stack to an `Analysis`, and from an `Analysis` to disk and back."""
