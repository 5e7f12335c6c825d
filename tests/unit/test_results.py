"""Tables of a finished study: bands beside the published ones, verdicts, and a page that holds them."""

import csv
import dataclasses
import subprocess
import sys

import audit_toys
import numpy as np
import pytest
import yaml
from evaluation_toys import classifier, network

from limelight.data.axes import OutputAxis
from limelight.evaluation.evaluation_file import write_evaluation
from limelight.evaluation.verdicts import COLUMNS, PARTLY, READS, TOO_FEW, Audit
from limelight.files import ROOT, provenance
from limelight.probes.line_intensity.published import CNN, published_table
from tools.results import SUMMARY, audit_rows, band_rows, bands_page, class_rows, readers, results_page


def audited() -> Audit:
    """Four bins: read, partly, too few sources, and one that the audit's own limit lets pass with five sources."""
    columns = {name: np.array([0.9, 0.4, 0.1, 0.2]) for name in COLUMNS} | {"mean_truth": np.array([1000, 50, 2, 5])}
    verdict = np.array([READS, PARTLY, TOO_FEW, PARTLY])
    axis = OutputAxis("luminosity", "Lsun", log10=True, edges=(4.0, 5, 6, 7, 8))
    return dataclasses.replace(audit_toys.of_lines(), axis=axis, verdict=verdict, columns=columns)


def sorted_maps() -> list:
    """A classifier on two line models under one noise: three of four maps told."""
    names = ("li", "breysse")
    return [
        classifier("li_clean", "li", np.array([[0.9, 0.1]]), names),
        classifier("breysse_clean", "breysse", np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]]), names),
    ]


def test_bands_stand_beside_the_published_ones_of_the_same_bin():
    e = network("limelight", "clean")
    rows = band_rows([e])
    assert len(rows) == 49
    table = published_table(CNN)["no_noise__li_10pct"]
    found = [float(row["published_p97.5"]) for row in rows]
    assert found[1:-1] == pytest.approx(table["frac_err_p97.5"][1:-1], rel=1e-3)
    error = e.predicted[:, 10] / e.truth[:, 10] - 1
    assert (rows[10]["p2.5"], rows[10]["p97.5"]) == pytest.approx(tuple(np.percentile(error, (2.5, 97.5))))
    assert rows[10]["luminosity_lsun"] == pytest.approx(table["luminosity_lsun"][10], rel=1e-3)
    other = dataclasses.replace(
        e, settings={**e.settings, "line_model": {"name": "p", "model": "padmanabhan", "prior": 0}}
    )
    assert {row["published"] for row in band_rows([other])} == {""}
    above = dataclasses.replace(e, target={**e.target, "quantity": "n_above"})
    assert band_rows([above]) == []
    assert band_rows(sorted_maps()) == [], "classes have no bands"


def test_verdicts_count_bins_of_ten_sources_alone():
    (row,) = audit_rows([audited()])
    assert (row["bins_judged"], row[READS], row[PARTLY]) == (2, 1, 1)
    assert row["not_read_at_lsun"] == "3.2e5"
    assert row["lowest_r_squared"] == pytest.approx(0.4)


def test_classifiers_are_told_by_way_of_observing():
    (row,) = class_rows([network("limelight", "clean", maps=8), *sorted_maps()])
    assert (row["network"], row["classes"], row["tests"]) == ("sorter", "li, breysse", "li_clean, breysse_clean")
    assert (row["told"], row["maps"], row["by chance"]) == ("75.0%", 4, "75.0%")


def test_the_pages_hold_bands_verdicts_and_accuracies():
    e = network("limelight", "clean")
    found = [e, *sorted_maps()]
    assert readers(found) == [e]
    text = results_page("T", {"machine": "an abacus"}, found, [audited()], {"a.csv": "all"})
    assert "| machine | an abacus |" in text
    assert "| sorter | li, breysse | li_clean, breysse_clean | 75.0% | 4 | 75.0% |" in text
    assert "| limelight | 2 | 1 | 1 | 0 | 3.2e5 | 0.4 | 0.4 | 0.4 |" in text
    text = bands_page("T", band_rows([e]), "a.csv")
    i = np.argmin(np.abs(np.log(e.axis.centers / 9e4)))
    low, high = (100 * e.statistics[name][i] for name in ("p2.5", "p97.5"))
    assert f"{low:+.0f}, {high:+.0f}".replace("-", "−") in text
    assert "| −33, +70 | −26, +113 | −49, +244 |" in text, "the published band at 2.5e4, 9e4 and 3.4e5 Lsun"


def test_the_script_writes_what_it_finds_and_refuses_half_a_study(tmp_path):
    raw = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))
    config, results = tmp_path / "demo.yaml", tmp_path / "results"
    config.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    path = results / "evaluation" / "limelight" / "no_noise.h5"
    path.parent.mkdir(parents=True)
    write_evaluation(path, network("limelight", "no_noise", maps=8), provenance({}, 77))
    command = [sys.executable, "-m", "tools.make_results", "--config", config, "--results", results]
    command += ["--machine", "an abacus", "--docs", tmp_path / "docs"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode != 0
    assert "no such file (" in refused.stderr
    subprocess.run([*command, "--partial"], check=True, capture_output=True, cwd=ROOT)
    text = (tmp_path / "docs" / "results" / "demo.md").read_text(encoding="utf-8")
    assert "| seed | 77 |" in text
    assert "not made" in text
    assert "| limelight | no_noise |" in (tmp_path / "docs" / "results" / "demo_bands.md").read_text(encoding="utf-8")
    summary = (tmp_path / "docs" / "results" / "demo_summary.csv").read_text(encoding="utf-8")
    assert summary.splitlines()[0] == ",".join(SUMMARY)
    assert len(summary.splitlines()) == 50
    bands = list(csv.DictReader((tmp_path / "docs" / "results" / "demo_bands.csv").read_text().splitlines()))
    percentile = network("limelight", "no_noise", maps=8).statistics["p2.5"][10]
    assert float(bands[10]["p2.5"]) == pytest.approx(percentile, rel=1e-3)
