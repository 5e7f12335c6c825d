"""Figures of a study, drawn from files only. `FIGURES` names those that every probe has; `draw_figure` makes one.

A probe adds more in `FIGURES` of its package, a registry like the one here, which is read without the probe itself: a figure
needs no simulator. A probe's figure replaces the one here with the same name, for example to use the probe's own words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limelight.errors import LimelightError, problem
from limelight.kept import kept
from limelight.probe import own_figures
from limelight.registry import Registry

if TYPE_CHECKING:  # a registry loads matplotlib only when a figure is asked for
    from matplotlib.figure import Figure

KEY = "figure"
FIGURES = Registry(
    KEY,
    {
        "loss_history": "limelight.figures.training:LOSS_HISTORY",
        "training_histories": "limelight.figures.training:TRAINING_HISTORIES",
        "predicted_against_true": "limelight.figures.predictions:PREDICTED_AGAINST_TRUE",
        "image_examples": "limelight.figures.images:IMAGE_EXAMPLES",
        "reconstruction": "limelight.figures.reconstruction:RECONSTRUCTION",
        "spread_ratio": "limelight.figures.predictions:SPREAD_RATIO",
        "summary_matrix": "limelight.figures.matrix:SUMMARY_MATRIX",
        "confusion_matrix": "limelight.figures.confusion:CONFUSION_MATRIX",
        "filters": "limelight.figures.layers:FILTERS",
        "feature_maps": "limelight.figures.layers:FEATURE_MAPS",
        "audit": "limelight.figures.audit:AUDIT",
        "saliency_maps": "limelight.figures.saliency:SALIENCY_MAPS",
        "saliency_shares": "limelight.figures.saliency:SALIENCY_SHARES",
        "saliency_checks": "limelight.figures.saliency:SALIENCY_CHECKS",
        "saliency_strides": "limelight.figures.saliency_runs:SALIENCY_STRIDES",
        "saliency_reach": "limelight.figures.saliency_runs:SALIENCY_REACH",
    },
)


def figures_of(probe: str) -> Registry:
    """The figures of a probe's studies: those of every probe, and its own."""
    return Registry(KEY, {**FIGURES, **own_figures(probe)})


@dataclass(frozen=True)
class Place:
    """Where a figure stands in the workflow and its report: see `limelight.figures.figure.StudyFigure`."""

    caption: str
    chapter: str
    reads: str
    tables: tuple[str, ...]


def places_of(probe: str, names: Iterable[str]) -> dict[str, Place]:
    """The places of figures by name; kept from one command to the next, for figures load matplotlib."""
    figures, asked = figures_of(probe), list(dict.fromkeys(names))

    def told() -> list[list]:
        loaded = [figures.load(name) for name in asked]
        return [[one.caption, one.chapter, one.reads, list(one.tables)] for one in loaded]

    found = kept(("figures", [figures.dotted(name) for name in asked]), told)
    return {name: Place(*words, tuple(tables)) for name, (*words, tables) in zip(asked, found, strict=True)}


def check_figures(study) -> None:
    """Refuse a study (limelight.study.sections.Study) that asks for figures which its probe does not have."""
    of_runs = (
        "limelight.figures.saliency:",
        "limelight.figures.saliency_runs:",
    )  # of every run of `saliency`; of several
    dotted = figures_of(study.probe)
    known = [name for name in dotted if not dotted[name].startswith(of_runs)]
    compared = [name for name in dotted if dotted[name].startswith(of_runs[1])]
    asked = [
        (f"comparisons.{name}.figure", entry.figure, compared if entry.runs else known)
        for name, entry in study.comparisons.items()
    ]
    asked += [("figures.each_network", name, known) for name in study.figures.each_network or []]
    faults = [
        str(problem(key, f"'{name}'", f"one of {', '.join(allowed)}", "choose one"))
        for key, name, allowed in asked
        if name not in allowed
    ]
    if faults:
        raise LimelightError("\n".join(faults))


def draw_figure(name: str, files: Sequence, shown: Sequence[int] | None = None) -> "Figure":
    """Draw a figure in the house style.

    Parameters
    ----------
    name
        Of a figure of the files' probe.
    files
        The contents of its files: Evaluation, Layers, Audit or Saliency objects, one or more, of one probe.
    shown
        Numbers of the rows of data to show one by one; None: the study's choice, as in the first file.

    Raises LimelightError for an unknown name, for no files, and for files of another kind or that do not fit together.
    """
    from limelight.figures.style import style

    if not files:
        raise problem(f"figure {name}", "no files", "at least one", "name them")
    if shown is not None and min(shown, default=0) < 0:
        raise problem("shown", f"row {min(shown)}", "numbers from 0 up", "count from 0")
    figure = figures_of(_probe_of(files[0])).load(name)
    kinds = [type(one).__name__.lower() for one in files]
    if wrong := [kind for kind in kinds if kind != figure.reads]:
        raise problem(f"figure {name}", f"a file of kind '{wrong[0]}'", figure.needs, "give others")
    if shown is not None and not figure.rows:
        raise problem("shown", f"rows for {name}", "a figure that shows rows one by one", "leave it out")
    if figure.of_one and len(files) > 1:
        raise problem(f"figure {name}", f"{len(files)} files", figure.needs, "give one")
    for one in files:
        if missing := [key for key in figure.statistics if key not in one.statistics]:
            found = f"{one.network}/{one.test} without {', '.join(missing)}"
            raise problem(f"figure {name}", found, figure.needs, "choose other networks")
    for what in figure.same:
        _check_same(name, files, what)
    if shown is None:
        shown = files[0].settings["shown"] if figure.reads == "evaluation" else ()
    with style():
        return figure.function(list(files), list(shown))


def _probe_of(found: object) -> str:
    """The probe of a file's data, from the data's header or an audit's settings."""
    return found.header.probe if hasattr(found, "header") else found.settings["probe"]


def _check_same(name: str, files: Sequence, what: str) -> None:
    """Refuse files that differ in what they must agree in."""
    first, word = files[0], what.rpartition(".")[2]
    for one in files[1:]:
        if _part(one, what) != _part(first, what):
            found = f"{one.network}/{one.test} beside {first.network}/{first.test} with another {word}"
            raise problem(f"figure {name}", found, f"evaluations of the same {word}", "draw them apart")


def _part(whole: object, path: str) -> object:
    """An attribute, or a key within one: "target.quantity"; None for a key that is not there."""
    for name in path.split("."):
        whole = whole.get(name) if isinstance(whole, dict) else getattr(whole, name)
    return whole
