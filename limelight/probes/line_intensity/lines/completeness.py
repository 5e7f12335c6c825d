"""Down to which luminosity a catalogue of halos above a mass holds the sources: below, nothing can be known from it."""

from typing import TYPE_CHECKING

import numpy as np

from limelight.probes.line_intensity.lines.models import LineModel, Parameters, get_model
from limelight.seeds import generator

if TYPE_CHECKING:
    from limelight.probes.line_intensity.settings import MapSettings

STEPS, DRAWS = 8, 250  # of redshift; of the scatter at each
SHARE = 0.975  # of the lightest halos that are fainter


def complete_from(
    model: LineModel, parameters: Parameters, mass_min_msun: float, redshift_range: tuple[float, float]
) -> float:
    """log10 L / Lsun that all but a few of the catalogue's lightest halos stay below, at any redshift of the range.

    A luminosity function that is counted on halos above mass_min_msun lacks sources fainter than this. Of a model without
    scatter it ends there. −inf where the lightest halos have no line.
    """
    redshift = np.repeat(np.linspace(*redshift_range, STEPS), DRAWS)
    with np.errstate(over="ignore", invalid="ignore"):
        log10_lum = model.log10_luminosity(
            np.full(len(redshift), float(mass_min_msun)), redshift, parameters, generator(0, "completeness")
        )
    ordered = np.sort(log10_lum.reshape(STEPS, DRAWS), axis=1)
    return float(ordered[:, int(SHARE * DRAWS)].max())


def complete_from_rows(maps: "MapSettings", theta: np.ndarray, parameter_names: list[str]) -> np.ndarray | None:
    """`complete_from` (n,) of maps of a dataset with parameters theta (n, p); None without a catalogue's settings."""
    if maps.subfields is None:
        return None
    cone, model = maps.subfields.lightcone, get_model(maps.dataset.model, maps.dataset.parameters)
    columns = [parameter_names.index(name) for name in model.parameters]
    drawn = (dict(zip(model.parameters, values, strict=True)) for values in theta[:, columns].tolist())
    least = cone.lightcones.mass_min_msun
    return np.array([complete_from(model, values, least, cone.redshift_range) for values in drawn])


def complete_from_plain(maps: dict) -> float | None:
    """`complete_from` at the mean parameters of a dataset, from its MapSettings as files hold them; None where these do not
    name a catalogue, or a line model of the user's own, whose code need not be here."""
    if not maps.get("subfields") or ":" in maps["dataset"]["model"]:
        return None
    cone, dataset = maps["subfields"]["lightcone"], maps["dataset"]
    model = get_model(dataset["model"], dataset["parameters"])
    means = {name: mean for name, (mean, _) in model.parameters.items()}
    edges = (cone["freq_max_ghz"], cone["freq_min_ghz"])
    low, high = (cone["rest_freq_ghz"] / edge - 1 for edge in edges)
    return complete_from(model, means, cone["lightcones"]["mass_min_msun"], (low, high))
