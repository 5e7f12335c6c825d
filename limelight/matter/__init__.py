"""Matter: initial conditions, Lagrangian perturbation theory, particle mesh."""
