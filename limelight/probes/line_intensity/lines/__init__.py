"""Halo to line luminosity: models, their priors, and the luminosity function that is the label."""
