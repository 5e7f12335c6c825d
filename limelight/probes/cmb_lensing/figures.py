"""Figures of CMB lensing: maps of κ beside their truth, and networks between the quadratic and the iterative estimator."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import check_size, legend_name, line_style, no_ticks, short_names, wave_number_axis
from limelight.figures.figure import StudyFigure
from limelight.figures.style import GUIDE, PAGE_IN
from limelight.probes.cmb_lensing.grid import Grid, filtered
from limelight.summaries.reconstruction import Spectra, bootstrap, noise

LOOKS = {"quadratic": (0, (4, 1.5)), "map": (0, (1, 1))}
WORDS = {"quadratic": "quadratic", "map": "iterative (MAP)"}
MOST_PANELS = 6
SHORTEST = 2000  # multipole; beyond it the data tell little, and the truth would drown all else
NEEDS = "evaluation files of one test whose networks answer κ"


def lensing_maps(evaluations: list[Evaluation], shown: Sequence[int]) -> Figure:
    """κ of one patch: truth, estimators and networks, waves up to SHORTEST alone; below, each answer minus the truth."""
    channels = _kappa_channels(evaluations)
    first = evaluations[0]
    row = next((i for i in shown if i < len(first.truth)), 0)
    truth = first.truth[row, channels[0]]
    maps = {"true κ": truth}
    for name in [name for name in WORDS if name in first.estimators_of(channels[0])]:
        maps[WORDS[name]] = first.examples[name][row]
    for name, e, channel in zip(short_names(evaluations), evaluations, channels, strict=True):
        maps[name] = e.predicted[row, channel]
    check_size("maps", len(maps), MOST_PANELS)
    grid = Grid(first.header.geometry["pixels"], first.header.geometry["pixel_arcmin"])
    maps = {name: filtered(grid, kappa, (grid.ell <= SHORTEST) * grid.usable) for name, kappa in maps.items()}
    truth = maps["true κ"]
    figure = Figure(figsize=(PAGE_IN, 0.3 + 1.85 * PAGE_IN / len(maps)))
    axes = figure.subplots(2, len(maps), squeeze=False)
    reach = 3 * truth.std()
    for panels, (name, kappa) in zip(axes.T, maps.items(), strict=True):
        panels[0].set_title(name, fontsize=8)
        for panel, plane in zip(panels, (kappa, kappa - truth), strict=True):
            drawn = panel.imshow(plane, vmin=-reach, vmax=reach, cmap="RdBu_r")
            no_ticks(panel)
    axes[1, 0].set_visible(False)
    axes[1, 1].set_ylabel("minus the truth", fontsize=8)
    figure.colorbar(drawn, ax=axes, fraction=0.02, pad=0.01, shrink=0.9).ax.tick_params(labelsize=7)
    return figure


def lensing_noise(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Noise of κ over the quadratic estimator's, the gap to the iterative one that is closed, and B after delensing."""
    channels = _kappa_channels(evaluations)
    first = evaluations[0]
    if "quadratic" not in first.estimators_of(channels[0]):
        raise problem("lensing_noise", f"{first.test} without the quadratic estimator", NEEDS, "name it in the test")
    figure = Figure(figsize=(PAGE_IN, 2.9))
    delensed = any("b_left" in e.spectra for e in evaluations)  # of periodic patches
    ratio, gap, *b_modes = figure.subplots(1, 3 if delensed else 2)
    handles = {}
    for k, (e, channel) in enumerate(zip(evaluations, channels, strict=True)):
        look = line_style(k)
        pair = e.spectra_of(channel), e.spectra_of(channel, "quadratic")
        handles[legend_name(e, evaluations)] = _line(ratio, e, bootstrap(_noise_ratio, *pair), **look)
        if "gap_closed" in e.statistics:
            _line(gap, e, (e.statistics["gap_closed"][channel], e.statistics["gap_closed_error"][channel]), **look)
        if "b_left" in e.spectra:
            _line(b_modes[0], e, _left(e.spectra["b_left"], e.spectra["b_lensed"]), **look)
    for name, dashes in LOOKS.items():
        look = {"color": GUIDE, "ls": dashes, "marker": ""}
        if name not in first.estimators_of(channels[0]):
            continue
        if name != "quadratic":
            pair = first.spectra_of(channels[0], name), first.spectra_of(channels[0], "quadratic")
            handles[WORDS[name]] = _line(ratio, first, bootstrap(_noise_ratio, *pair), **look)
        if f"{name}_b_left" in first.spectra:
            found = _left(first.spectra[f"{name}_b_left"], first.spectra["b_lensed"])
            handles[WORDS[name]] = _line(b_modes[0], first, found, **look)
    if (limit := _limit(first, channels[0])) is not None:
        look = {"color": GUIDE, "lw": 0, "marker": "_", "ms": 9, "mew": 1.2}
        handles["N0, iterated (analytic)"] = ratio.plot(first.spectra["k_mean"], limit, **look)[0]
    ratio.set_ylabel("noise of κ over the quadratic estimator's")
    gap.set_ylabel("gap closed between quadratic and MAP")
    for panel in b_modes:
        panel.set_ylabel("B left by delensing, over lensed B")
    for panel, lines in ((ratio, (1,)), (gap, (0, 1)), *((panel, (1,)) for panel in b_modes)):
        wave_number_axis(panel, first.scales)
        panel.set_ylim(min(0.0, panel.get_ylim()[0]), min(panel.get_ylim()[1], 2.5))
        for height in lines:
            panel.axhline(height, color=GUIDE, lw=0.7, ls=":")
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=7.5)
    return figure


