"""The house stands as docs/architecture.md draws it: rooms import downwards, and the engine knows no probe."""

import ast
from pathlib import Path

import pytest

from limelight.files import ROOT
from limelight.probes import PROBES

PACKAGE = ROOT / "limelight"
# Rooms from the ground up. A module imports from its own row and from those above it in this list, never from below.
FLOORS = (
    {"errors", "seeds", "progress", "device", "registry", "section", "files", "cosmology", "syntax", "codehash"},
    {"matter", "halos", "summaries", "data", "networks"},
    {"training"},
    {"probe"},
    {"study"},
    {"evaluation", "saliency"},
    {"inference"},
    {"figures"},
    {"describe"},
    {"probes"},
)
# What the loop needs of a study and of its probe are their types alone; both are below it in every other way.
TYPES_ALONE = {("training.loop", "limelight.probe"), ("training.loop", "limelight.study.settings")}
# Still at work; empty when the move is done.
KNOWS_A_PROBE = set()
WRONG_WAY = set()


def modules() -> dict[str, Path]:
    """{dotted name below limelight: file}; a package by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()
ENGINE = [name for name in MODULES if not name.startswith("probes")]


def at_import(tree: ast.AST) -> list[ast.stmt]:
    """The import statements that run when a module is imported: not those in functions, nor for type checkers alone."""
    found, pending = [], list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            pending += [child for handler in getattr(node, "handlers", ()) for child in handler.body]
    return found


def everywhere(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(name: str, statements: list[ast.stmt]) -> set[str]:
    """Modules of limelight that import statements of a module name: `limelight.a.b` as "a.b"."""
    found = set()
    for node in statements:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{name}: a relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one.removeprefix("limelight.") in MODULES else node.module for one in inside}
    return {one.removeprefix("limelight.") for one in found if one.startswith("limelight.")} & MODULES.keys()


def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def floor(name: str) -> int:
    """Number of the row of FLOORS that a module stands on."""
    room = name.split(".")[0]
    found = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"limelight/{room} stands on no floor: give it one in FLOORS and in docs/architecture.md"
    return found[0]


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    rooms = {name.split(".")[0] for name in MODULES}
    for name in MODULES:
        floor(name)
    assert not set.union(*FLOORS) - rooms - {"saliency"}


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_imports_no_probe_and_names_none(name):
    if name in KNOWS_A_PROBE:
        pytest.skip("at work")
    tree = parsed(name)
    assert not [one for one in imported(name, everywhere(tree)) if one.startswith("probes")]
    docs = {id(node.body[0].value) for node in ast.walk(tree) if ast.get_docstring_node(node)} if False else set()
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not docs
    for word in words:
        assert not [probe for probe in PROBES if probe in word], f"{name} names a probe: {word!r}"
        assert "limelight.probes" not in word or word == "limelight.probes", f"{name} reaches into the probes: {word!r}"
