"""Lensing of the polarised cosmic microwave background: Q and U in, unlensed E and convergence κ out."""

from limelight.registry import Registry

FIGURES = Registry(
    "figure",
    {
        "lensing_maps": "limelight.probes.cmb_lensing.figures:LENSING_MAPS",
        "lensing_noise": "limelight.probes.cmb_lensing.figures:LENSING_NOISE",
    },
)
