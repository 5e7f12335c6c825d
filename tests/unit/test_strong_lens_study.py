"""A tiny study of strong lenses, from shards to networks and a flow beside MCMC."""

import re
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.predict import evaluate
from limelight.files import ROOT, provenance, read_csv
from limelight.inference.intervals import write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.inference.posteriors.tables import make_table
from limelight.probe import load_probe
from limelight.probes.strong_lens.beside import (
    CHAIN_COLUMNS,
    EVEN,
    FINDING_COLUMNS,
    Finding,
    judge_chains,
    judge_finding,
)
from limelight.probes.strong_lens.figures import finding_figure
from limelight.probes.strong_lens.simulations import KINDS
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.settings import evaluation_settings, intervals_settings, network_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train
from limelight.training.presentation import on_device

pytest.importorskip("lenstronomy")
PROBE = load_probe("strong_lens")
STUDY = resolve_study(
    {
        "study": "tiny",
        "probe": "strong_lens",
        "realisations": {"train": [0, 1, 2, 3], "validation": [4], "test": [5]},
        "camera": {"pixels": 25},
        "data": {"lenses": {"images": 200}, "mixed": {"like": "lenses", "lenses": 0.5}},
        "training": {"epochs": 8, "batch_size": 32, "learning_rate": 4e-3},
        "networks": {
            "find": {
                **{"architecture": "lenet", "data": ["mixed"], "target": {"answer": "kind"}},
                "training": {"loss": "cross_entropy"},
            },
            "measure": {"architecture": "lenet", "data": ["lenses"]},
        },
        "tests": {"lenses": {"data": "lenses"}, "mixed": {"data": "mixed"}},
        "posteriors": {
            "flow": {
                **{"network": "measure", "kind": "npe", "presentations": 1, "samples": 100},
                **{"npe": {"transforms": 1, "hidden": 16, "embedding": 8}, "training": {"epochs": 6}},
            }
        },
        "judging": {"rates": [0.1], "lenses": 1, "burn_in": 10, "steps": 40},
        "audit": {"networks": "none"},
        "resources": {"training_threads": 1},
    },
    "tiny.yaml",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of shards and trained networks, and the rows of each (dataset, split)."""
    torch.set_num_threads(1)
    folder, rows = tmp_path_factory.mktemp("lenses"), {}
    for dataset in STUDY.data:
        settings = PROBE.dataset_settings(STUDY, dataset)
        for split, numbers in STUDY.splits.items():
            paths = [folder / f"{dataset}{n}.h5" for n in numbers]
            for path, n in zip(paths, numbers, strict=True):
                write_shard(path, PROBE.simulate(settings, dataset, n), provenance(settings, STUDY.seed))
            rows[dataset, split] = read_shards(paths)
    for name, network in STUDY.networks.items():
        sets: list[Rows] = [rows[network.data[0], split] for split in ("train", "validation")]
        content, _ = train(network_settings(STUDY, name), PROBE, *sets, folder / name)
        save_model(folder / f"{name}.pt", content, provenance(network_settings(STUDY, name), STUDY.seed))
    for seed, name in ((STUDY.seed, "ours"), (1, "theirs")):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**plain(STUDY), "seed": seed}))
    return folder, rows


MAIN = runpy.run_path(str(ROOT / "scripts" / "judge_lenses.py"), run_name="judge_lenses")["main"]


def run(folder, monkeypatch, *words: str, config: str = "ours") -> None:
    """The script, in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["judge_lenses.py", "--config", f"{config}.yaml", *words])
    MAIN()


def test_lenses_are_found_and_what_is_taken_falsely_is_told(made):
    folder, rows = made
    module, info = load_model(folder / "find.pt")
    found = judge_finding({"find": module}, STUDY, "mixed", rows["mixed", "test"])
    assert all(set(row) == set(FINDING_COLUMNS) for row in found.table)
    whole = [row for row in found.table if row["rate"] == EVEN and np.isnan(row["from_arcsec"])]
    assert [row["galaxies"] for row in whole] == list(KINDS)
    assert sum(row["number"] for row in whole) == 200
    bins = [row for row in found.table if row["rate"] == EVEN and np.isfinite(row["from_arcsec"])]
    assert sum(row["number"] * row["false_share"] for row in bins) == pytest.approx(
        whole[0]["number"] * whole[0]["false_share"]
    )
    lens = rows["mixed", "test"].y["lens"] == 1
    right = (found.scores["find"] > 0) == lens
    assert right.mean() == pytest.approx(1 - sum(row["number"] * row["false_share"] for row in whole) / 200)
    settings = evaluation_settings(STUDY, "find", "mixed")
    history = {"epoch": np.arange(8)}
    assert evaluate(module, info, settings, PROBE, rows["mixed", "test"], history).totals["accuracy"] == right.mean()
    assert whole[0]["auc"] > 0.75
    passing = [row for row in found.table if row["rate"] == 0.1 and row["galaxies"] in KINDS[1:]]
    assert sum(row["number"] * row["false_share"] for row in passing) == pytest.approx(0.1 * (~lens).sum(), abs=1.5)
    assert found.lens[found.first("find", True)]
    assert not found.lens[found.first("find", False)]


