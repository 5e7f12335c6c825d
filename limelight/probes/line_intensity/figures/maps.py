"""Maps as the network sees them: fine, pooled, and with noise."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import UNITS, legend_name
from limelight.figures.figure import ANY_TESTS
from limelight.figures.style import MAP_COLOURS, PAGE_IN
from limelight.probes.line_intensity.figures.common import BINS_AND_QUANTITY, adds_to_maps, line_figure, noise_words


def map_slices(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """One row per test map: a fine channel, the pooled channel that contains it, and the latter under every noise setting.

    Each column has its own colour scale, shared by its rows. Raises LimelightError when none of the maps has slices stored.
    """
    rows = _rows(evaluations, maps)
    noisy = [e for e in evaluations if adds_to_maps(e)]
    grid = evaluations[0].header.geometry
    unit = UNITS.get(grid["unit"], grid["unit"])
    titles = [_block("one channel", 1, 1), _block("pooled", grid["pool_pixels"], grid["pool_channels"])]
    titles += ["\n".join([legend_name(e, evaluations), *noise_words(e).split(", ")]) for e in noisy]
    lines = max(title.count("\n") for title in titles)
    titles = ["\n" * (lines - title.count("\n")) + title for title in titles]
    columns = [[e.examples["raw"][i] for e, i in rows], [e.examples["pooled"][i] for e, i in rows]]
    columns += [[_slice_under(e, first, i) for first, i in rows] for e in noisy]
    shape = (len(rows), len(columns))
    figure = Figure(figsize=(PAGE_IN, 0.6 + 0.15 * lines + shape[0] * PAGE_IN / max(shape[1], 3)))
    axes = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    half = grid["size_deg"] / 2
    tick = float(f"{0.7 * half:.1g}")
    for j, (title, images) in enumerate(zip(titles, columns, strict=True)):
        norm = _norm([image for image in images if image is not None], signal=j < 2)
        for i, image in enumerate(images):
            panel = axes[i, j]
            panel.set_box_aspect(1)
            panel.minorticks_off()
            panel.set_xticks([-tick, 0, tick])
            panel.set_yticks([-tick, 0, tick])
            if image is None:  # this test has maps of another line model
                panel.set_axis_off()
                continue
            extent = (half, -half, -half, half)  # right ascension grows to the left, as on the sky
            drawn = panel.imshow(image.T[:, ::-1], extent=extent, norm=norm, cmap=MAP_COLOURS, aspect="auto")
        bar = figure.colorbar(drawn, ax=axes[:, j], location="top", fraction=0.06, pad=0.02, aspect=16)
        if j < 2:
            bar.set_ticks(_decades(norm))
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=7.5)
        bar.set_label(f"{title}\n{'T' if unit == 'µK' else 'I'} [{unit}]", fontsize=8.5 if len(titles) < 4 else 7.5)
    for panel in axes[-1]:
        panel.set_xlabel(r"$\Delta$RA [deg]")
    for panel, (e, i) in zip(axes[:, 0], rows, strict=True):
        panel.set_ylabel(
            f"map {i}"
            + (f", {e.settings['line_model']['name']}" if _mixed(evaluations) else "")
            + "\n"
            + r"$\Delta$Dec [deg]"
        )
    return figure


MAP_SLICES = line_figure(map_slices, ANY_TESTS, "map_slices.rst", "Maps", same=BINS_AND_QUANTITY, rows=True)


def _rows(evaluations: list[Evaluation], maps: Sequence[int]) -> list[tuple[Evaluation, int]]:
    """(first evaluation of each line model, map) of every chosen map whose slices are stored."""
    firsts = list({e.settings["line_model"]["name"]: e for e in reversed(evaluations)}.values())[::-1]
    rows = [(e, i) for e in firsts for i in maps if i < len(e.examples["raw"])]
    if not rows:
        stored = max(len(e.examples["raw"]) for e in firsts)
        raise problem("maps", f"maps {list(maps)}", f"maps below {stored}, whose slices are stored", "choose others")
    return rows


def _slice_under(evaluation: Evaluation, first: Evaluation, index: int) -> np.ndarray | None:
    same = evaluation.settings["line_model"]["name"] == first.settings["line_model"]["name"]
    return evaluation.examples["noisy"][index] if same and index < len(evaluation.examples["noisy"]) else None


def _mixed(evaluations: list[Evaluation]) -> bool:
    return len({e.settings["line_model"]["name"] for e in evaluations}) > 1


def _block(word: str, pixels: int, channels: int) -> str:
    return f"{word}\n{pixels} × {pixels} × {channels} voxels summed" if pixels * channels > 1 else f"fine map\n{word}"


def _norm(images: list[np.ndarray], signal: bool) -> Normalize:
    """Colour scale of a column: from zero, compressed above the typical voxel; with noise linear, its ends clipped."""
    values = np.concatenate([np.ravel(image) for image in images])
    if not signal:
        low, high = np.percentile(values, (0.5, 99.5))
        return Normalize(low, max(high, low + 1e-6))
    lit = values[values > 0]
    high = float(np.percentile(lit, 99.8)) if len(lit) else 1.0
    return AsinhNorm(linear_width=max(float(np.median(lit)) if len(lit) else 1.0, high / 100), vmin=0, vmax=high)


def _decades(norm: AsinhNorm) -> list[float]:
    """Zero and the powers of ten that stand clear of it and of each other."""
    powers = 10.0 ** np.arange(-6, 9)
    places = np.asarray(norm(powers))
    return [0.0, *(power for power, place in zip(powers, places, strict=True) if 0.2 < place <= 1)]
