"""Inside a network: its first filters, and its feature maps for one row of data."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.data.axes import Axis
from limelight.errors import problem
from limelight.evaluation.layers_file import Layer, Layers
from limelight.figures.common import no_ticks, show_plane
from limelight.figures.figure import StudyFigure
from limelight.figures.style import PAGE_IN

ROWS, SHOWN = 10, 4  # layers and channels that a figure holds in readable size


def filters(files: list[Layers], shown: Sequence[int] = ()) -> Figure:
    """The first convolutions' filters, in their middle plane and averaged over all further axes; grey is zero."""
    layers = files[0]
    if not layers.filters:
        raise problem("filters", f"no convolution in {layers.network}", "a convolutional network", "choose another")
    counts = [min(len(item.middle), 16) for item in layers.filters]
    columns = 8
    lines = [-(-n // columns) for n in counts]
    figure = Figure(figsize=(PAGE_IN, 0.45 * sum(lines) + 0.55 * len(lines)))
    blocks = np.reshape(figure.subfigures(len(lines), 2, height_ratios=[n + 0.8 for n in lines]), (len(lines), 2))
    for row, item, n, height in zip(blocks, layers.filters, counts, lines, strict=True):
        for block, (view, words) in zip(row, _views(layers).items(), strict=True):
            values = getattr(item, view)[:n]
            reach = float(np.abs(values).max()) or 1.0
            block.suptitle(f"{item.name}, {n} of {item.shape[0]} filters: {words}; ± {reach:.2g}", fontsize=8)
            for k, panel in enumerate(block.subplots(height, columns, squeeze=False).flat):
                panel.set_visible(k < n)
                no_ticks(panel)
                if k < n:
                    show_plane(panel, values[k], (), vmin=-reach, vmax=reach, cmap="gray")
    return figure


def feature_maps(files: list[Layers], shown: Sequence[int] = ()) -> Figure:
    """The data as presented and the most varied channels of each layer, one row per layer, on the way through the network.

    Left: the middle plane; right: the mean over all axes after the second. Every image has its own scale, dark to bright.
    """
    layers = files[0]
    rows = chosen_layers([layer for layer in layers.layers if max(layer.shape[1:3]) > 1])  # one pixel shows nothing
    flat = all(len(layer.shape) <= 3 for layer in rows)
    views = ["projected"] if flat else list(_views(layers))
    columns = SHOWN * 2 if flat else SHOWN
    figure = Figure(figsize=(PAGE_IN, 0.5 + 0.86 * (len(rows) + 1)))
    blocks = np.atleast_1d(figure.subfigures(1, len(views), width_ratios=(1.28, 1)[: len(views)]))
    for block, view in zip(blocks, views, strict=True):
        axes = block.subplots(len(rows) + 1, columns, squeeze=False)
        for panel in axes.flat:
            no_ticks(panel)
            panel.set_visible(False)
        for panel, image in zip(axes[0], getattr(layers, view), strict=False):
            _image(panel, image, layers.header.axes)
        for line, layer in zip(axes[1:], rows, strict=True):
            for panel, image, channel in zip(line, getattr(layer, view), layer.channel, strict=False):
                _image(panel, image, layers.header.axes)
                panel.set_title(f"{channel}", fontsize=6.5, pad=1.5)
        if view == views[0]:
            view_words = f"\n{_views(layers)[view]}" if flat and len(layers.header.axes) > 2 else ""
            axes[0, 0].set_ylabel(f"input\nas presented{view_words}", **WORDS)
            for line, layer in zip(axes[1:], rows, strict=True):
                line[0].set_ylabel(_words(layer), **WORDS)
        block.suptitle("channels of the layer" if flat else _views(layers)[view], fontsize=9)
    figure.suptitle(_which(layers), fontsize=9)
    return figure


ONE, CHAPTER = "one layers file", "Inside the network"
FILTERS = StudyFigure(filters, ONE, "filters.rst", CHAPTER, reads="layers", of_one=True)
FEATURE_MAPS = StudyFigure(feature_maps, ONE, "feature_maps.rst", CHAPTER, reads="layers", of_one=True)


def _views(layers: Layers) -> dict[str, str]:
    """The two planes that a layers file holds, in words."""
    further = [axis.name for axis in layers.header.axes[2:]]
    if not further:
        return {"middle": "middle channel", "projected": "mean over channels"}
    return {"middle": f"middle {' and '.join(further)}", "projected": f"mean over {' and '.join(further)}"}


def _which(layers: Layers) -> str:
    """The network and the row of data in words."""
    known = sorted(set(layers.row) - {"number", "dataset", "group"}, reverse=True)
    where = [f"{key} {layers.row[key]}" for key in ("group", *known)]
    return f"{layers.network} on test {layers.test}: {', '.join([layers.row['dataset'], *where])}".replace("_", " ")


WORDS = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 7.5}


def chosen_layers(layers: list[Layer]) -> list[Layer]:
    """All layers if they fit, otherwise the last before each change of shape; if still too many, evenly spaced ones."""
    if len(layers) > ROWS:
        layers = [
            one
            for one, after in zip(layers, [*layers[1:], None], strict=True)
            if after is None or after.shape != one.shape
        ]
    if len(layers) > ROWS:
        layers = [layers[i] for i in np.unique(np.linspace(0, len(layers) - 1, ROWS).round().astype(int))]
    return layers


def _words(layer: Layer) -> str:
    """Name and shape of a layer, and the number of its silent channels."""
    silent = f"\n{layer.silent} silent" if layer.silent else ""
    sides = " × ".join(str(n) for n in layer.shape[1:])
    return f"{layer.kind}\n{layer.name}\n{layer.shape[0]} of {sides}{silent}"


def _image(panel: Axes, image: np.ndarray, axes: tuple[Axis, ...]) -> None:
    """One plane on its own scale, clipped at half a percent of either end."""
    panel.set_visible(True)
    low, high = np.percentile(image, (0.5, 99.5))
    show_plane(panel, image, axes, vmin=low, vmax=high if high > low else low + 1)
