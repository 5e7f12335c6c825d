"""The common style of all figures, and saving them so that the same data give the same bytes."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from limelight import __version__
from limelight.files import atomic_path, open_hdf5
from limelight.versions import git_commit, library_versions

COLUMN_IN, PAGE_IN = 3.5, 7.1  # widths of one and of two columns of a journal page, inches

# Okabe & Ito (2008): eight colours that all common kinds of colour vision tell apart; yellow left out, too pale in print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TRUTH, PUBLISHED, GUIDE = "#000000", "#8A8A8A", "#5A5A5A"
MAP_COLOURS = "inferno"

STYLE = {
    "font.family": "STIXGeneral",  # ships with matplotlib: the same letters on every machine
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlepad": 4,
    "axes.linewidth": 0.7,
    "axes.unicode_minus": True,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType: text stays text, and journals accept it
    "svg.hashsalt": "limelight",
    "image.interpolation": "nearest",
    "image.origin": "lower",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save within this context: the user's matplotlib settings do not leak in, and ours do not leak out."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def made_from(paths: Sequence[str | Path]) -> dict[str, str]:
    """Provenance of a figure: this code and its libraries, config hashes and seeds of the HDF5 files it is drawn from."""
    hashes, seeds = [], []
    for path in paths:
        with open_hdf5(path) as file:
            hashes.append(str(file.attrs.get("config_hash", "unknown")))
            seeds.append(str(file.attrs.get("seed", "unknown")))
    made = {"limelight_version": __version__, "git_commit": git_commit(), "libraries": library_versions()}
    return made | {"config_hash": ", ".join(dict.fromkeys(hashes)), "seed": ", ".join(dict.fromkeys(seeds))}


def save(figure: Figure, path: str | Path, sources: Sequence[str | Path] = ()) -> None:
    """Write `path` (its suffix replaced) as vector PDF and as PNG, each atomically and without a date inside.

    Both carry their provenance; sources: the HDF5 files that the figure shows.
    """
    path, made = Path(path), json.dumps(made_from(sources))
    engine, dpi = figure.get_layout_engine(), figure.get_dpi()
    drawn = {"pdf": io.BytesIO(), "png": io.BytesIO()}  # a full disk fails in a plain write, not within matplotlib
    pdf = {"CreationDate": None, "Producer": None, "Creator": "limelight", "Subject": made}
    with style():
        canvas = FigureCanvasAgg(figure)
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine("none")  # drawn once each: savefig would lay each out twice and draw it twice
        FigureCanvasPdf(figure).print_pdf(drawn["pdf"], metadata=pdf)
        figure.set_canvas(canvas)
        figure.set_dpi(STYLE["savefig.dpi"])
        canvas.print_png(drawn["png"], metadata={"Software": "limelight", "Description": made})
    figure.set_dpi(dpi)
    figure.set_layout_engine(engine)
    for kind, content in drawn.items():
        with atomic_path(path.with_suffix(f".{kind}")) as part:
            part.write_bytes(content.getvalue())
