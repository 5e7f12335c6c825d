"""Make docs/results/air_shower/particles.csv and .png: how well X_max alone tells proton from iron.

example: OMP_NUM_THREADS=1 python -m tools.make_x_max_ceiling
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, PAGE_IN, save, style
from limelight.files import ROOT, write_csv
from limelight.probes.air_shower.particles import MASSES, ceiling, moments, x_max_density

OUTPUT = ROOT / "docs" / "results" / "air_shower"
ENERGIES = (17.0, 18.0, 19.0)
RESOLUTIONS = (0, 20, 40)  # g/cm²
DECADES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
MIDDLE = 18.0


def main(output: Path = OUTPUT) -> None:
    ranges = [(energy, 0.0) for energy in ENERGIES] + [(MIDDLE, decades) for decades in DECADES[1:]]
    rows = [row(energy, decades, resolution) for energy, decades in ranges for resolution in RESOLUTIONS]
    write_csv(output / "particles.csv", rows, 4)
    with style():
        save(drawn(rows), output / "particles.png")


def row(energy: float, decades: float, resolution: int) -> dict:
    """The ceiling, and of a known energy means and widths of the two distributions."""
    found = {"log10_ev": energy, "decades": decades, "resolution_g_cm2": resolution}
    for name, mass in MASSES.items():
        mean, sigma = moments(mass, energy) if decades == 0 else (np.nan, np.nan)
        found |= {f"{name}_mean": mean, f"{name}_sigma": sigma}
    return found | {"auc": ceiling(energy, resolution, decades)}


def drawn(rows: list[dict]) -> Figure:
    """The two distributions, and the ceiling against how little is known of the energy."""
    figure = Figure(figsize=(PAGE_IN, 2.6))
    left, right = figure.subplots(1, 2)
    x = np.linspace(500, 1100, 601)
    for (name, mass), colour in zip(MASSES.items(), COLOURS, strict=False):
        left.plot(x, x_max_density(x, mass, MIDDLE), color=colour, label=name)
    left.set(xlabel="$X_{max}$ (g/cm²), $10^{18}$ eV", ylabel="density", ylim=(0, None), xlim=(500, 1100))
    for resolution, colour in zip(RESOLUTIONS, COLOURS[2:], strict=False):
        known = [one for one in rows if one["resolution_g_cm2"] == resolution and one["log10_ev"] == MIDDLE]
        values = [one["auc"] for one in known]
        right.plot([one["decades"] for one in known], values, color=colour, marker="o", label=f"{resolution} g/cm²")
    right.set(xlabel="decades that the energy may be in", ylabel="largest AUC, proton against iron")
    left.legend()
    right.legend(title="resolution")
    return figure


if __name__ == "__main__":
    main()
