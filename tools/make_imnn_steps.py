"""Make docs/results/reionisation/imnn_steps.csv and .png: what an IMNN claims, by step and by reuse of its simulations.

example: OMP_NUM_THREADS=1 python -m tools.make_imnn_steps
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, save, style
from limelight.files import ROOT, write_csv
from limelight.inference.posteriors.imnn import LONGEST_STEP
from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.steps import information_by_step

OUTPUT = ROOT / "docs" / "results" / "reionisation"
SHARES = (0.1, 0.25, 0.43, 0.86, 1.3, 1.71)
SEED, TRAINING_STEPS = 20190524, 700
WORDS = {"fresh": "fresh simulations, the same step", "small_step": "fresh simulations, a short step"}


def main(output: Path = OUTPUT) -> None:
    torch.set_num_threads(1)
    sky = Instrument(isotropic_uk_arcmin=60)
    rows = information_by_step(SHARES, 1000, TRAINING_STEPS, SEED, sky)
    rows += information_by_step((0.43,), 300, TRAINING_STEPS, SEED, sky, fresh=False)
    write_csv(output / "imnn_steps.csv", rows, 4)
    with style():
        save(drawn(rows), output / "imnn_steps.png")


def drawn(rows: list[dict]) -> Figure:
    """F over the exact F against the step."""
    figure = Figure(figsize=(COLUMN_IN, 2.6))
    panel = figure.subplots()
    fresh, reused = ([row for row in rows if row["reused"] == kind] for kind in (False, True))
    at = [row["step_over_sigma"] for row in fresh]
    for name, colour in zip(WORDS, COLOURS, strict=False):
        panel.plot(at, [row[name] for row in fresh], color=colour, marker="o", label=WORDS[name])
    for row in reused:
        words = f"taught by {row['simulations']:g} reused, which claim {row['claimed']:.0f}"
        panel.plot(row["step_over_sigma"], row["small_step"], "s", color=COLOURS[2], label=words)
    panel.axhline(1, color=GUIDE, lw=0.7, ls=":")
    panel.axvspan(LONGEST_STEP, max(at) + 0.1, color=GUIDE, alpha=0.12, lw=0)
    panel.set_xlim(0, max(at) + 0.1)
    panel.set_ylim(0, None)
    panel.set_xlabel("step over the posterior's σ (grey: refused)")
    panel.set_ylabel("F over the exact F")
    panel.legend(fontsize=6.5)
    return figure


if __name__ == "__main__":
    main()
