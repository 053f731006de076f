"""Animals, cells and dendrites: a sheet of analyses, nested summaries, effect sizes and tests."""
