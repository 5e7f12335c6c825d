"""A small package and a script, for the tests of code hashes."""

from pathlib import Path

from limelight.codehash import Code

SCRIPT = '''#!/usr/bin/env python3
"""A stage."""
import argparse
import limelight.deep.below as under
from limelight import shared
from limelight.tools import work

EXAMPLE = "example: stage.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--boards", type=int, default=3, help="how many boards")
    work(under.depth(shared.WIDTH), parser.parse_args().boards)


if __name__ == "__main__":
    main()
'''
TOOLS = '''"""Tools."""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from limelight.errors import problem
from limelight.progress import progress
from limelight.registry import Registry

CHOICES = Registry("tool", {"saw": "limelight.saws:saw", "axe": "limelight.axes:axe"})
USED = 2.5
UNUSED = 1
TABLE = {"a": 1}
TABLE["b"] = 4


@dataclass(frozen=True)
class Board:
    """A piece of wood."""

    length: float = 2.0
    grain: str = "fine"  # for the eye

    def cut(self, parts: int) -> float:
        return self.length / parts


class Nail(NamedTuple):
    size: float = 0.1


def say(line: str) -> None:
    """A line in the log."""
    if line:
        print(line)


def work(boards: int, times: int = 7) -> float:
    """Saw the boards."""
    found, unit = f"{boards} boards", 0.5
    expected = ", ".join(sorted(CHOICES))
    if boards < 0:
        raise problem("work", found, expected, "give more")
    if not CHOICES:
        wood = "no wood" if boards else "nothing"
        raise ValueError(f"{wood} to saw")
    say(f"working on {found}")
    print("at work", boards)
    total: float = 0.0
    for i in progress(range(times), f"saw {boards}"):
        total += unit * Board().cut(i + 1) * USED * Nail().size
    return total + np.sqrt(boards)


def idle():
    return 5
'''
FILES = {
    "scripts/stage.py": SCRIPT,
    "resources/wood.csv": "oak,1\n",
    "limelight/__init__.py": "",
    "limelight/errors.py": "def problem(*words):\n    return ValueError(words)\n",
    "limelight/progress.py": "def progress(items, what):\n    yield from items\n",
    "limelight/registry.py": "class Registry(dict):\n    def __init__(self, key, entries):\n        pass\n",
    "limelight/tools.py": TOOLS,
    "limelight/saws.py": "def saw():\n    return 1\n",
    "limelight/axes.py": "def axe():\n    return 1\n",
    "limelight/shared.py": "WIDTH = 3\n",
    "limelight/deep/__init__.py": '"""Deep."""\nfrom .below import depth\n',
    "limelight/deep/below.py": "from limelight import shared\n\n\ndef depth(x):\n    return x + 11 + shared.WIDTH\n",
}


def make_package(root: Path) -> Path:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def stage_hash(root: Path, *files: str, chosen: tuple[str, ...] = ()) -> str:
    return Code(root).hash(["scripts/stage.py", *files], chosen)


def is_changed(root: Path, name: str, old: str, new: str, chosen: tuple[str, ...] = ()) -> bool:
    """Whether an edit of one file changes the hash of the stage."""
    before, text = stage_hash(root, chosen=chosen), (root / name).read_text()
    assert text.count(old) == 1, f"'{old}' stands {text.count(old)} times in {name}"
    (root / name).write_text(text.replace(old, new))
    return stage_hash(root, chosen=chosen) != before
