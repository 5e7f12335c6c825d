"""Every command that README and docs show is one that the program takes, and those of the tutorial run as they stand.

Studies are planned here; test_workflow.py runs a small one by the same commands. NOT_TYPED lists what no test types.
"""

import argparse
import csv
import importlib
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest
from checkout import ROOT, Checkout, environment

from limelight.__main__ import script_of
from limelight.study.config import load_study
from tests.commands import PAGES, mentioned_commands, whole_commands, words_of
from tests.unit.survey_files import sky, unseen, write_new

NOT_TYPED = {  # and why
    r"git clone .*|cd .*|export \w+=.*": "for the reader's shell",
    r"make demo( VERBOSE=1)?": "ten minutes; test_workflow.py runs the tiny study by the same command",
    r"make (test|lint|docs|test-cluster)": "what .ci/run does",
    r"make coverage": "make test, and a table at its end",
    r"make notebooks": "test_notebooks.py runs what it writes",
    r"make streamed": "an hour or more; its stages and its tables have tests of their own",
    r"make kill-harness": "an hour; its short form is in test_workflow.py",
    r"make gpu-check": "needs a GPU; test_gpu_check.py rehearses it without one",
    r"make \.venv/installed .*": "what the other targets begin with",
    r"pip install .*": "test_packaging.py installs the package; the names are looked up below",
    r"tensorboard --logdir .*": "test_events.py reads what it would show",
    r"snakemake (-n|--lint|--profile slurm)": "the kind of command, in a sentence",
    r"snakemake .*(--unlock|--touch)": "for a study that was killed or moved",
    r"snakemake .*--report .*": "for a study that has run; test_workflow.py",
    r"snakemake .*--profile slurm .*config/paper.yaml.*": "test_workflow.py plans it",
    r"snakemake --configfile config/(paper|bench).yaml --cores \w+( --resources .*)?": "the same",
    r"snakemake .*config/co2.yaml .*": "for a map; planned below, beginning with the map",
    r"snakemake your_map --configfile config/mine.yaml .*": "by the same commands",
}
WHOLE = {command for page in PAGES for command in whole_commands(page)}
COMMANDS = sorted(WHOLE.union(*map(mentioned_commands, PAGES)))
LISTED = [command for command in COMMANDS if any(re.fullmatch(kind, command) for kind in NOT_TYPED)]
STUDIES = [command for command in COMMANDS if re.match(r"snakemake |.*run_study\.py ", command)]
PARSED = [command for command in COMMANDS if re.match(r"python |limelight |scripts/", command)]
TUTORIAL = ROOT / "docs" / "first_study.md"
STANDS_FOR = {  # what pages write in place of something of the reader's own
    "…": "config/gaussian_field.yaml",
    "CONFIG": "config/gaussian_field.yaml",
    "my.yaml": "config/mine.yaml",
    "results/bench/figures/PATH": "results/bench/figures/comparisons/section8.pdf",
}


def test_every_command_is_tried_here_or_listed():
    missing = set(COMMANDS) - {*LISTED, *STUDIES, *PARSED}
    assert not missing
    unused = [kind for kind in NOT_TYPED if not any(re.fullmatch(kind, command) for command in COMMANDS)]
    assert not unused, "listed, but no page shows it any more"


