"""The page Correct: a canvas in the browser, and what it shows and changes of an analysis."""
