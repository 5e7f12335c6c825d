"""The hash of the code of real stages, held against what they run and against edits that must or must not rerun them."""

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from map_files import make_files
from traced import Place, executed, missing, script
from training_toys import PROBE, settings, toys

from limelight.codehash import ROOT, Code, code_hash
from limelight.networks import REGISTRY
from limelight.probe import load_probe
from limelight.probes.halo_field.bias import MODELS as BIAS_MODELS
from limelight.probes.halo_field.sampling import CODE as BIAS_CHAIN
from limelight.probes.line_intensity.lines.models import MODELS
from limelight.study.code import (
    AUDIT,
    ESTIMATES,
    EVALUATION,
    INTERVALS,
    POSTERIOR,
    SALIENCY,
    STREAM,
    TRAINING,
    network_code,
    stage_code,
)
from limelight.study.config import load_study
from limelight.training.loop import train

NETWORK, MODEL = (REGISTRY.dotted("limelight"),), (MODELS.dotted("li"),)
TRAINED, EVALUATED = (*NETWORK, *PROBE.code(*TRAINING)), (*NETWORK, *PROBE.code(*EVALUATION))
TRAIN, PAINT, EVALUATE = (f"scripts/{name}.py" for name in ("train_network", "paint_maps", "evaluate_network"))
STAGES = [(TRAIN, TRAINED), (PAINT, MODEL), (EVALUATE, EVALUATED)]
LINES = "limelight/probes/line_intensity/lines"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the code that a test may edit; `edited` puts everything back."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("limelight", "scripts"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def hashes(root: Path) -> list[str]:
    code = Code(root)
    return [code.hash([script], chosen) for script, chosen in STAGES]


@contextmanager
def edited(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    text = path.read_text(encoding="utf-8")
    assert change(text) != text, f"no change of {path.name}"
    path.write_text(change(text), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


class OtherWords(ast.NodeTransformer):
    """Rewords docstrings, errors and the texts prepared for them, and forgets what functions return."""

    def visit_FunctionDef(self, node):
        node.returns = ast.Constant("forgotten")
        return self.with_docstring(node)

    def visit_ClassDef(self, node):
        return self.with_docstring(node)

    def visit_Module(self, node):
        return self.with_docstring(node)

    def visit_Raise(self, node):
        made = node.exc.func if isinstance(node.exc, ast.Call) else None
        if isinstance(made, ast.Name) and made.id in ("problem", "LimelightError"):
            node.exc.args = [reworded(argument) for argument in node.exc.args]
        return node

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id in ("expected", "fix"):
            node.value = reworded(node.value)
        return node

    def with_docstring(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("Other words."))
        return node


def reworded(node: ast.expr) -> ast.expr:
    """Text with other words, and the same values among them."""
    if isinstance(node, ast.JoinedStr):
        node.values = [reworded(value) for value in node.values]
    return ast.Constant("other words ") if isinstance(getattr(node, "value", None), str) else node


def test_other_words_comments_and_layout_rerun_no_stage(copy, tmp_path):
    for path in sorted(copy.glob("*/**/*.py")):
        tree = OtherWords().visit(ast.parse(path.read_text(encoding="utf-8")))
        there = tmp_path / path.relative_to(copy)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
    ours, theirs = Code(copy), Code(tmp_path)
    for name, chosen in STAGES:
        assert ours.reached([name], chosen) == theirs.reached([name], chosen)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("limelight/networks/__init__.py", lambda text: text.replace('"limelight":', '"new": "a:b", "limelight":')),
        (f"{LINES}/models.py", lambda text: text.replace('"li":', '"new": "a:b", "li":')),
        (f"{LINES}/models.py", lambda text: f"{text}\n\ndef new(mass, redshift, parameters, rng):\n    return mass\n"),
        (f"{LINES}/comap.py", lambda text: text.replace("2.33", "2.34")),
        ("limelight/networks/cnn.py", lambda text: text.replace("1000", "1001")),
        ("limelight/figures/__init__.py", lambda text: f"{text}\n\ndef new_figure(evaluations):\n    return None\n"),
        ("limelight/figures/style.py", lambda text: f"{text}\nSIZE = 3\n"),
        ("limelight/training/loop.py", lambda text: f"{text}\nUNUSED = 1\n"),
        ("limelight/training/loop.py", lambda text: text.replace("going on from epoch", "resuming at epoch")),
        ("limelight/errors.py", lambda text: text.replace("found {}; expected {}", "found {}, expected {}")),
        ("limelight/progress.py", lambda text: text.replace("10.0", "20.0")),
        ("limelight/describe/kinds.py", lambda text: text.replace("def ", "def new_")),
        (TRAIN, lambda text: text.replace("losses by epoch", "the losses")),
    ],
)  # fmt: skip
def test_an_edit_that_no_stage_of_the_study_uses_reruns_none(copy, name, change):
    before = hashes(copy)
    with edited(copy / name, change):
        assert hashes(copy) == before


