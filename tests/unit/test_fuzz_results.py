"""Damage to the files that judging writes, and to subfields: one line, or the right answer; and wrong values inside them.

All of limelight's own files have checksums, so that flipped bits never give another answer. A wrong value of the right kind,
such as another program may write, is found by the readers' own checks: an answer, or one line.
"""

import copy
import functools
from dataclasses import is_dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import result_files
import torch
from damaged_files import SEEDS, damaged, edited, one_line_or
from training_toys import SHAPE

from limelight.describe import describe
from limelight.evaluation.estimates import read_estimates
from limelight.evaluation.layers_file import read_layers
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import read_intervals
from limelight.inference.posteriors.draw import draw_answers
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.probes.line_intensity.rival.emulator import read_emulator
from limelight.saliency.saliency_file import read_saliency
from limelight.training.checkpoint import load_torch, save_torch


def drawn(path: Path) -> torch.Tensor:
    """Draws of a posterior for a fixed map."""
    posterior = load_posterior(path)
    shown = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    return draw_answers(posterior, views(posterior, shown)["features"], 4, 1, "fuzz")[0]


READERS = {
    "intervals.h5": read_intervals,
    "layers.h5": read_layers,
    "estimates.h5": read_estimates,
    "saliency.h5": read_saliency,
    "emulator.h5": read_emulator,
    "subfields.h5": lambda path: (read_subfields(path), list(read_subfield_halos(path))),
    "posterior.pt": drawn,
}
DAMAGES = {"a group": None, "nothing": np.empty(0), "a text": "x", "a number": -1.0, "many": np.ones((3, 2, 2))}
GONE = object()
WORDS = ("x", -1, "[]", "{}", '["x"]', '{"x": 1}', np.nan)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The folder of the sound files."""
    folder = tmp_path_factory.mktemp("sound")
    for name in READERS:
        getattr(result_files, name.partition(".")[0])(folder / name)
    return folder


def parts(value: object) -> list:
    """All arrays and plain values of an answer, in order."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        value = [item for key, item in value.items() if not str(key).startswith("_")]
    if isinstance(value, list | tuple):
        return [one for item in value for one in parts(item)]
    return [value]


@pytest.mark.parametrize("name", READERS)
def test_flipped_bits_and_missing_ends_never_give_another_answer(name, files, tmp_path):
    data, right, faults = (files / name).read_bytes(), READERS[name](files / name), 0
    for seed in SEEDS:
        path = tmp_path / name
        path.write_bytes(damaged(data, seed))
        found = one_line_or(READERS[name], path)
        faults += found is None
        for one, other in zip(parts(found), parts(right), strict=True) if found is not None else ():
            assert np.array_equal(one, other) or one is other or one == other, seed
        one_line_or(describe, path)
    assert faults > len(SEEDS) / 2


@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".h5")])
def test_datasets_and_attributes_of_the_wrong_kind(name, files, tmp_path):
    """One after the other becomes something else, or goes; the file is sound HDF5 with the right checksum."""
    path, sound, places = tmp_path / name, (files / name).read_bytes(), []
    with h5py.File(files / name) as file:
        for place, item in [("/", file), *((place, file[place]) for place in names_in(file))]:
            if isinstance(item, h5py.Dataset):
                places += [(place, "", change) for change in (*DAMAGES, "gone")]
            keys = [key for key in item.attrs if not key.startswith("limelight_")]
            places += [(place, key, change) for key in keys for change in (*WORDS, "gone")]
    for place, key, change in some(places, 60):
        path.write_bytes(sound)
        with edited(path) as file:
            changed = file[place].attrs if key else file
            del changed[key or place]
            if not key and change == "a group":
                file.create_group(place)
            elif change != "gone":
                changed[key or place] = change if key else DAMAGES[change]
        one_line_or(READERS[name], path)
        one_line_or(describe, path)


def test_entries_of_a_posterior_of_the_wrong_kind(files, tmp_path):
    """Down to the fourth level each becomes something else or goes: an answer of finite numbers, or one line."""
    content = load_torch(files / "posterior.pt", "posterior")
    path, right = tmp_path / "posterior.pt", READERS["posterior.pt"](files / "posterior.pt")
    changes = (None, "x", -1.0, [], {}, torch.ones(3, 2), torch.full((300,), float("nan")), GONE)
    for place, change in some([(place, change) for place in entries_in(content) for change in changes], 80):
        changed = copy.deepcopy(content)
        *folders, key = place
        inner = functools.reduce(dict.__getitem__, folders, changed)
        inner[key] = change
        if change is GONE:
            del inner[key]
        save_torch(path, "posterior", {key: item for key, item in changed.items() if not key.startswith("limelight_")})
        found = one_line_or(READERS["posterior.pt"], path)
        assert found is None or (found.shape == right.shape and found.isfinite().all()), place
        one_line_or(describe, path)


def names_in(file: h5py.File) -> list[str]:
    found = []
    file.visit(found.append)
    return found


def entries_in(value: object, depth: int = 0) -> list[tuple]:
    if not isinstance(value, dict) or depth == 4:
        return []
    return [(key, *more) for key, item in value.items() for more in [(), *entries_in(item, depth + 1)]]


def some(things: list, count: int) -> list:
    """Some of them, always the same."""
    return [things[i] for i in np.random.default_rng(1).permutation(len(things))[:count]]
