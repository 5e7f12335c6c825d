"""Several lines in one cube, catalogues of galaxies beside them, and what tells them apart: the probe line_mixture."""

from limelight.registry import Registry

FIGURES = Registry(
    "figure",
    {
        "separated_maps": "limelight.probes.line_intensity.mixture.figures:SEPARATED_MAPS",
        "separated_scales": "limelight.probes.line_intensity.mixture.figures:SEPARATED_SCALES",
    },
)
