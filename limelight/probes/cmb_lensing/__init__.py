"""Lensing of the polarised cosmic microwave background: Q and U in, unlensed E and convergence κ out."""
