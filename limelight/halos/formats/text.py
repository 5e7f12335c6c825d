"""Halo catalogues as text: comment lines, a line of column names, rows of numbers."""

import itertools
import re
from pathlib import Path

import numpy as np

from limelight.errors import problem

HEADER_LINES_MAX = 500


def read_head(path: Path) -> tuple[list[str], str]:
    """The comment lines at the head of a text file (without their #) and the first line that is no comment."""
    if not path.is_file():
        raise problem(path, "no such file", "a text catalogue", "check lightcones.files")
    comments = []
    try:
        with open(path, encoding="utf-8") as file:
            for _, line in zip(range(HEADER_LINES_MAX), file, strict=False):
                if line.startswith("#"):
                    comments.append(line[1:].strip())
                elif line.strip():
                    return comments, line.strip()
    except UnicodeDecodeError:
        raise problem(path, "bytes that are not text", "a text catalogue", "choose another lightcones.source") from None
    raise problem(path, "no halos, only comments or nothing", "rows of numbers", "check how the file was made")


def second_line(path: Path) -> str:
    """The line after the first that is neither empty nor a comment; empty where there is none."""
    with open(path, encoding="utf-8") as file:
        lines = (line.strip() for line in file if line.strip() and not line.startswith("#"))
        return next(itertools.islice(lines, 1, None), "")


def column_names(comments: list[str], must_have: tuple[str, ...]) -> list[str] | None:
    """The column names in a comment header, lower case and without consistent-trees' "(12)" numbers; None if not there."""
    for line in comments:
        found = [re.sub(r"\(\d+\)$", "", word).lower() for word in line.replace(",", " ").split()]
        if set(must_have) <= set(found):
            return found
    return None


def check_header(path: Path, names: list[str], wanted: list[str], row: str, delimiter: str | None = None) -> None:
    """Refuse a header whose words are not the columns: a unit among the names would shift every column after it."""
    width = len(row.split(delimiter))
    if len(names) != width:
        found = (
            f"{len(names)} column names ({', '.join(names[:20])}{' …' if len(names) > 20 else ''}) over {width} columns"
        )
        fix = "take units and other words out of the line of names, or name every column"
        raise problem(path, found, "one name per column", fix)
    doubled = sorted({name for name in wanted if names.count(name) > 1})
    if doubled:
        found = f"{names.count(doubled[0])} columns named '{doubled[0]}'"
        raise problem(path, found, "different names", "rename the columns in the file")


def number_after(pattern: str, comments: list[str]) -> float | None:
    """The number that follows a pattern in the comments: number_after(r"\\bh", …) finds 0.7 in "Ol = 0.7; h = 0.7"."""
    for line in comments:
        match = re.search(pattern + r"\s*[:=]\s*((?i:[-+]?(?:nan|inf))\b|[-+0-9.eE]+)", line)
        if match:
            try:
                return float(match.group(1))
            except ValueError:
                continue
    return None


def read_columns(path: Path, indices: list[int], delimiter: str | None = None, skip: int = 0) -> np.ndarray:
    """Columns of a text table as float64 (rows, len(indices)); text in a number's place or short rows give one line."""
    try:
        return np.loadtxt(path, usecols=indices, delimiter=delimiter, skiprows=skip, ndmin=2, comments="#")
    except (ValueError, IndexError) as error:
        expected = f"numbers in columns {', '.join(str(i) for i in indices)} (from 0) of every row"
        fix = "mend that row; a short last row means a truncated file"
        raise problem(path, f"rows it cannot read ({error})", expected, fix) from None
