"""Draw docs/results/reionisation/systematics.png from the table beside it: bias by systematics, and who is warned of it.

example: python -m tools.make_systematics_figure
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.common import line_style
from limelight.figures.style import PAGE_IN, save, style
from limelight.files import ROOT, read_csv

TABLE = ROOT / "docs" / "results" / "reionisation" / "systematics.csv"
TESTS = {"masked": "without", "faint": "faint", "dusty": "strong"}
PANELS = {
    "bias": "bias, σ of the exact posterior",
    "covered_95": "share of truths in the 95 % interval",
    "unlike": "share called unlike training",
}


def main(table: Path = TABLE) -> None:
    columns = read_csv(table, "what posteriors lose, of all tests")
    with style():
        save(drawn(columns), table.with_suffix(".png"))


def drawn(columns: dict[str, np.ndarray]) -> Figure:
    """One line for each posterior but the exact one, over the tests."""
    figure = Figure(figsize=(PAGE_IN, 2.7))
    names = [name for name in dict.fromkeys(columns["posterior"].tolist()) if name != "exact"]
    for panel, (column, words) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for i, name in enumerate(names):
            mine = columns["posterior"] == name
            values = [float(columns[column][mine & (columns["test"] == test)][0]) for test in TESTS]
            panel.plot(range(len(TESTS)), values, label=name.removesuffix("_mdn").replace("_", " "), **line_style(i))
        panel.set_xticks(range(len(TESTS)), list(TESTS.values()))
        panel.minorticks_off()
        panel.set(xlabel="systematics", ylabel=words)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


if __name__ == "__main__":
    main()
