"""The page of an audit: every test of one network, and the verdict on each output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from limelight.evaluation.verdicts import PARTLY, READS, REMEMBERS, TOO_FEW, Audit, in_words
from limelight.figures.common import output_axis, output_edges, over_outputs, printed
from limelight.figures.figure import StudyFigure
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH

LOOKS = {
    READS: {"facecolor": COLOURS[0], "hatch": ""},
    PARTLY: {"facecolor": COLOURS[4], "hatch": "..."},
    REMEMBERS: {"facecolor": COLOURS[1], "hatch": "////"},
    TOO_FEW: {"facecolor": "0.9", "hatch": ""},
}
BAND = {"color": "0.9", "lw": 0}
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))


@dataclass(frozen=True)
class AuditWords:
    """A probe's own words on the page of an audit."""

    rows: str = "rows"  # of data
    label: str = ""  # of the outputs' axis; empty: the axis's own label
    answer: str = "answer to empty data"
    level: str = "noise {:g}"  # a level of noise
    changes: Mapping[str, str] = field(default_factory=dict)  # intervention -> what it does


def audit_page(audits: list[Audit], shown: Sequence[int] = ()) -> Figure:
    """All tests of one audit on a page; panels of tests that were not made are left out."""
    return page(audits[0], AuditWords())


def page(result: Audit, words: AuditWords) -> Figure:
    """`audit_page` in the words of a probe."""
    drawn = [_variance, _errors, *[_responses] * bool(result.interventions), _blank]
    drawn += [_heat] * bool(_square_response(result)) + [_conditions] * bool(_conditions_of(result, words))
    letters = "abcdef"[: len(drawn)]
    lines = [f"{pair:.<2}" for pair in (letters[i : i + 2] for i in range(0, len(letters), 2))]
    figure = Figure(figsize=(PAGE_IN, 0.4 + 3 * len(lines)))
    panels = figure.subplot_mosaic(";".join(["vv", *lines]), height_ratios=(0.22, *[1] * (len(lines) - 1), 1.05))
    for name, draw in {"v": _verdicts, **dict(zip(letters, drawn, strict=True))}.items():
        output_axis(panels[name], result.axis, result.verdict.size)
        panels[name].set_xlabel(words.label or panels[name].get_xlabel())
        draw(panels[name], result, words)
    panels["v"].set_xlabel("")
    counts, _, judgement = in_words(result).rpartition(": ")
    about = result.settings
    figure.suptitle(
        f"{counts.replace('_', ' ')}\n{judgement}; {about['test_rows']} {words.rows} of "
        f"{', '.join(about['audited_on'])}, observed as in test {about['test']['name'].replace('_', ' ')}",
        fontsize=9.5,
    )
    return figure


AUDIT = StudyFigure(audit_page, "one audit file", "audit.rst", "Does it read its data?", reads="audit", of_one=True)


def _verdicts(panel: Axes, result: Audit, words: AuditWords) -> None:
    edges = output_edges(result.axis, result.verdict.size)
    for i, verdict in enumerate(result.verdict.flat):
        look = LOOKS[str(verdict)]
        panel.axvspan(edges[i], edges[i + 1], facecolor=look["facecolor"], hatch=look["hatch"], edgecolor="w", lw=0.4)
    panel.set_yticks([])
    panel.tick_params(labelbottom=False)
    panel.set_ylabel("verdict", rotation=0, ha="right", va="center")
    handles = [Patch(**look, edgecolor="w", label=name) for name, look in LOOKS.items()]
    panel.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)


def _variance(panel: Axes, result: Audit, words: AuditWords) -> None:
    """R² and the spread of the predictions over that of the truths."""
    limits = result.settings["thresholds"]
    line, columns = _lines(panel, result), result.columns
    line(columns["r_squared"], 0, r"$R^2$, share of variance explained")
    line(columns["spread_ratio"], 1, r"$\sigma$(predicted) / $\sigma$(true)")
    for height in (limits["partly_r_squared"], limits["reads_r_squared"]):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=":")
    panel.set_ylim(-0.35, 1.55)
    panel.set_ylabel("follows the truths")
    panel.legend(loc="upper left", fontsize=7.5)


def _errors(panel: Axes, result: Audit, words: AuditWords) -> None:
    """Squared error of a constant, and of the control, over the network's."""
    limits = result.settings["thresholds"]
    line = _lines(panel, result)
    line(result.columns["gain_over_mean"], 0, "always the training mean")
    if result.control:
        line(result.columns["gain_over_control"], 1, "same recipe, permuted labels")
    for height in (limits["partly_gain"], limits["reads_gain"]):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=":")
    panel.set_yscale("log")
    told = result.verdict != TOO_FEW
    panel.set_ylim(0.5, 8 * max(1.5, np.max(result.columns["gain_over_mean"][told], initial=1.5)))
    panel.set_ylabel("squared error over the network's")
    panel.legend(loc="upper right", fontsize=7.5)


def _responses(panel: Axes, result: Audit, words: AuditWords) -> None:
    """Predicted over true change for each intervention; 1 is right. Shaded: the accepted range of the first."""
    names = [f"{name}_response" for name in result.interventions]
    limits = [result.settings["thresholds"][name] for name in names if name in result.settings["thresholds"]]
    if limits:
        panel.axhspan(*limits[0], **BAND)
    panel.axhline(1, color=GUIDE, lw=0.7)
    panel.axhline(0, color=GUIDE, lw=0.7, ls=":")
    line = _lines(panel, result)
    for k, name in enumerate(names):
        change = name.removesuffix("_response")
        line(result.columns[name], k, words.changes.get(change, change.replace("_", " ")))
    panel.set_ylim(-0.6, 2.3)
    panel.set_ylabel("predicted / true change")
    panel.legend(loc="upper left", fontsize=7.5)


