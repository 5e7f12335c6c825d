"""What runs, as Python itself sees it: the independent truth for the hash of a stage's code."""

import contextlib
import inspect
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from limelight.codehash import LEFT_OUT, ROOT, holds_settings

SETTINGS = ("dataset_settings", "observation_settings")  # what a probe's methods of these names decide is settings too
Place = tuple[str, str]


def executed(run: Callable[[], object]) -> set[Place]:
    """(module, qualified name) of the functions of the package that a call runs.

    Not those of the modules that hashes leave out. Nor what the config's functions run: what they decide is the settings,
    which stages track themselves. The methods of the config's classes count.
    """
    found, inside = set(), []

    def note(frame, event, argument) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(f"{ROOT}/limelight/") or event not in ("call", "return"):
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:
            return  # the body of a module or class, run when it is imported
        module, name = module_of(Path(code.co_filename)), code.co_qualname
        makes_settings = holds_settings(module) and not is_of_class(frame, name)
        if makes_settings or name.rpartition(".")[2] in SETTINGS:
            inside.append(code) if event == "call" else inside.pop()
        elif not inside and event == "call" and not any(f"{module}.".startswith(f"{left}.") for left in LEFT_OUT):
            found.add((module, name))

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {
        (module, name) for module, name in found if not name.startswith("<")
    }  # lambdas and comprehensions of modules


def module_of(path: Path) -> str:
    return ".".join(part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__")


def is_of_class(frame, name: str) -> bool:
    return inspect.isclass(frame.f_globals.get(name.partition(".")[0]))


def script(name: str, *arguments: object) -> set[Place]:
    """The same of a script, run with arguments. Whether it ended well its output shows."""
    path = ROOT / "scripts" / f"{name}.py"

    def run() -> None:
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(path), run_name="__main__")

    with mock.patch.object(sys, "argv", [str(path), *map(str, arguments)]):
        return executed(run)


def missing(ran: set[Place], reached: set[Place]) -> set[Place]:
    """What ran and is not among the places that a hash reached: definitions, or members of classes."""

    def is_reached(module: str, name: str) -> bool:
        first, _, rest = name.partition(".")
        return (module, first) in reached or (module, f"{first}.{rest.partition('.')[0]}") in reached

    return {(module, name) for module, name in ran if not is_reached(module, name)}
