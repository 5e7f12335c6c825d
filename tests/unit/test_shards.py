"""Maps files and the shards made of them: what goes in comes out, bytes repeat, and bad files are refused in one line."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from damaged_files import edited
from map_files import GRID, LABELS, LI10, make_files, subfields

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.errors import LimelightError
from limelight.files import provenance
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS
from limelight.probes.line_intensity.maps.files import open_maps, read_map, write_maps
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.shards import EXAMPLES, grid_of, pool_maps


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("maps"))


@pytest.fixture
def broken(files, tmp_path):
    """A function that copies the maps file, lets one spoil the copy, and returns its path."""

    def spoil(change):
        path = tmp_path / "spoilt.h5"
        path.write_bytes(files[0].read_bytes())
        with edited(path) as file:
            change(file)
        return path

    return spoil


def test_maps_file_holds_the_painted_maps_row_for_row(files):
    table, halos = subfields(3)
    painted = list(paint_subfields(table, halos, "li10", LI10, LABELS, GRID, 5))
    with open_maps(files[0]) as (file, grid):
        assert grid == replace(GRID, pool_pixels=1, pool_channels=1)
        assert file["maps"].chunks == (1, 16, 16, 8)
        assert file["subfield"][...].tolist() == [0, 0, 0, 1, 1, 1]
        assert file["draw"][...].tolist() == [0, 1, 2, 0, 1, 2]
        assert file["overlaps"][...].tolist() == np.kron(np.eye(2), np.ones((3, 3))).astype(bool).tolist()
        for i, one in enumerate(painted):
            assert np.array_equal(read_map(file, i), one.cube)
            assert file["n_above"][i].tolist() == one.n_above.tolist()
            assert file["parameters"][i].tolist() == list(one.parameters.values())
            assert file["center_deg"][i].tolist() == table.center_deg[one.subfield].tolist()
        with pytest.raises(LimelightError, match="choose 0 to 5"):
            read_map(file, 6)


def test_the_shard_holds_the_pooled_maps_and_their_counts(files):
    shard = read_shards([files[1]])
    assert shard.x.shape == (6, 1, 4, 4, 4) == (6, *shard.header.shape)
    assert shard.header.channels == ("line",)
    assert [(axis.name, axis.unit, axis.low, axis.high, axis.n) for axis in shard.header.axes] == [
        ("x", "deg", -0.7, 0.7, 4),
        ("y", "deg", -0.7, 0.7, 4),
        ("frequency", "GHz", 26.0, 34.0, 4),
    ]
    assert shard.header.unit == "uK, summed over 4² × 2 voxels"
    assert shard.y["n_above"].shape == (6, 50 + EXTENSION_BINS)
    assert shard.y["volume_mpc3"] == pytest.approx([GRID.volume_mpc3(Cosmology(), (0.7, 0.7))] * 6)
    assert shard.parameter_names == ["log10_delta_mf", "alpha", "beta", "sigma_sfr", "sigma_lco"]
    assert shard.theta.shape == (6, 5)
    assert shard.header.truths == {"labels": LABELS}
    assert shard.header.simulation == {"cosmology": asdict(Cosmology())}
    assert shard.header.geometry == {
        "size_deg": 1.4,
        "pixels": 16,
        "channels": 8,
        "freq_min_ghz": 26.0,
        "freq_max_ghz": 34.0,
        "rest_freq_ghz": 115.27,
        "unit": "uK",
        "pool_pixels": 4,
        "pool_channels": 2,
        "beam_fwhm_arcmin": 0.0,
    }
    assert grid_of(shard.header.geometry) == (GRID, 0.0)
    with open_maps(files[0]) as (file, _):
        for i in range(6):
            np.testing.assert_allclose(shard.x[i, 0], pool(read_map(file, i), 4, 2), rtol=1e-6)
        assert np.array_equal(shard.examples["fine"], file["maps"][:EXAMPLES, :, :, 4])
        assert np.array_equal(shard.y["n_above"], file["n_above"])
        assert np.array_equal(shard.theta, file["parameters"])
        for name in ("subfield", "draw", "rotation_deg", "reflected", "center_deg"):
            assert np.array_equal(shard.rows[name], file[name])


def test_several_shards_stand_one_after_the_other(files, tmp_path):
    padmanabhan = MapDataset(model="padmanabhan", prior="fiducial", draws=1)
    other = make_files(tmp_path, lightcone=4, settings=padmanabhan, name="pad")[1]
    both = read_shards([files[1], other])
    assert both.group.tolist() == [3] * 6 + [4] * 2
    assert both.dataset.tolist() == ["li10"] * 6 + ["pad"] * 2
    assert np.array_equal(both.x[6:], read_shards([other]).x)
    assert np.isfinite(both.theta).sum(1).tolist() == [5] * 6 + [8] * 2
    assert both.theta[7, both.parameter_names.index("M10")] == 4.17e12


def test_the_same_config_gives_the_same_bytes(files, tmp_path):
    again = make_files(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_maps_of_another_study_are_not_mixed(files, tmp_path):
    for change in ({"grid": replace(GRID, pool_channels=4)}, {"beam": 4.0}):
        other = make_files(tmp_path, lightcone=5, **change)[1]
        with pytest.raises(LimelightError, match="files of one study"):
            read_shards([files[1], other])


def test_pooling_refuses_maps_of_another_grid(files, tmp_path):
    with pytest.raises(LimelightError, match=r"maps with freq_max_ghz 34.0.*config's freq_max_ghz 33.0"):
        pool_maps(tmp_path / "p.h5", files[0], replace(GRID, freq_max_ghz=33.0), 0.0, provenance({}, 5))
    assert not list(tmp_path.iterdir())


def test_a_missing_map_is_noticed(tmp_path):
    table, halos = subfields(3)
    painted = paint_subfields(table, halos[:1], "li10", LI10, LABELS, GRID, 5)
    with pytest.raises(LimelightError, match="3 painted maps; expected 6"):
        write_maps(tmp_path / "m.h5", painted, table, GRID, "li10", LI10, LABELS, provenance({}, 5))
    assert not list(tmp_path.iterdir())


def set_nan(file):
    file["maps"][2, 1, 1, 1] = np.nan


def reshape(file):
    maps = file["maps"][..., :2]
    del file["maps"]
    file["maps"] = maps


def shorten(file):
    counts = file["n_above"][:4]
    del file["n_above"]
    file["n_above"] = counts


def fewer_edges(file):
    edges = file["log10_lum_edges"][:-1]
    del file["log10_lum_edges"]
    file["log10_lum_edges"] = edges


def no_rows(file):
    for name in list(file):
        values = file[name][:0]
        del file[name]
        file[name] = values


def drop_labels(file):
    del file.attrs["labels"]


def drop_counts(file):
    del file["n_above"]


def wrong_kind(file):
    file.attrs["limelight_kind"] = "shard"


def wrong_grid(file):
    file.attrs["grid"] = '{"pixels": 16}'


def infinite_volume(file):
    file["volume_mpc3"][0] = np.inf


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_nan, "map 2"),
        (infinite_volume, "volume_mpc3"),
        (reshape, r"maps \(6, 16, 16, 2\)"),
        (shorten, "'n_above': 4"),
        (fewer_edges, "63 luminosity edges"),
        (no_rows, "no maps"),
        (drop_labels, "no attribute 'labels'"),
        (drop_counts, "no dataset 'n_above'"),
        (wrong_kind, "kind 'shard'"),
        (wrong_grid, "a grid that cannot be read"),
    ],
)
def test_bad_maps_files_make_no_shard(broken, spoil, message, tmp_path):
    path = broken(spoil)
    with pytest.raises(LimelightError, match=message) as error:
        pool_maps(tmp_path / "p.h5", path, GRID, 0.0, provenance({}, 5))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "p.h5").exists()
