"""Posteriors as heads on trained networks: mixtures, flows, IMNN with ABC."""
