"""Whether a file was made from the settings that a config has now: the hash of its settings tells its whole ancestry."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from limelight.errors import problem
from limelight.files import attribute, open_hdf5, read_hdf5, settings_hash
from limelight.section import plain

FIX = "give the file of this study, or the config that made it; or run its stage again (snakemake does)"
TOGETHER = "give files of one study, or draw and tabulate them apart"
NAMED = 3  # differences that are named


def check_file(path: str | Path, settings: object) -> None:
    """Refuse an HDF5 file of limelight that other settings made than these."""
    with open_hdf5(path, "limelight") as file:
        check_made_from(path, dict(file.attrs), settings)


def check_data(paths: Sequence[str | Path], settings: Mapping[str, object]) -> list[str]:
    """The dataset of each shard. Refuses one of none of these, or made from other settings; settings: by dataset."""
    datasets = []
    for path in paths:
        with read_hdf5(path, "shard") as file:
            dataset = str(attribute(file, "dataset"))
            if dataset not in settings:
                known = ", ".join(settings)
                raise problem(path, f"data of '{dataset}'", f"data of {known}", "give the files that the config names")
            check_made_from(path, dict(file.attrs), settings[dataset])
        datasets.append(dataset)
    return datasets


def check_made_from(path: str | Path, found: Mapping[str, object], settings: object) -> None:
    """Refuse a file whose provenance names other settings than these.

    A file without provenance passes with a warning: its maker may have had no config.
    """
    if "config_hash" not in found:
        print(f"limelight: warning: {path} does not say what settings made it: taken as the config's", file=sys.stderr)
        return
    if str(found["config_hash"]) == settings_hash(settings):
        return
    try:
        theirs = json.loads(found["settings"])
    except (KeyError, TypeError, ValueError):
        theirs = None
    there, here = [], []
    found_all = _differences(theirs, plain(settings)) if theirs else ()
    nearest = sorted(found_all, key=lambda one: one[0].count("."))
    for key, value, other in nearest:
        there.append(f"{key} {value}")
        here.append(f"{key} {other}")
    more = f", and {len(there) - NAMED} more differences" if len(there) > NAMED else ""
    found_words = ", ".join(there[:NAMED]) or f"settings {found['config_hash']}"
    expected = ", ".join(here[:NAMED]) or f"settings {settings_hash(settings)}"
    raise problem(path, f"a file of another study ({found_words}{more})", f"one of this config ({expected})", FIX)


def check_together(paths: Sequence[str | Path]) -> None:
    """Refuse to put files of two studies into one table or figure: of two seeds, or of one test on other data.

    Networks may differ in all else: what they answer to the same test may always be compared.
    """
    first: tuple[str | Path, str] | None = None
    tests: dict[str, tuple[str | Path, dict]] = {}
    for path in paths:
        with open_hdf5(path, "limelight") as file:
            seed, text = str(file.attrs.get("seed", "")), file.attrs.get("settings", "{}")
        first = first or (path, seed)
        if seed != first[1]:
            raise problem(path, f"seed {seed or 'none'}", f"{first[1] or 'none'}, as {first[0]} has", TOGETHER)
        try:
            settings = json.loads(text)
            settings = settings.get("evaluation", settings)
            data = {name: settings[name] for name in ("dataset", "entry", "observation", "splits")}
            data["splits"] = {"test": data["splits"]["test"]}  # an exact posterior has been taught by no others
            of_test = tests.setdefault(str(settings["test"]), (path, data))
        except (AttributeError, KeyError, TypeError, ValueError):  # of no test, or without provenance
            continue
        for key, found, expected in _differences(data, of_test[1]):
            expected = f"{expected}, as {of_test[0]} has"
            raise problem(path, f"test {settings['test']} with {key} {found}", expected, TOGETHER)


def check_history(path: str | Path, history: Mapping[str, Sequence[float]], training: Mapping[str, object]) -> None:
    """Refuse a history.csv that does not end as a network's training did; training: of its model file."""
    for name, values in history.items():
        last = training.get(name)
        if isinstance(last, int | float) and not math.isclose(values[-1], last, rel_tol=1e-6, abs_tol=1e-12):
            found, expected = f"{name} {values[-1]:.6g} in its last epoch", f"the network's {last:.6g}"
            raise problem(path, found, expected, "give the history of the same training")


def _differences(theirs: object, ours: object, key: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, their value, ours) of all that differs between two plain settings."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys((*theirs, *ours)):
            yield from _differences(theirs.get(name), ours.get(name), f"{key}.{name}" if key else name)
    elif theirs != ours:
        yield key, _short(theirs), _short(ours)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
