"""Networks beside what is known of lenses: what `beside.py` found."""

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, style
from limelight.probes.strong_lens.beside import EVEN, MCMC, Chains, Finding
from limelight.probes.strong_lens.images import ANSWERED
from limelight.probes.strong_lens.simulations import KINDS

WORDS = {"theta_E": "Einstein radius (arcsec)", "e1": "ellipticity $e_1$"}


def finding_figure(found: Finding) -> Figure:
    """Shares identified falsely: of lenses by their Einstein radius, of galaxies that are none by their kind."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.9))
        left, right = figure.subplots(1, 2)
        networks, rates = (list(dict.fromkeys(row[key] for row in found.table)) for key in ("network", "rate"))
        for i, network in enumerate(networks):
            for rate, line in zip(rates, cycle(("-", "--", ":", "-.")), strict=False):
                rows = [row for row in found.table if (row["network"], row["rate"]) == (network, rate)]
                words = rate if rate == EVEN else f"{rate:g} of galaxies pass"
                look = {"color": COLOURS[i], "ls": line, "label": f"{network}: {words}".replace("_", " ")}
                bins = [row for row in rows if np.isfinite(row["from_arcsec"])]
                middle = [(row["from_arcsec"] + row["to_arcsec"]) / 2 for row in bins]
                errors = [row["error"] for row in bins]
                left.errorbar(middle, [row["false_share"] for row in bins], errors, marker="o", ms=3, **look)
                whole = [row for row in rows if not np.isfinite(row["from_arcsec"])]
                place = [KINDS.index(row["galaxies"]) for row in whole]
                errors = [row["error"] for row in whole]
                right.errorbar(place, [row["false_share"] for row in whole], errors, marker="o", ms=3, **look)
        left.set(xlabel=WORDS["theta_E"], ylabel="share of lenses that are missed", ylim=(0, None))
        right.set(ylabel="identified falsely", ylim=(0, None))
        right.set_xticks(range(len(KINDS)), KINDS)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return figure


def chains_figure(found: Chains) -> Figure:
    """The first lens's posterior, of MCMC and of networks; the widths of all; how far their means are apart."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.9))
        panels = figure.subplots(1, 3)
        posteriors = [name for name in found.draws if name != MCMC]
        for name, draws in sorted(found.draws.items(), key=lambda item: item[0] == MCMC):
            colour = TRUTH if name == MCMC else COLOURS[posteriors.index(name)]
            panels[0].plot(draws[:, 0], draws[:, 1], ".", ms=1.5, color=colour, label=name.replace("_", " "))
        first = {row["parameter"]: row["truth"] for row in found.table if row["lens"] == 0}
        panels[0].plot(first["theta_E"], first["e1"], "+", color=GUIDE, ms=7, mew=1.5, label="truth")
        panels[0].set(xlabel=WORDS["theta_E"], ylabel=WORDS["e1"], title="the first lens")
        for i, name in enumerate(posteriors):
            rows = [row for row in found.table if row["posterior"] == name]
            place = np.array([ANSWERED.index(row["parameter"]) for row in rows]) + 0.15 * i
            wider = [row["std"] / row["chain_std"] for row in rows]
            apart = [(row["mean"] - row["chain_mean"]) / row["std"] for row in rows]
            for panel, values in zip(panels[1:], (wider, apart), strict=True):
                panel.plot(place, values, "o", ms=3, color=COLOURS[i], alpha=0.6)
        panels[1].set(ylabel="σ over that of MCMC", yscale="log")
        panels[2].set(ylabel="mean − that of MCMC, over σ")
        for panel, level in zip(panels[1:], (1, 0), strict=True):
            panel.axhline(level, color=GUIDE, lw=0.8)
            panel.set_xticks(range(len(ANSWERED)), ["$θ_E$", "$e_1$", "$e_2$", "$x_s$", "$y_s$"])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, markerscale=1.5)
        return figure
