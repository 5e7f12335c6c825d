"""FITS cubes against astropy's WCS and the halo's own place; foreign cubes turned, scaled or refused."""

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from map_files import GRID, LI10, make_files

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.errors import LimelightError
from limelight.halos.catalogue import tangent_plane_deg
from limelight.probes.line_intensity.maps.cube import pool_as_trained
from limelight.probes.line_intensity.maps.fits import export_map, read_cube, wcs_header
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint


def parts(cube):
    return cube.values, cube.geometry


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("maps"))


@pytest.fixture
def cube_file(files, tmp_path):
    """A function that exports map 0, lets one change the HDU, and returns the path."""

    def make(change=lambda hdu: hdu, source=files[0]):
        path = tmp_path / "cube.fits"
        export_map(source, 0, path)
        with fits.open(path) as hdus:
            hdu = fits.PrimaryHDU(hdus[0].data.copy(), hdus[0].header.copy())
        (change(hdu) or hdu).writeto(path, overwrite=True)
        return path

    return make


def test_astropy_finds_the_halo_where_it_is():
    """A halo at a known position in space: astropy's WCS of its voxel gives its RA, Dec and frequency to half a voxel."""
    grid = Grid(1.4, 256, 100, 26.0, 34.0, 115.27)
    center = np.array([3.5, -2.1])
    z = 2.9
    chi = float(Cosmology().comoving_distance(z))
    direction = np.array([-np.tan(np.radians(3.8)), np.tan(np.radians(-2.5)), 1.0])
    position = chi * direction / np.linalg.norm(direction)
    ra, dec = np.degrees(np.arctan2(-position[0], position[2])), np.degrees(np.arcsin(position[1] / chi))  # Peak Patch
    sky = np.stack(tangent_plane_deg(position[None]), axis=1)
    cube = paint(sky, np.full(1, z), np.full(1, z), np.full(1, 6.0), grid, center, Cosmology())
    wcs = WCS(wcs_header(grid, center, pooled=False))
    voxel = np.argwhere(cube)[0]
    seen, frequency = wcs.pixel_to_world(*voxel)
    true = SkyCoord(ra * units.deg, dec * units.deg)
    assert seen.separation(true).deg < 1.4 / 256 * 0.71
    assert abs(frequency.to_value(units.GHz) - 115.27 / 3.9) <= 0.04
    x, y, f = wcs.wcs_world2pix(ra, dec, 115.27e9 / 3.9, 0)
    low = center - 0.7
    expected = (sky[0] - low) / (1.4 / 256) - 0.5
    assert (float(x), float(y)) == pytest.approx(tuple(expected), abs=1e-6)
    assert float(f) == pytest.approx((115.27 / 3.9 - 26) / 0.08 - 0.5, abs=1e-6)


def test_neighbouring_fields_share_their_border_on_the_sky():
    left, right = (WCS(wcs_header(GRID, np.array([x, 0.7]), pooled=False)) for x in (-0.7, 0.7))
    there, here = left.wcs_pix2world(15.5, 3, 0, 0), right.wcs_pix2world(-0.5, 3, 0, 0)
    assert np.array(there) == pytest.approx(np.array(here), abs=1e-9)


def test_pooled_wcs_covers_the_same_sky():
    fine, pooled = (WCS(wcs_header(GRID, np.array([0.7, 0.7]), pooled)) for pooled in (False, True))
    for fine_pixel, pooled_pixel in ((-0.5, -0.5), (15.5, 3.5), (7.5, 1.5)):
        there, here = fine.wcs_pix2world(fine_pixel, 3.5, 7.5, 0), pooled.wcs_pix2world(pooled_pixel, 0.5, 3.5, 0)
        assert np.array(there) == pytest.approx(np.array(here), rel=1e-9, abs=1e-9)


def test_fine_map_there_and_back(files, cube_file):
    cube, geometry = parts(read_cube(cube_file()))
    with h5py.File(files[0]) as file:
        assert np.array_equal(cube, file["maps"][0])
    assert cube.dtype == np.float32
    expected, from_hdf5 = parts(read_cube(files[0]))
    assert np.array_equal(cube, expected)
    assert geometry.pop("unit") == from_hdf5.pop("unit") == "uK"
    assert geometry == pytest.approx(from_hdf5)
    header = fits.getheader(cube_file())
    assert (header["BUNIT"], header["RESTFRQ"], header["OBJECT"], header["LLCONE"]) == ("uK", 115.27e9, "li10", 3)


def test_pooled_map_there_and_back(files, cube_file):
    cube, geometry = parts(read_cube(cube_file(source=files[1])))
    trained = read_shards([files[1]])
    assert np.array_equal(cube, trained.x[0, 0])
    assert geometry.pop("unit") == "uK"
    assert geometry == pytest.approx({k: v for k, v in trained.header.geometry.items() if k != "unit"})


def test_a_fine_cube_is_pooled_as_the_network_was_trained(files, cube_file):
    trained = read_shards([files[1]])
    fine = read_cube(cube_file(lambda hdu: hdu.header.remove("RESTFRQ")))
    cube, geometry, note = pool_as_trained(fine, trained.header.geometry)
    assert note == ""
    np.testing.assert_allclose(cube, trained.x[0, 0], rtol=1e-6)
    assert geometry.pop("unit") == "uK"
    assert geometry == pytest.approx({k: v for k, v in trained.header.geometry.items() if k != "unit"})


