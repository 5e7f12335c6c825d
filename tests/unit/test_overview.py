"""The first page of a study: what it says of made-up results, and that a browser shows it whole."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from audit_toys import of_lines
from docutils.core import publish_parts
from evaluation_toys import network
from jinja2 import Template
from PIL import Image

from limelight.describe.overview import make_overview, page, report_text
from limelight.evaluation.verdicts import READS
from limelight.probe import load_probe
from tests.browser import browse

PROBE = load_probe("line_intensity")


@pytest.fixture
def headline(tmp_path: Path) -> Path:
    path = tmp_path / "figures" / "limelight" / "error_bands.png"
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (300, 700, 3), np.uint8)  # large: the report breaks it into lines
    Image.fromarray(noise).save(path)
    return path


def results(audit, error_dex: float = 0.03) -> tuple:
    """(evaluations, audits) of one network without noise and with."""
    return [network("limelight", "no_noise", 0.0, error_dex), network("limelight", "loud", 3.0, error_dex)], [audit]


def test_a_condemned_network_and_a_missed_goal_stand_first(headline: Path):
    found = make_overview("mine", PROBE, *results(of_lines(), error_dex=2.0), headline)
    assert [row["goal"] for row in found.errors] == ["MISSED", ""]
    assert found.warnings == [
        "limelight misses its goal on no_noise: train it longer, or on more data.",
        "limelight answers from memory at 10^5.60 to 10^5.80 Lsun: do not use it there.",
    ]
    text = page(found, headline.parents[2], {"All figures": "report.html"})
    first = text.partition("What to look at first")[2]
    assert first.index("misses its goal") < first.index("answers from memory") < first.index("Does it read its data?")


def test_a_cleared_network_has_no_warning(headline: Path):
    audit = of_lines()
    found = make_overview("mine", PROBE, *results(dataclasses.replace(audit, verdict=np.full(10, READS))), headline)
    assert found.warnings == []
    assert found.errors[0]["goal"] == "reached"
    assert "Nothing is condemned" in page(found, headline.parents[2], {})


def test_without_an_audit_there_is_no_comfort(headline: Path):
    evaluations, _ = results(of_lines())
    text = page(make_overview("mine", PROBE, evaluations, [], headline), headline.parents[2], {})
    assert "No network was audited" in text
    for words in ("Nothing is condemned", "Does it read its data?"):
        assert words not in text


def test_names_are_text_and_no_markup(headline: Path):
    evaluations, audits = results(of_lines())
    evaluations[0] = dataclasses.replace(evaluations[0], test="<b>{{ bold }}")
    found = make_overview("mine", PROBE, evaluations, audits, headline)
    assert "<b>" not in page(found, headline.parents[2], {})
    rendered = Template(report_text(found)).render()
    assert "&lt;b&gt;{{ bold }}" in rendered, "Jinja leaves it alone"


def test_the_text_of_the_report_holds_the_same_with_the_figure_inside(headline: Path):
    """As Snakemake renders it: by Jinja, then by docutils, whose complaints would stand in the text."""
    found = make_overview("mine", PROBE, *results(of_lines()), headline)
    text = publish_parts(Template(report_text(found)).render(), writer_name="html")["html_body"]
    assert "system-message" not in text
    for words in ("What came out", "Can it be believed?", "What to look at first", "no_noise", "answers from memory"):
        assert words in text
    assert re.search(r'<img src="data:image/png;base64,\s*iVBORw0KGgo', text)


def test_a_browser_shows_the_page_and_its_figure(headline: Path, tmp_path: Path):
    found = make_overview("mine", PROBE, *results(of_lines()), headline)
    path = tmp_path / "index.html"
    path.write_text(page(found, tmp_path, {"Every error": "summary.csv"}), encoding="utf-8")
    seen = browse(path, tmp_path)
    assert seen.faults == []
    (figure,) = seen.images
    assert figure["pixels"] == 700
    assert 300 < figure["width"] <= 900
    assert "Study mine" in seen.text
    assert (tmp_path / "screenshot.png").stat().st_size > 10_000
    headline.rename(headline.with_suffix(".away"))
    seen = browse(path, tmp_path)
    assert seen.images[0]["pixels"] == 0
    assert seen.faults, "a figure that does not load is a fault"
