"""A hash of code that stands outside limelight: a function that a config names as `module:function`, and all that it uses.

Whole modules count, but for comments, layout and docstrings: the function's own, and those that it imports, however deep, as
long as they stand neither in the standard library nor in site-packages. Files that these modules name in one piece of text
("rates.txt", beside the module or in the working directory) count as well, and so does the code of limelight that they use.
"""

import ast
import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path

from limelight.codehash import PACKAGE, code_used_by, imports_of
from limelight.syntax import is_docstring
from limelight.trees import walk

INSTALLED = ("site-packages", "dist-packages")
STANDARD = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
NAME_MAX = 255  # characters of a file's name


def search_here() -> None:
    """Let Python find modules in the working directory, after all others."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def own_code_hash(module: str) -> str:
    """Hash of a user's module and of what it uses; the module has been imported already."""
    digest, data = hashlib.sha256(), set()
    for name, path in sorted(own_files(module).items()):
        stat = path.stat()
        text, named = _content(path, os.getcwd(), stat.st_mtime_ns, stat.st_size)
        digest.update(f"{name} {text}\n".encode())
        if path.suffix == ".py":
            digest.update(code_used_by(path).encode())
        data |= {(one.name, one) for one in named}
    for name, path in sorted(data):
        stat = path.stat()
        digest.update(f"{name} {_data_hash(path, stat.st_mtime_ns, stat.st_size)}\n".encode())
    return digest.hexdigest()[:16]


def own_files(module: str) -> dict[str, Path]:
    """{module: file} of a user's module and of all that it imports, but for limelight and what is installed."""
    search_here()
    queue, seen, files = [module], set(), {}
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        above = name.rpartition(".")[0]
        if above:
            queue.append(above)  # importing a module runs its packages
        spec = _own_spec(name)
        if spec is None or not spec.origin or not Path(spec.origin).is_file():
            continue
        files[name] = path = Path(spec.origin)
        if path.suffix == ".py":
            is_package = path.name == "__init__.py"
            package = name.split(".") if is_package else name.split(".")[:-1]
            queue.extend(imports_of(ast.parse(path.read_bytes()), package)[1])
    return files


def _own_spec(name: str) -> ModuleSpec | None:
    """Where a module stands; None where that is not the user's. Of others not even the submodules are looked up."""
    first = name.partition(".")[0]
    if not first or first == PACKAGE or (first != name and _own_spec(first) is None):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):  # `from module import name`: a name is no module
        return None
    if spec is None:
        return None
    places = [Path(place).resolve() for place in (spec.origin, *(spec.submodule_search_locations or ())) if place]
    return spec if any(map(_is_own, places)) else None


def _is_own(place: Path) -> bool:
    installed = set(INSTALLED) & set(place.parts)
    return place.exists() and not installed and not any(place.is_relative_to(standard) for standard in STANDARD)


@functools.lru_cache(maxsize=256)
def _content(path: Path, folder: str, changed: int, size: int) -> tuple[str, frozenset[Path]]:
    """(what counts of a module, the files that it names); folder: where relative names are sought beside the module."""
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest(), frozenset()
    tree, named = ast.parse(path.read_bytes()), set()
    for node in walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [one for one in node.body if not is_docstring(one)]
    for node in walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= NAME_MAX:
            named |= {found for place in (path.parent, Path(folder)) if (found := _file(place, node.value))}
    return ast.dump(tree), frozenset(named)


def _file(folder: Path, name: str) -> Path | None:
    try:
        path = folder / name
        return path if path.is_file() and path.suffix != ".py" else None
    except (OSError, ValueError):  # a text that is no name of a file
        return None


@functools.lru_cache(maxsize=256)
def _data_hash(path: Path, changed: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
