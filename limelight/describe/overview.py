"""The first page of a finished study: what came out, whether it can be believed, and where to look first."""

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.metrics import in_columns
from limelight.evaluation.verdicts import Audit, condemned
from limelight.evaluation.verdicts import in_columns as audit_in_columns
from limelight.probe import Probe
from limelight.text_table import NONE, NUMBER

STYLE = """body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%;height:auto}.wide{overflow-x:auto}"""
TABLE = "border-collapse:collapse;font-size:13px"
# Snakemake centres its first page in the window: of a long one the top could not be reached. And its column is narrow.
REPORT_STYLE = """<style>.items-center.overflow-auto{align-items:flex-start}.prose.max-w-lg{max-width:48rem}</style>"""
ROWS = """<p>A row is a network on data that it has never seen. <em>Below the training mean</em>: how many times its squared
error lies below that of always answering the mean of the training labels; near 1 it has learned nothing.</p>"""
VERDICTS = """<p>Of how many outputs (such as bins) the audit says that the network <em>reads</em> its data, or
<em>remembers</em> its training whatever the data.</p>"""
CELL = "border-bottom:1px solid #ccc;padding:3px 8px 3px 0;vertical-align:top"


@dataclass(frozen=True)
class Overview:
    """A study's results, as its first page shows them."""

    study: str
    headline: Path | None  # a figure, PNG
    caption: str  # of the headline, plain text
    errors: list[dict[str, str]]  # rows of {heading: text}, one per network and test
    goal: str  # what `goal` in the table means, in words; empty where nothing is asked
    audits: list[dict[str, str]]  # one row per audited network
    warnings: list[str]  # what must not be believed


def make_overview(
    study: str, probe: Probe, evaluations: Sequence[Evaluation], audits: Sequence[Audit], headline: Path | None
) -> Overview:
    """Put together what the first page shows.

    Parameters
    ----------
    study
        Its name.
    evaluations, audits
        Of all networks, in the order in which they are to be listed.
    headline
        PNG of the figure that says most; None where the study draws none.
    """
    rows, warnings = [], []
    for one in evaluations:
        columns = probe.in_columns(one.totals, one.settings) or in_columns(one.totals)
        rows.append({"network": one.network, "test": one.test} | columns)
        if columns.get("goal") == "MISSED":
            warnings.append(f"{one.network} misses its goal on {one.test}: train it longer, or on more data.")
    for one in audits:
        if wrong := condemned(one):
            warnings.append(f"{one.network} answers from memory at {', '.join(wrong)}: do not use it there.")
    return Overview(
        study=study,
        headline=headline,
        caption=f"{headline.stem.replace('_', ' ').capitalize()} of {headline.parent.name}." if headline else "",
        errors=rows,
        goal=probe.wanted if any("goal" in row for row in rows) else "",
        audits=[audit_in_columns(one) for one in audits],
        warnings=warnings,
    )


def page(overview: Overview, folder: Path, links: Mapping[str, str]) -> str:
    """The whole page, to stand in a study's folder of results; links: {words: path below the folder}."""
    items = [f'<li><a href="{html.escape(path)}">{html.escape(words)}</a></li>' for words, path in links.items()]
    body = _body(overview, lambda path: path.relative_to(folder).as_posix())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>limelight: {html.escape(overview.study)}'
        f'</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body>\n'
        f"<h1>Study {html.escape(overview.study)}</h1>\n{body}\n<h2>More</h2>\n<ul>{''.join(items)}</ul>\n</body></html>\n"
    )


def report_text(overview: Overview) -> str:
    """The same as the first text of Snakemake's report: reStructuredText, with the figure inside."""
    lines = [REPORT_STYLE, *_body(overview, _inside).splitlines()]
    raw = "\n".join(f"   {line}" for line in lines)
    return (
        "{% raw %}\n.. raw:: html\n\n" + raw + "\n{% endraw %}\n"
    )  # a name may hold what Jinja would take for its own


def _inside(path: Path) -> str:
    """A picture as a link that holds it, in lines that docutils takes; browsers leave the breaks out."""
    return "data:image/png;base64,\n" + base64.encodebytes(path.read_bytes()).decode("ascii").rstrip()


def _body(overview: Overview, source: Callable[[Path], str]) -> str:
    """Result, verdict and where to look first, as HTML; source: what an image's src is to be."""
    parts = ["<h2>What came out</h2>"]
    if overview.headline:
        parts.append(f'<img src="{source(overview.headline)}" alt="{html.escape(overview.caption)}">')
        parts.append(f"<p><em>{html.escape(overview.caption)}</em></p>")
    parts += [_table(overview.errors), ROWS]
    if overview.goal:
        parts.append(f"<p>{html.escape(overview.goal[0].upper() + overview.goal[1:])}.</p>")
    parts.append("<h2>Can it be believed?</h2>")
    if overview.audits:
        parts += [_table(overview.audits), VERDICTS]
    else:
        parts.append("<p>No network was audited: the config's <code>audit</code> says which are.</p>")
    parts += ["<h2>What to look at first</h2>", _list([*overview.warnings, *_first(overview)])]
    return "\n".join(filter(None, parts))


def _first(overview: Overview) -> list[str]:
    """Where to look first besides warnings; no comfort where nothing was audited or asked."""
    lines = []
    if overview.audits:
        if not overview.warnings:
            lines.append("Nothing is condemned" + (", and no goal is missed." if overview.goal else "."))
        lines.append(
            'Chapter "Does it read its data?": the audit, output by output. Do not use outputs that it condemns.'
        )
    figure = "The figure above, then the" if overview.headline else "The"
    lines.append(f"{figure} errors of each output: summary.csv has them all.")
    return [*lines, 'Chapter "Provenance": what made each file.']


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of {heading: text}, numbers to the right; empty for no rows."""
    if not rows:
        return ""
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    texts = [[row.get(heading) or NONE for heading in headings] for row in rows]
    sides = [
        "right" if all(NUMBER.fullmatch(text) for text in column) else "left" for column in zip(*texts, strict=True)
    ]

    def line(kind: str, cells: Sequence[str]) -> str:
        made = (
            f'<{kind} style="{CELL};text-align:{side}">{html.escape(cell)}</{kind}>'
            for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line("td", cells) for cells in texts)
    return (
        f'<div class="wide" style="overflow-x:auto"><table style="{TABLE}">{line("th", headings)}{body}</table></div>'
    )
