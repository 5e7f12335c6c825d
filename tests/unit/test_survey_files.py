"""Surveys' files in every dress read to the same map, or refused in one line."""

import h5py
import numpy as np
import pytest
from astropy.io import fits
from survey_files import (
    CENTER,
    NX,
    NY,
    PIXEL,
    downwards,
    expected,
    fits_header,
    in_fits,
    sky,
    unseen,
    write_new,
    write_old,
)

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.survey import save_survey
from limelight.probes.line_intensity.maps.survey_files.raw import Told
from limelight.probes.line_intensity.maps.survey_files.read import read_survey

C = 299792458.0
APPLIED = Told(efficiency=1.0)


def same(survey, one, tolerance=1e-6):
    """Whether a survey map is that of `sky`, in the project's order."""
    values, sigma, seen = expected(one)
    np.testing.assert_array_equal(survey.mask, seen)
    np.testing.assert_allclose(survey.temperature_uk[seen], values[seen], rtol=tolerance, atol=1e-3)
    np.testing.assert_allclose(survey.sigma_uk[seen], sigma[seen], rtol=tolerance)
    assert (survey.temperature_uk[~seen] == 0).all()
    assert np.isinf(survey.sigma_uk[~seen]).all()
    np.testing.assert_allclose(survey.x_deg, (np.arange(NX) - (NX - 1) / 2) * PIXEL, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(survey.y_deg, (np.arange(NY) - (NY - 1) / 2) * PIXEL, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(survey.frequency_ghz, 26 + 0.25 * (np.arange(32) + 0.5), rtol=1e-7)
    np.testing.assert_allclose(survey.center_deg, CENTER, rtol=1e-7)


def refused(path, says, told=APPLIED):
    with pytest.raises(LimelightError, match=says) as error:
        read_survey(path, told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("never", ["nan", "zero", "inf"])
@pytest.mark.parametrize("write", [write_old, write_new])
@pytest.mark.parametrize("turned", [False, True])
def test_comap_files_of_both_generations(tmp_path, write, never, turned):
    one = sky()
    stored = unseen(downwards(one) if turned else one, never)
    survey = read_survey(write(tmp_path / "co2.h5", stored), APPLIED)
    same(survey, one)
    assert survey.beam_fwhm_arcmin == 4.5
    assert survey.means_removed
    assert survey.modes_removed == (5 if write is write_new else 0)
    assert ("right ascension runs downwards" in survey.source) == turned


def test_the_efficiency_must_be_told_and_divides_map_and_noise(tmp_path):
    one = sky()
    path = write_old(tmp_path / "co2.h5", unseen(one, "nan"))
    refused(path, "no main-beam efficiency; expected to be told it.*--efficiency 1 if", Told())
    refused(path, "--efficiency: found 1.4", Told(efficiency=1.4))
    survey = read_survey(path, Told(efficiency=0.72))
    seen = survey.mask
    np.testing.assert_allclose(survey.sigma_uk[seen], expected(one)[1][seen] / 0.72, rtol=1e-6)
    np.testing.assert_allclose(survey.temperature_uk[seen], expected(one)[0][seen] / 0.72, rtol=1e-5)
    assert survey.efficiency == 0.72


def test_zero_frequencies_are_taken_in_equal_steps_and_told(tmp_path):
    one = unseen(sky(), "nan")
    survey = read_survey(write_old(tmp_path / "co2.h5", {**one, "freq": 0 * one["freq"]}), APPLIED)
    same(survey, sky())
    assert "the file's frequencies are 0: taken as 26 to 34 GHz" in survey.source


def test_loud_and_rarely_hit_voxels_are_masked_on_request(tmp_path):
    one = unseen(sky(), "zero")
    survey = read_survey(write_old(tmp_path / "co2.h5", one), Told(efficiency=1.0, max_sigma_uk=100, min_hits=500))
    _, sigma, seen = expected(one)
    hits = one["hits"].reshape(-1, NY, NX).transpose(2, 1, 0)
    np.testing.assert_array_equal(survey.mask, seen & (sigma <= 100) & (hits >= 500))
    refused(write_new(tmp_path / "new.h5", one), "no hits", Told(efficiency=1.0, min_hits=500))


def test_single_feeds_and_their_coaddition(tmp_path):
    feeds = [unseen(sky(seed), "nan") for seed in range(19)]
    stacked = {name: np.stack([one[name] for one in feeds]) for name in ("map", "sigma")}
    with h5py.File(write_new(tmp_path / "co2.h5", feeds[0]), "r+") as file:
        file["map"], file["sigma_wn"] = stacked["map"], stacked["sigma"]
        del file["map_coadd"], file["sigma_wn_coadd"]
    same(read_survey(tmp_path / "co2.h5", Told(efficiency=1.0, feed=3)), sky(2))
    survey = read_survey(tmp_path / "co2.h5", APPLIED)
    weight = 1 / stacked["sigma"] ** 2
    mean = {"map": (weight * stacked["map"]).sum(0) / weight.sum(0), "sigma": weight.sum(0) ** -0.5}
    same(survey, {**sky(), **mean}, tolerance=1e-5)
    assert "19 feeds coadded" in survey.source
    refused(tmp_path / "co2.h5", "--feed: found 20; expected 1 to 19", Told(efficiency=1.0, feed=20))


def test_splits_of_both_generations(tmp_path):
    halves = [unseen(sky(seed), "zero") for seed in (1, 2)]
    both = {name: np.stack([one[name] for one in halves]) for name in ("map", "sigma", "hits")}
    with h5py.File(write_old(tmp_path / "old.h5", halves[0]), "r+") as file:
        for name, kind in (("map", "map"), ("rms", "sigma"), ("nhit", "hits")):
            file[f"jackknives/{name}_odde"] = both[kind]
            file[f"jackknives/{name}_dayn"] = np.repeat(both[kind][:, None], 19, axis=1)
    same(read_survey(tmp_path / "old.h5", Told(efficiency=1.0, split="odde:1")), sky(2))
    same(read_survey(tmp_path / "old.h5", Told(efficiency=1.0, split="dayn:0", feed=7)), sky(1))
    refused(tmp_path / "old.h5", "2 parts, none chosen.*--split NAME:0 to NAME:1", Told(efficiency=1.0, split="odde"))
    refused(
        tmp_path / "old.h5",
        r"--split: found 'elev'; expected a split of the file \(dayn, odde\)",
        Told(efficiency=1.0, split="elev"),
    )
    with h5py.File(write_new(tmp_path / "new.h5", halves[0]), "r+") as file:
        feeds = np.repeat(both["map"][1][None], 20, axis=0), np.repeat(both["sigma"][1][None], 20, axis=0)
        file["multisplits/elev/map_elev1"], file["multisplits/elev/sigma_wn_elev1"] = feeds
    same(read_survey(tmp_path / "new.h5", Told(efficiency=1.0, split="elev1", feed=20)), sky(2))
    coadded = read_survey(tmp_path / "new.h5", Told(efficiency=1.0, split="elev1"))
    one = sky(2)
    same(coadded, {**one, "sigma": one["sigma"] / np.sqrt(20)}, tolerance=1e-5)


def test_damaged_comap_files_give_one_line(tmp_path):
    one = unseen(sky(), "nan")
    path = tmp_path / "co2.h5"
    write_old(path, {**one, "ra": one["ra"][:-1]})
    refused(path, f"{NX - 1} × {NY} centres")
    write_old(path, {**one, "sigma": one["sigma"][:3]})
    refused(path, r"rms_coadd of shape \(3, 8, 10, 12\)")
    write_old(path, {**one, "map": 1e6 * one["map"], "sigma": 1e6 * one["sigma"]})
    refused(path, "a median σ of .* K; expected less than 1 K")
    write_old(path, {**one, "freq": np.full((4, 8), 30.0)})
    refused(path, "equal frequencies")
    write_old(path, {**one, "freq": 1e9 * one["freq"]})
    refused(path, "32 frequencies in GHz")
    write_old(path, {**one, "map": np.full((4, 8, NY, NX), np.nan)})
    refused(path, "no voxel with a value and a σ")
    with h5py.File(path, "w") as file:
        file["halos"] = np.zeros(5)
    refused(path, "an HDF5 file of something else; expected a COMAP level-3 map")
    whole = write_old(path, one).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "co2.h5: found")
    refused(tmp_path / "none.h5", "no such file")


def test_limlam_mocker_cubes(tmp_path):
    one = sky()
    values = expected(one)[0]
    edges = {
        "map_pixel_ra": (np.arange(NX) - (NX - 1) / 2) * PIXEL,
        "map_pixel_dec": (np.arange(NY) - (NY - 1) / 2) * PIXEL,
    }
    frequency = (26 + 0.25 * (np.arange(32) + 0.5))[::-1]
    path = tmp_path / "sim.npz"
    np.savez(path, map_cube=values[..., ::-1], map_frequencies=frequency, **edges, cosmo=np.array({"h": 0.7}, object))
    survey = read_survey(path)
    np.testing.assert_allclose(survey.temperature_uk, values, rtol=1e-6)
    assert survey.mask.all()
    assert not survey.has_noise
    assert not survey.means_removed
    assert "frequency runs downwards: turned" in survey.source
    noisy = read_survey(path, Told(sigma_uk=30.0, beam_arcmin=4.0))
    assert (noisy.sigma_uk == 30).all()
    assert noisy.beam_fwhm_arcmin == 4
    np.savez(path, map_cube=values[1:], map_frequencies=frequency, **edges)
    refused(path, r"map_cube of shape \(11, 10, 32\)", Told())
    refused(path, "--feed: found a file that is no COMAP", Told(feed=1))


def write_fits(path, one, extensions=(), **cards):
    header = fits_header(one)
    header.update(cards)
    hdus = [fits.PrimaryHDU(in_fits(one["map"]), header)]
    hdus += [fits.ImageHDU(values, name=name) for name, values in extensions]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(("name", "power"), [("RMS", 1), ("NOISE", 1), ("VARIANCE", 2), ("WEIGHT", -2), ("IVAR", -2)])
def test_fits_with_noise_variance_or_weights(tmp_path, name, power):
    one = sky()
    noise = np.where(one["seen"], one["sigma"] ** power, 0)
    stored = {**one, "map": np.where(one["seen"], one["map"], np.inf)}
    survey = read_survey(write_fits(tmp_path / "cube.fits", stored, [(name, in_fits(noise))]))
    same(survey, one, tolerance=1e-5)
    assert survey.beam_fwhm_arcmin == pytest.approx(4.5)
    with fits.open(tmp_path / "cube.fits") as hdus:
        hdus[1].header["BUNIT"] = {1: "mK", 2: "mK2", -2: "mK-2"}[power]
        hdus[1].data = hdus[1].data * 1e3**power
        hdus.writeto(tmp_path / "units.fits")
    same(read_survey(tmp_path / "units.fits"), one, tolerance=1e-5)
    with fits.open(tmp_path / "cube.fits") as hdus:
        hdus[1].header["BUNIT"] = "Jy"
        hdus.writeto(tmp_path / "wrong.fits")
    refused(tmp_path / "wrong.fits", "BUNIT: found 'Jy'", Told())


def test_fits_with_files_beside_it_and_masks(tmp_path):
    one = sky()
    cube = write_fits(tmp_path / "cube.fits", one, [("MASK", in_fits(~one["seen"]).astype(np.int16))])
    fits.PrimaryHDU(in_fits(one["sigma"])).writeto(tmp_path / "cube_rms.fits")
    fits.PrimaryHDU(in_fits(one["sigma"])).writeto(tmp_path / "other.fits")
    same(read_survey(cube, Told(noise=tmp_path / "cube_rms.fits")), one, tolerance=1e-5)
    refused(cube, "a name that says σ", Told(noise=tmp_path / "other.fits"))
    more = np.zeros((32, NY, NX), np.uint8)
    more[:, 4, 4] = 1
    fits.PrimaryHDU(more).writeto(tmp_path / "mask.fits")
    both = read_survey(cube, Told(noise=tmp_path / "cube_rms.fits", mask=tmp_path / "mask.fits"))
    seen = np.array(one["seen"])
    seen[..., 4, NX - 5] = False
    np.testing.assert_array_equal(both.mask, expected({**one, "seen": seen})[2])
    assert not read_survey(cube).has_noise
    refused(cube, "a median σ", Told(noise=_louder(tmp_path, one)))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"sigma_uk": 0.0}, "--sigma: found 0; expected a number above 0"),
        ({"sigma_uk": np.nan}, "--sigma: found nan; expected a number above 0"),
        ({"sigma_uk": 50.0, "max_sigma_uk": 90.0}, "--max-sigma: found one σ for every voxel"),
        ({"max_sigma_uk": -1.0}, "--max-sigma: found -1; expected a number above 0"),
        ({"beam_arcmin": -3.0}, "--beam: found -3; expected a number of 0 or more"),
        ({"modes": -2}, "--modes: found -2; expected a number of 0 or more"),
    ],
)
def test_numbers_that_no_map_has_are_named_by_their_option(tmp_path, told, words):
    refused(write_fits(tmp_path / "cube.fits", sky()), words, Told(**told))