def _kappa_channels(evaluations: list[Evaluation]) -> list[int]:
    """The channel of κ in each answer."""
    tests = {e.test for e in evaluations}
    wrong = [e.network for e in evaluations if e.scales is None or "κ" not in e.channels]
    if wrong or len(tests) > 1:
        found = f"networks {', '.join(wrong)} without κ" if wrong else f"tests {', '.join(sorted(tests))}"
        raise problem("figure", found, NEEDS, "choose others")
    return [e.channels.index("κ") for e in evaluations]


def _noise_ratio(one: Spectra, other: Spectra) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return noise(one) / noise(other)


def _limit(e: Evaluation, channel: int) -> np.ndarray | None:
    """What theory promises of the iterative estimator's noise over the quadratic's, of periodic patches of one universe."""
    geometry = e.header.geometry
    if "map" not in e.estimators_of(channel) or not geometry["periodic"] or geometry["taper_deg"]:
        return None
    if e.header.simulation["drawn"]:
        return None
    from limelight.probes.cmb_lensing.estimators import LEAST_ITERATIVE_NOISE
    from limelight.probes.cmb_lensing.limits import analytic_noise

    if e.settings["noise_uk_arcmin"] < LEAST_ITERATIVE_NOISE:
        return None  # the two estimators assume different noise
    expected = analytic_noise(e.header, e.settings["noise_uk_arcmin"], np.array(e.scales.edges))
    return expected["map"] / expected["quadratic"]


def _left(left: np.ndarray, lensed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power left over mean power before, (bins,), with its error over maps."""
    pair = Spectra(left, lensed, lensed)
    return bootstrap(lambda s: s.predicted.sum(0) / s.truth.sum(0), pair)


def _line(panel: Axes, e: Evaluation, found: tuple[np.ndarray, np.ndarray], **look):
    values, errors = (np.where(np.isfinite(part), part, np.nan) for part in found)
    return panel.errorbar(e.spectra["k_mean"], values, errors, lw=1.1, elinewidth=0.7, ms=2.5, **look).lines[0]


LENSING_MAPS = StudyFigure(
    lensing_maps, NEEDS, "cmb_lensing/lensing_maps.rst", "Predictions", same=("test",), rows=True
)
LENSING_NOISE = StudyFigure(
    lensing_noise, NEEDS, "cmb_lensing/lensing_noise.rst", "Predictions", same=("test", "scales")
)
