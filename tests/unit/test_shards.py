"""Maps and pooled files: what goes in comes out, bytes repeat, and bad files are refused in one line."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from map_files import GRID, LABELS, LI10, make_files, subfields

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.files import provenance
from limelight.probes.line_intensity.labels import EXTENSION_BINS
from limelight.probes.line_intensity.maps.files import open_maps, read_map, read_pooled, write_maps, write_pooled
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.maps.pooling import pool


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("maps"))


@pytest.fixture
def broken(files, tmp_path):
    """A function that copies the pooled file, lets one spoil the copy, and returns its path."""

    def spoil(change, which=1):
        path = tmp_path / files[which].name
        path.write_bytes(files[which].read_bytes())
        with h5py.File(path, "r+") as file:
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


def test_pooled_file(files):
    maps = read_pooled([files[1]])
    assert maps.maps.shape == (6, 4, 4, 4)
    assert maps.n_above.shape == (6, 50 + EXTENSION_BINS)
    assert maps.volume_mpc3 == pytest.approx([GRID.volume_mpc3(Cosmology(), (0.7, 0.7))] * 6)
    assert (maps.parameter_names, maps.parameters.shape) == (
        ["log10_delta_mf", "alpha", "beta", "sigma_sfr", "sigma_lco"],
        (6, 5),
    )
    assert maps.geometry == {
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
    with open_maps(files[0]) as (file, _):
        for i in range(6):
            np.testing.assert_allclose(maps.maps[i], pool(read_map(file, i), 4, 2), rtol=1e-6)
        assert np.array_equal(maps.examples, file["maps"][:4, :, :, 4])


def test_several_files_stand_one_after_the_other(files, tmp_path):
    padmanabhan = {"model": "padmanabhan", "prior": "fiducial", "parameters": {}, "draws": 1}
    other = make_files(tmp_path, lightcone=4, settings=padmanabhan, name="pad")[1]
    maps = read_pooled([files[1], other])
    assert maps.lightcone.tolist() == [3] * 6 + [4] * 2
    assert maps.line_model.tolist() == ["li10"] * 6 + ["pad"] * 2
    assert np.array_equal(maps.maps[6:], read_pooled([other]).maps)
    assert np.isfinite(maps.parameters).sum(1).tolist() == [5] * 6 + [8] * 2
    assert maps.parameters[7, maps.parameter_names.index("M10")] == 4.17e12


def test_the_same_config_gives_the_same_bytes(files, tmp_path):
    again = make_files(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_maps_of_another_study_are_not_mixed(files, tmp_path):
    for change in ({"grid": replace(GRID, pool_channels=4)}, {"beam": 4.0}):
        other = make_files(tmp_path, lightcone=5, **change)[1]
        with pytest.raises(LimelightError, match="files of one study"):
            read_pooled([files[1], other])
    with pytest.raises(LimelightError, match="each light-cone once"):
        read_pooled([files[1], files[1]])
    with pytest.raises(LimelightError, match="no files"):
        read_pooled([])


def test_pooling_refuses_maps_of_another_grid(files, tmp_path):
    with pytest.raises(LimelightError, match=r"maps with freq_max_ghz 34.0.*config's freq_max_ghz 33.0"):
        write_pooled(tmp_path / "p.h5", files[0], replace(GRID, freq_max_ghz=33.0), 0.0, provenance({}, 5))
    assert not list(tmp_path.iterdir())


def test_a_missing_map_is_noticed(tmp_path):
    table, halos = subfields(3)
    painted = paint_subfields(table, halos[:1], "li10", LI10, LABELS, GRID, 5)
    with pytest.raises(LimelightError, match="3 painted maps; expected 6"):
        write_maps(tmp_path / "m.h5", painted, table, GRID, "li10", LI10, LABELS, provenance({}, 5))
    assert not list(tmp_path.iterdir())


def set_nan(file):
    file["maps"][2, 1, 1, 1] = np.nan


def set_infinite_volume(file):
    file["volume_mpc3"][0] = np.inf


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
    file.attrs["limelight_kind"] = "maps"


def wrong_grid(file):
    file.attrs["grid"] = '{"pixels": 16}'


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_nan, "1 of 384 values NaN"),
        (set_infinite_volume, "volume_mpc3"),
        (reshape, r"maps \(6, 4, 4, 2\)"),
        (shorten, "'n_above': 4"),
        (fewer_edges, "63 luminosity edges|one count an edge"),
        (no_rows, "no maps"),
        (drop_labels, "no attribute 'labels'"),
        (drop_counts, "no dataset 'n_above'"),
        (wrong_kind, "kind 'maps'"),
        (wrong_grid, "a grid that cannot be read"),
    ],
)
def test_bad_pooled_files_are_refused(broken, spoil, message):
    path = broken(spoil)
    with pytest.raises(LimelightError, match=message) as error:
        read_pooled([path])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_nan_in_a_fine_map_is_refused_when_pooling(broken, tmp_path):
    path = broken(set_nan, which=0)
    with pytest.raises(LimelightError, match="map 2"):
        write_pooled(tmp_path / "p.h5", path, GRID, 0.0, provenance({}, 5))


def test_truncated_file_is_refused(files, tmp_path):
    path = tmp_path / "cut.h5"
    path.write_bytes(files[1].read_bytes()[:-3000])
    with pytest.raises(LimelightError, match="unreadable|damaged"):
        read_pooled([path])
