"""Whose file it is: one of another study is refused with the values of both, whatever stage it is given to."""

import contextlib
import io
import re
import runpy
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml
from evaluation_toys import network
from rival_toys import toy_study

from limelight.ancestry import check_file, check_history, check_made_from, check_together
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import write_evaluation
from limelight.files import ROOT, provenance, write_hdf5
from limelight.probes.line_intensity.settings import emulator_settings
from limelight.study.config import load_study

OURS = {"seed": 7, "lightcones": {"mass_min_msun": 1e11, "field_deg": 1.2}, "prior": "10%"}
THEIRS = {"seed": 8, "lightcones": {"mass_min_msun": 2e11, "field_deg": 1.2}}


def made(path: Path, attributes: dict) -> Path:
    with write_hdf5(path, "subfields", attributes):
        pass
    return path


def test_a_file_of_another_study_is_refused_with_both_values(tmp_path: Path, capsys):
    check_file(made(tmp_path / "a.h5", provenance(OURS, 7)), OURS)
    with pytest.raises(LimelightError) as caught:
        check_file(made(tmp_path / "b.h5", provenance(THEIRS, 8)), OURS)
    line = str(caught.value)
    assert line.startswith(
        f"{tmp_path}/b.h5: found a file of another study (seed 8, prior none, lightcones.mass_min_msun 2e+11"
    )
    assert 'expected one of this config (seed 7, prior "10%", lightcones.mass_min_msun 1e+11)' in line
    assert "\n" not in line
    assert capsys.readouterr().err == ""


def test_order_of_keys_and_numbers_as_text_do_not_make_another_study():
    check_made_from("a.h5", provenance(dict(reversed(OURS.items())), 7), OURS)


def test_a_file_without_provenance_passes_with_a_word(tmp_path: Path, capsys):
    check_file(made(tmp_path / "a.h5", {}), OURS)
    assert "a.h5 does not say what settings made it" in capsys.readouterr().err


def test_settings_that_cannot_be_read_are_told_by_their_hash():
    with pytest.raises(LimelightError, match="settings 0123"):
        check_made_from("a.h5", {"config_hash": "0123", "settings": "{"}, OURS)


def test_a_history_belongs_to_its_network():
    training = {"epoch": 3, "step": 24, "train_loss": 0.123456789012, "rows": 40}
    check_history("h.csv", {"epoch": np.array([1, 2, 3.0]), "train_loss": np.array([2, 1, 0.123456789])}, training)
    with pytest.raises(LimelightError, match=r"train_loss 0\.2 in its last epoch; expected the network's 0\.123457"):
        check_history("h.csv", {"train_loss": np.array([2, 1, 0.2])}, training)


def of_test(path: Path, seed: int = 7, test: str = "clean", nested: bool = False, **changes) -> Path:
    """A file that says it is of a test; what it holds does not matter."""
    entry = {"dataset": {"floor": 1e11}, "entry": {"noise": "none"}, "observation": {}, "splits": {"test": [9]}}
    settings = {"trained": {"name": path.stem}, "test": test, **entry, **changes}
    return made(path, provenance({"evaluation": settings} if nested else settings, seed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 8}, "seed 8; expected 7, as"),
        ({"dataset": {"floor": 2e11}}, "test clean with dataset.floor 2e+11; expected 1e+11, as"),
        ({"entry": {"noise": "loud"}, "nested": True}, 'test clean with entry.noise "loud"; expected "none", as'),
        ({"splits": {"test": [10]}}, "test clean with splits.test [10]; expected [9], as"),
    ],
)
def test_results_of_two_studies_do_not_come_together(tmp_path, change, words):
    first = of_test(tmp_path / "a.h5")
    same = [of_test(tmp_path / "b.h5", nested=True), of_test(tmp_path / "c.h5", test="other", entry={"noise": "loud"})]
    same.append(of_test(tmp_path / "taught.h5", splits={"train": [1], "test": [9]}))  # beside an exact posterior
    check_together([first, *same, made(tmp_path / "rival.h5", provenance({"noise_name": "none"}, 7))])
    wrong = of_test(tmp_path / "w.h5", **change)
    with pytest.raises(LimelightError) as caught:
        check_together([first, *same, wrong])
    assert str(caught.value).startswith(f"{wrong}: found {words} {first}")


