"""A hash of the code that a stage script runs, so that editing a module reruns the stages that import it and no others."""

import ast
import functools
import hashlib
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def code_hash(*files: str) -> str:
    """Hash of stage scripts, of every limelight module they import (directly or not), and of the data files named.

    Paths are relative to the repository; what ends in .py is code. Comments and blank lines do not count: rewording one
    must not retrain a network.
    """
    digest = hashlib.sha256()
    scripts = [ROOT / name for name in files if name.endswith(".py")]
    for path in sorted(set().union(*map(_closure, scripts))):
        digest.update(str(path.relative_to(ROOT)).encode() + _tokens(path))
    for name in files:
        if not name.endswith(".py"):
            digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def _closure(start: Path) -> set[Path]:
    seen, queue = set(), [start]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imported(path))
    return seen


@functools.cache
def _imported(path: Path) -> frozenset[Path]:
    """The limelight modules that a file names in its import statements, wherever they stand.

    limelight.study.config is not followed: what it decides is the settings, and every stage tracks those themselves.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files = set()
    for name in names:
        if name.split(".")[0] == "limelight":
            module = ROOT.joinpath(*name.split("."))
            files.update(file for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file())
    return frozenset(files - {ROOT / "limelight" / "study" / "config.py"})


@functools.cache
def _tokens(path: Path) -> bytes:
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING)
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return "\0".join(token.string for token in tokens if token.type not in skip).encode()
