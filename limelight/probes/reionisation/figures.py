"""Saliency on the sky, in place of the engine's pictures of planes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.figure import StudyFigure
from limelight.figures.saliency import SHORT
from limelight.figures.style import COLOURS, MAP_COLOURS, PAGE_IN, TRUTH
from limelight.probes.reionisation.harmonics import directions
from limelight.saliency.saliency_file import Saliency

FAILS = COLOURS[1]


def sky_saliency(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Mean attribution of all rows to each pixel, Q above U, one column per method; galactic coordinates, Mollweide."""
    result = files[0]
    answer, channels = next(iter(result.answers)), result.header.channels
    theta, phi = directions(result.header.geometry["nside"])
    place = np.where(phi > np.pi, phi - 2 * np.pi, phi), np.pi / 2 - theta
    figure = Figure(figsize=(PAGE_IN, 0.5 + 1.3 * len(channels)))
    count = len(result.methods)
    for row, channel in enumerate(channels):
        for column, method in enumerate(result.methods):
            picture = result.pictures[answer, method]
            values = np.abs(picture.mean[row])
            panel = figure.add_subplot(len(channels), count, row * count + column + 1, projection="mollweide")
            size = 9.0 * (8 / result.header.geometry["nside"]) ** 2 * (4 / max(count, 2)) ** 2
            panel.scatter(
                *place, c=values, s=size, lw=0, cmap=MAP_COLOURS, vmin=0, vmax=np.percentile(values, 99.5) or 1
            )
            panel.set_xticks([])
            panel.set_yticks([])
            words = f"{channel}: {SHORT[method]}" + (" (FAILS)" if picture.faults else "")
            panel.set_title(words, fontsize=7, color=FAILS if picture.faults else TRUTH)
    return figure


SALIENCY_MAPS = StudyFigure(
    sky_saliency,
    needs="the saliency of a network that is shown maps",
    caption="reionisation/saliency_maps.rst",
    chapter="Saliency",
    reads="saliency",
    of_one=True,
)
