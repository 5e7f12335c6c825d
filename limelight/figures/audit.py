"""The page of an audit: every test of one network, and the verdict bin by bin."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from limelight.evaluation.audit import PARTLY, READS, REMEMBERS, TOO_FEW, Audit, in_words
from limelight.figures.common import QUANTITIES
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, luminosity_axis, style

LOOKS = {
    READS: {"facecolor": COLOURS[0], "hatch": ""},
    PARTLY: {"facecolor": COLOURS[4], "hatch": "..."},
    REMEMBERS: {"facecolor": COLOURS[1], "hatch": "////"},
    TOO_FEW: {"facecolor": "0.9", "hatch": ""},
}
BAND = {"color": "0.9", "lw": 0}


def audit_page(result: Audit) -> Figure:
    """All tests of one audit on a page."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 9.4))
        panels = figure.subplot_mosaic("vv;ab;cd;ef", height_ratios=(0.22, 1, 1, 1.05))
        _verdicts(panels["v"], result)
        _variance(panels["a"], result)
        _errors(panels["b"], result)
        _responses(panels["c"], result)
        _blank(panels["d"], result)
        _heat(figure, panels["e"], result)
        _conditions(panels["f"], result)
        limits = result.log10_lum_edges[0], result.log10_lum_edges[-1]
        for name, panel in panels.items():
            if name != "e":
                luminosity_axis(panel, limits)
        panels["v"].set_xlabel("")
        words, _, judgement = in_words(result).rpartition(": ")
        shown = "noise and foregrounds as in test" if result.settings["test"]["foregrounds"] else "noise as in test"
        figure.suptitle(
            f"{words.replace('_', ' ')}\n{judgement}; {result.settings['test_maps']} maps of "
            f"{', '.join(result.settings['audited_on'])}, {shown} {result.settings['test']['name']}",
            fontsize=9.5,
        )
    return figure


def _verdicts(panel: Axes, result: Audit) -> None:
    edges = 10**result.log10_lum_edges
    for i, verdict in enumerate(result.verdict):
        look = LOOKS[str(verdict)]
        panel.axvspan(edges[i], edges[i + 1], facecolor=look["facecolor"], hatch=look["hatch"], edgecolor="w", lw=0.4)
    panel.set_yticks([])
    panel.tick_params(labelbottom=False)
    panel.set_ylabel("verdict", rotation=0, ha="right", va="center")
    handles = [Patch(**look, edgecolor="w", label=name) for name, look in LOOKS.items()]
    panel.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)


def _variance(panel: Axes, result: Audit) -> None:
    """R² and the spread of the predictions over that of the truths."""
    limits = result.settings["thresholds"]
    line, bins = _lines(panel, result), result.bins
    line(bins["r_squared"], 0, r"$R^2$, share of variance explained")
    line(bins["spread_ratio"], 1, r"$\sigma$(predicted) / $\sigma$(true)", ls=(0, (4, 1.5)))
    for height in (limits["partly_r_squared"], limits["reads_r_squared"]):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=":")
    panel.set_ylim(-0.35, 1.55)
    panel.set_ylabel("follows the truths")
    panel.legend(loc="upper left", fontsize=7.5)


def _errors(panel: Axes, result: Audit) -> None:
    """Squared error of a constant, and of the control, over the network's."""
    limits = result.settings["thresholds"]
    line = _lines(panel, result)
    line(result.bins["gain_over_mean"], 0, "always the training mean")
    if result.control:
        line(result.bins["gain_over_control"], 1, "same recipe, permuted labels", ls=(0, (4, 1.5)))
    for height in (limits["partly_gain"], limits["reads_gain"]):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=":")
    panel.set_yscale("log")
    told = result.verdict != TOO_FEW
    panel.set_ylim(0.5, 8 * max(1.5, np.max(result.bins["gain_over_mean"][told], initial=1.5)))
    panel.set_ylabel("squared error over the network's")
    panel.legend(loc="upper right", fontsize=7.5)


def _responses(panel: Axes, result: Audit) -> None:
    """What the predictions make of dimmer maps and of more sources; 1 is right."""
    panel.axhspan(*result.settings["thresholds"]["dimming_response"], **BAND)
    panel.axhline(1, color=GUIDE, lw=0.7)
    panel.axhline(0, color=GUIDE, lw=0.7, ls=":")
    line, bins = _lines(panel, result), result.bins
    line(bins["dimming_response"], 0, "every source dimmed")
    line(bins["superposing_response"], 1, "another map laid over it", ls=(0, (4, 1.5)))
    line(bins["adding_response"], 2, "sources of this bin alone added", ls=(0, (1, 1)))
    panel.set_ylim(-0.6, 2.3)
    panel.set_ylabel("predicted / true change")
    panel.legend(loc="upper left", fontsize=7.5)


