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
from limelight.figures.layers import LAYER_FIGURES
from limelight.study.selection import audited_networks, classifiers

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


def entries(study: dict, results: Path, networks: Iterable[str] = ()) -> list[Entry]:
    """Every comparison of a study, its audits, layers and confusion matrices, and all else that is drawn of some networks.

    study: of load_study; results: its folder. Whether the figures are there is not asked. Raises LimelightError
    for one that lacks its caption.
    """
    found = []
    for name, entry in study["comparisons"].items():
        if not entry["caption"]:
            raise problem(f"comparisons.{name}", "no caption", "one for the gallery", "add one")
        what = f"`{entry['figure']}`" + "".join(
            f"; {key} {', '.join(entry[key])}" for key in ("networks", "tests") if key in entry
        )
        found.append(
            Entry(results / "figures" / "comparisons" / f"{name}.png", name, chapter(name), entry["caption"], what)
        )
    own = own_figures(study)
    for network in networks:
        if network not in study["networks"]:
            raise problem("--network", f"'{network}'", f"one of {', '.join(study['networks'])}", "choose one")
        names = [path.stem for path in sorted((results / "figures" / network).glob("*.png"))]
        own[network] = [*own.get(network, []), *names]
    for network in (name for name in study["networks"] if name in own):
        for name in dict.fromkeys(own[network]):
            path = results / "figures" / network / f"{name}.png"
            words = first_sentence((REPORT / f"{name}.rst").read_text(encoding="utf-8"))
            words = " ".join([words, *verdict(results, network, name)])
            found.append(Entry(path, f"{network}_{name}", f"Network {network}", words, f"`{name}`"))
    return found


def own_figures(study: dict) -> dict[str, list[str]]:
    """What the study itself asks to look at in single networks: {network: audit, layers, confusion matrix}."""
    own = {}
    for networks, names in (
        (audited_networks(study), ["audit"]),
        (study["figures"]["layers"], LAYER_FIGURES),
        (classifiers(study), ["confusion_matrix"]),
    ):
        for network in networks:
            own[network] = [*own.get(network, []), *names]
    return own


def verdict(results: Path, network: str, figure: str) -> list[str]:
    """The line in which an audit or a classification says what it found; none of other figures."""
    kind = {"audit": "audit", "confusion_matrix": "classification"}.get(figure)
    path = results / str(kind) / f"{network}.h5"
    if not path.is_file():
        return []
    with h5py.File(path) as file:
        words = str(file.attrs.get(f"{kind}_summary", "")).strip('"')
    return [f"{words[:1].upper()}{words[1:]}."] if words else []


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


def page(found: list[Entry], study: dict, config: str, folder: str, facts: dict[str, str]) -> str:
    """The Markdown page. folder: of the pictures, as seen from the page; facts: what the run was, shown at the top."""
    lines = [f"# Gallery: the study `{study['study']}`", ""]
    lines += [
        "Made by `tools/make_gallery.py` from one finished run; captions are those of the config. How to read each kind of"
    ]
    lines += [
        "figure stands in `workflow/report/`; which experiment of the notes is which, in [experiments.md](experiments.md).",
        "",
    ]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    before = ""
    for entry in found:
        if entry.chapter != before:
            lines += [f"## {entry.chapter}", ""]
            before = entry.chapter
        target = f"results/{study['study']}/figures/{entry.source.parent.name}/{entry.source.stem}.pdf"
        lines += [f"### {entry.name}", "", entry.caption, "", f"![{entry.name}]({folder}/{entry.name}.png)", ""]
        lines += [f"{entry.made_of}. Again: `snakemake {target} --cores 2 --configfile {config}`", ""]
    return "\n".join(lines)
