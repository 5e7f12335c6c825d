"""Large-scale polarisation of the CMB: a network reads the optical depth τ, beside the exact posterior."""
