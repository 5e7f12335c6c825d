"""Predictions over many maps, and the errors measured from them."""
