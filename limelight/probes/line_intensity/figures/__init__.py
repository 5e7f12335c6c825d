"""Figures of line-intensity maps and luminosity functions."""
