"""Figures of line-intensity maps and luminosity functions, by name, beside those of every probe (limelight.figures)."""

from limelight.figures import KEY
from limelight.registry import Registry

PLACE = "limelight.probes.line_intensity.figures"
LINE_FIGURES: Registry = Registry(
    KEY,
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
EACH_NETWORK: tuple[
    str, ...
] = (  # drawn of every network that reads luminosity functions, unless the study says otherwise
    "map_slices",
    "luminosity_function",
    "error_bands",
    "spread_ratio",
    "blank_map",
    "loss_history",
    "training_spread",
)
