"""From the maps of a method to candidates, and what their scores are worth."""
