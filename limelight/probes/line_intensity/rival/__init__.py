"""The classical rival: P(k) and voxel intensity distribution, MCMC over a line model (after arXiv:1808.07487)."""