def _blank(panel: Axes, result: Audit, words: AuditWords) -> None:
    """The prediction for empty data, over the range of the training labels."""
    axis, blank, image = result.axis, result.blank, len(result.target["shape"]) > 1
    clean, noisy = blank["clean"], np.median(blank["noisy"], axis=0)
    low, middle, high = (blank["training_percentiles"][i] for i in (0, 2, 4))
    x, bottom = over_outputs(axis, low)
    panel.fill_between(x, bottom, over_outputs(axis, high)[1], where=np.isfinite(x), **BAND)
    panel.plot(*over_outputs(axis, middle), color="0.5", lw=1.2)
    panel.plot(*over_outputs(axis, clean), color=TRUTH, lw=1.4)
    handles = [
        Patch(**BAND, label=f"95 % of the {'test' if image else 'training'} {words.rows}"),
        Line2D([], [], color="0.5", lw=1.2, label="their median"),
        Line2D([], [], color=TRUTH, lw=1.4, label="empty"),
    ]
    if not np.allclose(blank["noisy"], clean):
        handles += panel.plot(*over_outputs(axis, noisy), color=COLOURS[1], lw=1.2, label="its noise alone")
    if (low >= 0).all() and high.max() > 0:
        smallest = 1.0 if high.max() >= 1 else high[high > 0].min()
        panel.set_yscale("symlog", linthresh=smallest, linscale=0.5)
        panel.set_ylim(-0.1 * smallest, 30 * high.max())
    panel.set_ylabel(words.answer)
    panel.legend(handles=handles, loc="upper right", fontsize=7.5)


def _square_response(result: Audit) -> dict[str, np.ndarray]:
    """The intervention that changed the outputs one by one, if there is such: {name: response (changed, asked)}."""
    count = result.verdict.size
    found = {name: details.get("response") for name, details in result.interventions.items()}
    return {name: values for name, values in found.items() if np.shape(values) == (count, count) and count > 1}


def _heat(panel: Axes, result: Audit, words: AuditWords) -> None:
    """Response of every output to a change of a single one: a diagonal means counting, rows mean inference."""
    ((name, values),) = list(_square_response(result).items())[:1]
    values, name = values.T, name.replace("_", " ")
    top = max(0.1, float(np.nanpercentile(np.abs(values), 98)))
    edges = output_edges(result.axis, len(values))
    mesh = panel.pcolormesh(edges, edges, values, cmap="RdBu_r", norm=TwoSlopeNorm(0, -top, top), rasterized=True)
    panel.plot(edges[[0, -1]], edges[[0, -1]], color=TRUTH, lw=0.5, ls=":")
    output_axis(panel, result.axis, len(values), "y")
    panel.set_xlabel(printed(f"{result.axis.label} changed", result.axis.unit))
    panel.set_ylabel(printed(f"{result.axis.label} asked", result.axis.unit))
    label = f"{name}: change predicted over the true one"
    panel.figure.colorbar(mesh, ax=panel, location="top", shrink=0.8, aspect=30, label=label)


def _conditions_of(result: Audit, words: AuditWords) -> list[tuple[str, np.ndarray]]:
    """(words, R² of each output) of every dataset, where there are several, and of every level of noise."""
    datasets = list(zip(result.dataset_names, result.datasets["r_squared"], strict=True))
    levels = zip(result.noise["level"], result.noise["r_squared"], strict=True)
    noise = [(words.level.format(level) if level else "no noise", found) for level, found in levels]
    return [*datasets, *noise] if len(datasets) > 1 else noise


def _conditions(panel: Axes, result: Audit, words: AuditWords) -> None:
    """R² under more and more noise at test time, and on the data of each dataset."""
    rows, datasets = _conditions_of(result, words), len(result.dataset_names)
    values = np.clip([np.where(result.verdict == TOO_FEW, np.nan, r).ravel() for _, r in rows], -1, 1)
    edges = output_edges(result.axis, result.verdict.size)
    mesh = panel.pcolormesh(edges, np.arange(len(rows) + 1), values, cmap="RdBu", vmin=-1, vmax=1, rasterized=True)
    panel.set_facecolor("0.9")
    if datasets > 1:
        panel.axhline(datasets, color=TRUTH, lw=1)
    panel.set_yticks(np.arange(len(rows)) + 0.5, [name.replace("_", " ") for name, _ in rows], fontsize=7.5)
    panel.tick_params(axis="y", which="minor", left=False, right=False)
    panel.invert_yaxis()
    label = r"$R^2$ by dataset, and by noise added"
    panel.figure.colorbar(mesh, ax=panel, location="top", shrink=0.8, aspect=30, label=label)


def _lines(panel: Axes, result: Audit):
    """A function that draws one column over the outputs, pale where there are too few data for a verdict."""
    told = result.verdict != TOO_FEW

    def line(values: np.ndarray, look: int, label: str) -> None:
        kind = {"color": COLOURS[look % len(COLOURS)], "ls": DASHES[look % len(DASHES)]}
        panel.plot(*over_outputs(result.axis, values), lw=0.8, alpha=0.35, **kind)
        panel.plot(*over_outputs(result.axis, np.where(told, values, np.nan)), lw=1.4, label=label, **kind)

    return line
