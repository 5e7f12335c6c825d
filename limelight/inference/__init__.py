"""From a map to a probability: neural posteriors, their calibration, and the classical rival."""
