"""The gallery: a finished study's figures as small pictures and one page of the docs that shows them."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from limelight.errors import problem

WIDTHS = (1000, 850, 700, 550)  # pixels of a page's width, tried until the pictures are small enough
COLOURS = 64
REPORT = Path(__file__).resolve().parents[2] / "workflow" / "report"
CHAPTERS = {"section": "Section {} of the notes", "paper": "arXiv:1905.10376"}


class Entry(NamedTuple):
    """A picture of the gallery: where it lies, its name there, its caption, and where it comes from."""

    source: Path
    name: str
    chapter: str
    caption: str
    made_of: str


def entries(study: dict, results: Path, networks: Iterable[str] = ()) -> list[Entry]:
    """Every comparison of a study, and all figures of some networks, in the study's order.

    study: of load_study; results: its folder. Raises LimelightError for a figure that is not there or lacks its caption.
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
    for network in networks:
        if network not in study["networks"]:
            raise problem("--network", f"'{network}'", f"one of {', '.join(study['networks'])}", "choose one")
        for path in sorted((results / "figures" / network).glob("*.png")):
            words = first_sentence((REPORT / f"{path.stem}.rst").read_text(encoding="utf-8"))
            found.append(Entry(path, f"{network}_{path.stem}", f"Network {network}", words, f"`{path.stem}`"))
    missing = [entry.source for entry in found if not entry.source.is_file()]
    if missing:
        raise problem(missing[0], f"no such figure ({len(missing)} missing)", "a finished study", "run the study first")
    return found


def chapter(name: str) -> str:
    """The part of the page in which a comparison stands, from its name: section7_bands belongs to section 7 of the notes."""
    match = re.match(r"(section|paper)(\d*)", name)
    return CHAPTERS[match[1]].format(match[2]) if match else "More"


def first_sentence(text: str) -> str:
    """The first sentence of a caption, on one line."""
    return re.split(r"(?<=[a-z0-9)])\.\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".") + "."


def small_pictures(sources: list[Path], limit_bytes: int) -> list[bytes]:
    """The pictures as PNG of few colours, at most limit_bytes together: as wide as that allows."""
    for width in WIDTHS:
        made = [_small(path, width) for path in sources]
        if sum(map(len, made)) <= limit_bytes:
            return made
    total = sum(map(len, made)) / 1e6
    raise problem("gallery", f"{total:.1f} MB", f"at most {limit_bytes / 1e6:g} MB", "show fewer figures")


def _small(path: Path, width: int) -> bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def page(found: list[Entry], study: dict, config: str, folder: str, facts: dict[str, str]) -> str:
    """The Markdown page. folder: of the pictures, as seen from the page; facts: what the run was, shown at the top."""
    lines = [f"# Gallery: the study `{study['study']}`", ""]
    lines += [
        "Made by `scripts/make_gallery.py` from one finished run; captions are those of the config. How to read each kind of"
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
        lines += [f"{entry.made_of}. Again: `snakemake --cores 2 --configfile {config} {target}`", ""]
    return "\n".join(lines)
