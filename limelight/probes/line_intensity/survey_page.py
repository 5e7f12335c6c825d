"""The report on one real map as a page of HTML with its figures beside it."""

import html
from pathlib import Path

import numpy as np

from limelight.figures.style import save
from limelight.files import write_csv, write_text
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
from limelight.probes.line_intensity.apply import incomplete_in_words
from limelight.probes.line_intensity.columns import incomplete
from limelight.probes.line_intensity.figures.predictions import posterior_figure
from limelight.probes.line_intensity.figures.survey import survey_figure
from limelight.probes.line_intensity.figures.survey_report import injections_figure, nulls_figure
from limelight.probes.line_intensity.survey_injections import WEIGHT_LEAST
from limelight.probes.line_intensity.survey_options import FIGURES
from limelight.probes.line_intensity.survey_report import MapReport
from limelight.probes.line_intensity.survey_words import survey_words

STYLE = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;font-size:13px}"
    "td,th{border:1px solid #bbb;padding:3px 6px;text-align:right}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%}.good{color:#00623f}.bad{color:#a32a00}"
)


def write_page(path: Path, report: MapReport, name: str, made: dict[str, str]) -> None:
    """Write the page, its table and its figures; made: what the page says it was made from."""
    warning = "" if not report.faults else "read the report before use"
    figures = (
        survey_figure(report.survey, name),
        posterior_figure(report.reading.table, name, warning, report.rivals),
        nulls_figure(report),
        injections_figure(report),
    )
    for ending, figure in zip(FIGURES, figures, strict=True):
        save(figure, path.with_suffix(ending))
    write_csv(path.with_suffix(".csv"), report.reading.table, digits=8)
    write_text(path, page(report, name, made, [path.with_suffix(ending).name for ending in FIGURES]))


def page(report: MapReport, name: str, made: dict[str, str], figures: list[str]) -> str:
    """The page itself; figures: names of the files of FIGURES."""
    what = ("the map", "median, 68 and 95 % intervals", "intervals of maps without light", "sources found again")
    shown = [f"<img src='{html.escape(one)}' alt='{words}'>" for one, words in zip(figures, what, strict=True)]
    title = html.escape(f"Luminosity function of {name}")
    sections = [
        f"<h1>{title}</h1>",
        _verdict(report),
        "<h2>The map</h2>",
        _list(list(survey_words(report.survey))),
        shown[0],
        "<h2>Is it like the training maps?</h2>",
        f"<p>All together: {html.escape(how_unlike(report.reading.p))}.</p>",
        _statistics(report),
        _list(report.doubts) if report.doubts else "<p>No statistic is out of its range.</p>",
        "<h2>Luminosity function</h2>",
        shown[1],
        *(f"<p>{html.escape(words)}.</p>" for words in filter(None, [incomplete_in_words(report.reading.table)])),
        _luminosities(report),
        "<h2>Null tests</h2>",
        _nulls(report),
        shown[2],
        "<h2>Halos added to this map and found again</h2>",
        _injections(report),
        shown[3],
        "<h2>Made from</h2>",
        _list([f"{key}: {value}" for key, value in made.items()]),
    ]
    body = "\n".join(sections)
    head = f"<meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head><body>\n{body}\n</body></html>\n"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _table(heading: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(one)}</th>" for one in heading)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _verdict(report: MapReport) -> str:
    if not report.faults:
        return (
            "<p class='good'>All tests passed: like the training maps, nothing where nothing is, halos found again.</p>"
        )
    return f"<p class='bad'>Do not use the result before these are understood:</p>{_list(report.faults)}"


def _statistics(report: MapReport) -> str:
    rows = [
        [name, f"{off} of {count}", f"{found:.4g}", f"{least:.4g} to {most:.4g}"]
        for name, off, count, found, least, most in report.statistics
    ]
    return _table(["statistic", "outside training", "the farthest", "range of training, widened by half"], rows)


def _luminosities(report: MapReport) -> str:
    table, injected = report.reading.table, report.injections
    verdicts = None if report.audit is None else report.audit.verdict
    unknown, rows = incomplete(table), []
    for i in range(len(table["dn"])):
        low, lower, upper, high = (f"{table[f'dn_{q}'][i]:.4g}" for q in ("q2.5", "q16", "q84", "q97.5"))
        prior = f"{report.prior[0, i]:.3g} to {report.prior[4, i]:.3g}"
        row = [f"{table['luminosity_lsun'][i]:.3g}", f"{table['dn'][i]:.4g}", f"{lower} to {upper}", f"{low} to {high}"]
        row[1:] = ["unknown", "–", f"at least {low}"] if unknown[i] else row[1:]
        slope, weight, own = injected.slope[i], injected.weight[i], injected.data_slope[i]
        expected, scatter = injected.expected[i], injected.scatter[i]
        row += [prior, f"{slope:.2f}" if np.isfinite(slope) else "–"]
        row += [f"{expected:.2f} ± {scatter:.2f}" if np.isfinite(expected) else "–", f"{weight:.2f}"]
        low, high = sorted(injected.data_range[:, i])
        row.append(f"{own:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(own) else "–")
        for other in report.rivals.values():
            row.append(f"{other['dn'][i]:.4g}: {other['dn_q2.5'][i]:.4g} to {other['dn_q97.5'][i]:.4g}")
        rows.append(row + ([] if verdicts is None else [str(verdicts[i])]))
    heading = ["L [Lsun]", "dN", "68 %", "95 %", "prior, 95 %"]
    heading += ["found again: slope", "of simulated maps", "the map's weight", "slope without the prior"]
    heading += [f"{one}: dN, 95 %" for one in report.rivals]
    return _table(heading + ([] if verdicts is None else ["audit"]), rows)


def _nulls(report: MapReport) -> str:
    loud, rows = report.loud_nulls, []
    for one in report.nulls:
        answer = "sees light" if one.name in loud else "prior or empty"
        answer = "not tested: unlike training" if one.p < UNLIKE else answer
        rows.append([one.name, f"{one.p:.2g}", f"{one.table['dn'].sum():.3g}", answer])
    words = (
        "Maps without light: the posterior must answer the prior or less. One that is unlike training tests nothing. Random"
        " signs keep the size of every voxel."
    )
    if report.empty_share:
        words += f" {report.empty_share:.0%} of what the posterior learned from were such maps: it can answer nothing."
    else:
        words += " The posterior never learned from such maps (empty_share of its study): at best it answers its prior."
    usual = f"sources (prior {report.prior[2].sum():.3g})"
    return f"<p>{words}</p>" + _table(["map", "p (like training)", usual, "answer"], rows)


def _injections(report: MapReport) -> str:
    count = len(report.injections.added)
    words = (
        f"The light of {count} simulated fields, filtered as the map is, was added to this map one at a time, and to"
        f" {len(report.injections.simulated)} simulated maps under its noise and pipeline whose counts are like its own. A"
        " slope of 1 (in dex of the counts) says that the answer rises by the sources that were added, 0 that it does not"
        " move. An answer leans on the prior and on what other bins say, so even a perfect one need not have a slope of 1:"
        " it should have that of the simulated maps (mean and scatter). Where a bin knows nothing of others that is the"
        f" map's weight, 1 − (σ/σ_prior)²; without the prior, which is divided out where the map weighs {WEIGHT_LEAST:g} or"
        " more, it is then 1; in brackets its range if the map held fewer or more sources before, by one σ."
    )
    return f"<p>{words}</p><p>{html.escape(report.found_again)}</p>"