def test_a_new_option_of_the_config_reruns_no_stage(copy):
    before = hashes(copy)
    config = "limelight/probes/line_intensity/config.py"
    with edited(
        copy / config,
        lambda text: text.replace("(Network):", "(Network):\n    new: int = Field(3, description='New.')\n", 1),
    ):
        assert hashes(copy) == before
    with edited(
        copy / "limelight/probes/line_intensity/maps/config.py",
        lambda text: text.replace("def sigma_range(self)", "def sigma_range(self, times=2)"),
    ):
        assert hashes(copy) != before, "a property of a setting may be read anywhere"


def test_of_a_probe_the_methods_that_a_stage_calls_count(copy):
    probe = copy / "limelight/probes/line_intensity/probe.py"
    before = hashes(copy)
    with edited(probe, lambda text: text.replace("def in_words(self", "def other(self")):
        assert hashes(copy) == before
    with edited(probe, lambda text: text.replace("presentation.grid.channels // 2", "presentation.grid.channels // 3")):
        assert [after == old for after, old in zip(hashes(copy), before, strict=True)] == [True, True, False], (
            "pictures"
        )
    with edited(probe, lambda text: text.replace("asked.quantity, asked.transform", "asked.transform, asked.quantity")):
        assert [after == old for after, old in zip(hashes(copy), before, strict=True)] == [False, True, False], "target"


def test_editing_a_network_reruns_those_of_its_architecture(copy):
    def trained(root: Path) -> dict[str, str]:
        return {name: Code(root).hash([TRAIN], (REGISTRY.dotted(name),)) for name in REGISTRY}

    before = trained(copy)
    assert len(set(before.values())) == len(REGISTRY)
    with edited(copy / "limelight/networks/cnn.py", lambda text: text.replace("1000", "1001")):
        after = trained(copy)
    assert {name for name in REGISTRY if after[name] != before[name]} == {"cnn2d", "cnn3d"}


def test_editing_a_line_model_repaints_its_maps_and_retrains_through_them(copy):
    with edited(copy / f"{LINES}/li.py", lambda text: text.replace("1.37", "1.38")):
        assert Code(copy).hash([PAINT], MODEL) != code_hash(PAINT, chosen=MODEL)
        assert Code(copy).hash([PAINT], (MODELS.dotted("comap"),)) == code_hash(PAINT, chosen=(MODELS.dotted("comap"),))
    assert not [module for module, _ in Code(copy).reached([TRAIN], TRAINED) if ".lines" in module]


def test_the_main_of_every_script_is_found():
    code = Code(ROOT)
    for path in ROOT.glob("scripts/*.py"):
        script = str(path.relative_to(ROOT))
        assert (script, "main") in code.reached([script])


# What runs must count


@pytest.fixture(scope="module")
def of_training(tmp_path_factory) -> set[Place]:
    """What training on line maps runs, with all kinds of presentation; but for its log."""
    folder = tmp_path_factory.mktemp("training")
    shares = {"blank_fraction": 0.2, "dim_fraction": 0.2, "superpose_fraction": 0.2}
    wanted = settings(noise={"some": {"sigma_uk": [0, 5]}}, epochs=1, ema_decay=0.9, **shares)
    rows, held_out = toys(6), toys(2, 1, group=1)
    return executed(lambda: train(wanted, PROBE, rows, held_out, folder)) - {("limelight.training.loop", "epoch_words")}


