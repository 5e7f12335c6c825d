"""What the command lines of all scripts share: one look, and outputs that are never written over what a script reads."""

import argparse
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from limelight.errors import problem


class Arguments(argparse.ArgumentParser):
    """A parser whose inputs are the arguments of `type=Path`, and whose outputs are those of `add_output`."""

    def __init__(self, description: str, epilog: str | None = None) -> None:
        wait_without_spinning()
        super().__init__(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.outputs: dict[str, tuple[str, ...]] = {}  # dest: endings of the files that are written beside it

    def add_output(
        self, name: str, help: str, metavar: str | None = None, beside: Sequence[str] = (), required: bool = True
    ) -> None:
        """Add the path of a file that the script writes.

        beside: endings of files of the same name that it writes as well. The path's own ending is then that of `metavar`.
        """
        action = self.add_argument(name, type=Path, required=required, metavar=metavar, help=help)
        self.outputs[action.dest] = tuple(beside)

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:
        """The arguments; LimelightError where an output is no name of a file, is an input, or is another output."""
        found = super().parse_args(args)
        written = list(self._written(found))
        for number, (option, path) in enumerate(written):
            other = next((two for two, that in written[:number] if _is_same(path, that)), None)
            if other:
                raise problem(option, f"'{path}', which {other} writes too", "another file", "choose another name")
        for option, path in written:
            refuse_to_overwrite(option, path, self._read(found))
        return found

    def _written(self, found: argparse.Namespace) -> Iterator[tuple[str, Path]]:
        """(option, path) of every file that will be written."""
        for action in self._actions:
            path = getattr(found, action.dest, None)
            if action.dest not in self.outputs or path is None:
                continue
            option = action.option_strings[0]
            if not path.name or path.is_dir():
                raise problem(option, f"'{path}', a folder", "the name of a file to write", "name a file in it")
            beside = self.outputs[action.dest]
            ending = Path(action.metavar or "").suffix
            if beside and path.suffix != ending:
                fix = f"name it so: {' and '.join(beside)} of the same name stand beside it"
                raise problem(option, f"'{path}'", f"a name that ends in {ending}", fix)
            yield option, path
            yield from ((f"{option} ({one} beside it)", path.with_suffix(one)) for one in beside)

    def _read(self, found: argparse.Namespace) -> Iterator[Path]:
        """Every path among the arguments that is no output."""
        for dest, value in vars(found).items():
            if dest not in self.outputs:
                yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Path))


def whole(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number, at least so large."""

    def read(text: str) -> int:
        if not text.strip().lstrip("+-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"found {text}; expected a whole number from {least} up")
        return int(text)

    return read


def above(least: float) -> Callable[[str], float]:
    """The type of an argument that is a finite number, larger than `least`."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > least):
            raise argparse.ArgumentTypeError(f"found {text}; expected a number above {least:g}")
        return number

    return read


def wait_without_spinning() -> None:
    """Where the machine is busy, threads of OpenMP are to sleep while they wait for one another; before torch is imported.

    As libgomp comes, they spin, and keep the core from the thread that they wait for. 1000 turns is what it takes itself
    where it knows that threads outnumber cores. What is computed stays the same.
    """
    if os.getloadavg()[0] > 1.25 * (os.cpu_count() or 1):
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def refuse_to_overwrite(option: str, output: Path, inputs: Iterable[Path]) -> None:
    """LimelightError if an output is one of the inputs, by this name or by another (a link to it)."""
    for path in inputs:
        if _is_same(output, path):
            found = f"'{output}', which is the input {path}" if str(output) != str(path) else f"the input {path}"
            raise problem(option, found, "a file that is not read", "choose another name: it would destroy the input")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them does not exist
        return os.path.realpath(one) == os.path.realpath(other)
