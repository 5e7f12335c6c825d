"""Which line model a classifier takes for which."""

import numpy as np
from matplotlib.figure import Figure

from limelight.evaluation.classify import Classification
from limelight.figures.style import COLUMN_IN, PAGE_IN, style


def confusion_matrix(result: Classification) -> Figure:
    """The share of each line model's test maps that the classifier takes for each, a panel a noise setting."""
    columns = min(3, len(result.noise))
    rows = -(-len(result.noise) // columns)
    k = len(result.classes)
    with style():
        side = min(PAGE_IN / columns, COLUMN_IN, 0.9 + 0.7 * k)
        figure = Figure(figsize=(columns * side, rows * (side + 0.1)))
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        names = [name.replace("_", " ") for name in result.classes]
        for i, panel in enumerate(panels.flat):
            if i >= len(result.noise):
                panel.set_axis_off()
                continue
            counts = result.confusion(i)
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, origin="upper")
            for row in range(k):
                for column in range(k):
                    share = shares[row, column]
                    words = f"{share:.1%}\n{counts[row, column]}"
                    panel.text(
                        column, row, words, ha="center", va="center", color="w" if share > 0.55 else "k", fontsize=8
                    )
            panel.set_title(f"noise {result.noise[i].replace('_', ' ')}: {result.accuracy(i):.1%} told")
            panel.set_xticks(range(k), names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8)
            panel.set_yticks(range(k), names, fontsize=8)
            panel.minorticks_off()
            panel.tick_params(length=0)
            panel.set_xlabel("taken for")
        for row in panels:
            row[0].set_ylabel("painted by")
    return figure