def _blank(panel: Axes, result: Audit) -> None:
    """What the network says of an empty map, over the range of the training labels."""
    lum, blank = result.luminosity_lsun, result.blank
    low, middle, high = (blank["training_percentiles"][i] for i in (0, 2, 4))
    panel.fill_between(lum, low, high, **BAND)
    panel.plot(lum, middle, color="0.5", lw=1.2)
    panel.plot(lum, blank["clean"], color=TRUTH, lw=1.4)
    noisy = not np.allclose(blank["noisy"], blank["clean"])
    handles = [
        Patch(**BAND, label="95 % of training maps"),
        Line2D([], [], color="0.5", lw=1.2, label="their median"),
        Line2D([], [], color=TRUTH, lw=1.4, label="empty map"),
    ]
    if noisy:
        handles.append(
            panel.plot(lum, np.median(blank["noisy"], axis=0), color=COLOURS[1], lw=1.2, label="its noise alone")[0]
        )
    counts = result.target["quantity"] in ("dn", "n_above")
    smallest = 1.0 if counts else high[high > 0].min(initial=np.inf)
    panel.set_yscale("symlog", linthresh=smallest, linscale=0.5)
    panel.set_ylim(-0.1 * smallest, 30 * high.max())
    panel.set_ylabel(QUANTITIES[result.target["quantity"]])
    panel.legend(handles=handles, loc="upper right", fontsize=7.5)


def _heat(figure: Figure, panel: Axes, result: Audit) -> None:
    """Which bins' predictions move when sources of one bin are painted on: the diagonal counts, rows infer."""
    values = result.adding["response"].T
    top = max(0.1, float(np.nanpercentile(np.abs(values), 98)))
    edges = 10**result.log10_lum_edges
    mesh = panel.pcolormesh(edges, edges, values, cmap="RdBu_r", norm=TwoSlopeNorm(0, -top, top), rasterized=True)
    panel.plot(edges[[0, -1]], edges[[0, -1]], color=TRUTH, lw=0.5, ls=":")
    for axis in ("x", "y"):
        getattr(panel, f"set_{axis}scale")("log")
    panel.set_xlabel(r"$L$ of the sources painted on [$L_\odot$]")
    panel.set_ylabel(r"$L$ of the bin asked [$L_\odot$]")
    figure.colorbar(
        mesh, ax=panel, location="top", shrink=0.8, aspect=30, label="dex predicted for a dex of sources painted"
    )


def _conditions(panel: Axes, result: Audit) -> None:
    """R² under more and more noise at test time, and on the maps of each line model."""
    rows = [
        (f"{s:g} µK" if s else "no noise", r)
        for s, r in zip(result.noise["sigma_uk"], result.noise["r_squared"], strict=True)
    ]
    cross = [(name, r) for name, r in zip(result.model_names, result.models["r_squared"], strict=True)]
    rows = [*cross, *rows] if len(cross) > 1 else rows
    edges = 10**result.log10_lum_edges
    values = np.clip([np.where(result.verdict == TOO_FEW, np.nan, r) for _, r in rows], -1, 1)
    mesh = panel.pcolormesh(edges, np.arange(len(rows) + 1), values, cmap="RdBu", vmin=-1, vmax=1, rasterized=True)
    panel.set_facecolor("0.9")
    if len(cross) > 1:
        panel.axhline(len(cross), color=TRUTH, lw=1)
    panel.set_yticks(np.arange(len(rows)) + 0.5, [name.replace("_", " ") for name, _ in rows], fontsize=7.5)
    panel.tick_params(axis="y", which="minor", left=False, right=False)
    panel.invert_yaxis()
    panel.figure.colorbar(
        mesh,
        ax=panel,
        location="top",
        shrink=0.8,
        aspect=30,
        label=r"$R^2$ by line model, and by noise a voxel",
    )


def _lines(panel: Axes, result: Audit):
    """A function that draws one column over the bins, pale where there are too few sources to tell."""
    told = result.verdict != TOO_FEW

    def line(values: np.ndarray, colour: int, label: str, ls: object = "-") -> None:
        panel.plot(result.luminosity_lsun, values, color=COLOURS[colour], lw=0.8, ls=ls, alpha=0.35)
        panel.plot(
            result.luminosity_lsun, np.where(told, values, np.nan), color=COLOURS[colour], lw=1.4, ls=ls, label=label
        )

    return line
