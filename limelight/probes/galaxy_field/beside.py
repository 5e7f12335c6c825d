"""Posteriors of galaxy fields beside what the perfect catalogue of every field would allow."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, style
from limelight.inference.calibration import LEVELS, coverage, ranks
from limelight.inference.intervals import Intervals
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.simulations import free, limits, perfect_fisher

COLUMNS = (
    "posterior",
    "method",
    "test",
    "parameter",
    "fields",
    "catalogue_error",
    "summaries_over_catalogue",
    "share_of_information",
    "width",
    "covered_68",
    "error_68",
    "covered_95",
    "error_95",
)
LETTERS = {"ln_phi_star": "ln φ*", "ln_l_star": "ln L*", "alpha": "α"}
CONTOUR = 1.515  # σ of a Gaussian in two dimensions within which 68.3 % of it lie


def beside_rows(name: str, result: Intervals, data: GalaxyField) -> list[dict]:
    """One row for each parameter of a posterior.

    catalogue_error: the least error from a perfect catalogue at the prior's mean. summaries_over_catalogue: of an IMNN, the
    error that its F leaves over that. share_of_information: det F over the catalogue's. width: the posterior's mean σ.
    """
    least = np.sqrt(np.diag(np.linalg.inv(perfect_fisher(limits(data).mean(axis=1), data))))
    rank, common = ranks(result.samples, result.truth), {"posterior": name, "method": result.method}
    covered = {f"{100 * level:.0f}": coverage(rank, level) for level in LEVELS}
    rows = []
    for i, parameter in enumerate(free(data)):
        row = {**common, "test": result.test, "parameter": parameter, "fields": len(result.truth)}
        row |= {"catalogue_error": least[i], "width": result.samples[..., i].std(axis=1).mean()}
        for level, (share, error) in covered.items():
            row |= {f"covered_{level}": share[i], f"error_{level}": error[i]}
        if "fisher" in result.settings:
            error = np.sqrt(np.diag(np.linalg.inv(np.array(result.settings["fisher"]))))
            row |= {"summaries_over_catalogue": error[i] / least[i]}
            row |= {"share_of_information": result.settings["share_of_information"]}
        rows.append(row)
    return rows


def beside_figure(found: Mapping[str, Intervals], data: GalaxyField) -> Figure:
    """Draws for the field nearest to the prior's mean, of every posterior and in each pair of parameters; the catalogue's
    68 % region about the truth.
    """
    names, results = free(data), list(found.values())
    scale = np.ptp(limits(data), axis=1)
    row = np.argmin(np.square((results[0].truth - limits(data).mean(axis=1)) / scale).sum(axis=1))
    truth = results[0].truth[row]
    covariance = np.linalg.inv(perfect_fisher(truth, data))
    pairs = [(i, j) for j in range(len(names)) for i in range(j)]
    with style():
        figure = Figure(figsize=(min(3.4 + 2.2 * (len(pairs) - 1), PAGE_IN), 3.0))
        for panel, (i, j) in zip(np.atleast_1d(figure.subplots(1, len(pairs))), pairs, strict=True):
            for colour, (name, one) in zip(cycle(COLOURS), found.items(), strict=False):
                draws = one.samples[row][:, [i, j]]
                panel.plot(*draws.T, ".", ms=2, alpha=0.6, color=colour, label=name.replace("_", " "))
            values, vectors = np.linalg.eigh(covariance[np.ix_([i, j], [i, j])])
            angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
            width, height = 2 * CONTOUR * np.sqrt(values[::-1])
            words = "perfect catalogue, 68 %"
            panel.add_patch(Ellipse(truth[[i, j]], width, height, angle=angle, fill=False, ec=TRUTH, label=words))
            panel.plot(*truth[[i, j]], "+", color=GUIDE, ms=8, mew=1.5, label="truth")
            panel.set(xlabel=LETTERS[names[i]], ylabel=LETTERS[names[j]])
        figure.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=3, markerscale=2)
        return figure
