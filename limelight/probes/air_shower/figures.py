"""Networks beside detectors and fits: what `beside.py` found."""

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, style
from limelight.probes.air_shower.beside import CURVE, LEFT_OUT, QUIET, TRAINED, Directions, Trigger
from limelight.probes.air_shower.pulses import TRANSIENTS

LOOKS = {
    "threshold": {"color": COLOURS[4]},
    "matched filter": {"color": COLOURS[2]},
    "likelihood ratio": {"color": TRUTH},
    "plane wave": {"color": COLOURS[4], "marker": "s"},
    "spherical wave": {"color": COLOURS[2], "marker": "^"},
    "bound": {"color": TRUTH, "marker": ""},
}
NOT_SNR = ("prior", *TRANSIENTS)  # pulses of the table that have no single SNR
OF_NETWORKS = (COLOURS[0], COLOURS[1], COLOURS[3], COLOURS[5], COLOURS[6])


def looks(names) -> dict[str, dict]:
    """Colours of detectors or estimates: fixed ones of those without a network, the others in turn."""
    networks = [name for name in names if name not in LOOKS]
    turn = {name: {"color": OF_NETWORKS[i % len(OF_NETWORKS)]} for i, name in enumerate(networks)}
    return {name: LOOKS.get(name, turn.get(name)) for name in names}


def trigger_figure(found: Trigger) -> Figure:
    """The ROC in noise, with the zone that no detector reaches; efficiency against SNR; the same with transients."""
    with style():
        backgrounds = [one for one in (TRAINED, LEFT_OUT) if any(row["background"] == one for row in found.table)]
        figure = Figure(figsize=(PAGE_IN, 2.9))
        panels = figure.subplots(1, 2 + bool(backgrounds))
        for name, look in looks(found.curves).items():
            panels[0].plot(CURVE, found.curves[name], label=name.replace("_", " "), **look)
        best = found.curves["likelihood ratio"]
        known = np.isfinite(best)
        panels[0].fill_between(CURVE[known], best[known], 1, color=GUIDE, alpha=0.2, lw=0)
        panels[0].text(2e-4, 0.93, "forbidden", fontsize=8, color=GUIDE)
        panels[0].set(xscale="log", xlabel="false positives", ylabel="true positives", ylim=(0, 1), xlim=(1e-4, 1))
        panels[0].set_title("pulses of the prior, noise")
        rates = rates_shown(found)
        words = ", ".join(_power_of_ten(rate) for rate in rates) + " (dashed)" * (len(rates) > 1)
        _efficiencies(panels[1], found, {QUIET: "-"}, rates)
        panels[1].set_title(f"noise: {'rates' if len(rates) > 1 else 'rate'} {words}", fontsize=8)
        if backgrounds:
            _efficiencies(panels[2], found, dict(zip(backgrounds, ("-", ":"), strict=False)), rates[:1])
            panels[2].set_title("with transients; left-out kind dotted", fontsize=8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure


def rates_shown(found: Trigger) -> tuple[float, ...]:
    """The second largest rate that thresholds could be set for, and the smallest."""
    known = sorted({row["rate"] for row in found.table if np.isfinite(row["efficiency"])}, reverse=True)
    return tuple(dict.fromkeys([*known[:2][-1:], *known[-1:]]))


def _power_of_ten(rate: float) -> str:
    exponent = np.log10(rate)
    return f"$10^{{{exponent:.0f}}}$" if np.isclose(exponent, round(exponent)) else f"{rate:.2g}"


def _efficiencies(panel, found: Trigger, backgrounds: dict[str, str], rates: tuple[float, ...]) -> None:
    for name, look in looks(found.curves).items():
        for background, line in backgrounds.items():
            for rate, dashes in zip(rates, (line, "--"), strict=False):
                rows = [
                    row
                    for row in found.table
                    if row["detector"] == name
                    and row["background"] == background
                    and row["pulses"] not in NOT_SNR
                    and np.isclose(row["rate"], rate)
                ]
                if rows:
                    values = [row["efficiency"] for row in rows]
                    errors = [row["error"] for row in rows]
                    panel.errorbar([float(row["pulses"]) for row in rows], values, errors, ls=dashes, **look)
    panel.set(xlabel="peak of the pulse / rms", ylabel="true positives", ylim=(0, 1))


def directions_figure(found: Directions) -> Figure:
    """Root mean square angles by distance; and how the network's angles are spread."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.9))
        left, right = figure.subplots(1, 2)
        named = looks([*found.angles, "bound"])
        for name, own in named.items():
            rows = [row for row in found.table if row["estimate"] == name][1:]
            middle = [np.sqrt(row["from_km"] * row["to_km"]) for row in rows]
            look = {"marker": "o", **own, "label": name.replace("_", " ")}
            left.errorbar(middle, [row["angle_deg"] for row in rows], [row["error_deg"] for row in rows], **look)
        left.set(xscale="log", yscale="log", xlabel="distance of the source (km)", ylabel="rms angle (degrees)")
        edges = np.linspace(0, 3, 31)
        for name, angle in found.angles.items():
            share = np.histogram(angle / found.bounds, edges)[0] / len(angle) / (edges[1] - edges[0])
            right.step(edges, np.append(share, share[-1]), where="post", color=named[name]["color"])
        x = np.linspace(0, 3, 200)
        right.plot(x, 2 * x * np.exp(-(x**2)), color=TRUTH)
        right.set(xlabel="angle / its bound", ylabel="density", xlim=(0, 3))
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure
