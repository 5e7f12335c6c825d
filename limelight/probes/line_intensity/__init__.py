"""Line-intensity mapping: from halos to maps, luminosity functions and the instruments that see them."""

from limelight.registry import Registry

PLACE = "limelight.probes.line_intensity.figures"
FIGURES = Registry(
    "figure",
    {
        "map_slices": f"{PLACE}.maps:MAP_SLICES",
        "luminosity_function": f"{PLACE}.predictions:LUMINOSITY_FUNCTION",
        "error_bands": f"{PLACE}.predictions:ERROR_BANDS",
        "audit": f"{PLACE}.audit:AUDIT",
        "spread_ratio": f"{PLACE}.conditions:SPREAD_RATIO",
        "blank_map": f"{PLACE}.blank:BLANK_MAP",
        "training_spread": f"{PLACE}.labels:TRAINING_SPREAD",
        "compare_predictions": f"{PLACE}.compare:COMPARE_PREDICTIONS",
        "compare_bands": f"{PLACE}.compare:COMPARE_BANDS",
        "error_per_bin": f"{PLACE}.compare:ERROR_PER_BIN",
        "typical_fits": f"{PLACE}.compare:TYPICAL_FITS",
        "label_shapes": f"{PLACE}.labels:LABEL_SHAPES",
        "label_spreads": f"{PLACE}.labels:LABEL_SPREADS",
        "counts_and_densities": f"{PLACE}.labels:COUNTS_AND_DENSITIES",
        "log_ratio_units": f"{PLACE}.labels:LOG_RATIO_UNITS",
        "blank_maps": f"{PLACE}.blank:BLANK_MAPS",
        "cross_predictions": f"{PLACE}.conditions:CROSS_PREDICTIONS",
        "summary_matrix": f"{PLACE}.conditions:SUMMARY_MATRIX",
        "noise_sweep": f"{PLACE}.conditions:NOISE_SWEEP",
        "map_scaling": f"{PLACE}.conditions:MAP_SCALING",
    },
)
