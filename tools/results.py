"""A finished study of lines in tables: 95 % bands next to the published ones, audits and classifiers, and pages of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.verdicts import PARTLY, READS, REMEMBERS, TOO_FEW, Audit, in_words
from limelight.figures.confusion import accuracy, confusion, observed_alike
from limelight.probes.line_intensity.published import paper_sigma_uk, published_bands

LUMINOSITIES = (2.5e4, 9e4, 3.4e5, 6.6e5, 1.3e6)  # Lsun, of the page's tables
FILLED = 10  # sources that a bin holds on average: what an audit judges
BAND_COLUMNS = (
    "network",
    "test",
    "noise_uk_per_paper_voxel",
    "luminosity_lsun",
    "mean_sources",
    "maps_used",
    "p2.5",
    "p50",
    "p97.5",
    "published",
    "published_p2.5",
    "published_p97.5",
    "rms_dex",
    "r_squared",
    "spread_ratio",
)
# Of the full summary.csv, which is too large to keep with the code, what neither the page nor the bands have.
SUMMARY = ("network", "test", "luminosity_lsun", "training_mean", "two_sigma_upper", "mse_dex", "mse_mean_dex")


def readers(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Those of networks that read luminosity functions."""
    return [e for e in evaluations if "mean_counts" in e.statistics]


def band_rows(evaluations: Iterable[Evaluation]) -> list[dict[str, object]]:
    """One row per evaluation and luminosity bin: 2.5, 50 and 97.5 percentiles of (predicted − true)/true.

    Beside them each published band of the nearest scenario, interpolated in log L; without one a row has empty fields, with
    two there are two rows. Only evaluations whose network predicts dN or a density: N(>L) has other errors.
    """
    rows = []
    for e in readers(evaluations):
        if e.target["quantity"] == "n_above":
            continue
        s, centers = e.statistics, e.axis.centers
        for label, lum, lower, upper in published_bands(e) or [("", centers, None, None)]:
            beside = np.full((2, len(centers)), np.nan)
            if label:
                ends = (lower, upper)
                beside = [np.interp(np.log10(centers), np.log10(lum), end, np.nan, np.nan) for end in ends]
            for i, luminosity in enumerate(centers):
                values = (s["p2.5"][i], s["p50"][i], s["p97.5"][i], label, beside[0][i], beside[1][i])
                values = (luminosity, s["mean_counts"][i], int(s["n_used"][i]), *values)
                values = (e.network, e.test, paper_sigma_uk(e), *values)
                more = [s[name][i] for name in ("rms_dex", "r_squared", "spread_ratio")]
                rows.append(dict(zip(BAND_COLUMNS, (*values, *more), strict=True)))
    return rows


def audit_rows(audits: Iterable[Audit]) -> list[dict[str, object]]:
    """One row per audited network: its verdicts on the bins that hold FILLED sources or more, and the weakest of these."""
    rows = []
    for one in audits:
        judged = (one.columns["mean_truth"] >= FILLED) & (one.verdict != TOO_FEW)
        held = {name: one.columns[name][judged] for name in ("r_squared", "gain_over_mean", "gain_over_control")}
        rows.append(
            {
                "network": one.network,
                "bins_judged": int(judged.sum()),
                **{name: int(np.sum(one.verdict[judged] == name)) for name in (READS, PARTLY, REMEMBERS)},
                "not_read_at_lsun": _lum(one.axis.centers[judged & (one.verdict != READS)]),
                **{f"lowest_{name}": _least(values) for name, values in held.items()},
                "verdict": in_words(one).rpartition(": ")[2],
            }
        )
    return rows


def class_rows(evaluations: Iterable[Evaluation]) -> list[dict[str, object]]:
    """One row per classifier and way of observing: the share of test maps whose class it tells."""
    networks: dict[str, list[Evaluation]] = {}
    for e in evaluations:
        if "accuracy" in e.totals:
            networks.setdefault(e.network, []).append(e)
    rows = []
    for network, tests in networks.items():
        for group in observed_alike(tests):
            counts = confusion(group)
            rows.append(
                {
                    "network": network,
                    "classes": ", ".join(group[0].axis.names),
                    "tests": ", ".join(e.test for e in group),
                    "told": f"{accuracy(counts):.1%}",
                    "maps": int(counts.sum()),
                    "by chance": f"{counts.sum(axis=1).max() / counts.sum():.1%}",
                }
            )
    return rows


