"""Four pictures of the pages on weak lensing that no study draws.

spectra: C_ℓ over HMcode's, from tables of `benchmarks.weak_lensing` (spectrum, study), with the scatter between pairs.
maps: maps of κ across cosmology, ray-traced and lognormal.
traced: areas on ray-traced maps by noise and by cosmologies that taught, what removed pixels cost, and contours.
attribution: one map of it, and what the network looks at without noise, with it, and before it learnt.

example: python -m benchmarks.weak_lensing_pictures spectra docs/results/weak_lensing/spectrum.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from limelight.figures.style import COLOURS, GUIDE, MARKERS, PAGE_IN, style
from limelight.inference.exact import DENSITY
from limelight.inference.intervals import read_intervals
from limelight.probe import load_probe
from limelight.probes.weak_lensing.config import Boxes, Maps
from limelight.probes.weak_lensing.fields import Square, draw_maps
from limelight.probes.weak_lensing.simulations import ray_traced
from limelight.saliency.saliency_file import read_saliency
from limelight.seeds import generator
from limelight.study.config import load_study

TABLES = Path("docs/results/weak_lensing")
STUDY = Path("results/weak_lensing_traced")  # of config/weak_lensing_traced.yaml, whose settings these are:
LEARNT = {"_quarter": 14, "_half": 28, "": 56}  # cosmologies that taught
BOXES = Boxes(side_mpc=142, particles=80, mesh=160, plane=320, times=9)
SHOWN = ((0.22, 0.65), (0.3, 0.8), (0.42, 0.95))  # Ωm, σ8
NOISES = {"": "no noise", "_75": "75", "_30": "30", "_10": "10"}
REMOVED = {
    "no_negative": "κ < 0",
    "no_peaks": "κ > 3σ",
    "no_negative_30": "κ < 0,\nnoise",
    "no_peaks_30": "κ > 3σ,\nnoise",
}
DRAWN = {"cnn_30": "network", "power_30": "power", "classical_30": "the three statistics"}
RUNS = {"clean": "no noise", "n30": "30 galaxies", "random_30": "30 galaxies,\nnever trained"}
METHODS = ("gradient", "smoothgrad", "guided_backprop", "integrated_gradients")
COLOURS_KEPT = 64  # of a picture in the docs


def spectra() -> Figure:
    """One line per cosmology and box, and one of all pairs of the study."""
    table = read_table("spectrum.csv")
    run_of = [tuple(row[key].item() for key in ("omega_m", "sigma8", "particles", "sharpen")) for row in table]
    runs = list(dict.fromkeys(run_of))
    figure = Figure(figsize=(PAGE_IN, 2.8))
    axes = figure.subplots()
    axes.axvspan(200, 1500, color="0.93", lw=0)
    axes.axhline(1, color=GUIDE, lw=0.8)
    for edge in (0.9, 1.1):
        axes.axhline(edge, color=GUIDE, lw=0.6, ls=":")
    for i, run in enumerate(runs):
        mine = np.array([row == run for row in run_of])
        low, high, ratio, scatter = (table[key][mine] for key in ("low", "high", "over_hmcode", "scatter"))
        label = f"$\\Omega_m$ = {run[0]:g}, $\\sigma_8$ = {run[1]:g}, {run[2]}³ particles" + (
            "" if run[3] else ", not sharpened"
        )
        middle = np.sqrt(low * high) * (1 + 0.012 * (i - 2))
        error = np.nan_to_num(scatter.astype(float))
        axes.errorbar(middle, ratio, error, color=COLOURS[i], marker=MARKERS[i], lw=1, elinewidth=0.7, label=label)
    study = read_table("traced_spectrum.csv")
    study = study[study["cosmologies"] == "all"]
    label = f"all {study['pairs'][0]} pairs of the study"
    middle = np.sqrt(study["low"] * study["high"])
    axes.errorbar(middle, study["over_hmcode"], study["scatter"], color="k", marker="o", lw=2, capsize=3, label=label)
    axes.set(xscale="log", xlabel="multipole $\\ell$", ylabel="$C_\\ell$ over HMcode's", ylim=(0.55, 1.3))
    axes.legend(fontsize=7.5, ncols=2, loc="lower left")
    return figure


def maps() -> Figure:
    """The same colours for all; ray-traced above, lognormal below."""
    square = Square(64, 2.0, 1.0, 0.05)
    figure = Figure(figsize=(PAGE_IN, 4.6))
    panels = figure.subplots(2, len(SHOWN))
    lognormal = draw_maps(np.array(SHOWN), square, generator(1, "lognormal maps of the picture"))
    for i, theta in enumerate(SHOWN):
        limits = {name: [value, value + 1e-6] for name, value in zip(("omega_m", "sigma8"), theta, strict=True)}
        data = Maps(kind="ray_traced", pixels=64, pixel_arcmin=2, maps=1, boxes=BOXES, **limits)
        traced, _ = ray_traced(data, 1, "picture", 0, 1, generator(1, "traced maps of the picture", i))
        for panel, one, kind in zip(panels[:, i], (traced[0], lognormal[i]), ("ray-traced", "lognormal"), strict=True):
            image = panel.imshow(
                one, vmin=-0.03, vmax=0.07, extent=(0, 128, 0, 128), cmap=colormaps["inferno"].resampled(24)
            )
            panel.set_title(f"{kind}, $\\Omega_m$ = {theta[0]:g}, $\\sigma_8$ = {theta[1]:g}", fontsize=8)
            panel.tick_params(labelsize=7)
    figure.colorbar(image, ax=panels, label="$\\kappa$", shrink=0.7)
    figure.supxlabel("arcmin", fontsize=9)
    return figure


def traced() -> Figure:
    """Areas with their errors: by noise, by cosmologies, and without some pixels over those of whole maps; contours."""
    figure = Figure(figsize=(PAGE_IN, 5.2))
    (noise, learning, deletion), below = figure.subplots(2, 3)
    for i, (name, label) in enumerate({"cnn": "network", "classical": "the three statistics"}.items()):
        look = {"color": COLOURS[i], "marker": MARKERS[i], "lw": 1, "label": label}
        noise.errorbar(*told({f"{name}{key}": place for place, key in enumerate(NOISES)}, "area"), **look)
        learning.errorbar(*told({f"{name}_30{key}": count for key, count in LEARNT.items()}, "area"), **look)
    noise.set_xticks(range(len(NOISES)), NOISES.values())
    noise.set(xlabel="galaxies per square arcminute", ylabel="area", yscale="log")
    noise.legend(fontsize=7)
    learning.set(xlabel="cosmologies learnt from", title="with 30 galaxies", ylim=(0, None))
    learning.set_xticks(list(LEARNT.values()), [f"{count:g}" for count in LEARNT.values()])
    known = read_table("traced_areas.csv")["posterior"]
    removed = {name: label for name, label in REMOVED.items() if name in known}
    for i, (key, label) in enumerate({"area_over_reference": "area", "area_by_score": "area by score"}.items()):
        places = {name: place + 0.16 * (i - 0.5) for place, name in enumerate(removed)}
        deletion.errorbar(*told(places, key), color=COLOURS[i], marker=MARKERS[i], ls="", label=label)
    deletion.axhline(1, color=GUIDE, lw=0.8)
    deletion.set_xticks(range(len(removed)), removed.values(), fontsize=7)
    deletion.set(title="pixels removed", ylabel="over the whole maps'", xlim=(-0.5, len(removed) - 0.5))
    deletion.legend(fontsize=7)
    for panel in (noise, learning, deletion):
        panel.tick_params(axis="x", which="minor", bottom=False, top=False)
    contours(below)
    return figure


def contours(panels: np.ndarray) -> None:
    """68 % of posteriors of one map each of three cosmologies, with 30 galaxies."""
    study, probe = load_study("config/weak_lensing_traced.yaml"), load_probe("weak_lensing")
    grid = probe.grid(probe.header(probe.dataset_settings(study, study.tests["n30"].data)))
    for i, (name, label) in enumerate(DRAWN.items()):
        one = read_intervals(STUDY / "posteriors" / name / "n30.h5")
        order = np.argsort(one.truth[:, 1] * np.sqrt(one.truth[:, 0]))  # by what lensing measures best
        for panel, row in zip(panels, order[[len(order) // 6, len(order) // 2, -len(order) // 6]], strict=True):
            mass = np.exp(one.extra[DENSITY][row]).reshape(tuple(map(len, grid)))
            falling = np.sort(mass, axis=None)[::-1]
            level = falling[np.searchsorted(np.cumsum(falling), 0.68)]
            panel.contour(*grid, mass.T, levels=[level], colors=[COLOURS[i]], linewidths=1.2, linestyles="solid")
            panel.plot([], [], color=COLOURS[i], label=label)
            panel.plot(*one.truth[row], "k+")
            panel.set(xlabel="$\\Omega_m$")
    panels[0].set(ylabel="$\\sigma_8$")
    panels[0].legend(fontsize=7)


def attribution() -> Figure:
    """The κ of one map and its attribution of σ8, each in its own greys; condemned methods are named so."""
    figure, greys = Figure(figsize=(PAGE_IN, 4.6)), colormaps["Greys"].resampled(10)
    for line, (run, label) in zip(figure.subplots(len(RUNS), 1 + len(METHODS)), RUNS.items(), strict=True):
        found = read_saliency(STUDY / "saliency" / f"{run}.h5")
        pictures = {method: found.pictures["sigma8", method] for method in METHODS}
        shown = {"κ": found.inputs[0, 0]} | {method: one.examples[0, 0] for method, one in pictures.items()}
        for panel, (name, values) in zip(line, shown.items(), strict=True):
            panel.imshow(values, vmin=np.percentile(values, 1), vmax=np.percentile(values, 99.5), cmap=greys)
            panel.set(xticks=[], yticks=[])
            failed = name in pictures and run != "random_30" and pictures[name].faults
            panel.set_title(f"{name.replace('_', ' ')}{': fails' if failed else ''}", fontsize=8)
        line[0].set_ylabel(label, fontsize=8)
    return figure


def told(places: dict[str, float], column: str) -> tuple[list[float], list[float], list[float]]:
    """(places, values, errors) of the posteriors that the table of areas has."""
    table = read_table("traced_areas.csv")
    found = {row["posterior"]: (row[column], row[f"{column}_error"]) for row in table}
    mine = [(place, *found[name]) for name, place in places.items() if name in found]
    return tuple(map(list, zip(*mine, strict=True)))


def read_table(name: str) -> np.ndarray:
    """A table of the docs, by column."""
    return np.genfromtxt(TABLES / name, delimiter=",", names=True, dtype=None, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("spectra", "maps", "traced", "attribution"))
    parser.add_argument("output", type=Path, help="PNG to write")
    args = parser.parse_args()
    with style():
        drawn = {"spectra": spectra, "maps": maps, "traced": traced, "attribution": attribution}[args.what]()
        drawn.savefig(args.output, dpi=105)
    Image.open(args.output).convert("RGB").quantize(COLOURS_KEPT).save(args.output, optimize=True)


if __name__ == "__main__":
    main()