@pytest.mark.parametrize("kind", ["noise", "mask", "extension"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"CDELT3": -0.25e9, "CRVAL3": 33.875e9},
            "axis 3: found FREQ from 3.3875e.10 in steps of -2.5e.08; expected FREQ",
        ),
        ({"CDELT1": 1.0}, "axis 1: found RA---CAR from"),
        ({"CRPIX2": 3.0}, "axis 2: found DEC--CAR from"),
        ({"CTYPE3": "VRAD"}, "axis 3: found VRAD from"),
        ({"CRVAL1": CENTER[0] + 360}, None),  # the same place
        ({"CRVAL3": 26.125e9 + 0.25e9, "CRPIX3": 2.0}, None),  # told of another pixel
    ],
)
def test_noise_and_masks_on_other_axes_are_refused(tmp_path, kind, change, words):
    """Of the same shape, with a band that runs the other way: each σ stood beside the value of another channel."""
    one = sky()
    header = fits_header(one)
    header.update({**change, "EXTNAME": "RMS"})
    if kind == "mask":
        cube = write_fits(tmp_path / "cube.fits", one, [("RMS", in_fits(one["sigma"]))])
        fits.PrimaryHDU(in_fits(~one["seen"]).astype(np.int16), header).writeto(tmp_path / "mask.fits")
        told = Told(mask=tmp_path / "mask.fits")
    elif kind == "noise":
        cube = write_fits(tmp_path / "cube.fits", one, [("MASK", in_fits(~one["seen"]).astype(np.int16))])
        fits.PrimaryHDU(in_fits(one["sigma"]), header).writeto(tmp_path / "rms.fits")
        told = Told(noise=tmp_path / "rms.fits")
    else:
        cube, told = write_fits(tmp_path / "cube.fits", one, [("MASK", in_fits(~one["seen"]).astype(np.int16))]), Told()
        with fits.open(cube, mode="append") as hdus:
            hdus.append(fits.ImageHDU(in_fits(one["sigma"]), header))
    if words is None:
        same(read_survey(cube, told), one, tolerance=1e-5)
    else:
        refused(cube, words, told)


