"""Figures of line-intensity maps and luminosity functions; `limelight.probes.line_intensity.FIGURES` names them."""

# Drawn of every network that reads luminosity functions, unless the study says otherwise
EACH_NETWORK: tuple[str, ...] = (
    "map_slices",
    "luminosity_function",
    "error_bands",
    "spread_ratio",
    "blank_map",
    "loss_history",
    "training_spread",
)
