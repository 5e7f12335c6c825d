"""The house stands as docs/architecture.md draws it: imports run downwards, and the engine knows no probe."""

import ast
from pathlib import Path

import pytest

from limelight.files import ROOT
from limelight.probes import PROBES

PACKAGE = ROOT / "limelight"
# Rooms and single modules, from the ground up. What stands on a floor imports from it and from those before it.
FLOORS = (
    {
        "errors",
        "seeds",
        "progress",
        "device",
        "registry",
        "section",
        "files",
        "versions",
        "compiled",
        "normals",
        "cosmology",
        "syntax",
        "trees",
        "kept",
        "codehash",
        "own_code",
        "arguments",
        "ancestry",
        "running",
        "text_table",
        "__main__",
    },
    {"matter"},
    {"halos"},
    {"data", "networks", "summaries"},
    {"training"},
    {"probe"},
    {"study"},
    {"training.run", "training.loop"},  # of training what takes a study's settings and its probe
    {"evaluation"},
    {"saliency"},
    {"inference"},
    {"stages"},
    {"figures"},
    {"describe"},
    {"probes"},
)


def modules() -> dict[str, Path]:
    """{name below limelight, "training.loop": file}; a package by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()
ENGINE = [name for name in MODULES if name.split(".")[0] != "probes"]
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name: str, later: bool = False) -> set[str]:
    """Modules of limelight that a module imports when it is imported itself; later: or in its functions.

    What only a type checker imports does not count, unless `later`.
    """
    found, pending = set(), [TREES[name]]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not later:
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not later:
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
    found = {one.removeprefix("limelight.") for one in found if one.startswith("limelight.")} & MODULES.keys()
    return {one for one in found if not any(other.startswith(f"{one}.") for other in found)} - {name}


def floor(name: str) -> int:
    """Number of the floor that a module stands on: its own, or that of its room."""
    for place in (name, name.split(".")[0]):
        for number, rooms in enumerate(FLOORS):
            if place in rooms:
                return number
    raise AssertionError(f"limelight.{name} stands on no floor: give it one here and in docs/architecture.md")


def words_of(tree: ast.AST) -> list[str]:
    """All strings and names of a module: what is in it but for comments."""
    found = []
    for node in ast.walk(tree):
        for field in ("value", "id", "attr", "arg", "name", "module"):
            word = getattr(node, field, None)
            found += [word] if isinstance(word, str) else []
    return found


@pytest.mark.parametrize("name", ENGINE)
def test_an_engine_module_neither_imports_nor_names_a_probe(name):
    assert not [one for one in imports(name, later=True) if one.split(".")[0] == "probes"]
    for word in words_of(TREES[name]):
        assert not [probe for probe in PROBES if probe in word], f"{word!r} names a probe"
        assert "limelight.probes" not in word or name == "probe", f"{word!r} reaches for the probes"


def test_only_the_registry_of_probes_is_loaded_by_the_engine():
    reached = [word for word in words_of(TREES["probe"]) if word.startswith("limelight.probes")]
    assert set(reached) == {"limelight.probes"}


def test_no_probe_imports_another():
    for name in MODULES:
        room, _, rest = name.partition(".")
        if room == "probes" and rest:
            own = f"probes.{rest.split('.')[0]}"
            reached = [one for one in imports(name, later=True) if one.split(".")[0] == "probes"]
            others = [one for one in reached if not f"{one}.".startswith(f"{own}.")]
            assert not others, f"{name} imports {others}"


def test_imports_run_downwards():
    found = {(name, one) for name in MODULES for one in imports(name) if floor(one) > floor(name)}
    assert not found, f"these import upwards: {sorted(found)}"


def packages(name: str) -> set[str]:
    """A module and the packages that it stands in."""
    parts = name.split(".")
    return {".".join(parts[: i + 1]) for i in range(len(parts))} & MODULES.keys()


def test_no_modules_import_one_another_in_a_circle():
    """Packages count: whoever imports limelight.training.loop runs limelight/training/__init__.py first."""
    edges = {name: set().union(*map(packages, imports(name))) - packages(name) for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' → '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for one in sorted(edges[name]):
                visit(one, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())
