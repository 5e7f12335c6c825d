"""Halos painted into a cheap density field by networks, and a neural bias model sampled with HMC."""
