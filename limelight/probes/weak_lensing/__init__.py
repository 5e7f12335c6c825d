"""Convergence maps of weak lensing, whose Ωm and σ8 networks and classical statistics read (docs/weak_lensing.md)."""