def _louder(folder, one):
    fits.PrimaryHDU(in_fits(1e6 * one["sigma"])).writeto(folder / "loud_rms.fits")
    return folder / "loud_rms.fits"


@pytest.mark.parametrize("axis", ["VRAD", "VOPT", "WAVE"])
def test_fits_axes_of_velocity_and_wavelength(tmp_path, axis):
    """VRAD is linear in frequency. Channels of the others are brought to one width: means, with the σ of means."""
    one = {**sky(), "seen": np.ones((4, 8, NY, NX), bool)}
    one["map"] = np.broadcast_to(np.linspace(1, 2, 32).reshape(4, 8, 1, 1) * 1e-3, one["map"].shape)
    one["sigma"] = np.full(one["sigma"].shape, 50e-6)
    first, last = 26.125e9, 33.875e9
    world = {
        "VRAD": lambda f: C * (1 - f / 115.27e9),
        "VOPT": lambda f: C * (115.27e9 / f - 1),
        "WAVE": lambda f: C / f,
    }[axis]
    step = (world(last) - world(first)) / 31
    cards = {"CTYPE3": axis, "CUNIT3": "m" if axis == "WAVE" else "m/s", "CRVAL3": world(first), "CDELT3": step}
    path = write_fits(tmp_path / "cube.fits", one, [("RMS", in_fits(one["sigma"]))], **cards)
    survey = read_survey(path)
    if axis == "VRAD":
        same(survey, one, tolerance=1e-4)
        return
    # the value is linear in the channel's number, so in wavelength: an independent inversion at the new middles
    wavelength = C / (survey.frequency_ghz * 1e9)
    number = (wavelength - C / first) / ((C / last - C / first) / 31)
    inside = slice(1, -1)
    np.testing.assert_allclose(survey.temperature_uk[5, 5, inside], 1e3 * (1 + number / 31)[inside], rtol=3e-3)
    assert "brought to one width" in survey.source
    assert (survey.sigma_uk <= 50 * 1.3).all()
    assert survey.sigma_uk.min() > 50 / np.sqrt(2) * 0.8


