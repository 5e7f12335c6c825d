"""Error bars: posteriors, their intervals and the calibration of these; MCMC for likelihoods."""
