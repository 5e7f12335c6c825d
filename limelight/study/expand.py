"""A raw config made whole: what its `base` says, entries that are like a sibling, and tables of networks (`sweeps`).

Expansion happens before the sections are checked: a resolved study holds plain entries alone.
"""

import contextlib
import itertools
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from limelight.errors import LimelightError, problem
from limelight.study.yaml import read_yaml

NETWORKS_MAX = 10_000  # that a sweep may make; none can train more
FORM = "{like: NETWORK, over: {a.dotted.key: [values], …}}"


def merge(under: dict, over: dict) -> dict:
    """Both mappings in one, neither changed: mappings within them merge, everything else of `over` replaces."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def with_base(raw: dict, path: Path, seen: tuple[Path, ...] = ()) -> dict:
    """Merge the file named by `base` (relative to this one) under the raw config; mappings merge, the rest replaces."""
    if "base" not in raw:
        return raw
    own = {key: value for key, value in raw.items() if key != "base"}
    base = (path.parent / str(raw["base"])).resolve()
    if base in seen:
        raise problem(f"{path}: base", f"a circle of bases at {base.name}", "a base that ends", "remove one `base`")
    return merge(with_base(read_yaml(base), base, (*seen, base)), own)


def expand(raw: dict, path: object, sections: Collection[str]) -> dict:
    """A raw study with sweeps turned into networks and every `like` resolved; wrong types are left to the sections' checks.

    sections: those whose entries may be like a sibling. An entry whose name begins with _ is there for others to be like,
    and is not made itself. Raises LimelightError, one line per fault, for unknown names, circles, clashes and sweeps that
    are none.
    """
    study, products, faults = dict(raw), {}, []
    if isinstance(study.get("networks"), dict):
        study["networks"], products = _swept(study.pop("sweeps", {}), study["networks"], path, faults)
    for section in sections:
        entries, made = study.get(section), {}
        if isinstance(entries, dict):
            for name in entries:
                if not str(name).startswith("_"):
                    with _collected(faults):
                        made[name] = _like(entries, section, name, path, ())
            study[section] = made
    if faults:
        raise LimelightError("\n".join(dict.fromkeys(faults)))
    if isinstance(study.get("comparisons"), dict):
        study["comparisons"] = {name: _with_products(entry, products) for name, entry in study["comparisons"].items()}
    return study


@contextlib.contextmanager
def _collected(faults: list[str]) -> Iterator[None]:
    """Go on after a LimelightError, whose line is kept."""
    try:
        yield
    except LimelightError as error:
        faults.append(str(error))


def _swept(
    sweeps: object, networks: dict, path: object, faults: list[str]
) -> tuple[dict[str, object], dict[str, list[str]]]:
    """(the networks with those of all sweeps, the names that each sweep made)."""
    networks, products = dict(networks), {}
    if not isinstance(sweeps, dict):
        faults.append(
            str(problem(f"{path}: sweeps", repr(sweeps)[:80], f"tables such as {FORM}", "see docs/config.md"))
        )
        return networks, products
    for sweep, table in sweeps.items():
        where = f"{path}: sweeps.{sweep}"
        with _collected(faults):
            made = _products(table, where)
            for name in [sweep, *made]:
                if name in networks or name in products:
                    raise problem(where, f"the name '{name}' twice", "a name that is free", "rename the sweep or entry")
            products[sweep] = list(made)
            networks |= made
    return networks, products


def _like(entries: dict, section: str, name: str, path: object, seen: tuple[str, ...]) -> object:
    """One entry with all that it is like merged under it."""
    entry = entries[name]
    if not isinstance(entry, dict) or "like" not in entry:
        return entry
    other, where = entry["like"], f"{path}: {section}.{name}.like"
    if not isinstance(other, str) or other not in entries:
        raise problem(where, f"'{other}'", f"one of {', '.join(map(str, entries))}", "name an entry beside it")
    if other in (*seen, name):
        circle = [*seen, name][[*seen, name].index(other) :]
        start = circle.index(
            next(entry for entry in entries if entry in circle)
        )  # the same words from wherever we came
        circle = [*circle[start:], *circle[: start + 1]]
        where = f"{path}: {section}.{circle[0]}.like"
        raise problem(where, f"a circle: {' → '.join(circle)}", "a start", "remove one `like`")
    under = _like(entries, section, other, path, (*seen, name))
    if not isinstance(under, dict):
        return under
    return merge(under, {key: value for key, value in entry.items() if key != "like"})


def _products(table: object, where: str) -> dict[str, dict]:
    """The networks of a sweep, {name: {like, …}}: every combination of what it goes over.

    Names: `<name>_<key><value>_…`; name is that of `like` unless given, key the last part of the dotted path; the labels of
    a mapping stand for key and value. The key "." is the whole entry.
    """
    sound = isinstance(table, dict) and {"like", "over"} <= set(table) <= {"like", "over", "name"}
    if not sound or not isinstance(table["over"], dict):
        raise problem(where, repr(table)[:80], FORM, "see docs/config.md")
    axes = []
    for key, values in table["over"].items():
        if isinstance(values, dict):
            choices = [(str(label), value) for label, value in values.items()]
        elif isinstance(values, list):
            choices = [(f"{str(key).rpartition('.')[2]}{_word(value)}", value) for value in values]
        else:
            choices = []
        if not choices:
            expected = "a list of values, or a mapping from labels to values"
            raise problem(f"{where}.over.{key}", repr(values), expected, "give at least one value")
        keys = [] if key == "." else str(key).split(".")
        axes.append([(label, keys, value) for label, value in choices])
    if not axes:
        raise problem(f"{where}.over", "nothing", "at least one key to go over", "see docs/config.md")
    count = math.prod(map(len, axes))
    if count > NETWORKS_MAX:
        raise problem(f"{where}.over", f"{count} combinations", f"at most {NETWORKS_MAX}", "go over fewer values")
    made = {}
    for combination in itertools.product(*axes):
        name, entry = str(table.get("name", table["like"])).lstrip("_"), {"like": table["like"]}
        for label, keys, value in combination:
            name = f"{name}_{label}"
            nested = value
            for key in reversed(keys):
                nested = {key: nested}
            if not isinstance(nested, dict):
                raise problem(f"{where}.over", repr(nested), 'for the key ".": labels, each of a mapping', "mend it")
            entry = merge(entry, nested)
        if name in made:
            raise problem(
                where, f"two networks called '{name}'", "values whose names differ", "use a mapping of labels"
            )
        made[name] = entry
    return made


def _word(value: object) -> str:
    """A value as part of a name: 0.5 -> 0p5, [li, breysse] -> li-breysse, log10_1p -> log10_1p."""
    if isinstance(value, list):
        return "-".join(_word(item) for item in value)
    return re.sub(r"[^A-Za-z0-9_-]", "", f"{value:g}".replace(".", "p") if isinstance(value, float) else str(value))


def _with_products(entry: object, products: dict[str, list[str]]) -> object:
    """A comparison in whose list of networks a sweep's name stands for the networks that it made, each named once."""
    if not isinstance(entry, dict) or not isinstance(entry.get("networks"), list):
        return entry
    names = []
    for item in entry["networks"]:
        names += [
            name for name in (products.get(item, [item]) if isinstance(item, str) else [item]) if name not in names
        ]
    return {**entry, "networks": names}
