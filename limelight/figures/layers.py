"""Inside a network: its first filters, and what its layers make of one map."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.layers import Layer, Layers
from limelight.figures.style import MAP_COLOURS, PAGE_IN, style

ROWS, SHOWN = 10, 4  # layers and channels a figure holds in readable size
VIEWS = {"middle": "middle channel", "projected": "mean over frequency"}


def filters(layers: Layers) -> Figure:
    """The first convolutions' filters, in their middle plane of frequency and averaged over it; grey is zero."""
    if not layers.filters:
        raise problem("filters", f"no convolution in {layers.network}", "a convolutional network", "choose another")
    counts = [min(len(item.middle), 16) for item in layers.filters]
    columns = 8
    lines = [-(-n // columns) for n in counts]
    with style():
        figure = Figure(figsize=(PAGE_IN, 0.45 * sum(lines) + 0.55 * len(lines)))
        blocks = np.reshape(figure.subfigures(len(lines), 2, height_ratios=[n + 0.8 for n in lines]), (len(lines), 2))
        for row, item, n, height in zip(blocks, layers.filters, counts, lines, strict=True):
            for block, (view, words) in zip(row, VIEWS.items(), strict=True):
                values = getattr(item, view)[:n]
                reach = float(np.abs(values).max()) or 1.0
                block.suptitle(f"{item.name}, {n} of {item.shape[0]} filters: {words}; ± {reach:.2g}", fontsize=8)
                for k, panel in enumerate(block.subplots(height, columns, squeeze=False).flat):
                    panel.set_visible(k < n)
                    _no_ticks(panel)
                    if k < n:
                        panel.imshow(values[k].T, vmin=-reach, vmax=reach, cmap="gray")
    return figure


def feature_maps(layers: Layers) -> Figure:
    """The map as presented and the most varied channels of each layer, a row a layer, on the way through the network.

    Left: one plane of frequency; right: the mean over frequency. Every image has its own scale, dark to bright.
    """
    rows = chosen_layers([layer for layer in layers.layers if max(layer.shape[1:3]) > 1])  # one pixel shows nothing
    flat = all(len(layer.shape) == 3 for layer in rows)
    views = ["projected"] if flat else list(VIEWS)
    shown = SHOWN * 2 if flat else SHOWN
    with style():
        figure = Figure(figsize=(PAGE_IN, 0.5 + 0.86 * (len(rows) + 1)))
        blocks = np.atleast_1d(figure.subfigures(1, len(views), width_ratios=(1.28, 1)[: len(views)]))
        for block, view in zip(blocks, views, strict=True):
            axes = block.subplots(len(rows) + 1, shown, squeeze=False)
            for panel in axes.flat:
                _no_ticks(panel)
                panel.set_visible(False)
            _image(axes[0, 0], getattr(layers, view))
            for line, layer in zip(axes[1:], rows, strict=True):
                images = getattr(layer, view)
                for panel, image, channel in zip(line, images, layer.channel, strict=False):
                    _image(panel, image)
                    panel.set_title(f"{channel}", fontsize=6.5, pad=1.5)
            if view == views[0]:
                view_words = f"\n{VIEWS[view]}" if flat else ""
                axes[0, 0].set_ylabel(f"input\n{layers.transform}{view_words}", **WORDS)
                for line, layer in zip(axes[1:], rows, strict=True):
                    line[0].set_ylabel(_words(layer), **WORDS)
            block.suptitle("channels of the layer" if flat else VIEWS[view], fontsize=9)
        figure.suptitle(_which(layers), fontsize=9)
    return figure


def _which(layers: Layers) -> str:
    """The network and the map in words."""
    names = {"lightcone": "light-cone", "subfield": "subfield", "draw": "draw"}
    where = ", ".join(f"{words} {layers.map[key]}" for key, words in names.items())
    return f"{layers.network} on test {layers.test}: {layers.map['line_model']}, {where}".replace("_", " ")


WORDS = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 7.5}


def chosen_layers(layers: list[Layer]) -> list[Layer]:
    """All layers if they fit, otherwise the last before each change of shape; of too many of these, evenly spaced ones."""
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
    """Name and shape of a layer, and how many of its channels say nothing."""
    silent = f"\n{layer.silent} silent" if layer.silent else ""
    sides = " × ".join(str(n) for n in layer.shape[1:])
    return f"{layer.kind}\n{layer.name}\n{layer.shape[0]} of {sides}{silent}"


def _no_ticks(panel: Axes) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.minorticks_off()


def _image(panel: Axes, image: np.ndarray) -> None:
    """One plane, east to the left, on its own scale clipped at half a percent of either end."""
    panel.set_visible(True)
    low, high = np.percentile(image, (0.5, 99.5))
    panel.imshow(image.T[:, ::-1], vmin=low, vmax=high if high > low else low + 1, cmap=MAP_COLOURS)


LAYER_FIGURES = {"filters": filters, "feature_maps": feature_maps}
