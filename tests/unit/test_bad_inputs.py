"""Inputs that are well-formed and wrong: one line each, and soon."""

import bz2
import copy
import errno
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from catalogue_files import box_halos, write_subfind
from damaged_files import edited
from map_files import make_files

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.errors import LimelightError, one_line, plain_errors, reading
from limelight.files import atomic_path, read_hdf5, write_hdf5
from limelight.halos.config import Catalogue, Lightcones
from limelight.halos.formats import FORMATS
from limelight.halos.inputs import input_files
from limelight.probes.line_intensity.maps.files import open_maps
from limelight.study.config import ROOT, load_study, resolve_study
from limelight.study.yaml import read_yaml
from limelight.training.checkpoint import load_torch, save_torch

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
TEN = list(range(10))
TABLE = {"columns": {"x": "x", "y": "y", "z": "z", "mass": "m"}, "box_mpc": 100.0, "redshift": 3.0}
BOMB = "a: &a [" + ", ".join("x" * 9) + "]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)  # fmt: skip


def line_of(function, *args, **kwargs) -> str:
    with pytest.raises(LimelightError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- configs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study: \x00\n", "YAML"),
        ('study: "a\\0b"\n', "control characters"),
        ("study: &a [*a]\n", "an alias"),
        ("study: &a {b: *a}\n", "an alias|YAML"),
        ("study: " + 3000 * "[" + 3000 * "]", "levels"),
        ("study: " + 3000 * "{a: " + 3000 * "}", "levels"),
        (BOMB, "more than 1000000 values"),
        ("lightcones: {train: [001, 010]}\n", "the number 001, which YAML takes for 1"),
        ("lightcones: {train: [1, 010]}\n", "the number 010, which YAML takes for 8"),
        ("seed: 12:30:45\n", "the number 12:30:45, which YAML takes for 45045"),
        ("size_deg: 1:30.5\n", "the number 1:30.5, which YAML takes for 90.5"),
        ("study: !!binary aGVsbG8=\n", "a bytes"),
        ("study: !!set {a, b}\n", "a set"),
        ("study: !!python/object/apply:os.system [ls]\n", "YAML"),
    ],
)
def test_yaml_that_is_no_config(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(LimelightError, match=says) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_numbers_in_every_sound_notation_are_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("[0, -3, +7, 1_000, 0x1f, 0.5, 00.5, 1.0e+3, .inf]")
    path.write_text(f"values: {path.read_text()}\n")
    assert read_yaml(path) == {"values": [0, -3, 7, 1000, 31, 0.5, 0.5, 1000.0, float("inf")]}


def test_a_date_is_the_text_that_it_is(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("study: 2024-05-01\nwhen: 2024-05-01 10:00:00\n")
    assert read_yaml(path) == {"study": "2024-05-01", "when": "2024-05-01 10:00:00"}


def changed(place: str, value: object) -> dict:
    raw = copy.deepcopy(DEMO)
    *path, last = place.split(".")
    node = raw
    for key in path:
        node = node.setdefault(key, {})
    node[last] = value
    return raw


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("grid.pixels", 1e20, "grid.pixels: found 1e+20; expected a whole number of at most"),
        ("grid.pixels", "1e20", "grid.pixels: found '1e20'"),
        ("grid.pixels", 10**7, "voxels"),
        ("labels.bins", 10**9, "labels.bins"),
        ("seed", 10**26, "seed: found 1000"),
        ("seed", "1e26", "seed: found '1e26'"),
        ("lightcones.train", "0-99999999999", "at most 100000 numbers"),
        ("lightcones.train", "0-" + "9" * 5000, "numbers of at most"),
        ("networks.mine", {"like": ["limelight"]}, "networks.mine.like: found '['limelight']'"),
        ("tests.mine", {"like": {"a": 1}}, "tests.mine.like"),
        ("line_models.li10.like", ["li10"], "line_models.li10.like"),
        ("sweeps", {"many": {"like": "limelight", "over": {f"training.k{i}": TEN for i in range(7)}}}, "10000000 comb"),
        ("networks.limelight.options", {"a": np.datetime64("2024-01-01")}, "a datetime64"),
        ("observation.instrument", "a\0b", "control characters"),
        ("base", "a\0b", "control characters"),
    ],
)  # fmt: skip
def test_values_that_no_study_has(place, value, says):
    with pytest.raises(LimelightError) as caught:
        resolve_study(changed(place, value), Path("mine.yaml"))
    assert says in str(caught.value)
    assert all(line.startswith("mine.yaml: ") for line in str(caught.value).splitlines())


def test_a_config_of_a_thousand_entries_is_no_bomb(tmp_path):
    raw = copy.deepcopy(DEMO)
    raw["lightcones"] |= {"train": "0-9999", "validation": [20000], "test": [20001]}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw) + "\n# " + "x" * 10000)
    assert len(load_study(path).lightcones.train) == 10000


@pytest.mark.parametrize(
    "pattern", ["{lightcone.foo}", "{lightcone[0]}", "{lightcone:>9999999999}", "{}", "{", "a\0b", "{lightcone!r}"]
)
def test_patterns_that_are_none(pattern):
    cones = Lightcones(field_deg=1.0, train=[0], validation=[1], test=[2], source="table", files=pattern)
    assert line_of(input_files, cones, 3).startswith("lightcones.files: found")


def test_patterns_that_are(tmp_path):
    for name in ("cone_3.csv", "cone_003.csv", "{3}.csv"):
        (tmp_path / name).touch()
    for pattern, name in (
        ("cone_{lightcone}.csv", "cone_3.csv"),
        ("cone_{lightcone:03d}.csv", "cone_003.csv"),
        ("{{{lightcone}}}.csv", "{3}.csv"),
    ):
        files = str(tmp_path / pattern)
        cones = Lightcones(field_deg=1.0, train=[0], validation=[1], test=[2], source="table", files=files)
        assert input_files(cones, 3) == [tmp_path / name]


