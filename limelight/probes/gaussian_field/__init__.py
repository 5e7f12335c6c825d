"""Gaussian random fields whose power law a network reads: the smallest probe, with an exact posterior to hold it against."""