def test_pages_install_what_the_project_names():
    """Extras that pyproject.toml has, and packages that are pinned."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "envs" / "constraints.txt").read_text(), re.MULTILINE)
    wanted = {word for command in COMMANDS if command.startswith("pip ") for word in shlex.split(command)[2:]}
    named = {extra for word in wanted if word.startswith(".[") for extra in word[2:-1].split(",")}
    assert named <= set(extras)
    assert {word for word in wanted if not word.startswith((".", "-"))} <= set(pinned)


class Taken(Exception):
    """Raised where a program would begin to work with its arguments."""


@pytest.mark.parametrize("command", PARSED)
def test_a_program_takes_the_arguments_that_pages_give_it(command: str, monkeypatch: pytest.MonkeyPatch):
    words = words_of(command)
    if words[:2] == ["python", "-m"]:
        start, arguments = importlib.import_module(words[2]).main, words[3:]
        if not hasattr(sys.modules[words[2]], "argparse") and not hasattr(sys.modules[words[2]], "Arguments"):
            assert not arguments, f"{words[2]} takes none"
            return
    else:
        script = ROOT / words[1] if words[0] == "python" else script_of(words[1])
        start, arguments = runpy.run_path(str(script), run_name="read")["main"], words[2:]
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stopped(command in WHOLE))
    with pytest.raises((Taken, SystemExit)) as ended:
        start()
    assert isinstance(ended.value, Taken) or not ended.value.code, ended.value


def stopped(whole: bool) -> Callable:
    """argparse's parsing, after which nothing is done; what a sentence leaves out is not missed."""
    parse = argparse.ArgumentParser.parse_known_args

    def parse_only(self, args=None, namespace=None):
        for needed in () if whole else (*self._actions, *self._mutually_exclusive_groups):
            needed.required = False
        _, unknown = parse(self, args, namespace)
        assert not unknown
        raise Taken

    return parse_only


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A scratch checkout with the study of the tutorial."""
    found = Checkout(tmp_path_factory.mktemp("commands"))
    (study,) = re.findall(r"^```yaml\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found.root / "config" / "mine.yaml").write_text(study)
    return found


def planning(command: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What Snakemake is to plan of a command, on any number of cores and GPUs: the study and its options; targets."""
    command = re.sub(r" --(dry-run|cores \w+|resources( \w+=\w+)+)(?= |$)", "", command)
    words = [STANDS_FOR.get(word, word) for word in command.split()]
    if words[0] != "snakemake":  # run_study.py
        more = words[words.index("--") + 1 :] if "--" in words else []
        words = [*more, "--configfile", words[words.index("--configfile") + 1]]
    options = [i for i, word in enumerate(words) if word.startswith("--")]
    named = {i + 1 for i in options}
    targets = [word for i, word in enumerate(words) if i not in {*options, *named} and word != "snakemake"]
    return tuple(word for i in options for word in words[i : i + 2]), tuple(targets)


PLANS: dict[tuple[str, ...], set[str]] = {}  # all targets that pages ask of a study, planned at once
for wanted in STUDIES:
    if wanted not in LISTED:
        options, targets = planning(wanted)
        PLANS.setdefault(options, set()).update(targets or {"all"})


@pytest.mark.parametrize("options", PLANS, ids=" ".join)
def test_a_study_that_pages_run_can_be_planned(checkout: Checkout, options: tuple[str, ...]):
    command = [sys.executable, "-m", "snakemake", *sorted(PLANS[options]), *options, "--cores", "2", "--dry-run"]
    run = subprocess.run(
        [*command, "--quiet", "rules"], cwd=checkout.root, capture_output=True, text=True, env=environment()
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    assert "Job stats:" in run.stdout + run.stderr


def test_a_survey_is_planned_from_its_map_by_the_commands_of_its_page(checkout: Checkout):
    """Describe, plan, and what Snakemake would run then: networks, posteriors and the page on the map."""
    write_new(checkout.root / "co2_map.h5", unseen(sky(), "nan"))
    said = ""
    for command in whole_commands(ROOT / "docs" / "your_map.md"):
        words = words_of(command)
        if words[0] == "snakemake":
            words = ["python", "-m", *words, "--dry-run", "--quiet", "rules"]
        if "report_map.py" not in command:  # of a study that has run
            run = subprocess.run(
                [sys.executable, *words[1:]], cwd=checkout.root, capture_output=True, text=True, env=environment()
            )
            assert run.returncode == 0, f"{command}\n{run.stderr}"
            said += run.stdout + run.stderr
    for words in ("12 × 10 × 32 voxels", "next: snakemake your_map", r"map_report +1\b", r"posterior +\d"):
        assert re.search(words, said), words


def test_the_tutorial_reads_a_map_as_it_says(finished: Checkout):
    """Its commands on the files of the demo, on those of the tiny study."""
    typed = [command for command in whole_commands(TUTORIAL) if command.startswith("limelight ")]
    for command in typed:
        words = command.replace("results/demo", "results/tiny").replace("li10/9.h5", "li10/3.h5").split()
        run = subprocess.run(
            [sys.executable, "-m", *words], cwd=finished.root, capture_output=True, text=True, env=environment()
        )
        assert run.returncode == 0, f"{command}\n{run.stderr}"
    rows = list(csv.DictReader((finished.root / "lf.csv").open()))
    assert len(rows) == load_study(finished.root / finished.config).labels.bins
    assert all(float(row["dn"]) > 0 for row in rows[:3]), "there are sources in the faintest bins of any map"
    assert (finished.root / "lf.png").stat().st_size > 5000
