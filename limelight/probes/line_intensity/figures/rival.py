"""The rival's luminosity functions: its intervals next to the published ones."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, PAGE_IN, PUBLISHED, TRUTH, style
from limelight.inference.intervals import Intervals
from limelight.probes.line_intensity.figures.common import luminosity_axis
from limelight.probes.line_intensity.published import MCMC, published_table

FILLED = 1.0  # sources per map, on average, that a bin needs to be drawn


def rival_table(result: Intervals) -> list[dict]:
    """One row per filled luminosity bin: width, bias and coverage of the rival's intervals.

    mean_count: sources per map. lower_95, upper_95, median: quantile / truth − 1, medians over the maps with a source.
    covered_95, covered_68: share of maps whose true count lies inside. underlying_*: the same for the mean luminosity
    function, without the scatter of single maps about it, as arXiv:1808.07487 draws it.
    """
    rows, truth = [], result.truth
    for i in np.flatnonzero(truth.mean(0) >= FILLED):
        used = truth[:, i] > 0
        ratio = np.median(result.quantiles[used, i] / truth[used, i, None], axis=0) - 1
        mean = np.median(result.extra["underlying"][used, i], axis=0) / truth[:, i].mean() - 1
        inside = [
            np.mean((result.quantiles[:, i, low] <= truth[:, i]) & (truth[:, i] <= result.quantiles[:, i, high]))
            for low, high in ((0, 4), (1, 3))
        ]
        rows.append(
            {
                "luminosity_lsun": result.axis.centers[i],
                "maps": len(truth),
                "mean_count": truth[:, i].mean(),
                "lower_95": ratio[0],
                "median": ratio[2],
                "upper_95": ratio[4],
                "covered_95": inside[0],
                "covered_68": inside[1],
                "underlying_lower_95": mean[0],
                "underlying_median": mean[1],
                "underlying_upper_95": mean[2],
            }
        )
    return rows


def rival_figure(results: Sequence[Intervals]) -> Figure:
    """95 % intervals over the truth per luminosity, one panel per test, with the published interval of arXiv:1808.07487."""
    published = published_table(MCMC)[""]
    with style():
        figure = Figure(figsize=(PAGE_IN, 3.2))
        panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
        for axes, result in zip(panels, results, strict=True):
            table = rival_table(result)
            x = [row["luminosity_lsun"] for row in table]
            one = [[row[name] for row in table] for name in ("lower_95", "upper_95")]
            mean = [[row[f"underlying_{name}"] for row in table] for name in ("lower_95", "upper_95")]
            axes.fill_between(x, *one, color=COLOURS[0], alpha=0.25, lw=0, label="rival here, one map's counts")
            for side, label in zip(mean, ("rival here, mean of such maps", None), strict=True):
                axes.plot(x, side, color=COLOURS[0], lw=1.2, label=label)
            axes.plot(x, [row["median"] for row in table], color=COLOURS[0], lw=0.8, ls=":")
            for side, label in (("lower95", "published"), ("upper95", None)):
                band = published[f"frac_err_{side}"]
                axes.plot(published["luminosity_lsun"], band, color=PUBLISHED, ls="--", label=label)
            axes.axhline(0, color=TRUTH, lw=0.7)
            axes.set_ylim(-1, 2)
            luminosity_axis(axes, result.axis)
            axes.set_title(result.test.replace("_", " "))
        panels[0].set_ylabel("interval / truth − 1")
        panels[0].legend(loc="upper left")
        return figure