# ---- .npz


def npz(path: Path, method: int = zipfile.ZIP_STORED, x: bytes | None = None) -> Path:
    """A table of halos; x: what stands in place of its first column."""
    position, _, mass = box_halos()
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, values in {**dict(zip("xyz", position.T, strict=True)), "m": mass}.items():
            held = io.BytesIO()
            np.lib.format.write_array(held, np.asarray(values))
            archive.writestr(f"{name}.npy", x if name == "x" and x is not None else held.getvalue())
    return path


def read_table(path: Path) -> object:
    return FORMATS["table"](path, Catalogue(**TABLE), Cosmology())


def column(shape: tuple) -> bytes:
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return held.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_packed_columns_are_read_and_damaged_ones_refused(tmp_path, method):
    path = npz(tmp_path / "t.npz", method)
    assert len(read_table(path)) == 300
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    assert str(path) in line_of(read_table, path)


def test_an_encrypted_column(tmp_path):
    path = npz(tmp_path / "t.npz")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + offset] |= 1
    path.write_bytes(data)
    assert "encrypted" in line_of(read_table, path)


@pytest.mark.parametrize("shape", [(10**18,), (-5,), (2**62, 2**62), (0, 10**12)])
def test_impossible_shapes(tmp_path, shape):
    assert str(tmp_path) in line_of(read_table, npz(tmp_path / "t.npz", x=column(shape) + bytes(64)))


def test_a_bomb(tmp_path):
    size = 1 << 29
    path = npz(tmp_path / "t.npz", zipfile.ZIP_DEFLATED, x=column((size // 8,)) + bytes(size))
    assert path.stat().st_size < 2**20
    assert "bytes that unpack to" in line_of(read_table, path)


def test_text_in_compressed_streams_of_other_tools(tmp_path):
    for name, pack in (("t.npz", bz2.compress), ("u.npz", lzma.compress)):
        path = tmp_path / name
        path.write_bytes(pack(b"x,y,z,m\n1,2,3,4\n"))
        assert str(path) in line_of(read_table, path)


# ---- HDF5 and torch


def test_a_group_for_a_dataset_and_text_for_a_number(tmp_path):
    for place in ("x", "theta", "y/n_above", "group"):
        _, shard = make_files(tmp_path)
        with edited(shard) as file:
            del file[place]
            file.create_group(f"{place}/more")
        assert str(shard) in line_of(read_shards, [shard])
        _, shard = make_files(tmp_path)
        with edited(shard) as file:
            n = len(file["group"])
            del file[place]
            file[place] = ["many"] * n
        assert str(shard) in line_of(read_shards, [shard])
    for name in ("axes", "channels", "geometry", "truths", "parameter_names"):
        _, shard = make_files(tmp_path)
        with edited(shard) as file:
            file.attrs[name] = 3.5
        assert str(shard) in line_of(read_shards, [shard])
    for name, value in (("grid", "[1, 2]"), ("grid", 7), ("grid", "{" * 100000)):
        maps, _ = make_files(tmp_path)
        with edited(maps) as file:
            if len(str(value)) < 1000:
                file.attrs[name] = value
            else:
                del file.attrs[name]

        def look(path: Path = maps) -> None:
            with open_maps(path):
                pass

        assert str(maps) in line_of(look)


def test_foreign_hdf5_with_other_contents(tmp_path):
    for place, value in (("Header", None), ("Header", "BoxSize"), ("Group/GroupPos", None)):
        path = write_subfind(tmp_path / "fof.0.hdf5", *box_halos())
        with edited(path) as file:
            if value:
                file[place].attrs[value] = "large"
            else:
                del file[place]
                file[place] = "text"
        assert str(path) in line_of(FORMATS["subfind"], path, Catalogue(), Cosmology())


def test_a_dataset_that_its_file_cannot_hold(tmp_path):
    path = tmp_path / "t.h5"
    with write_hdf5(path, "toy", {}) as file:
        file.create_dataset("x", (10**14,), np.float64, chunks=(1000,))

    def look() -> None:
        with read_hdf5(path, "toy"):
            pass

    assert "can hold" in line_of(look)


@pytest.mark.parametrize("value", [torch.zeros(1).expand(10**9), torch.zeros(3).to_sparse()])
def test_tensors_that_unfold(tmp_path, value):
    save_torch(tmp_path / "m.pt", "network", {"a": [{"b": value}]})
    assert str(tmp_path) in line_of(load_torch, tmp_path / "m.pt", "network")


# ---- the guard itself


def test_what_the_system_says_stays_as_it_is(tmp_path):
    with pytest.raises(PermissionError), reading(tmp_path, "a file"):
        raise PermissionError(errno.EACCES, "no", str(tmp_path))
    assert "more data than memory" in line_of(one_line("a file")(lambda path: np.empty(2**55)), tmp_path)


@pytest.mark.parametrize("output", ["", "."])
def test_no_output(output):
    def write() -> None:
        with atomic_path(output):
            pass

    assert "a folder" in line_of(write)


def test_a_full_disk_while_a_checkpoint_is_written(tmp_path, monkeypatch, capsys):
    """The system's word for it reaches the user, and nothing half-written stays."""

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("os._exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit) as caught, plain_errors():
        save_torch(tmp_path / "m.pt", "network", {"a": torch.zeros(1000)})
    assert caught.value.code == 1
    assert "the disk is full" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