@pytest.mark.parametrize("name", ["MASK", "NHIT"])
def test_masks_and_hits_follow_the_channels_of_wavelengths(tmp_path, name):
    """They fall in frequency and are brought to one width with the map: what is bad stays masked, wherever it lies."""
    one = {**sky(), "seen": np.ones((4, 8, NY, NX), bool)}
    bad = np.zeros((4, 8, NY, NX), bool)
    bad[3, 4] = True  # number 28, counted from the highest frequency
    one["map"] = np.where(bad, 1.0, 1e-6)
    one["sigma"] = np.full(one["sigma"].shape, 50e-6)
    extension = {"MASK": in_fits(bad.astype(np.int16))}
    extension["NHIT"] = (1 - extension["MASK"]) * 10
    first, last = 33.875e9, 26.125e9
    step = (C / last - C / first) / 31
    cards = {"CTYPE3": "WAVE", "CUNIT3": "m", "CRVAL3": C / first, "CDELT3": step}
    extensions = [("RMS", in_fits(one["sigma"])), (name, extension[name])]
    survey = read_survey(write_fits(tmp_path / "cube.fits", one, extensions, **cards))
    assert np.abs(survey.temperature_uk - np.where(survey.mask, 1, 0)).max() < 1e-3, (
        "nothing of the bad channel is left"
    )
    masked = survey.frequency_ghz[~survey.mask.any(axis=(0, 1))]
    assert 1 <= len(masked) <= 3
    assert np.abs(masked - C / (C / first + 28 * step) / 1e9).max() < 0.5


def test_intensities_become_temperatures(tmp_path):
    one = {**sky(), "seen": np.ones((4, 8, NY, NX), bool)}
    k = 2 * 1.380649e-23 * (one["freq"][..., None, None] * 1e9) ** 2 / C**2 * 1e26  # Jy/sr of a kelvin
    stored = {**one, "map": one["map"] * k}
    path = write_fits(tmp_path / "cube.fits", stored, [("RMS", in_fits(one["sigma"] * k))], BUNIT="Jy/sr")
    same(read_survey(path), one, tolerance=1e-5)


def test_limelights_own_survey_file(tmp_path):
    one = sky()
    survey = read_survey(write_old(tmp_path / "co2.h5", unseen(one, "nan")), APPLIED)
    save_survey(tmp_path / "own.h5", survey)
    same(read_survey(tmp_path / "own.h5"), one)
    refused(tmp_path / "own.h5", "options for a file that says all")
