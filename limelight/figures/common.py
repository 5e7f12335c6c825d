"""What several figures share: names of evaluations, colours, axes of outputs and images, and limits of size."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from limelight.data.axes import Axis, OutputAxis
from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.style import COLOURS, MAP_COLOURS, MARKERS
from limelight.summaries.scales import judged_axis

MOST_COLUMNS, MOST_ROWS = 4, 6  # of panels that can be read in print
UNITS = {"Lsun": r"$L_\odot$", "Msun": r"$M_\odot$", "uK": "µK"}  # as they are printed


def legend_name(evaluation: Evaluation, evaluations: list[Evaluation]) -> str:
    """A test's name for a legend; with the network's when several are shown."""
    test = evaluation.test.replace("_", " ")
    several = len({e.network for e in evaluations}) > 1
    return f"{evaluation.network.replace('_', ' ')}, {test}" if several else test


def short_names(evaluations: list[Evaluation]) -> list[str]:
    """What distinguishes each evaluation from the others: its network, its test, or both; plain words."""
    several_networks, several_tests = (len({getattr(e, key) for e in evaluations}) > 1 for key in ("network", "test"))
    parts = [(e.network,) * (several_networks or not several_tests) + (e.test,) * several_tests for e in evaluations]
    return [", ".join(part).replace("_", " ") for part in parts]


def networks_of(evaluations: list[Evaluation]) -> list[Evaluation]:
    """One evaluation of each network, the first given: the network's own data are the same in all."""
    return list({e.network: e for e in reversed(evaluations)}.values())[::-1]


def colour_and_marker(index: int) -> dict[str, object]:
    """Colour and marker of the index-th test; both differ, so they can be told apart in grey print."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def line_style(index: int) -> dict[str, object]:
    """As colour_and_marker, for any number of lines: from the eighth on they are dashed."""
    return {**colour_and_marker(index), "ls": ("-", (0, (4, 1.5)), (0, (1, 1)))[index // len(COLOURS) % 3]}


def panel_grid(figure: Figure, count: int, columns: int = 3, **share) -> list[Axes]:
    """`count` panels in rows of at most `columns`; the unused are hidden."""
    columns = min(count, columns)
    panels = list(figure.subplots(-(-count // columns), columns, squeeze=False, **share).flat)
    for panel in panels[count:]:
        panel.set_axis_off()
    return panels[:count]


def check_size(what: str, count: int, most: int = MOST_COLUMNS) -> None:
    """Refuse a figure with more columns or rows than can be read in print."""
    if count > most:
        raise problem("figure", f"{count} {what}", f"at most {most} in one figure", "split the comparison")


def some_channels(count: int, most: int) -> list[int]:
    """Up to `most` of `count` channels, evenly from the first to the last: what fits on a page."""
    return np.linspace(0, count - 1, max(1, min(count, most))).round().astype(int).tolist()


def printed(label: str, unit: str) -> str:
    """A quantity with its unit, as the label of an axis."""
    words = label.replace("_", " ")
    return f"{words} [{UNITS.get(unit, unit)}]" if unit else words


def output_edges(axis: OutputAxis, count: int) -> np.ndarray:
    """Where each of `count` outputs begins and ends on a figure's axis, (count + 1,); non-bins are 1 wide."""
    if not axis.edges:
        return np.arange(count + 1) - 0.5
    edges = np.asarray(axis.edges, np.float64)
    return 10**edges if axis.log10 else edges


def over_outputs(axis: OutputAxis, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The line (x, y) through one value per output: bins are joined at their middles, others are levels on their own."""
    values = np.ravel(values).astype(np.float64)
    if axis.edges:
        return axis.centers, values
    steps = np.arange(len(values))[:, None] + np.array([-0.4, 0.4, np.nan])
    return steps.ravel(), np.repeat(values, 3)


def output_axis(panel: Axes, axis: OutputAxis, count: int, which: str = "x") -> None:
    """Make the x or y axis of a panel that of the outputs: scale, limits, label, and their names where they have some."""
    edges, place = output_edges(axis, count), getattr(panel, f"{which}axis")
    if axis.edges and axis.log10:
        getattr(panel, f"set_{which}scale")("log")
    getattr(panel, f"set_{which}lim")(edges[0], edges[-1])
    getattr(panel, f"set_{which}label")(printed(axis.label, axis.unit))
    if axis.names:
        getattr(panel, f"set_{which}ticks")(range(count), [name.replace("_", " ") for name in axis.names])
        if which == "x" and count > 4:
            panel.tick_params(axis="x", labelrotation=60)
        place.set_minor_locator(NullLocator())
    elif not axis.edges:
        place.set_major_locator(MaxNLocator(integer=True))


def statistics_axis(evaluation: Evaluation) -> OutputAxis:
    """What the statistics of an evaluation are of: its outputs, or of images the shells of each channel."""
    if evaluation.scales is None:
        return evaluation.axis
    return judged_axis(evaluation.scales, evaluation.channels)


def output_names(axis: OutputAxis, count: int) -> list[str]:
    """A name for each of `count` outputs."""
    if axis.names:
        return [name.replace("_", " ") for name in axis.names]
    if axis.edges:
        return [f"{printed(axis.label, '')} {middle:.3g} {UNITS.get(axis.unit, axis.unit)}" for middle in axis.centers]
    return [f"output {i}" for i in range(count)]


def stretched(values: np.ndarray) -> np.ndarray:
    """Values of bins as heights at all edges, for step='post'."""
    return np.append(values, values[-1])


def wave_number_axis(panel: Axes, axis: OutputAxis) -> None:
    """Make the x axis of a panel that of shells of wave number: logarithmic, with labels that fit."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(printed(axis.label, axis.unit))


def no_ticks(panel: Axes) -> None:
    """An image that needs no scale."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.minorticks_off()


def show_plane(panel: Axes, plane: np.ndarray, axes: tuple[Axis, ...], **options):
    """Draw one plane (x, y), or a trace (x,), of data: x to the right, y up, and east to the left where x is on the sky.

    axes: those of the data; an x in degrees is on the sky. options: of imshow. Returns the image (of a trace the line).
    """
    if plane.ndim == 1:
        (line,) = panel.plot(plane, color=COLOURS[0], lw=0.8)
        return line
    picture = plane.T[:, ::-1] if axes and axes[0].unit == "deg" else plane.T
    return panel.imshow(picture, **{"cmap": MAP_COLOURS, **options})


def middle_plane(values: np.ndarray) -> np.ndarray:
    """The first two axes of an array, at the middle of all others."""
    return values[(..., *(n // 2 for n in values.shape[2:]))] if values.ndim > 2 else values
