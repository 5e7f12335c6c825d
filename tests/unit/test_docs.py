"""What README and docs say of the repository is so: links lead somewhere, and what they name is there."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

import limelight
from limelight.files import ROOT
from limelight.probe import Probe
from limelight.probes import PROBES
from limelight.study.config import load_study

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "resources/README.md",
]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TOPS = (
    "scripts",
    "limelight",
    "config",
    "docs",
    "tests",
    "benchmarks",
    "workflow",
    "resources",
    "envs",
    "slurm",
    "tools",
)
PROBE = "limelight.probes.line_intensity"


def without_blocks(page: Path) -> str:
    """A page's text without its blocks of code, where names are a user's own."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def found(dotted: str) -> bool:
    """Whether a dotted name is a module, or what one holds."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            fields = getattr(thing, "__dataclass_fields__", {})
            if not hasattr(thing, name) and name not in fields:
                return False
            thing = getattr(thing, name, None)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_paths_exist(page: Path):
    text = without_blocks(page)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    lost = [link for link in links if link and not (page.parent / link).exists()]
    named = re.findall(rf"`((?:{'|'.join(TOPS)})/[\w./-]+)`", text)
    figures = re.compile(r"limelight/\w+\.(pdf|png)")  # of the network that is called so, below results/
    lost += [path for path in named if not (ROOT / path).exists() and not figures.fullmatch(path)]
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_and_functions_that_pages_name_exist(page: Path):
    named = set(re.findall(r"`(limelight(?:\.\w+)+)\b", without_blocks(page)))
    assert not [name for name in named if not found(name)]


def test_the_table_from_rules_to_functions_is_that_of_the_workflow():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    rows = re.findall(r"^\| (\w+) \| `(\w+\.py)` \| (?:`([\w.]+)`|(.*?)) \|", ARCHITECTURE, re.MULTILINE)
    assert len(rows) > 10
    for rule, script, function, words in rows:
        body = re.search(rf"^rule {rule}:\n(.*?)(?=^rule |\Z)", rules, re.MULTILINE | re.DOTALL)
        assert body, rule
        named = f"scripts/{script}" in body[1] or (rule == "lightcone" and "HALO_CODE" in body[1])
        assert named, f"{rule} does not run {script}"
        if function:
            where = (
                function.replace("line_intensity", PROBE) if "line_intensity" in function else f"limelight.{function}"
            )
            assert found(where), function
            assert function.rpartition(".")[2] in (ROOT / "scripts" / script).read_text(encoding="utf-8")
        else:
            method = re.search(r"the probe's `(\w+)`", words)[1]
            assert found(f"limelight.probe.Probe.{method}")


def test_the_rules_that_carry_no_settings_are_those_named():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    bodies = re.findall(r"^(?: {4})?rule (\w+):\n(.*?)(?=^(?: {4})?rule |\Z)", rules, re.MULTILINE | re.DOTALL)
    alone = {name for name, body in bodies if "code=" in body and "settings=" not in body}
    says = re.search(r"carry `code` alone: figures, (.*?)\.", ARCHITECTURE, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", says)) == {name for name in alone if not name.startswith("figure_")}


def test_the_rooms_are_those_of_the_repository():
    drawn = ARCHITECTURE.partition("## Rooms")[2].partition("## ")[0]
    every = {path.stem for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    rules = {stem for stem in every if not stem.startswith(tuple(PROBES))}
    line = re.search(r"workflow/rules/ +one \.smk per phase: (.*?); common\.smk", drawn)[1]
    assert set(line.split(", ")) | {"common"} == rules
    rooms = {path.name for path in (ROOT / "limelight").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(re.findall(r"^ +(\w+)/ ", drawn, re.MULTILINE)) & rooms
    modules = {path.stem for path in (ROOT / "limelight").glob("*.py")} - {"__init__"}
    assert not [name for name in modules if not re.search(rf"\b{name}\b", drawn)]


def test_the_study_of_the_tutorial_is_sound(tmp_path: Path):
    text = (ROOT / "docs" / "first_study.md").read_text(encoding="utf-8")
    (study,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for name in ("demo.yaml", "mine.yaml"):
        (tmp_path / name).write_text(study if name == "mine.yaml" else (ROOT / "config" / name).read_text())
    found = load_study(tmp_path / "mine.yaml")
    assert set(found.networks) == {"limelight", "longer"}
    assert found.networks["longer"].training.epochs == 20
    assert [len(found.splits[name]) for name in ("train", "validation", "test")] == [8, 1, 2], "as the tutorial says"


def test_the_hosted_checks_and_the_makefile_run_what_they_say():
    hosted = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run") for job in hosted["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in [*PAGES, ROOT / ".ci" / "run"]:
        named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, (page, named - targets)


@pytest.mark.parametrize("name", [name for name in limelight.PUBLIC if inspect.isfunction(getattr(limelight, name))])
def test_a_public_function_says_what_it_takes_and_stands_on_the_page(name: str):
    function = getattr(limelight, name)
    assert f"::: {limelight.PUBLIC[name]}.{name}" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    said = inspect.getdoc(function)
    taken = [name for name in inspect.signature(function).parameters if name not in ("path", "paths", "device")]
    assert not [one for one in taken if not re.search(rf"\b{one}\b", said)]
    others = {"parameters", "predict_lensing"}  # the config's, and a script's
    assert not set(re.findall(r"`(\w+)`", said)) - {*limelight.PUBLIC, *taken, *others}


def test_the_methods_of_a_probe_that_the_page_on_probes_names_exist():
    table = (ROOT / "docs" / "adding_a_probe.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 5
    assert not [name for name in named if not hasattr(Probe, name) and name not in Probe.__annotations__]
