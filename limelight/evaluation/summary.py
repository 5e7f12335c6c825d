"""The tidy table of a study: a row a network, test and luminosity bin, from evaluation files alone."""

from collections.abc import Iterable

import numpy as np

from limelight.errors import problem
from limelight.evaluation.evaluation_file import MADE_BY, Evaluation
from limelight.files import csv_text

HEADER = (  # columns before the statistics; what they mean: docs/files.md
    "network",
    "test",
    "line_model",
    "model",
    "prior",
    "noise_sigma_uk",
    "foregrounds",
    "quantity",
    "transform",
    "n_maps",
    "bin",
    "log10_lum_lower",
    "log10_lum_upper",
    "luminosity_lsun",
    "training_mean",
    "blank_clean",
    *MADE_BY,
)


def summary_csv(evaluations: Iterable[Evaluation]) -> str:
    """The table as CSV text. After HEADER come all statistics of the bin, then those over all bins as total_…

    An entry that an evaluation lacks, or that is NaN, is an empty field: pandas reads it as NaN.
    """
    rows, statistics, totals = [], {}, {}
    seen = set()
    for e in evaluations:
        if (e.network, e.test) in seen:
            found = f"two evaluations of network {e.network} on test {e.test}"
            raise problem("summary", found, "each once", "give each file once")
        seen.add((e.network, e.test))
        statistics |= dict.fromkeys(e.statistics)
        totals |= dict.fromkeys(f"total_{name}" for name in e.totals)
        model, edges = e.settings["line_model"], e.log10_lum_edges
        sigma = e.settings["noise_sigma_uk"]
        shared = {
            "network": e.network,
            "test": e.test,
            "line_model": model["name"],
            "model": model["model"],
            "prior": model["prior"],
            "noise_sigma_uk": "-".join(f"{value:.6g}" for value in np.atleast_1d(sigma)),
            "foregrounds": "yes" if e.settings["foregrounds"] != "none" else "none",
            "quantity": e.target["quantity"],
            "transform": e.target["transform"],
            "n_maps": len(e.truth),
            **e.made_by,
            **{f"total_{name}": value for name, value in e.totals.items()},
        }
        for i, luminosity in enumerate(e.luminosity_lsun):
            own = {
                "bin": i,
                "log10_lum_lower": edges[i],
                "log10_lum_upper": edges[i + 1],
                "luminosity_lsun": luminosity,
                "training_mean": e.training["mean"][i],
                "blank_clean": e.blank["clean"][i],
            }
            rows.append({**shared, **own, **{name: values[i] for name, values in e.statistics.items()}})
    return csv_text(rows, 7, [*HEADER, *statistics, *totals])
