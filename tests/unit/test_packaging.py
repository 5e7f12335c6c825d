"""What is installed is whole, and says what it needs; a checkout's scripts run the checkout's package."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from limelight import __version__
from limelight.__main__ import listing, script_of
from limelight.codehash import code_hash
from limelight.errors import EXTRAS, LimelightError

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE_OF = {
    "yaml": "pyyaml",
    "pyro": "pyro-ppl",
    "PIL": "pillow",
    "pydantic_core": "pydantic",
}  # module: package, where the names differ
OF_A_CHECKOUT = {
    "run_study",
    "estimate",
    "config_reference",
    "make_halo_reference",
    "make_ee_spectra",
    "make_lensing_spectra",
}  # scripts that need its other files
CODE = sorted((ROOT / "limelight").rglob("*.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


def test_the_wheel_holds_the_package_with_its_tables(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        (metadata,) = (file.read(name).decode() for name in file.namelist() if name.endswith("/METADATA"))
    expected = {str(path.relative_to(ROOT)) for path in CODE}
    tables = [path for path in (ROOT / "resources").rglob("*") if path.is_file()]
    scripts = [path for path in (ROOT / "scripts").glob("*.py") if path.stem not in OF_A_CHECKOUT]
    expected |= {f"limelight/{path.relative_to(ROOT)}" for path in [*tables, *scripts]}
    assert names == expected
    assert f"\nVersion: {__version__}\n" in metadata


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    (tmp_path / "mine.yaml").write_bytes((ROOT / "config" / "demo.yaml").read_bytes())
    code = """
import limelight
from limelight.halos.reference import FOLDER
from limelight.study.config import load_study
print(limelight.__file__, FOLDER, load_study("mine.yaml").study)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    site = tmp_path / "site" / "limelight"
    assert run.stdout.split() == [str(site / "__init__.py"), str(site / "resources"), "demo"]


def test_the_installed_command_lists_the_stages_and_runs_them(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
        (entry,) = (file.read(name).decode() for name in file.namelist() if name.endswith("/entry_points.txt"))
    assert "limelight = limelight.__main__:main" in entry
    (tmp_path / "site" / "scripts").mkdir()
    (tmp_path / "site" / "scripts" / "stranger.py").write_text('"""Of another package."""')

    def limelight(*words: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "limelight", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    listed = limelight("--help").stdout
    names = {path.stem for path in (ROOT / "scripts").glob("*.py")} - OF_A_CHECKOUT
    assert set(re.findall(r"^  (\w+) +\S", listed, re.MULTILINE)) == names
    assert limelight("--version").stdout.split() == ["limelight", __version__]
    (tmp_path / "mine.yaml").write_text((ROOT / "config" / "gaussian_field.yaml").read_text())
    made = limelight(
        *["simulate-shard", "--config", "mine.yaml", "--dataset", "fields", "--realisation", "0", "--output", "0.h5"]
    )
    assert made.returncode == 0, made.stderr
    assert "shard" in limelight("describe", "0.h5").stdout
    there = "from limelight.codehash import code_hash; print(code_hash('scripts/simulate_shard.py'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run([sys.executable, "-c", there], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == code_hash("scripts/simulate_shard.py")


def test_the_command_of_a_checkout_lists_every_script_and_names_the_nearest_of_a_wrong_name() -> None:
    listed = set(re.findall(r"^  (\w+) +\S", listing(), re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert "\nmore:" not in listing(), "each stands among its like"
    assert script_of("paint-maps") == ROOT / "scripts" / "paint_maps.py"
    with pytest.raises(LimelightError, match="found 'predikt'; expected the name of a stage; try: limelight predict"):
        script_of("predikt")


def imported(nodes: list[ast.stmt]) -> Iterator[str]:
    """The packages that import statements name, by their names at PyPI; neither limelight nor the standard library."""
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"limelight"}:
            yield PACKAGE_OF.get(name, name)


def names_of(requirements: list[str]) -> set[str]:
    """The packages that requirements name, in small letters and without versions."""
    return {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}


def test_dependencies_are_what_modules_import_and_extras_what_only_options_need() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in CODE]
    at_the_top = {name for tree in trees for name in imported(tree.body)}
    anywhere = {name for tree in trees for name in imported(ast.walk(tree))}
    core, extras = names_of(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    optional = {
        package: extra for extra in set(extras) - {"test", "workflow", "docs"} for package in names_of(extras[extra])
    }
    assert at_the_top <= core
    assert core | set(optional) == anywhere
    told = {PACKAGE_OF.get(module, module): extra for module, extra in EXTRAS.items()}
    assert optional == told, "a missing one is told by its extra"


def test_every_dependency_is_pinned() -> None:
    own, _, _ = (ROOT / "envs" / "constraints.txt").read_text().partition("# What those need.")
    pinned = {line.partition("==")[0].lower() for line in own.splitlines() if "==" in line}
    wanted = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values(), ["hatchling"]]
    assert pinned == set().union(*map(names_of, wanted))


def test_the_locked_packages_are_the_pinned_ones_and_each_has_its_hashes() -> None:
    pins, locked = ((ROOT / "envs" / name).read_text() for name in ("constraints.txt", "lock.txt"))
    entries = re.split(r"^(?=[A-Za-z])", locked, flags=re.MULTILINE)[1:]
    found = {entry.split(" ")[0].lower().replace("_", "-") for entry in entries}
    assert {line.lower().replace("_", "-") for line in pins.splitlines() if "==" in line} <= found
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry) for entry in entries)


def test_a_script_runs_the_package_of_its_checkout_whatever_is_installed(tmp_path: Path) -> None:
    (tmp_path / "limelight").mkdir()
    (tmp_path / "limelight" / "__init__.py").write_text("raise SystemExit('another limelight')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = [sys.executable, ROOT / "scripts" / "describe.py", "--help"]
    run = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage: describe.py" in run.stdout


def test_pytest_collects_nothing_of_the_package() -> None:
    """It takes whatever is called test or Test for a test, also where a test imports it."""
    found = []
    for path in [*CODE, *(ROOT / "scripts").glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        found += [
            f"{path.relative_to(ROOT)}: {node.name}"
            for node in tree
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower().startswith("test")
        ]
    assert found == []
