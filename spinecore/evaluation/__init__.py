"""Scores: one-to-one matching, pixel and region scores, consensus of annotators, readers and reports."""