@pytest.mark.parametrize(
    "script", ["money_plot", "summarise", "make_figure", "compare_posteriors", "make_rival_figure"]
)
def test_tables_and_figures_refuse_results_of_two_studies(tmp_path, script):
    for name, seed in (("ours", 1), ("theirs", 2)):
        write_evaluation(tmp_path / f"{name}.h5", network(name, "clean"), provenance({}, seed))
    files = "ours.h5 theirs.h5"
    options = {
        "money_plot": "--evaluation ours.h5 --intervals theirs.h5 --output out.csv",
        "summarise": f"--evaluation {files} --output out.csv",
        "make_figure": f"--figure error_bands --files {files} --output out.pdf",
        "compare_posteriors": "--exact ours.h5 --intervals theirs.h5 --output out.csv",
        "make_rival_figure": f"--intervals {files} --table out.csv --output out.pdf",
    }
    status, said = run(script, None, *options[script].split(), folder=tmp_path)
    assert (status, said) == (
        1,
        "limelight: error: theirs.h5: found seed 2; expected 1, as ours.h5 has; give files of one study, or draw and"
        " tabulate them apart\n",
    )
    assert not list(tmp_path.glob("out*"))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A tiny study of Gaussian fields, made by its scripts; and the same with another seed."""
    root = tmp_path_factory.mktemp("study")
    raw = {
        "probe": "gaussian_field",
        "study": "ours",
        "seed": 1,
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"fields": {"pixels": 16, "fields": 12, "log10_amplitude": [-1, 1], "slope": [-3, -1]}},
        "training": {"epochs": 1, "batch_size": 4},
        "networks": {"reader": {"architecture": "convnet", "options": {"filters": 4}, "data": ["fields"]}},
        "tests": {"fields": {"data": "fields"}},
        "posteriors": {"mdn": {"network": "reader", "kind": "mdn", "training": {"epochs": 1}}},
    }
    words = "--dataset fields --realisation {1} --output {0}{1}.h5"
    for name, seed in (("ours", 1), ("theirs", 2)):
        (root / f"{name}.yaml").write_text(yaml.safe_dump({**raw, "seed": seed}))
        for number in (0, 1, 2):
            status, said = run("simulate_shard", root / f"{name}.yaml", *words.format(name, number).split())
            assert status == 0, said
    return root


def run(script: str, config: Path | None, *arguments: str, folder: Path | None = None) -> tuple[int, str]:
    """(exit status, what it says) of a script, run in this process: starting one takes seconds."""
    path, said, status = ROOT / "scripts" / f"{script}.py", io.StringIO(), 0
    words = [str(path), *(["--config", str(config)] if config else []), *arguments]
    with (
        contextlib.chdir(folder or config.parent),
        contextlib.redirect_stderr(said),
        mock.patch.object(sys, "argv", words),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    return status, said.getvalue()


def test_every_stage_refuses_files_of_another_study(study: Path):
    train = "--name reader --train {0}0.h5 --validation {0}1.h5 --checkpoints c --output model.pt --history h.csv"
    stages = {
        "train_network": train,
        "evaluate_network": "--test fields --network model.pt --history h.csv --data {0}2.h5 --output e.h5",
        "show_layers": "--test fields --network model.pt --data {0}2.h5 --output l.h5",
        "audit_network": "--network model.pt --data {0}2.h5 --output a.h5",
        "train_posterior": "--name mdn --network model.pt --train {0}0.h5 --validation {0}1.h5 --output posterior.pt",
        "sample_posterior": "--test fields --posterior posterior.pt --data {0}2.h5 --output i.h5",
        "calibrate_posterior": "--intervals i.h5 --prior {0}0.h5 --output c.csv",
    }
    for stage, arguments in stages.items():
        before = set(study.iterdir())
        status, said = run(stage, study / "ours.yaml", *arguments.format("theirs").split())
        assert status == 1, (stage, said)
        assert re.fullmatch(
            r"limelight: error: theirs\d\.h5: found a file of another study \(seed 2\); expected one of this config"
            r" \(seed 1\); [^\n]*\n",
            said,
        ), (stage, said)
        assert set(study.iterdir()) - before == set()
        status, said = run(stage, study / "ours.yaml", *arguments.format("ours").split())
        assert status == 0, said
    # and a network, a posterior and intervals of ours under the config of theirs
    for stage, file in (
        ("evaluate_network", "model.pt"),
        ("sample_posterior", "posterior.pt"),
        ("calibrate_posterior", "i.h5"),
    ):
        status, said = run(stage, study / "theirs.yaml", *stages[stage].format("theirs").split())
        assert status == 1, said
        assert f"limelight: error: {file}: found a file of another study (" in said, said


def test_files_to_simulate_from_are_refused_where_nothing_is_simulated(study: Path):
    given = "--train ours0.h5 --validation ours1.h5 --simulate-from ours0.h5 --output no.pt"
    for stage, words in (
        ("train_network", "--name reader --checkpoints c --history h.csv"),
        ("train_posterior", "--name mdn --network model.pt"),
    ):
        status, said = run(stage, study / "ours.yaml", *words.split(), *given.split())
        assert status == 1, said
        assert said.startswith("limelight: error: --simulate-from: found 1 files; expected none"), said
        assert not (study / "no.pt").exists()


def test_line_stages_refuse_files_of_another_study(tmp_path: Path):
    """Halos to shards: another seed, another mass floor, another prior."""
    tiny = yaml.safe_load((ROOT / "tests" / "pipeline" / "tiny.yaml").read_text())
    tiny["lightcones"] |= {"field_deg": 0.5, "mass_min_msun": 1e12}
    tiny["subfields"] |= {"per_side": 1, "rotations_deg": [0]}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(tiny))

    def other(change) -> Path:
        raw = yaml.safe_load(yaml.safe_dump(tiny))
        change(raw)
        (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "theirs.yaml"

    def stage(script: str, config: Path, arguments: str) -> str:
        status, said = run(script, config, *arguments.split())
        assert status == (config.name != "ours.yaml"), said
        return said

    ours, seed = tmp_path / "ours.yaml", lambda raw: raw.update(seed=8)
    stage("generate_lightcone", ours, "--lightcone 0 --output 0.h5")
    said = stage("validate_halos", other(seed), "--lightcones 0.h5 --output v.csv --figure v.pdf")
    assert "(seed 7); expected one of this config (seed 8)" in said
    cut, painted, pooled = (
        "--lightcone 0.h5 --output s.h5",
        "--line-model li10 --subfields s.h5 --output m.h5",
        "--maps m.h5 --output p.h5",
    )
    assert "(seed 7); expected one of this config (seed 8)" in stage("make_subfields", other(seed), cut)
    stage("make_subfields", ours, cut)
    floor = stage("paint_maps", other(lambda raw: raw["lightcones"].update(mass_min_msun=2e12)), painted)
    assert "mass_min_msun 1e+12); expected one of this config (lightcone.lightcones.mass_min_msun 2e+12)" in floor
    stage("paint_maps", ours, painted)
    prior = stage("pool_maps", other(lambda raw: raw["line_models"]["li10"].update(prior="20%")), pooled)
    assert '(dataset.prior "10%"); expected one of this config (dataset.prior "20%")' in prior
    stage("pool_maps", ours, pooled)
    shutil.copy(tmp_path / "0.h5", tmp_path / "copy.h5")
    assert "the input copy.h5" in stage("make_subfields", other(seed), "--lightcone copy.h5 --output copy.h5")
    assert (tmp_path / "copy.h5").read_bytes() == (tmp_path / "0.h5").read_bytes()


def test_the_rival_refuses_files_of_another_study(tmp_path: Path):
    """Subfields of another seed, an emulator of another prior; those of this study get past the check, and lack halos."""
    for name, change in (("ours", {}), ("seed", {"seed": 8}), ("prior", {})):
        raw = toy_study() | change
        if name == "prior":
            raw["line_models"]["li_full"]["mean_temperature_uk"] = [0.1, 30.0]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(raw))
        study = load_study(tmp_path / f"{name}.yaml")
        settings = emulator_settings(study, "li")
        made(tmp_path / f"{name}_s.h5", provenance(settings.subfields, study.seed))
        with write_hdf5(tmp_path / f"{name}_e.h5", "rival_emulator", provenance(settings, study.seed)):
            pass
    emulator = "--rival li --subfields {0}_s.h5 --output e.h5"
    rival = "--rival li --test over_prior --emulator {0}_e.h5 --subfields {1}_s.h5 --chains chains --output r.h5"
    for stage, words, found in (
        ("make_rival_emulator", emulator.format("seed"), "seed_s.h5: found a file of another study (lightcone.seed 8"),
        ("make_rival_emulator", emulator.format("ours"), "ours_s.h5: found no dataset"),
        (
            "run_rival",
            rival.format("seed", "ours"),
            "seed_e.h5: found a file of another study (subfields.lightcone.seed 8",
        ),
        (
            "run_rival",
            rival.format("prior", "ours"),
            "prior_e.h5: found a file of another study (dataset.mean",
        ),
        ("run_rival", rival.format("ours", "seed"), "seed_s.h5: found a file of another study (lightcone.seed 8"),
        ("run_rival", rival.format("ours", "ours"), "ours_e.h5: found no dataset"),
    ):
        status, said = run(stage, tmp_path / "ours.yaml", *words.split())
        assert status == 1, said
        assert said.startswith(f"limelight: error: {found}"), said
        assert said.count("\n") == 1
    assert not {"e.h5", "r.h5", "chains"} & {path.name for path in tmp_path.iterdir()}
