"""The gallery: a finished study's figures as small pictures and one page of the docs that shows them."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import h5py
from PIL import Image

from limelight.errors import problem
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.figures import figures_of
from limelight.study.sections import Study
from limelight.study.selection import audited_networks, classifiers
from tools.results import class_rows

# (pixels of a page's width, colours): the largest pictures go down these steps until all are small enough together
STEPS = ((1000, 64), (850, 64), (850, 32), (700, 32), (550, 16))
REPORT = Path(__file__).resolve().parents[1] / "workflow" / "report"
CHAPTERS = {"section": "Section {} of the notes", "paper": "arXiv:1905.10376"}


class Entry(NamedTuple):
    """A picture of the gallery: where it lies, its name there, its caption, and where it comes from."""

    source: Path
    name: str
    chapter: str
    caption: str
    made_of: str


def entries(study: Study, results: Path, networks: Iterable[str] = ()) -> list[Entry]:
    """Every comparison of a study, its audits, layers and confusion matrices, and all else that is drawn of some networks.

    results: the study's folder. Whether the figures are there is not asked. Raises LimelightError for one that lacks its
    caption.
    """
    found = []
    for name, entry in study.comparisons.items():
        if not entry.caption:
            raise problem(f"comparisons.{name}", "no caption", "one for the gallery", "add one")
        parts = {"networks": entry.networks, "tests": entry.tests}
        what = "; ".join([f"`{entry.figure}`", *(f"{key} {', '.join(names)}" for key, names in parts.items() if names)])
        source = results / "figures" / "comparisons" / f"{name}.png"
        found.append(Entry(source, name, chapter(name), entry.caption, what))
    own, figures = own_figures(study), figures_of(study.probe)
    for network in networks:
        if network not in study.networks:
            raise problem("--network", f"'{network}'", f"one of {', '.join(study.networks)}", "choose one")
        names = [path.stem for path in sorted((results / "figures" / network).glob("*.png"))]
        own[network] = [*own.get(network, []), *names]
    for network in (name for name in study.networks if name in own):
        for name in dict.fromkeys(own[network]):
            path = results / "figures" / network / f"{name}.png"
            words = first_sentence((REPORT / figures.load(name).caption).read_text(encoding="utf-8"))
            words = " ".join([words, *verdict(results, network, name)])
            found.append(Entry(path, f"{network}_{name}", f"Network {network}", words, f"`{name}`"))
    return found


def own_figures(study: Study) -> dict[str, list[str]]:
    """What the study itself asks to look at in single networks: {network: audit, layers, confusion matrix}."""
    own: dict[str, list[str]] = {}
    for networks, names in (
        (audited_networks(study), ["audit"]),
        (study.figures.layers, ["filters", "feature_maps"]),
        (classifiers(study), ["confusion_matrix"]),
    ):
        for network in networks:
            own[network] = [*own.get(network, []), *names]
    return own


def verdict(results: Path, network: str, figure: str) -> list[str]:
    """What an audit or a classifier's tests found, one sentence each; nothing of other figures."""
    audit = results / "audit" / f"{network}.h5"
    if figure == "audit" and audit.is_file():
        with h5py.File(audit) as file:
            words = str(file.attrs.get("audit_summary", "")).strip('"')
        return [f"{words[:1].upper()}{words[1:]}."] if words else []
    tests = sorted((results / "evaluation" / network).glob("*.h5")) if figure == "confusion_matrix" else []
    rows = class_rows(read_evaluation(path) for path in tests)
    return [
        f"Told: {row['told']} of {row['maps']} maps of {row['tests']} ({row['by chance']} by chance)." for row in rows
    ]


def processor_hours(results: Path) -> tuple[float, int]:
    """Hours of processor time of a study's jobs, and their number, from Snakemake's benchmark files."""
    seconds = []
    for path in (results / "benchmarks").rglob("*.tsv"):
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                for word in (row.get("cpu_time"), row.get("s")):  # jobs of a second or less have no cpu_time
                    if re.fullmatch(r"[0-9.]+", word or ""):
                        seconds.append(float(word))
                        break
    return sum(seconds) / 3600, len(seconds)


def chapter(name: str) -> str:
    """The part of the page in which a comparison stands, from its name: section7_bands belongs to section 7 of the notes."""
    match = re.match(r"(section|paper)(\d*)", name)
    return CHAPTERS[match[1]].format(match[2]) if match else "More"


def first_sentence(text: str) -> str:
    """The first sentence of a caption, on one line."""
    whole = " ".join(text.split())
    match = re.match(r".*?[a-z0-9)][.?](?=\s|$)", whole)
    return match[0] if match else whole.rstrip(".") + "."


def small_pictures(sources: list[Path], limit_bytes: int) -> list[bytes]:
    """The pictures as PNG of few colours, at most limit_bytes together; the largest give way first."""
    step = [0] * len(sources)
    made = [_small(path, *STEPS[0]) for path in sources]
    while sum(map(len, made)) > limit_bytes:
        left = [i for i in range(len(made)) if step[i] + 1 < len(STEPS)]
        if not left:
            total = sum(map(len, made)) / 1e6
            raise problem("gallery", f"{total:.1f} MB", f"at most {limit_bytes / 1e6:g} MB", "show fewer figures")
        largest = max(left, key=lambda i: len(made[i]))
        step[largest] += 1
        made[largest] = _small(sources[largest], *STEPS[step[largest]])
    return made


def _small(path: Path, width: int, colours: int) -> bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    settled = (
        1 if colours < 64 else 0
    )  # few colours must be chosen well, which takes a second; of many any choice will do
    picture.quantize(colours, kmeans=settled, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def page(found: list[Entry], study: Study, config: str, folder: str, facts: dict[str, str]) -> str:
    """The Markdown page.

    Parameters
    ----------
    config
        The study's YAML, as commands name it.
    folder
        Of the pictures, as seen from the page.
    facts
        What the run was, shown at the top.
    """
    lines = [f"# Gallery: the study `{study.study}`", ""]
    lines += [
        "`tools/make_gallery.py` made this page from one finished run; the captions come from the config.",
        "`workflow/report/` explains how to read each kind of figure,",
        "[experiments.md](experiments.md) lists the notes' experiments.",
        "",
    ]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    lines += [
        "After each caption stand the figure's path in the results, its kind, and the networks and tests shown. To make one",
        f"again: `snakemake results/{study.study}/figures/PATH --cores 2 --configfile {config}`.",
        "",
    ]
    before = ""
    for entry in found:
        if entry.chapter != before:
            lines += [f"## {entry.chapter}", ""]
            before = entry.chapter
        path = f"{entry.source.parent.name}/{entry.source.stem}.pdf"
        lines += [f"**{entry.name}**: {entry.caption} (`{path}`; {entry.made_of})", ""]
        lines += [f"![{entry.name}]({folder}/{entry.name}.png)", ""]
    return "\n".join(lines)