def flip_ra(hdu):
    hdu.data = hdu.data[:, :, ::-1]
    hdu.header["CDELT1"] *= -1
    hdu.header["CRPIX1"] = 17 - hdu.header["CRPIX1"]


def flip_frequency(hdu):
    hdu.data = hdu.data[::-1]
    hdu.header["CDELT3"] *= -1
    hdu.header["CRPIX3"] = 8


def frequency_first(hdu):
    """Header axis order FREQ, RA, DEC."""
    hdu.data = np.moveaxis(hdu.data, 0, 2)
    old = hdu.header.copy()
    for new, was in ((1, 3), (2, 1), (3, 2)):
        for key in ("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX"):
            hdu.header[f"{key}{new}"] = old[f"{key}{was}"]


def in_ghz(hdu):
    hdu.header["CUNIT3"] = "GHz"
    hdu.header["CRVAL3"] /= 1e9
    hdu.header["CDELT3"] /= 1e9


def in_kelvin(hdu):
    hdu.data = hdu.data.astype(np.float64) / 1e6
    hdu.header["BUNIT"] = "K"


def with_stokes(hdu):
    hdu.data = hdu.data[None]
    hdu.header["CTYPE4"] = "STOKES"
    hdu.header["CRPIX4"] = hdu.header["CRVAL4"] = hdu.header["CDELT4"] = 1.0


@pytest.mark.parametrize("change", [flip_ra, flip_frequency, frequency_first, in_ghz, in_kelvin, with_stokes])
def test_other_conventions_give_the_same_cube(files, cube_file, change):
    cube, geometry = parts(read_cube(cube_file(change)))
    expected, other = parts(read_cube(files[0]))
    np.testing.assert_allclose(cube, expected, rtol=1e-6)
    assert (geometry.pop("unit"), other.pop("unit")) == ("uK", "uK")
    assert geometry == pytest.approx(other)


def test_intensity_units(tmp_path, cube_file):
    grid, one = Grid(1.4, 16, 8, 26.0, 34.0, 115.27, "Jy/sr"), LI10.model_copy(update={"draws": 1})
    path = make_files(tmp_path, grid=grid, settings=one)[0]
    cube, geometry = parts(read_cube(cube_file(source=path)))
    assert geometry["unit"] == "Jy/sr"
    mega, _ = parts(read_cube(cube_file(lambda hdu: hdu.header.set("BUNIT", "MJy/sr"), source=path)))
    np.testing.assert_allclose(mega, 1e6 * cube, rtol=1e-6)


def keys(**changes):
    def change(hdu):
        hdu.header.update(changes)

    return change


def without(*names):
    def change(hdu):
        for name in names:
            hdu.header.remove(name, ignore_missing=True)

    return change


def put_infinity(hdu):
    hdu.data[1, 2, 3] = np.inf


def flat(hdu):
    hdu.data = hdu.data[0]


def oblong(hdu):
    hdu.data = hdu.data[:, :, :12]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put_infinity, "1 of 2048 values infinite"),
        (keys(BUNIT="Jy/beam"), "BUNIT 'Jy/beam'"),
        (keys(BUNIT="erg"), "BUNIT 'erg'"),
        (keys(BUNIT="bananas"), "BUNIT 'bananas'"),
        (without("BUNIT"), "BUNIT ''"),
        (keys(CTYPE3="VRAD", CUNIT3="m/s"), "frequencies -"),
        (without("CTYPE1", "CTYPE2", "CTYPE3", "CUNIT1", "CUNIT2", "CUNIT3"), "RA, DEC and a spectral axis"),
        (keys(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN"), "GLON-TAN"),
        (keys(CTYPE2="FREQ"), "WCS|CTYPE"),
        (keys(PC1_2=0.5, PC2_1=-0.5), "axes turned"),
        (keys(CDELT2=0.2), "a square of square pixels"),
        (oblong, "12 × 16 pixels"),
        (flat, "no image of three axes"),
    ],
)
def test_bad_fits_cubes_are_refused(cube_file, change, message):
    path = cube_file(change)
    with pytest.raises(LimelightError, match=message) as error:
        read_cube(path)
    assert "cube.fits" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_cubes_are_refused(files, tmp_path):
    with pytest.raises(LimelightError, match="no such file"):
        read_cube(tmp_path / "none.fits")
    with pytest.raises(LimelightError, match="no such file"):
        read_cube(tmp_path / "none.h5")
    (tmp_path / "text.fits").write_text("hello")
    (tmp_path / "text.h5").write_text("hello")
    for name in ("text.fits", "text.h5"):
        with pytest.raises(LimelightError, match="unreadable"):
            read_cube(tmp_path / name)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["cube"] = np.zeros((2, 2, 2))
    with pytest.raises(LimelightError, match="did not write"):
        read_cube(tmp_path / "foreign.h5")
    cut = tmp_path / "cut.fits"
    export_map(files[0], 0, cut)
    cut.write_bytes(cut.read_bytes()[:8000])
    with pytest.raises(LimelightError, match=r"cut\.fits"):
        read_cube(cut)
    with pytest.raises(LimelightError, match="choose 0 to 5"):
        export_map(files[0], 6, tmp_path / "out.fits")
