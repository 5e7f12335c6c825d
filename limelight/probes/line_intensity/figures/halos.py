"""One page of the halo validation: every measured number over the expected one."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from limelight.figures.style import COLOURS, GUIDE, MARKERS, PAGE_IN, style
from limelight.halos.validation import Row

AXES = {
    "mass function": (r"$\log_{10} M$ [$M_\odot$]", False),
    "bias": (r"$\log_{10} M$ [$M_\odot$]", False),
    "luminosity function": (r"$\log_{10} L$ [$L_\odot$]", False),
    "redshift space": (r"largest $k$ [Mpc$^{-1}$]", False),
    "rms velocity": ("redshift", False),
    "painted map (fiducial Li)": ("", False),
    "light-cone: bias": (r"$\log_{10} M$ [$M_\odot$]", False),
    "one-point function of maps": ("voxel [µK]", True),
    "N-body: halo power": (r"$k$ [Mpc$^{-1}$]", True),
    "N-body: one-point function of light": ("light of a 4 Mpc cell / mean", True),
}
CELL = ("cell size [Mpc]", False)
UNFITTED = "(independent)"


def validation_page(rows: list[Row]) -> Figure:
    """A panel for each quantity, measured over expected with 1 σ, one colour per case; the grey band is ± 5 %.

    With several light-cones the mean is drawn, with its error. The panels of N-body runs share one legend in a panel of its
    own. Open points show the run to which nothing was fitted.
    """
    quantities = list(dict.fromkeys(row.quantity for row in rows))
    beside_nbody = [quantity for quantity in quantities if quantity.startswith("N-body")]
    columns = 3
    lines = -(-(len(quantities) + bool(beside_nbody)) // columns)
    with style():
        figure = Figure(figsize=(PAGE_IN, 1.87 * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, quantity in zip(panels, quantities, strict=False):
            _panel(panel, quantity, [row for row in rows if row.quantity == quantity and row.expected > 0])
        for panel in panels[len(quantities) :]:
            panel.set_axis_off()
        if beside_nbody:
            drawn = panels[quantities.index(beside_nbody[0])].get_legend_handles_labels()
            panels[len(quantities)].legend(*drawn, loc="center left", title="halos, N-body run", fontsize=7)
        figure.supylabel("measured / expected", fontsize=9.5)
    return figure


def _panel(panel, quantity: str, rows: list[Row]) -> None:
    label, logarithmic = AXES.get(quantity, CELL)
    panel.axhspan(0.95, 1.05, color="0.9", zorder=0)
    panel.axhline(1, color=GUIDE, lw=0.7)
    cases = list(dict.fromkeys(row.case for row in rows))
    samples = list(dict.fromkeys(map(_sample, cases)))
    side_by_side = len(cases) > 1 and len({row.at for row in rows}) == 1
    drawn = []
    for case in cases:
        at, ratio, error = _mean_ratios([row for row in rows if row.case == case])
        if side_by_side:
            at = np.array([cases.index(case)])
        i = samples.index(_sample(case))
        look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "lw": 0.9}
        if case.endswith(UNFITTED):
            look |= {"ls": "--", "mfc": "white"}
        panel.errorbar(at, ratio, error, label=case, **look)
        drawn.append(ratio)
    panel.set_title(quantity)
    panel.set_xlabel("" if side_by_side else label)
    if side_by_side:
        panel.set_xticks([])
    if logarithmic:
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(NullFormatter())
    reach = max(0.12, min(1.0, 1.15 * np.abs(np.concatenate(drawn) - 1).max())) if drawn else 0.12
    panel.set_ylim(1 - reach, 1 + (1.8 if side_by_side else 1) * reach)  # these have many cases, so a tall legend
    if not quantity.startswith("N-body"):
        panel.legend(fontsize=6)


def _mean_ratios(rows: list[Row]) -> np.ndarray:
    """(3, n): each place, the mean of measured over expected over the light-cones, and its error."""
    places = list(dict.fromkeys(row.at for row in rows))
    means = []
    for at in places:
        ratio, error = np.array([(r.measured / r.expected, r.error / r.expected) for r in rows if r.at == at]).T
        means.append((at, ratio.mean(), np.sqrt(np.sum(error**2)) / len(ratio)))
    return np.array(means).T


def _sample(case: str) -> str:
    """A case without the name of its N-body run: the same halos have the same colour."""
    return case.removesuffix(UNFITTED).removesuffix("(fitted)")
