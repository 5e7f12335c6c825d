"""The notes' experiments: every figure of theirs has a place, and every place works, on maps of a few voxels."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rehearsal import rehearse, shrunk

from limelight.figures import check_figures
from limelight.probe import load_probe
from limelight.probes.line_intensity.config import LineStudy
from limelight.study.config import ROOT, load_study
from limelight.study.selection import classifiers, comparison_pairs, suitable_tests
from limelight.study.yaml import read_yaml

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (§|1905|here)", line)]


@pytest.fixture(scope="module")
def bench() -> LineStudy:
    return load_study(ROOT / "config" / "bench.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_asks_for_figures_that_there_are(path: Path):
    check_figures(load_study(path))


def test_every_figure_of_the_notes_has_its_place():
    seen = set()
    for row in ROWS:
        for first, last in re.findall(r"Figs?\. (\d+)(?:–(\d+))?", row[0]):
            seen |= set(range(int(first), int(last or first) + 1))
    assert seen == set(range(1, 58))
    assert {int(number) for row in ROWS for number in re.findall(r"§(\d+)", row[0])} == set(range(4, 13))


def test_every_figure_named_in_the_docs_has_a_target(bench: LineStudy):
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[3])}
    assert named == set(bench.comparisons), "a comparison in docs/experiments.md or config/bench.yaml alone"


def test_every_figure_file_named_in_any_page_is_one_that_the_workflow_makes(bench: LineStudy):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {
        found
        for page in pages
        for found in re.findall(r"figures/((?:<?\w+>?)/<?\w+>?)\.(?:pdf|png)", page.read_text(encoding="utf-8"))
    }
    rules = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    kinds = rules[rules.index("\nKINDS = places_of(") : rules.index("\n)", rules.index("\nKINDS = places_of("))]
    alone = {*load_probe(bench.probe).figures_of_each_network, *re.findall(r'"(\w+)",', kinds)}
    assert {"audit", "confusion_matrix", "error_bands", "filters"} <= alone
    assert len(named) >= 5
    for folder, name in (one.split("/") for one in named):
        known = {*bench.comparisons, "<name>"} if folder == "comparisons" else {*alone, "<name>"}
        known |= {"<rival>"} if folder == "rival" else set()
        assert name in known, f"figures/{folder}/{name}"


def test_every_network_named_in_the_docs_is_in_the_bench(bench: LineStudy):
    raw = read_yaml(ROOT / "config" / "bench.yaml")
    known = {*bench.networks, *bench.tests, *raw["sweeps"]}
    named = {name for row in ROWS for name in re.findall(r"`([A-Za-z0-9_]+)`", row[2])}
    assert named <= known
    shown = {network for name in bench.comparisons for network, _ in comparison_pairs(bench, name)}
    assert shown == set(bench.networks) - set(classifiers(bench)), "a network that no figure shows"


def test_every_class_is_told_under_every_noise_that_its_classifier_knows(bench: LineStudy):
    for name in classifiers(bench):
        network = bench.networks[name]
        seen = {(bench.tests[test].line_model, bench.tests[test].noise) for test in suitable_tests(bench, name)}
        assert seen == {(model, noise) for model in network.line_models for noise in network.noise}


def test_noise_figures_belong_to_the_same_voxel_at_both_scales(bench: LineStudy):
    paper = load_study(ROOT / "config" / "notes_paper.yaml")
    volumes = [study.grid.pixels**2 * study.grid.channels for study in (bench, paper)]
    assert volumes[1] / volumes[0] == 32
    for name, noise in paper.observation.noise.items():
        scale = 1 if noise.per_voxel_of == "instrument" else np.sqrt(32)
        ours = np.multiply(bench.observation.noise[name].sigma_uk, scale)
        np.testing.assert_allclose(ours, noise.sigma_uk, rtol=1e-4)


def test_paper_scale_has_the_same_experiments(bench: LineStudy):
    paper = load_study(ROOT / "config" / "notes_paper.yaml")
    assert list(paper.networks) == list(bench.networks)
    for name, network in paper.networks.items():
        assert suitable_tests(paper, name) == suitable_tests(bench, name)
        few, many = (study.networks[name].options["filters"] for study in (bench, paper))
        assert many == 8 * few if network.architecture != "limelight" else many == 4 * few
        assert network.training.epochs * network.training.steps_per_epoch >= 10_000 or "12maps" in name


def test_the_whole_bench_runs_on_a_few_voxels(bench: LineStudy, tmp_path: Path):
    study = shrunk(bench)
    evaluations, figures = rehearse(study, tmp_path)
    assert set(evaluations) == {(name, test) for name in study.networks for test in suitable_tests(study, name)}
    assert set(figures) == set(study.comparisons)
    assert all(len(figure.axes) for figure in figures.values())
    small = evaluations["stuck_small_maps", "li10_small"].header.geometry
    assert (small["pool_pixels"], small["beam_fwhm_arcmin"]) == (4, 0)
    assert evaluations["resnet_beam", "li10_beam"].header.geometry["beam_fwhm_arcmin"] == 4
    faint = evaluations["limelight", "li10_faint"]
    above = np.array(faint.axis.edges[:-1]) >= 5.5
    assert faint.truth[:, above].sum() == 0 < evaluations["limelight", "li10"].truth[:, above].sum()


def test_captions_say_what_they_show():
    for name, entry in yaml.safe_load((ROOT / "config" / "bench.yaml").read_text())["comparisons"].items():
        assert len(entry["caption"]) > 20, name
