"""The same cube in the dresses that FITS files wear: read to the same values, or refused in one line."""

import bz2
import gzip

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from map_files import make_files

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.cube import judge_beam, pool_as_trained, upright, whole
from limelight.probes.line_intensity.maps.fits import read_cube, wcs_header
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.read_fits import read_fits
from limelight.probes.line_intensity.maps.regrid import rebinned, regrid
from limelight.section import plain

GRID = Grid(1.4, 32, 8, 26.0, 34.0, 115.27, "uK", 2, 2)
TRAINED = {**plain(GRID), "beam_fwhm_arcmin": 0.0}
CHANNEL = 1e9 * GRID.channel_ghz
C = 299792458.0


@pytest.fixture(scope="module")
def values():
    """(f, y, x), as FITS has them in NumPy."""
    return np.random.default_rng(5).lognormal(2, 1, (8, 32, 32)).astype(np.float32)


def sound_header(dec_deg: float = 0.0) -> fits.Header:
    header = wcs_header(GRID, np.zeros(2), False)
    for key in ("LLPOOLPX", "LLPOOLCH"):
        del header[key]
    header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = dec_deg, 16.5, 16.5
    return header


def write(folder, values, header=None, name="cube.fits", **cards):
    header = (header or sound_header()).copy()
    for key, value in cards.items():
        if value is None:
            header.remove(key, ignore_missing=True)
        else:
            header[key] = value
    fits.PrimaryHDU(values, header).writeto(folder / name)
    return folder / name


def same(path, values, hdu=None, tolerance=1e-6):
    """Whether a file is read to the pooled sums of these values, at the place and band of training maps."""
    cube = whole(read_cube(path, hdu=hdu), path)
    found, geometry, _ = pool_as_trained(cube, TRAINED)
    x = values.T.astype(np.float64)
    expected = sum(x[i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1))
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert geometry.pop("unit") == "uK"
    assert geometry == pytest.approx({k: v for k, v in TRAINED.items() if k != "unit"}, rel=tolerance)


def refused(path, says, **options):
    with pytest.raises(LimelightError, match=says) as error:
        whole(read_cube(path, **options), path)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)


@pytest.mark.parametrize(
    "cards",
    [
        {"RESTFRQ": None, "RESTFREQ": 115.27e9},
        {"RESTFRQ": "115270000000.0"},
        {"RESTFRQ": None, "RESTWAV": C / 115.27e9},
        {"RESTFRQ": None},
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA"},
        {"SPECSYS": "BARYCENT", "BMAJ": 0.0, "BMIN": 0.0},
        {"CTYPE3": "VRAD", "CUNIT3": "m/s", "CRVAL3": C * (1 - 26.5 / 115.27), "CDELT3": -C * CHANNEL / 115.27e9},
    ],
)
def test_other_cards_for_the_same_cube(tmp_path, values, cards):
    same(write(tmp_path, values, **cards), values, tolerance=1e-4 if "CTYPE1" in cards else 1e-6)


def test_pixels_are_measured_on_the_sky(tmp_path, values):
    """Plate carrée at Dec 52°: with the step in RA widened by 1/cos Dec pixels are square, as COMAP's are."""
    header = sound_header()
    header["CTYPE1"], header["CTYPE2"], header["CRPIX2"] = "RA---CAR", "DEC--CAR", 16.5 - 52.3 / header["CDELT2"]
    refused(write(tmp_path, values, header), r"0\.02675\d*° × 0\.04375° on the sky.*--reproject")
    header["CDELT1"] /= np.cos(np.radians(52.3))
    same(write(tmp_path, values, header, "wide.fits"), values, tolerance=1e-4)
    far = sound_header()
    far["CRPIX1"] += 1000  # 44° from the tangent point
    refused(write(tmp_path, values, far, "far.fits"), "times 0.04375° over the field")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_stokes_axis_of_length_one_stands_anywhere(tmp_path, values, place):
    header, old = sound_header(), sound_header()
    for number, was in zip([n for n in range(1, 5) if n != place + 1], (1, 2, 3), strict=True):
        for key in ("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX"):
            header[f"{key}{number}"] = old[f"{key}{was}"]
    header.remove(f"CUNIT{place + 1}", ignore_missing=True)
    for key, value in (("CTYPE", "STOKES"), ("CRVAL", 1.0), ("CDELT", 1.0), ("CRPIX", 1.0)):
        header[f"{key}{place + 1}"] = value
    data = np.expand_dims(values, 3 - place)
    same(write(tmp_path, data, header), values)
    header[f"CRVAL{place + 1}"] = 2.0
    refused(write(tmp_path, data, header, "q.fits"), "Stokes parameter 2")
    both = np.concatenate([data, data], axis=3 - place)
    refused(write(tmp_path, both, header, "iq.fits"), "an axis STOKES of length 2")