@pytest.fixture(scope="module")
def of_painting(tmp_path_factory) -> set[Place]:
    """What painting and pooling run."""
    return executed(lambda: make_files(tmp_path_factory.mktemp("painting")))


def test_all_that_training_runs_counts(of_training):
    assert len(of_training) > 60
    assert not missing(of_training, set(Code(ROOT).reached([TRAIN], TRAINED)))


def test_all_that_painting_runs_counts(of_painting):
    assert len(of_painting) > 30
    assert not missing(of_painting, set(Code(ROOT).reached([PAINT, "scripts/pool_maps.py"], MODEL)))


FIELDS = {
    "study": "tiny",
    "probe": "gaussian_field",
    "seed": 1,
    "realisations": {"train": [0], "validation": [1], "test": [2]},
    "data": {"fields": {"pixels": 16, "fields": 12}},
    "training": {"epochs": 1, "batch_size": 6},
    "networks": {"reader": {"architecture": "convnet", "data": ["fields"], "noise": 0.5}},
    "tests": {"same_noise": {"data": "fields", "noise": 0.5}},
    "posteriors": {"mixture": {"network": "reader", "kind": "mdn", "presentations": 2, "training": {"epochs": 1}}},
    "resources": {"training_threads": 1},
}


def test_all_that_the_stages_of_a_study_run_counts(tmp_path, monkeypatch):
    """Every script of the engine on a study of small fields, with the code that its rule names (workflow/rules)."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(FIELDS))
    study, code = load_study("config.yaml"), Code(ROOT)
    network, data = {"networks": ["reader"]}, {"datasets": ["fields"]}
    load_probe("gaussian_field")

    def check(name: str, hooks: tuple[str, ...], named: dict, *arguments: str) -> None:
        ran = script(name, "--config", "config.yaml", *arguments) - {("limelight.training.loop", "epoch_words")}
        assert len(ran) > 20
        assert not missing(ran, set(code.reached([f"scripts/{name}.py"], stage_code(study, *hooks, **named)))), name

    for number in "012":
        simulated = ("--dataset", "fields", "--realisation", number, "--output", f"{number}.h5")
        check("simulate_shard", ("header", "simulate"), data, *simulated)
    shards = ("--train", "0.h5", "--validation", "1.h5")
    trained = ("--checkpoints", "runs", "--output", "model.pt", "--history", "history.csv")
    check("train_network", TRAINING, network, "--name", "reader", *shards, *trained)
    tested = ("--test", "same_noise", "--data", "2.h5")
    evaluated = ("--network", "model.pt", "--history", "history.csv", "--output", "evaluation.h5")
    check("evaluate_network", EVALUATION, network, *tested, *evaluated)
    drawn = ("--network", "model.pt", "--row", "0", "--output", "layers.h5")
    check("show_layers", ("header", "target", "presentation"), network, *tested, *drawn)
    both = {**network, **data}
    Path("fields").mkdir()
    Path("2.h5").rename("fields/2.h5")  # an audit tells the data of several datasets apart by their folders
    audited = ("--network", "model.pt", "--data", "fields/2.h5", "--output", "audit.h5")
    check("audit_network", AUDIT, network, *audited)
    Path("fields/2.h5").rename("2.h5")
    learnt = ("--name", "mixture", "--network", "model.pt", "--output", "posterior.pt")
    check("train_posterior", POSTERIOR, both, *shards, *learnt)
    sampled = ("--name", "mixture", "--posterior", "posterior.pt", "--output", "intervals.h5")
    check("sample_posterior", INTERVALS, both, *tested, *sampled)
    judged = ("--intervals", "intervals.h5", "--prior", "0.h5", "--output", "calibration.csv")
    check("calibrate_posterior", ("posterior_target", "network"), {}, *judged)


@pytest.mark.parametrize(
    ("stages", "hooks"),
    [
        ("training", {*TRAINING, "scales"}),  # of the loss gaussian
        ("evaluation", {*EVALUATION, *AUDIT, *ESTIMATES}),
        ("inference", {*INTERVALS, *STREAM}),
        ("saliency", {*SALIENCY}),
    ],
)
def test_all_that_the_engine_calls_of_a_probe_counts(stages, hooks):
    """Where a study asks for it, too, as the small one above does not."""
    files = (ROOT / "limelight" / stages).rglob("*.py")
    called = {name for file in files for name in re.findall(r"\bprobe\.(\w+)\(", file.read_text(encoding="utf-8"))}
    assert len(called) > 2
    assert not called - hooks


def test_bands_count_where_errors_are_calibrated_in_them(monkeypatch):
    monkeypatch.setattr("limelight.study.code.code_hash", lambda script, chosen: chosen)
    study = load_study(ROOT / "config" / "cmb_lensing_masked.yaml")
    scales = load_probe(study.probe).code("scales")[0]
    counted = {name: scales in network_code(study, name) for name in study.networks}
    assert counted == {name: entry.training.loss == "gaussian" for name, entry in study.networks.items()}
    assert set(counted.values()) == {False, True}


def test_all_that_a_chain_of_a_bias_model_depends_on_counts():
    """Models stand in a table, by name; a kept chain of another version of one would be taken for its own."""
    reached = {name for _, name in Code(ROOT).reached([], BIAS_CHAIN)}
    models = {part.__name__ for one in BIAS_MODELS.values() for part in (one.numbers, one.shapes)}
    assert {*models, "places_of", "cell_index", "Mixture", "find_peak", "sample_chain"} <= reached


def numbers(path: Path, names: set[str]) -> list[tuple[int, int, int, str]]:
    """(line, column, end, name) of the numbers in some functions and classes of a file and in the constants that they read.

    Those in errors, logs and annotations are left out.
    """
    body = ast.parse(path.read_text(encoding="utf-8")).body
    named = {getattr(one, "name", "") or ast.unparse(getattr(one, "targets", [one])[0]): one for one in body}
    read = {node.id for name in names & set(named) for node in worked_out(named[name]) if isinstance(node, ast.Name)}
    found = []
    for name in sorted((names | read) & set(named)):
        for node in worked_out(named[name]):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                found.append((node.lineno - 1, node.col_offset, node.end_col_offset, name))
    return found


def worked_out(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that are there for more than words."""
    queue = [tree]
    while queue:
        node = queue.pop()
        yield node
        queue.extend([] if is_for_words(node) else ast.iter_child_nodes(node))


