"""The gallery: small pictures of a finished study, and a page that says what each is and what made it."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image
from test_figures import sample

from limelight.config import ROOT, load_study
from limelight.errors import LimelightError
from limelight.evaluation.shards import write_evaluation
from limelight.figures.gallery import chapter, entries, first_sentence, page, small_pictures
from limelight.files import provenance

COMPARISONS = {
    "section7_bands": {"figure": "compare_bands", "networks": ["limelight"], "caption": "Figs. 44 and 45: bands."},
    "paper_errors": {"figure": "error_per_bin", "tests": ["no_noise"], "caption": "By luminosity."},
}


@pytest.fixture
def finished(tmp_path):
    """(config, results) of a finished study of two comparisons."""
    raw = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))
    config, results = tmp_path / "demo.yaml", tmp_path / "results"
    config.write_text(yaml.safe_dump({**raw, "comparisons": COMPARISONS}, sort_keys=False), encoding="utf-8")
    pixels = np.random.default_rng(1).integers(0, 255, (300, 1420, 3), np.uint8)
    for name in ("comparisons/section7_bands", "comparisons/paper_errors", "limelight/blank_map"):
        path = results / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    write_evaluation(
        results / "evaluation" / "limelight" / "no_noise.h5", sample("no_noise", 0.0, 0.02, maps=4), provenance({}, 77)
    )
    return config, results


def test_entries_follow_the_config_and_bring_their_captions(finished):
    config, results = finished
    found = entries(load_study(config), results, ["limelight"])
    assert [(entry.name, entry.chapter) for entry in found] == [
        ("section7_bands", "Section 7 of the notes"),
        ("paper_errors", "arXiv:1905.10376"),
        ("limelight_blank_map", "Network limelight"),
    ]
    assert found[0].caption == "Figs. 44 and 45: bands."
    assert found[2].caption.startswith("What the network says of an empty map")
    assert chapter("section12_fits") == "Section 12 of the notes"
    assert chapter("maps") == "More"
    text = page(found, load_study(config), "config/demo.yaml", "results/demo", {"seed": "77"})
    assert "![section7_bands](results/demo/section7_bands.png)" in text
    assert "results/demo/figures/comparisons/paper_errors.pdf" in text
    assert text.count("## Section 7") == 1


def test_first_sentences():
    assert first_sentence("One (of 1.4°). Two.\n") == "One (of 1.4°)."
    assert first_sentence("No\nmore") == "No more."


def test_pictures_shrink_until_they_fit(finished):
    sources = sorted((finished[1] / "figures" / "comparisons").glob("*.png"))
    wide = small_pictures(sources, 10_000_000)
    narrow = small_pictures(sources, sum(map(len, wide)) - 1)
    assert sum(map(len, narrow)) < sum(map(len, wide))
    with pytest.raises(LimelightError, match="MB"):
        small_pictures(sources, 1000)


def test_what_is_missing_is_said(finished):
    config, results = finished
    study = load_study(config)
    with pytest.raises(LimelightError, match="rival"):
        entries(study, results, ["rival"])
    (results / "figures" / "comparisons" / "paper_errors.png").unlink()
    with pytest.raises(LimelightError, match="paper_errors.png: found no such figure"):
        entries(study, results)
    study["comparisons"]["paper_errors"]["caption"] = ""
    with pytest.raises(LimelightError, match="no caption"):
        entries(study, results)


def test_the_script_writes_page_and_pictures(finished, tmp_path):
    config, results = finished
    command = [sys.executable, ROOT / "scripts" / "make_gallery.py", "--config", config, "--results", results]
    command += ["--machine", "an abacus", "--docs", tmp_path / "docs"]
    subprocess.run(command, check=True, capture_output=True)
    text = (tmp_path / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert "| machine | an abacus |" in text
    assert "| seed | 77 |" in text
    for name in COMPARISONS:
        with Image.open(tmp_path / "docs" / "results" / "demo" / f"{name}.png") as picture:
            assert (picture.width, picture.mode) == (1000, "P")