def results_page(
    title: str,
    facts: dict[str, str],
    evaluations: Sequence[Evaluation],
    audits: Sequence[Audit],
    files: dict[str, str],
) -> str:
    """The Markdown page of audits, classifiers and errors.

    Parameters
    ----------
    facts
        What the run was, shown at the top.
    files
        {name: what it holds} of the page of bands and the tables.
    """
    lines = [f"# {title}", "", "Made by `tools/make_results.py` from the files of one run.", ""]
    lines += _table(("", ""), facts.items())
    lines += ["## Verdicts of the audit", "", f"In the bins that hold {FILLED} sources or more on average.", ""]
    lines += _table_of(audit_rows(audits))
    lines += ["## Classifiers", "", *_table_of(class_rows(evaluations))]
    lines += ["## Every network on every test", ""]
    lines += [
        "Mean square error of log10(1 + N) over all bins. Gain: the error of always predicting the training mean, over it.",
        "",
    ]
    keys = ("mse_dex", "gain_dex", "lowest_spread_ratio_100")
    totals = [[e.network, e.test, *(_number(e.totals[key]) or "–" for key in keys)] for e in readers(evaluations)]
    lines += _table(("network", "test", "dex²", "gain", "lowest spread ratio, bins ≥ 100"), totals)
    lines += ["## Files", "", *(f"- [{name}]({name}): {what}" for name, what in files.items()), ""]
    return "\n".join(lines)


def bands_page(title: str, bands: Sequence[dict[str, object]], table: str) -> str:
    """The Markdown page of 95 % bands; bands: of `band_rows`; table: name of the CSV file with every bin."""
    lines = [f"# {title}", ""]
    lines += [
        "2.5 and 97.5 percentiles of (predicted − true)/true over the test maps, %, in the bin of each luminosity [Lsun].",
        "Below each stands the published band of the nearest scenario, where there is one.",
        f"[{table}]({table}) has every bin.",
        "",
    ]
    lines += _table(("network", "test", *(f"{x:.2g}".replace("e+0", "e") for x in LUMINOSITIES)), _band_lines(bands))
    return "\n".join(lines)


def _band_lines(bands: Sequence[dict[str, object]]) -> list[list[str]]:
    """Lines of the page's table of bands: one per evaluation, and below it one per published band."""
    groups: dict[tuple, list[dict]] = {}
    for row in bands:
        groups.setdefault((row["network"], row["test"], row["published"]), []).append(row)
    lines, before = [], None
    for (network, test, published), rows in groups.items():
        nearest = [min(rows, key=lambda row: abs(np.log(row["luminosity_lsun"] / x))) for x in LUMINOSITIES]
        if (network, test) != before:
            lines.append([network, test, *(_percent(row["p2.5"], row["p97.5"]) for row in nearest)])
        if published:
            own = [_percent(row["published_p2.5"], row["published_p97.5"]) for row in nearest]
            lines.append(["", f"*{published}*", *own])
        before = network, test
    return lines


def _percent(low: float, high: float) -> str:
    """A band in percent; what is off by a factor above ten is no error bar, and its digits say nothing."""
    if not np.isfinite([low, high]).all():
        return "–"
    return ", ".join("> +900" if x > 9 else f"{100 * x:+.0f}" for x in (low, high)).replace("-", "−")


def _table_of(rows: Sequence[dict[str, object]]) -> list[str]:
    """A table with the rows' own columns."""
    heads = [name.replace("_", " ") for name in rows[0]] if rows else []
    return _table(heads, [[_number(value) or "–" for value in row.values()] for row in rows])


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines, ""] if lines else ["None.", ""]


def _lum(values: np.ndarray) -> str:
    """Luminosities in words; of many the first and last, and how many."""
    words = [f"{x:.2g}".replace("e+0", "e") for x in values]
    return ", ".join(words) if len(words) <= 4 else f"{len(words)} bins from {words[0]} to {words[-1]}"


def _least(values: np.ndarray) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")


def _number(value: object) -> str:
    """A value as text: numbers to four digits, NaN empty."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)