def is_for_words(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("found", "expected", "fix")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in ("print", "say")
    return isinstance(node, ast.Raise | ast.arg | ast.JoinedStr)


@pytest.mark.parametrize("kind", ["training", "painting"])
def test_a_changed_number_in_code_that_runs_changes_the_hash(copy, kind, of_training, of_painting):
    runs, script, chosen, files = {
        "training": (of_training, TRAIN, TRAINED, sorted((copy / "limelight/training").glob("*.py"))),
        "painting": (of_painting, PAINT, MODEL, [copy / "limelight/probes/line_intensity/maps/paint.py"]),
    }[kind]
    before = Code(copy).hash([script], chosen)
    places = []
    for path in files:
        module = ".".join(path.relative_to(copy).with_suffix("").parts)
        places += [
            (path, *number)
            for number in numbers(path, {name.partition(".")[0] for where, name in runs if where == module})
        ]
    assert len(places) > 10
    for path, row, start, end, name in np.random.default_rng(1).permutation(np.array(places, object))[:14]:

        def change(text: str, row=row, start=start, end=end) -> str:
            lines = text.encode().split(b"\n")
            lines[row] = lines[row][:start] + b"(1 + " + lines[row][start:end] + b")" + lines[row][end:]
            return b"\n".join(lines).decode()

        with edited(path, change):
            assert Code(copy).hash([script], chosen) != before, f"{path.name}, line {row + 1}, in {name}"
