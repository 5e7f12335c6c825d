"""The shard of any probe: what goes in comes out, the page of the format is true, bad files are refused in one line."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from damaged_files import edited

from limelight.data import Header, Rows, open_shard, read_shards, write_shard
from limelight.data.axes import Axis
from limelight.data.shard import KIND
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance

HEADER = Header(
    probe="made_up",
    axes=(Axis("x", "m", -1.0, 1.0, 4), Axis("time", "s", 0.0, 3.0, 3)),
    channels=("left", "right"),
    unit="V",
    geometry={"pixels": 4, "samples": 3},
    truths={"edges": [0.0, 1.0, 2.0]},
    simulation={"solver": "exact"},
)


def made(n: int = 5, group: int = 0, dataset: str = "a", names: tuple = ("mass", "spin"), header=HEADER) -> Rows:
    rng = np.random.default_rng(group)
    return Rows(
        header=header,
        x=rng.normal(size=(n, *header.shape)).astype(np.float32),
        y={"counts": rng.integers(0, 9, (n, 2)), "image": rng.normal(size=(n, 1, 4, 3))},
        theta=rng.normal(size=(n, len(names))),
        parameter_names=list(names),
        group=np.full(n, group),
        dataset=np.repeat([dataset], n),
        rows={"place": rng.normal(size=(n, 2)), "draw": np.arange(n)},
        examples={"close": rng.normal(size=(2, 4, 4))},
    )


def written(folder, found: Rows, name: str = "0.h5"):
    write_shard(folder / name, found, provenance({"some": "settings"}, 7), {"model": "made up"})
    return folder / name


def same(one: Rows, other: Rows) -> None:
    assert one.header == other.header
    assert one.parameter_names == other.parameter_names
    for name in ("x", "theta", "group", "dataset"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("y", "rows", "examples"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert set(mine) == set(theirs)
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])
            assert mine[key].dtype == theirs[key].dtype


# Round trips


def test_what_goes_in_comes_out(tmp_path):
    found = made()
    back = read_shards([written(tmp_path, found)])
    same(back, found)
    assert (back.x.dtype, back.theta.dtype, back.group.dtype) == (np.float32, np.float64, np.int64)
    assert len(back) == 5


def test_parameters_that_a_row_does_not_have_are_nan_and_need_not_be_finite(tmp_path):
    first, second = made(2), made(3, group=1, dataset="b", names=("spin", "charge"))
    first.theta[0, 0] = np.nan
    paths = [written(tmp_path, first, "0.h5"), written(tmp_path, second, "1.h5")]
    both = read_shards(paths)
    assert both.parameter_names == ["mass", "spin", "charge"]
    expected = np.full((5, 3), np.nan)
    expected[:2, :2], expected[2:, 1:] = first.theta, second.theta
    np.testing.assert_array_equal(both.theta, expected)
    assert both.group.tolist() == [0, 0, 1, 1, 1]
    assert both.dataset.tolist() == ["a", "a", "b", "b", "b"]
    np.testing.assert_array_equal(both.x, np.concatenate([first.x, second.x]))
    np.testing.assert_array_equal(both.y["image"], np.concatenate([first.y["image"], second.y["image"]]))
    np.testing.assert_array_equal(both.examples["close"], first.examples["close"])  # pictures are of the first shard


def test_the_same_rows_give_the_same_bytes(tmp_path):
    paths = [written(tmp_path, made(), name) for name in ("a.h5", "b.h5")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_one_dataset_and_one_realisation_may_meet_others_of_either(tmp_path):
    kinds = [("a", 0), ("a", 1), ("b", 0)]
    paths = [written(tmp_path, made(2, g, name), f"{name}{g}.h5") for name, g in kinds]
    assert len(read_shards(paths)) == 6


def test_open_shard_gives_the_arrays_of_the_page(tmp_path):
    found = made()
    with open_shard(written(tmp_path, found)) as file:
        assert isinstance(file, h5py.File)
        np.testing.assert_array_equal(file["x"][1], found.x[1])
        np.testing.assert_array_equal(file["y/counts"], found.y["counts"])
        np.testing.assert_array_equal(file["rows/place"], found.rows["place"])
        np.testing.assert_array_equal(file["examples/close"], found.examples["close"])
        assert file["x"].attrs["unit"] == "V"


# Refusals of what is to be written


def several_realisations(found):
    found.group[2] = 7


def several_datasets(found):
    found.dataset = np.array(["a", "a", "a", "b", "a"])


def float64(found):
    found.x = found.x.astype(np.float64)


def other_shape(found):
    found.x = found.x[:, :1]


def nothing(found):
    found.x = found.x[:0]


def nan_data(found):
    found.x[1, 0, 0, 0] = np.nan


def infinite_truth(found):
    found.y["image"][1] = np.inf


def nan_row(found):
    found.rows["place"][0, 0] = np.nan


def words(found):
    found.rows["draw"] = np.array(list("abcde"))


def ragged_truth(found):
    found.y["counts"] = found.y["counts"][:4]


def ragged_row(found):
    found.rows["draw"] = np.arange(6)


def ragged_group(found):
    found.group = found.group[:4]


def nameless_parameter(found):
    found.parameter_names = ["mass"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (several_realisations, "rows of several datasets or realisations; expected one of each"),
        (several_datasets, "rows of several datasets or realisations; expected one of each"),
        (float64, r"x \(5, 2, 4, 3\) float64; expected .* float32"),
        (other_shape, r"x \(5, 1, 4, 3\)"),
        (nothing, r"x \(0, 2, 4, 3\)"),
        (nan_data, "x: found 1 of 120 values NaN"),
        (infinite_truth, "y/image: found 12 of 60 values NaN or infinite"),
        (nan_row, "rows/place: found 1 of 10"),
        (words, "rows/draw: found values of type"),
        (ragged_truth, "'y/counts': 4.* expected 5 rows everywhere"),
        (ragged_row, "'rows/draw': 6"),
        (ragged_group, "'group': 4"),
        (nameless_parameter, r"theta \(5, 2\) of 1 names"),
    ],
)
def test_rows_that_no_reader_should_meet_are_not_written(tmp_path, spoil, says):
    found = made()
    spoil(found)
    with pytest.raises(LimelightError, match=says) as caught:
        written(tmp_path, found)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())  # whole or absent


# Refusals of what is read


def rewrite(file, name, values):
    del file[name]
    file[name] = values


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: rewrite(f, "x", f["x"][:4]), "'x': 4.* as many rows everywhere"),
        (lambda f: rewrite(f, "y/counts", f["y/counts"][:2]), "'y/counts': 2"),
        (lambda f: rewrite(f, "rows/draw", np.arange(9)), "'rows/draw': 9"),
        (lambda f: rewrite(f, "theta", f["theta"][:1]), "'theta': 1"),
        (lambda f: rewrite(f, "x", f["x"][:, :1]), r"rows of shape \(1, 4, 3\)"),
        (lambda f: rewrite(f, "x", f["x"][...].astype(np.float64)), "float64; expected .* float32"),
        (lambda f: f["x"].__setitem__((3, 1, 2, 0), np.nan), "x: found 1 of 120 values NaN"),
        (lambda f: f["y/image"].__setitem__(0, np.inf), "y/image: found 12 of 60"),
        (lambda f: f["rows/place"].__setitem__(0, np.nan), "rows/place"),
        (lambda f: f.attrs.__setitem__("limelight_kind", "maps"), f"kind 'maps'; expected kind '{KIND}'"),
        (lambda f: f.attrs.__setitem__("limelight_format", 2), "format 2"),
        (lambda f: f.attrs.__delitem__("geometry"), "no attribute 'geometry'"),
        (lambda f: f.attrs.__delitem__("dataset"), "no attribute 'dataset'"),
        (lambda f: f.attrs.__setitem__("truths", "{"), "attribute 'truths' damaged"),
        (lambda f: f.attrs.__setitem__("axes", '[{"name": "x"}]'), "a header that cannot be read"),
        (lambda f: f.attrs.__setitem__("channels", 3), "a header that cannot be read"),
        (lambda f: f.__delitem__("y"), "no dataset 'y'"),
        (lambda f: f.__delitem__("group"), "no dataset 'group'"),
        (lambda f: f["group"].__setitem__(0, 9), r"realisations \[0, 9\]; expected one"),
        (lambda f: rewrite(f, "theta", f["theta"][:, :1]), r"theta \(5, 1\) of 2 names"),
    ],
)
def test_bad_shards_are_refused_in_one_line(tmp_path, spoil, says):
    path = written(tmp_path, made())
    with edited(path) as file:
        spoil(file)
    with pytest.raises(LimelightError, match=says) as caught:
        read_shards([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_and_missing_files_are_refused(tmp_path):
    path = written(tmp_path, made(300))
    path.write_bytes(path.read_bytes()[:-3000])
    for bad, says in ((path, "unreadable|damaged"), (tmp_path / "none.h5", "no such file")):
        with pytest.raises(LimelightError, match=says) as caught:
            read_shards([bad])
        assert "\n" not in str(caught.value)
    with pytest.raises(LimelightError, match="no files"):
        read_shards([])


@pytest.mark.parametrize(
    "change",
    [
        {"probe": "another"},
        {"axes": (Axis("x", "m", -1.0, 1.0, 4), Axis("time", "ms", 0.0, 3.0, 3))},
        {"channels": ("left", "middle")},
        {"unit": "mV"},
        {"geometry": {"pixels": 8, "samples": 3}},
        {"truths": {"edges": [0.0, 1.0, 3.0]}},
        {"simulation": {"solver": "fast"}},
    ],
)
def test_shards_that_differ_in_what_a_network_is_bound_to_are_not_mixed(tmp_path, change):
    paths = [
        written(tmp_path, made(), "0.h5"),
        written(tmp_path, made(group=1, header=replace(HEADER, **change)), "1.h5"),
    ]
    with pytest.raises(
        LimelightError, match=f"1.h5: found {next(iter(change))} .* as in .*0.h5; give files of one study"
    ):
        read_shards(paths)


def test_shards_with_other_truths_are_not_mixed(tmp_path):
    """Else a truth that the first file lacks would vanish without a word."""
    more = made(group=1)
    more.y["weight"] = np.ones(5)
    paths = [written(tmp_path, made(), "0.h5"), written(tmp_path, more, "1.h5")]
    for some in (paths, paths[::-1]):
        with pytest.raises(LimelightError, match="y .*weight") as caught:
            read_shards(some)
        assert "\n" not in str(caught.value)


def test_a_realisation_that_is_given_twice_is_refused(tmp_path):
    first, copy = written(tmp_path, made(), "0.h5"), written(tmp_path, made(3), "copy.h5")
    for again in (first, copy):
        with pytest.raises(LimelightError, match="a of realisation 0, which .*0.h5 holds too"):
            read_shards([first, again])


# docs/data_format.md

PAGE = (ROOT / "docs" / "data_format.md").read_text()


def table_names(heading: str) -> set[str]:
    """The names in the first column of the table below a heading of the page."""
    below = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in below.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_page_names_all_that_a_shard_holds_and_nothing_else(tmp_path):
    with h5py.File(written(tmp_path, made())) as file:
        assert table_names("Attributes of the file") == set(file.attrs)
        places = {f"/{name}" + ("/<name>" if isinstance(item, h5py.Group) else "") for name, item in file.items()}
        assert table_names("What is inside") == places
        assert json.loads(file.attrs["axes"])[1] == {"name": "time", "unit": "s", "low": 0.0, "high": 3.0, "n": 3}
        for name in ("axes", "channels", "geometry", "truths", "simulation", "parameter_names", "made_from"):
            json.loads(file.attrs[name])
        assert (file.attrs["limelight_kind"], file.attrs["limelight_format"]) == ("shard", 1)


def test_the_pages_reading_examples_run(tmp_path):
    from map_files import make_files

    folder = tmp_path / "results" / "demo" / "shards" / "li10"
    folder.mkdir(parents=True)
    for lightcone in (9, 10):
        make_files(tmp_path, lightcone)[1].rename(folder / f"{lightcone}.h5")
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    checks = "assert maps.shape == (6, 4, 4, 4)\n"
    ends = ("assert counts.shape == (6, 64) and axes[0]['low'] == -0.7\n", "assert len(rows) == 12\n")
    for example, end in zip(examples, ends, strict=True):
        subprocess.run([sys.executable, "-c", example + checks + end], cwd=tmp_path, check=True)
