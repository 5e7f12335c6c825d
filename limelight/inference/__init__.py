"""Error bars: posteriors, the intervals they give, and how well these are calibrated; MCMC for likelihoods."""