def test_the_script_judges_finders_and_refuses_the_networks_of_another_study(made, monkeypatch):
    folder, _ = made
    words = ["--test", "mixed", "--data", "mixed5.h5", "--networks", "find.pt", "--output", "b.csv"]
    run(folder, monkeypatch, *words, "--true-positive", "t.png", "--false-positive", "f.png")
    assert set(read_csv(folder / "b.csv", "table")) == set(FINDING_COLUMNS)
    made_files = {path.name for kind in "btf" for path in folder.glob(f"{kind}.*")}
    assert made_files == {f"{one}.{kind}" for one in "btf" for kind in ("pdf", "png")} | {"b.csv"}
    for config, changed, expected in (
        ("theirs", words, r"mixed5\.h5: found [^\n]*seed[^\n]*"),
        (
            "ours",
            [*words[:3], "mixed0.h5", *words[4:]],
            r"test data: found realisations \[0\]; expected [^\n]*test real",
        ),
        ("ours", [*words[:5], "measure.pt", *words[6:]], r"measure\.pt: found network measure; expected [^\n]*find"),
        ("ours", ["--test", "no", *words[2:]], r"--test: found 'no'; expected one of lenses, mixed"),
        ("ours", [*words[:4], *words[6:]], r"judge_lenses\.py: found neither"),
        (
            "ours",
            [*words[:4], "--intervals", "i.h5", *words[6:], "--true-positive", "d.png"],
            r"--true-positive, --false-positive: found --intervals",
        ),
    ):
        with pytest.raises(LimelightError, match=rf"^{expected}[^\n]*$"):
            run(folder, monkeypatch, *[word.replace("b.csv", "c.csv") for word in changed], config=config)
    assert not list(folder.glob("c.*"))


def test_a_posterior_learns_the_truths_of_the_images_that_it_is_shown(made):
    folder, rows = made
    module, info = load_model(folder / "measure.pt")
    presentation = PROBE.presentation(STUDY.networks["measure"], {}, rows["lenses", "test"].header).unaltered()
    data = on_device(rows["lenses", "test"], ["lenses"], torch.device("cpu"))
    table = make_table(module, data, presentation.target, presentation, 2, 1, "a table")
    stored = data.y["parameters"][table.row].float()
    assert torch.equal(table.answers[:, 0], stored[:, 0])
    sizes = [values[:, 1:3].abs() for values in (table.answers, stored)]
    assert torch.equal(*sizes)  # turns change signs of an ellipticity
    assert not torch.equal(table.answers, stored)
    with torch.no_grad():
        answered = module.output(table.features)
    for i in range(5):
        own, other = (np.corrcoef(answered[:, i], values[:, i])[0, 1] for values in (table.answers, stored))
        assert own > (0.9 * other if i == 0 else other + 0.2)


def test_a_flow_stands_beside_mcmc(made, monkeypatch, capsys):
    folder, rows = made
    module, info = load_model(folder / "measure.pt")
    settings = evaluation_settings(STUDY, "measure", "lenses")
    result = evaluate(module, info, settings, PROBE, rows["lenses", "test"], {"epoch": np.arange(8)})
    assert result.totals["theta_e_over_bound"] < 40
    assert result.totals["gain_target"] > 1.2
    assert "times the bound" in PROBE.in_words(result.totals)
    pytest.importorskip("sbi")
    content, _ = train_posterior(
        posterior_settings(STUDY, "flow"), PROBE, module, info, *(rows["lenses", s] for s in ("train", "validation"))
    )
    save_model(folder / "flow.pt", content, provenance(posterior_settings(STUDY, "flow"), STUDY.seed), "posterior")
    settings = intervals_settings(STUDY, "flow", "lenses")
    drawn = posterior_intervals(load_posterior(folder / "flow.pt"), settings, PROBE, rows["lenses", "test"])
    write_intervals(folder / "flow.h5", drawn, provenance(settings, STUDY.seed))
    words = ["--test", "lenses", "--data", "lenses5.h5", "--intervals", "flow.h5", "--output", "chains.csv"]
    run(folder, monkeypatch, *words)
    assert len(re.findall(r"^flow, \w+: [\d.]+ times as wide as MCMC's", capsys.readouterr().err, re.MULTILINE)) == 5
    table = read_csv(folder / "chains.csv", "table")
    assert tuple(table) == CHAIN_COLUMNS
    assert len(table["lens"]) == 5
    turned = {key: values[::-1] for key, values in drawn.rows.items()}
    with pytest.raises(LimelightError, match="posterior flow: found draws of other images"):
        judge_chains({"flow": replace(drawn, rows=turned)}, STUDY, rows["lenses", "test"])
    np.testing.assert_allclose(table["truth"], rows["lenses", "test"].y["parameters"][0], rtol=1e-3)
    assert (table["chain_std"] < 1.5 * table["bound"]).all()
    assert (table["std"] > table["chain_std"]).mean() > 0.5  # so small a network cannot be as sure


def test_every_rate_of_a_study_is_drawn():
    """A study may ask for more rates than a figure has kinds of lines."""
    rates, look = (EVEN, 0.3, 0.1, 0.03, 0.01), {"number": 9, "error": 0.1, "auc": 0.9, "false_share": 0.2}
    table = [
        {"network": "find", "galaxies": kind, "from_arcsec": low, "to_arcsec": low + 1, "rate": rate, **look}
        for rate in rates
        for kind, low in ((KINDS[0], 1.0), *((kind, np.nan) for kind in KINDS))
    ]
    figure = finding_figure(Finding(table, {}, np.ones(1, bool)))
    assert len(figure.legends[0].get_texts()) == len(rates)
