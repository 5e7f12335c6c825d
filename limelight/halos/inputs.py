"""Which foreign files a light-cone is made of. Light enough for the workflow to import."""

import glob
import re
import string
from pathlib import Path

from limelight.errors import problem
from limelight.halos.config import Lightcones


def input_files(cones: Lightcones, lightcone: int) -> list[Path]:
    """The foreign files of one light-cone: lightcones.files with {lightcone} filled in and * expanded, in sorted order."""
    patterns = cones.files or []
    paths = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        name = _filled(pattern, lightcone)
        matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
        if not matches:
            raise problem("lightcones.files", f"no file matches {name}", "at least one", "check the path")
        paths.extend(Path(match) for match in matches)
    if not paths:
        source = cones.source
        raise problem("lightcones.files", "nothing", f"the {source} file(s) to read", "add lightcones.files")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise problem(missing[0], "no such file", f"a {cones.source} file", "check lightcones.files")
    return paths


def _filled(pattern: str, lightcone: int) -> str:
    """A path with {lightcone}, or {lightcone:03d}, filled in; nothing else of format strings is known here."""
    expected = "a path in which {lightcone} stands for the light-cone's number, or {lightcone:03d}"
    wrong = problem("lightcones.files", f"'{pattern}'", expected, "double other braces")
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError:
        raise wrong from None
    for _, name, form, conversion in parts:
        if name is not None and (name != "lightcone" or conversion or not re.fullmatch(r"(0?\d)?d?", form)):
            raise wrong
    if "\0" in pattern:
        raise wrong
    return pattern.format(lightcone=lightcone)
