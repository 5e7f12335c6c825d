"""The gallery: small pictures of a finished study, and a page that says what each is and what made it."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import yaml
from altered import altered
from evaluation_toys import classifier, sample
from PIL import Image

from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import write_evaluation
from limelight.files import ROOT, provenance
from limelight.study.config import load_study
from tools.gallery import (
    chapter,
    entries,
    first_sentence,
    own_figures,
    page,
    processor_hours,
    small_pictures,
    verdict,
)

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
    for name in ("comparisons/section7_bands", "comparisons/paper_errors", "limelight/audit", "limelight/blank_map"):
        path = results / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (results / "audit").mkdir()
    with h5py.File(results / "audit" / "limelight.h5", "w") as file:
        file.attrs["audit_summary"] = "audit of limelight: reads 40 of 40 bins"
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
        ("limelight_audit", "Network limelight"),
        ("limelight_blank_map", "Network limelight"),
    ]
    assert found[0].caption == "Figs. 44 and 45: bands."
    assert found[2].caption.endswith("what it remembers? Audit of limelight: reads 40 of 40 bins.")
    assert found[3].caption.startswith("What the network says of an empty map")
    assert [entry.name for entry in entries(load_study(config), results)][2:] == ["limelight_audit"]
    assert chapter("section12_fits") == "Section 12 of the notes"
    assert chapter("maps") == "More"
    text = page(found, load_study(config), "config/demo.yaml", "results/demo", {"seed": "77"})
    assert "![section7_bands](results/demo/section7_bands.png)" in text
    assert "results/demo/figures/PATH --cores 2 --configfile config/demo.yaml" in text
    assert "`comparisons/paper_errors.pdf`" in text
    assert text.count("## Section 7") == 1


def test_the_bench_shows_its_audits_layers_and_confusion_matrices():
    own = own_figures(load_study(ROOT / "config" / "bench.yaml"))
    assert own["notes"] == ["audit", "filters", "feature_maps"]
    assert own["stuck_sgd"] == ["audit"]
    assert own["notes_classifier"] == own["limelight_classifier"] == ["confusion_matrix"]
    asked = yaml.safe_load((ROOT / "config" / "bench.yaml").read_text(encoding="utf-8"))
    assert set(own) == {
        *asked["audit"]["networks"],
        *asked["figures"]["layers"],
        "notes_classifier",
        "limelight_classifier",
    }


def test_classifiers_say_how_many_maps_they_tell(tmp_path):
    for test, dataset, shares in (("a", "faint", [[0.9, 0.1]]), ("b", "bright_ones", [[0.2, 0.8], [0.6, 0.4]])):
        path = tmp_path / "evaluation" / "sorter" / f"{test}.h5"
        write_evaluation(path, classifier(test, dataset, np.array(shares)), provenance({}, 1))
    assert verdict(tmp_path, "sorter", "confusion_matrix") == ["Told: 66.7% of 3 maps of a, b (66.7% by chance)."]
    assert verdict(tmp_path, "sorter", "filters") == []


def test_first_sentences():
    assert first_sentence("One (of 1.4°). Two.\n") == "One (of 1.4°)."
    assert first_sentence("No\nmore") == "No more."
    assert first_sentence("Which one? The other.") == "Which one?"


def test_pictures_shrink_until_they_fit(finished):
    sources = sorted((finished[1] / "figures" / "comparisons").glob("*.png"))
    wide = small_pictures(sources, 10_000_000)
    narrow = small_pictures(sources, sum(map(len, wide)) - 1)
    assert sum(map(len, narrow)) < sum(map(len, wide))
    with pytest.raises(LimelightError, match="MB"):
        small_pictures(sources, 1000)


def test_the_largest_pictures_give_way_first(tmp_path):
    sources = [tmp_path / "busy.png", tmp_path / "plain.png"]
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 1420, 3), np.uint8)).save(sources[0])
    Image.fromarray(np.full((300, 1420, 3), 255, np.uint8)).save(sources[1])
    wide = small_pictures(sources, 10_000_000)
    narrow = small_pictures(sources, sum(map(len, wide)) - 1)
    assert len(narrow[0]) < len(wide[0])
    assert narrow[1] == wide[1]


def test_processor_time_is_the_sum_of_the_benchmarks(tmp_path):
    heading = "s\th:m:s\tmax_rss\tcpu_time\n"
    for name, row in (("a", "20.0\t0:00:20\t5.0\t1800.0"), ("b", "1800.0\t0:30:00\tNA\tNA")):
        (tmp_path / "benchmarks" / name).mkdir(parents=True)
        (tmp_path / "benchmarks" / name / "0.tsv").write_text(f"{heading}{row}\n")
    assert processor_hours(tmp_path) == (pytest.approx(1.0), 2)
    assert processor_hours(tmp_path / "none") == (0, 0)


def test_what_is_missing_is_said(finished):
    config, results = finished
    study = load_study(config)
    with pytest.raises(LimelightError, match="rival"):
        entries(study, results, ["rival"])
    study = altered(study, {"comparisons.paper_errors.caption": ""})
    with pytest.raises(LimelightError, match="no caption"):
        entries(study, results)


def test_an_unfinished_study_is_refused_or_shown_as_one(finished, tmp_path):
    config, results = finished
    (results / "figures" / "comparisons" / "paper_errors.png").unlink()
    command = [sys.executable, "-m", "tools.make_gallery", "--config", config, "--results", results]
    command += ["--machine", "an abacus", "--docs", tmp_path / "docs"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode != 0
    assert "paper_errors.png: found no such figure (1 missing)" in refused.stderr
    subprocess.run([*command, "--partial"], check=True, capture_output=True, cwd=ROOT)
    assert "| not made | `paper_errors` |" in (tmp_path / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_the_script_writes_page_and_pictures(finished, tmp_path):
    config, results = finished
    command = [sys.executable, "-m", "tools.make_gallery", "--config", config, "--results", results]
    command += ["--machine", "an abacus", "--docs", tmp_path / "docs"]
    (tmp_path / "docs" / "results" / "demo").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "demo" / "no_longer_shown.png").touch()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    text = (tmp_path / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert "| machine | an abacus |" in text
    assert "| seed | 77 |" in text
    assert not (tmp_path / "docs" / "results" / "demo" / "no_longer_shown.png").exists()
    for name in COMPARISONS:
        with Image.open(tmp_path / "docs" / "results" / "demo" / f"{name}.png") as picture:
            assert (picture.width, picture.mode) == (1000, "P")