def test_unsigned_integers_and_blank(tmp_path, values):
    whole_numbers = np.round(100 * values).clip(0, 65000)
    hdu = fits.PrimaryHDU(whole_numbers.astype(np.uint16), sound_header())
    hdu.writeto(tmp_path / "unsigned.fits")
    same(tmp_path / "unsigned.fits", whole_numbers)

    stored = (whole_numbers.astype(int) - 32768).astype(">i2")
    stored[:, :3] = 32767
    hdu = fits.PrimaryHDU(stored, sound_header())
    hdu.header["BZERO"], hdu.header["BLANK"] = 32768, 32767
    hdu._bzero = 0
    hdu.writeto(tmp_path / "blank.fits", output_verify="ignore")
    refused(tmp_path / "blank.fits", "768 of 8192 voxels missing .*BLANK")


def test_compressed_files(tmp_path, values):
    plain = write(tmp_path, values).read_bytes()
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "a.fits.bz2").write_bytes(bz2.compress(plain))
    (tmp_path / "without_a_suffix").write_bytes(plain)
    tiles = fits.CompImageHDU(values, sound_header(), compression_type="GZIP_2", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(tmp_path / "a.fits.fz")
    for name in ("a.fits.gz", "a.fits.bz2", "a.fits.fz", "without_a_suffix"):
        same(tmp_path / name, values)
    for name in ("a.fits.gz", "a.fits.bz2", "a.fits.fz"):
        data = (tmp_path / name).read_bytes()
        for cut in (0, 10, 3000, len(data) // 2, len(data) - 5000):
            (tmp_path / f"cut_{name}").write_bytes(data[:cut])
            refused(tmp_path / f"cut_{name}", "cut_")


def several(path, *images):
    """images: (EXTNAME, values); the primary HDU is empty."""
    extensions = [fits.ImageHDU(data, sound_header(), name=name) for name, data in images]
    fits.HDUList([fits.PrimaryHDU(), *extensions]).writeto(path)
    return path


def test_the_map_is_taken_and_named_not_its_noise(tmp_path, values):
    flat = np.full_like(values, 3.5)
    path = several(tmp_path / "a.fits", ("RMS", flat), ("MAP", values), ("nhit", flat))
    same(path, values)
    assert read_cube(path).source == "HDU 2 'MAP' of 4"
    same(path, flat, hdu="rms")
    same(path, flat, hdu="3")
    refused(path, "one of the cubes .HDU 1 'RMS' of 4; HDU 2", hdu="SIGNAL")
    refused(several(tmp_path / "n.fits", ("sigma_wn_coadd", flat)), "only HDU 1 'SIGMA_WN_COADD'")
    refused(several(tmp_path / "w.fits", ("WEIGHT", flat), ("MASK", flat)), "a map, not its noise")
    refused(several(tmp_path / "t.fits", ("CO2", values), ("CO6", values)), "several cubes .*--hdu")
    refused(write(tmp_path, flat, name="b.fits", BTYPE="Noise"), "only HDU 0 'Noise'")


def test_a_mask_extension_marks_what_is_missing(tmp_path, values):
    mask = np.zeros(values.shape[1:], np.uint8)
    same(several(tmp_path / "none.fits", ("MAP", values), ("MASK", mask)), values)
    mask[:2] = 1
    refused(several(tmp_path / "some.fits", ("MAP", values), ("MASK", mask)), "512 of 8192 voxels missing")
    cube = read_cube(tmp_path / "some.fits")
    assert cube.missing[:, :2].all()
    assert not cube.missing[:, 2:].any()
    refused(several(tmp_path / "x.fits", ("MAP", values), ("MASK", mask[:9])), "a MASK of shape")


def test_nan_is_not_answered_with_zeros(tmp_path, values):
    gap = values.copy()
    gap[2:4] = np.nan
    path = write(tmp_path, gap)
    refused(path, "2048 of 8192 voxels missing .*channels 3-4 of 8 whole.*zeros or means in place of gaps would change")


def test_units_that_need_the_beam(tmp_path, values):
    path = write(tmp_path, values, BUNIT="mJy/beam", BMAJ=4.5 / 60, BMIN=4.0 / 60)
    cube = read_cube(path)
    sr = np.pi / (4 * np.log(2)) * np.radians(4.5 / 60) * np.radians(4 / 60)
    np.testing.assert_allclose(cube.values, 1e-3 * values.T / sr, rtol=1e-5)
    assert cube.unit == "Jy/sr"
    assert cube.beam_arcmin == pytest.approx((4.5, 4.0))


@pytest.mark.parametrize(
    ("beam", "trained", "says"),
    [
        ((4.5, 4.5), 0.0, "a beam of 4.5′; expected none"),
        ((4.5, 3.0), 4.5, "a beam of 4.5′ × 3′; expected 4.5′"),
        ((3.0, 3.0), 4.5, "smooth the cube to 4.5′"),
        ((0.0, 0.0), 4.5, "no beam; expected 4.5′"),
        ((4.45, 4.4), 4.5, ""),
        ((0.5, 0.5), 0.0, ""),
        (None, 4.5, ""),
    ],
)
def test_beams_are_held_against_the_training_maps(beam, trained, says):
    trained = {**TRAINED, "beam_fwhm_arcmin": trained}
    if not says:
        judge_beam(beam, trained, "cube")
        return
    with pytest.raises(LimelightError, match=says):
        judge_beam(beam, trained, "cube")


def test_temperatures_on_the_pooled_grid_become_sums(tmp_path, values):
    """Means over 2 × 2 × 2 fine voxels, in temperature: the network's pooled maps are sums, eight times as much."""
    coarse = values.reshape(4, 2, 16, 2, 16, 2).mean((1, 3, 5))
    step = sound_header()["CDELT1"]
    cards = {"CDELT1": 2 * step, "CDELT2": 2 * step, "CRPIX1": 8.5, "CRPIX2": 8.5}
    path = write(tmp_path, coarse, **cards, CDELT3=2 * CHANNEL, CRVAL3=27e9)
    same(path, values, tolerance=1e-5)
    assert "taken times 8" in pool_as_trained(read_cube(path), TRAINED)[2]
    fine = np.repeat(values, 3, axis=0)  # channels a third as wide
    path = write(tmp_path, fine, name="fine.fits", CDELT3=CHANNEL / 3, CRVAL3=26e9 + CHANNEL / 6)
    same(path, values, tolerance=1e-5)
    assert pool_as_trained(read_cube(path), TRAINED)[2].endswith("taken times 0.333333")


@pytest.mark.parametrize(
    ("cards", "says"),
    [
        ({"RESTFREQ": 230.538e9}, "RESTFRQ 115.27 GHz, RESTFREQ 230.538 GHz; expected one"),
        ({"RESTFRQ": "CO(1-0)"}, r"RESTFRQ: found 'CO\(1-0\)'"),
        ({"CTYPE3": "VRAD", "CUNIT3": "m/s", "RESTFRQ": None}, "an axis VRAD without frequencies|an axis VRAD of"),
        (
            {"CTYPE3": "WAVE", "CUNIT3": "m", "CRVAL3": 0.0088, "CDELT3": 3e-4},
            "GHz; expected channels of one",
        ),
        ({"CTYPE3": "STOKES"}, "a spectral axis"),
        ({"CRVAL3": "26 GHz"}, "cube"),
        ({"CDELT1": 0.0}, "cube"),
        ({"LLPOOLPX": 0}, "LLPOOLPX 0"),
        ({"LLPOOLPX": "two"}, "cube"),
        ({"BMAJ": "wide"}, "BMAJ"),
        ({"BMAJ": 0.075, "BMIN": -0.075}, "BMAJ, BMIN: found 0.075, -0.075"),
        ({"LLBEAM": "wide"}, "LLBEAM"),
        ({"PC1_3": 0.5}, "sky and frequency mixed"),
    ],
)
def test_cards_that_cannot_be_read(tmp_path, values, cards, says):
    refused(write(tmp_path, values, **cards), says)


def test_sizes_are_bounded_before_they_are_read(tmp_path, values):
    path = write(tmp_path, values)
    path.write_bytes(path.read_bytes().replace(b"NAXIS1  =                   32", b"NAXIS1  =           3200000000"))
    refused(path, r"8.19e\+11 voxels; expected at most 2e\+09")


def test_maps_are_for_hdf5_and_hdus_for_fits(tmp_path, values):
    refused(write(tmp_path, values), "--map 3 of a FITS file", index=3)
    refused(make_files(tmp_path)[0], "--hdu 1 of a file that is no FITS", hdu="1")


def test_other_files_end_in_one_line(tmp_path):
    maps = make_files(tmp_path)[0]
    data, cut = maps.read_bytes(), tmp_path / "cut.h5"
    for share in np.linspace(0, 0.95, 25):
        cut.write_bytes(data[: int(share * len(data))])
        refused(cut, "cut.h5")
    np.savez(tmp_path / "cube.npz", map_cube=np.zeros((2, 2, 2)))
    refused(tmp_path / "cube.npz", "unreadable")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.attrs["limelight_format"] = "one"
    refused(tmp_path / "odd.h5", "did not write")


def test_regridding_keeps_temperatures(tmp_path):
    """A plate carrée map in equal steps of wavelength, wider than the field, of a smooth function of place and frequency."""
    pixel, middle = 0.02, SkyCoord(170.1, 52.3, unit="deg")

    def temperature(sky: SkyCoord, ghz: np.ndarray) -> np.ndarray:
        east, north = middle.spherical_offsets_to(sky)
        return (10 + 2 * east.deg + np.cos(2 * north.deg))[None] * (1 + 0.02 * (ghz - 30))[:, None, None]

    header = fits.Header()
    wide = pixel / np.cos(np.radians(52.3))
    axes = (
        ("RA---CAR", "deg", 170.1, -wide, 50.5),
        ("DEC--CAR", "deg", 0.0, pixel, 50.5 - 52.3 / pixel),
        ("WAVE", "m", C / 35e9, 2e-5, 1.0),
    )
    for i, card in enumerate(axes, 1):
        for key, value in zip(("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX"), card, strict=True):
            header[f"{key}{i}"] = value
    header["BUNIT"], header["RESTFRQ"] = "K", 115.27e9
    x, y = np.meshgrid(np.arange(100), np.arange(100))
    ghz = C / (C / 35e9 + 2e-5 * np.arange(170)) / 1e9
    sky = WCS(header).celestial.pixel_to_world(x, y)
    path = write(tmp_path, 1e-6 * temperature(sky, ghz), header)
    refused(path, "over the field")
    cube, done = regrid(read_fits(path), TRAINED, path)
    assert "100 × 100 pixels of 1.2′ and 170 channels to 16 × 16 of 5.25′ and 4" in done
    found, geometry, _ = pool_as_trained(whole(cube, path), TRAINED)
    target = WCS(naxis=2)
    target.wcs.ctype, target.wcs.crval = ["RA---TAN", "DEC--TAN"], [170.1, 52.3]
    target.wcs.cdelt, target.wcs.crpix = [1.4 / 16, 1.4 / 16], [8.5, 8.5]
    x, y = np.meshgrid(np.arange(16), np.arange(16))
    expected = 8 * temperature(target.pixel_to_world(x, y), np.array([27.0, 29, 31, 33]))
    np.testing.assert_allclose(found, expected.T, rtol=2e-3)
    assert geometry["size_deg"] == pytest.approx(1.4)
    few, _ = regrid(read_fits(path), {**TRAINED, "size_deg": 2.4}, path)
    with pytest.raises(LimelightError, match="voxels missing"):
        whole(few, path)


def test_rebinning_by_hand():
    values = np.array([1.0, 2, 4, 8])[None, None]
    found = rebinned(values, np.array([0.0, 1, 2, 3, 4]), np.array([0.0, 1.5, 4, 5]))[0, 0]
    assert found[:2] == pytest.approx([(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 4 + 8) / 2.5])
    assert np.isnan(found[2])
    falling = rebinned(values[..., ::-1], np.array([4.0, 3, 2, 1, 0]), np.array([0.0, 1.5, 4, 5]))[0, 0]
    np.testing.assert_allclose(falling, found)


def test_upright_leaves_the_sky_in_place(tmp_path, values):
    """RA running downwards, the rule in FITS: the middle of each voxel stays where astropy has it."""
    header = sound_header(-30.0)
    header["CDELT1"] *= -1
    raw = read_fits(write(tmp_path, values, header))
    cube = upright(raw, "cube")
    np.testing.assert_array_equal(cube.values, values.T[::-1])
    first = WCS(header).celestial.pixel_to_world(31, 0)
    second = WCS(header).celestial.pixel_to_world(30, 0)
    assert second.ra - first.ra > 0 * units.deg
