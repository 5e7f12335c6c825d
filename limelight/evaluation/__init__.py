"""Predictions over many maps and what they say about the error."""
