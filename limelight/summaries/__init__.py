"""What is classically measured on maps: power spectra, voxel intensity distributions, and their covariance."""
