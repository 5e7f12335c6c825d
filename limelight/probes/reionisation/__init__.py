"""Large-scale polarisation of the CMB: a network reads the optical depth τ, beside the exact posterior."""

from limelight.registry import Registry

FIGURES = Registry("figure", {"saliency_maps": "limelight.probes.reionisation.figures:SALIENCY_MAPS"})
