"""A network on a user's own Q and U: signs of every convention, units, and what is refused."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from astropy.io import fits

from limelight.data.targets import built_shape
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.networks import build
from limelight.probes.cmb_lensing.apply import (
    check_map,
    check_noise,
    doubts,
    masked_already,
    mode_tables,
    read_pair,
    read_qu,
    reconstruct,
    write_maps,
)
from limelight.probes.cmb_lensing.grid import Grid, qu_from_eb
from limelight.probes.cmb_lensing.probe import mask_of_geometry
from limelight.probes.cmb_lensing.sky import white_noise
from limelight.probes.cmb_lensing.spectra import Spectra
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.selection import header_of
from limelight.summaries.inputs import input_statistics, ranges
from limelight.training.checkpoint import load_model, save_model

PIXELS, SIDE = 24, 3.0
OPTIONS = {"filters": 4, "blocks": 1}


def write(path, q, u, unit="uK", convention="COSMO", cdelt=(-SIDE / 60, SIDE / 60), with_t=False):
    """A FITS image of Q and U (y, x)."""
    maps = np.stack([np.full_like(q, 1e3)] * with_t + [q, u])
    hdu = fits.PrimaryHDU(maps)
    hdu.header["BUNIT"], hdu.header["CDELT1"], hdu.header["CDELT2"] = unit, *cdelt
    if convention:
        hdu.header["POLCCONV"] = convention
    hdu.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("convention", ["COSMO", "IAU"])
@pytest.mark.parametrize("east", ["left", "right"])
@pytest.mark.parametrize("north", ["up", "down"])
def test_a_rod_on_the_sky_has_the_same_polarisation_in_pixels(tmp_path, convention, east, north):
    """Polarisation along a line at an angle on the sky is, by the signs of grid.py, along that line in the pixels."""
    angle = 0.3  # from north towards east
    q, u = np.cos(2 * angle), np.sin(2 * angle)  # IAU
    if convention == "COSMO":
        u = -u
    signs = (-1 if east == "left" else 1), (1 if north == "up" else -1)
    path = write(
        tmp_path / "m.fits", np.full((4, 4), q), np.full((4, 4), u), convention=convention, cdelt=np.array(signs) * 0.05
    )
    (found, _), along = read_qu(path), np.array([np.sin(angle) * signs[0], np.cos(angle) * signs[1]])  # x, y
    psi = np.arctan2(along[1], along[0])
    np.testing.assert_allclose(found[:, 0, 0], [np.cos(2 * psi), np.sin(2 * psi)], atol=1e-12)


def test_units_and_temperature(tmp_path):
    q, u = np.random.default_rng(0).normal(size=(2, PIXELS, PIXELS))
    first, _ = read_qu(write(tmp_path / "a.fits", q, u))
    kelvin, _ = read_qu(write(tmp_path / "b.fits", q * 1e-6, u * 1e-6, unit="K", with_t=True))
    np.testing.assert_allclose(kelvin, first)


@pytest.mark.parametrize(
    ("planes", "first", "step", "sound"),
    [(2, 2, 1, True), (3, 1, 1, True), (2, 1, 1, False), (3, 2, 1, False), (2, 3, -1, False)],
)
def test_an_axis_of_stokes_parameters_must_end_in_q_and_u(tmp_path, planes, first, step, sound):
    hdu = fits.PrimaryHDU(np.random.default_rng(0).normal(size=(planes, 4, 4)))
    hdu.header.update(BUNIT="uK", POLCCONV="COSMO", CDELT1=-0.05, CDELT2=0.05)
    hdu.header.update(CTYPE3="STOKES", CRPIX3=1.0, CRVAL3=float(first), CDELT3=float(step))
    hdu.writeto(tmp_path / "m.fits")
    if sound:
        np.testing.assert_allclose(read_qu(tmp_path / "m.fits")[0][0], -hdu.data[-2])
        return
    with pytest.raises(LimelightError, match="CRVAL3: found Stokes parameters"):
        read_qu(tmp_path / "m.fits")


def model_file(path, loss="mse", **data):
    """An untrained network as a model file; data: of its patches."""
    study = resolve_study(
        {
            "study": "lensing",
            "probe": "cmb_lensing",
            "realisations": {"train": [0], "validation": [1], "test": [2]},
            "data": {"patch": {"pixels": PIXELS, "pixel_arcmin": SIDE, **data}},
            "networks": {
                "net": {
                    "architecture": "gated",
                    "options": OPTIONS,
                    "data": ["patch"],
                    "noise_uk_arcmin": 1.0,
                    "training": {"loss": loss},
                }
            },
            "tests": {"t": {"data": "patch", "noise_uk_arcmin": 1.0}},
        },
        "lensing.yaml",
    )
    header, shape = header_of(study, "patch"), (1, PIXELS, PIXELS)
    torch.manual_seed(0)
    module = build("gated", OPTIONS, header.shape, built_shape(loss, shape))
    ones = torch.ones(shape, dtype=torch.float64)
    content = {
        "network": "net",
        "probe": "cmb_lensing",
        "architecture": "gated",
        "options": OPTIONS,
        "header": asdict(header),
        "entry": plain(study.networks["net"]),
        "observation": {"noise_uk_arcmin": 1.0},
        "target": {"shape": list(shape), "axis": {}, "outputs": "target", "mean": 0 * ones, "std": 0.1 * ones},
        "label_statistics": {"mean_target": 0 * ones, "percentiles": torch.zeros(5, *shape)},
        "state_dict": module.state_dict(),
    }
    if loss == "gaussian":
        content["target"]["outputs"] = "gaussian"
        content["spread"] = {"factor": [1.5], "edges": [100.0, 300.0, 900.0], "power": [[2e-7, 1e-7]]}
    save_model(path, content, provenance({}, 1))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("model") / "model.pt")


def test_a_network_that_answers_its_errors_writes_them_beside_its_map(tmp_path):
    """Calibrated standard deviations of pixels as an image, and the power of what is wrong as a table."""
    q, u = np.random.default_rng(1).normal(size=(2, PIXELS, PIXELS))
    maps, _ = read_qu(write(tmp_path / "qu.fits", q, u))
    module, info = load_model(model_file(tmp_path / "model.pt", "gaussian"))
    found = reconstruct(module, info, maps)
    with torch.no_grad():
        mean, log_variance = module(torch.as_tensor(maps[None] / 4.0, dtype=torch.float32))[0].double().numpy()
    np.testing.assert_allclose(found["kappa"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(found["kappa_error"], 1.5 * 0.1 * np.exp(log_variance / 2), rtol=1e-5)
    write_maps(tmp_path / "k.fits", found, fits.Header(), {}, mode_tables(info))
    with fits.open(tmp_path / "k.fits") as file:
        assert file["KAPPA_ERROR"].header["CONTENT"] == "error of convergence"
        np.testing.assert_allclose(file["KAPPA_ERROR"].data, found["kappa_error"], rtol=1e-6)
        assert file["KAPPA_MODES"].data["ERROR_POWER"].tolist() == [2e-7, 1e-7]
        assert file["KAPPA_MODES"].data["L_MAX"].tolist() == [300.0, 900.0]


@pytest.mark.parametrize("spread", [None, {"factor": [0.0], "edges": [1.0, 2.0], "power": [[1.0]]}, {"factor": [1.0]}])
def test_a_model_file_without_a_sound_calibration_is_refused(tmp_path, spread):
    path = model_file(tmp_path / "model.pt", "gaussian")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "spread": spread}, path)
    with pytest.raises(LimelightError, match="spread"):
        load_model(path)


def test_two_files_and_maps_of_pixell_are_read(tmp_path):
    """Q and U in a file each; a map as pixell writes it says neither unit nor convention."""
    q, u = np.random.default_rng(0).normal(size=(2, PIXELS, PIXELS))
    whole, _ = read_qu(write(tmp_path / "qu.fits", q, u))
    paths = []
    for name, plane in (("q", q), ("u", u)):
        hdu = fits.PrimaryHDU(plane)
        hdu.header["BUNIT"], hdu.header["POLCCONV"] = "uK", "COSMO"
        hdu.header["CDELT1"], hdu.header["CDELT2"] = -SIDE / 60, SIDE / 60
        hdu.writeto(tmp_path / f"{name}.fits")
        paths.append(tmp_path / f"{name}.fits")
    np.testing.assert_array_equal(read_pair(paths)[0], whole)
    fits.setval(paths[1], "CDELT1", value=0.01)
    with pytest.raises(LimelightError, match="another CDELT1"):
        read_pair(paths)
    bare = write(tmp_path / "pixell.fits", q, u, unit="", convention="", with_t=True)
    np.testing.assert_array_equal(read_pair([bare], "COSMO", "uK")[0], whole)
    with pytest.raises(LimelightError, match="give --unit"):
        read_pair([bare], "COSMO")
    with pytest.raises(LimelightError, match="K, as was asked for"):
        read_pair([tmp_path / "qu.fits"], unit="K")


def test_a_map_is_shown_as_it_was_recorded(model, tmp_path):
    q, u = np.random.default_rng(1).normal(size=(2, PIXELS, PIXELS))
    path = write(tmp_path / "qu.fits", q, u)
    script = [sys.executable, ROOT / "scripts" / "predict_lensing.py", "--network", model, "--map", path]
    output = tmp_path / "kappa.fits"
    subprocess.run([*script, "--noise", "1.0", "--output", output], check=True, capture_output=True)
    with fits.open(output) as file:
        kappa, header = file["KAPPA"].data, file["KAPPA"].header
    module, info = load_model(model)
    with torch.no_grad():
        expected = 0.1 * module(torch.as_tensor(np.stack([-q, u])[None] / 4.0, dtype=torch.float32))[0, 0].numpy()
    np.testing.assert_allclose(kappa, expected, rtol=1e-5, atol=1e-7)
    assert header["CDELT1"] == -SIDE / 60
    refused = subprocess.run(
        [*script, "--noise", "5", "--output", tmp_path / "no.fits"], capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "about 1 µK arcmin" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "no.fits").exists()
    assert list(reconstruct(module, info, np.stack([-q, u]))) == ["kappa"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unit": "Jy"}, "BUNIT: found 'Jy'"),
        ({"convention": ""}, "POLCCONV: found ''"),
        ({"convention": "HEALPIX"}, "COSMO or IAU"),
        ({"cdelt": (-0.04, 0.04)}, "pixels of 2.4 arcmin"),
        ({"q": np.full((PIXELS, PIXELS), np.nan)}, "not finite"),
        ({"q": np.zeros((20, 20)), "u": np.zeros((20, 20))}, r"maps of \(20, 20\) pixels"),
    ],
)
def test_what_does_not_suit_is_refused_in_one_line(model, tmp_path, change, expected):
    plane = np.zeros((PIXELS, PIXELS))
    path = write(tmp_path / "m.fits", **{"q": plane, "u": plane, **change})
    with pytest.raises(LimelightError, match=expected) as error:
        check_map(*read_qu(path), load_model(model)[1], path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("trained", "sound", "wrong"),
    [(1.0, (0.9, 1.15), (0.5, 1.5)), (0.0, (0.0, 0.02), (0.5,)), ([0.5, 5.0], (0.5, 3, 5), (0.1, 7))],
)
def test_maps_of_another_noise_are_refused_in_one_line(trained, sound, wrong):
    info = {"observation": {"noise_uk_arcmin": trained}}
    for level in sound:
        check_noise(level, info)
    for level in wrong:
        with pytest.raises(LimelightError, match=f"--noise: found {level:g} µK arcmin"):
            check_noise(level, info)


@pytest.mark.parametrize(
    "turned",
    [{"PC1_1": 0.0, "PC1_2": 1.0, "PC2_1": -1.0, "PC2_2": 0.0}, {"PC1_1": -1.0}, {"CROTA2": 30.0}, {"CD1_1": 0.05}],
)
def test_axes_that_are_turned_on_the_sky_are_refused(tmp_path, turned):
    """By 45 degrees they would make B of E, and mirrored they change the sign of U."""
    path = write(tmp_path / "m.fits", np.ones((4, 4)), np.ones((4, 4)))
    for key, value in turned.items():
        fits.setval(path, key, value=value)
    with pytest.raises(LimelightError, match=f"{next(iter(turned))} .*along right ascension and declination"):
        read_qu(path)


@pytest.mark.parametrize(
    ("projection", "declination", "sound"),
    [("CAR", 0, True), ("CAR", 6, True), ("CAR", 60, False), ("TAN", 60, True), ("ZEA", -85, True)],
)
def test_pixels_are_measured_on_the_sky(model, tmp_path, projection, declination, sound):
    """CDELT1 is a step of right ascension in plate carrée: at 60 degrees it is half as wide on the sky."""
    plane, middle = np.zeros((PIXELS, PIXELS)), (PIXELS + 1) / 2
    path = write(tmp_path / "m.fits", plane, plane)
    away = declination / (SIDE / 60) if projection == "CAR" else 0  # whose reference must lie on the equator
    for key, value in {
        **{"CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}", "CRVAL1": 50.0},
        **{"CRVAL2": 0.0 if projection == "CAR" else float(declination), "CRPIX1": middle, "CRPIX2": middle - away},
    }.items():
        fits.setval(path, key, value=value)
    info = load_model(model)[1]
    if sound:
        check_map(*read_qu(path), info, path)
    else:
        with pytest.raises(LimelightError, match=r"pixels of 1\.5 × 3 arcmin on the sky in the middle"):
            check_map(*read_qu(path), info, path)


def test_a_convention_must_not_contradict_the_header(tmp_path):
    path = write(tmp_path / "m.fits", np.zeros((4, 4)), np.zeros((4, 4)), convention="IAU")
    with pytest.raises(LimelightError, match="POLCCONV: found IAU"):
        read_qu(path, "COSMO")
    text = tmp_path / "no.fits"
    text.write_text("not a map")
    with pytest.raises(LimelightError, match="FITS"):
        read_qu(text)


def test_a_map_that_has_the_networks_taper_already_is_not_tapered_twice(tmp_path):
    """The same answer to a map and to the map under the taper, if the mask is told of; a periodic network knows no mask."""
    path = model_file(tmp_path / "model.pt", margin=8, taper_deg=0.4)
    module, info = load_model(path)
    taper = mask_of_geometry(info["header"]["geometry"])
    whole = np.random.default_rng(1).normal(size=(2, PIXELS, PIXELS))
    for name, mask in (("taper", taper), ("nothing", np.ones_like(taper)), ("half", taper**0.5)):
        fits.PrimaryHDU(mask).writeto(tmp_path / f"{name}.fits")
    assert masked_already(tmp_path / "taper.fits", info)
    assert not masked_already(tmp_path / "nothing.fits", info)
    expected = reconstruct(module, info, whole)["kappa"]
    np.testing.assert_allclose(reconstruct(module, info, whole * taper, masked=True)["kappa"], expected, atol=1e-6)
    assert np.abs(reconstruct(module, info, whole * taper)["kappa"] - expected).max() > 1e-3, "that is tapered twice"
    with pytest.raises(LimelightError, match=r"half.fits: .* of pixels below 1; .*taper of 0\.4 degrees"):
        masked_already(tmp_path / "half.fits", info)
    periodic = load_model(model_file(tmp_path / "periodic.pt"))[1]
    with pytest.raises(LimelightError, match="this network knows no mask"):
        masked_already(tmp_path / "taper.fits", periodic)
    script = [sys.executable, ROOT / "scripts" / "predict_lensing.py", "--network", path, "--noise", "1.0"]
    script += ["--map", write(tmp_path / "qu.fits", *(whole * taper)), "--output", tmp_path / "kappa.fits"]
    subprocess.run([*script, "--mask", tmp_path / "taper.fits"], check=True, capture_output=True)
    shown = reconstruct(module, info, read_qu(tmp_path / "qu.fits")[0], masked=True)["kappa"]
    np.testing.assert_allclose(fits.getdata(tmp_path / "kappa.fits", "KAPPA"), shown, rtol=1e-5, atol=1e-6)


def test_a_map_that_pixell_wrote_is_read(tmp_path):
    """T, Q and U of a patch at the equator; the file says neither unit nor convention."""
    enmap = pytest.importorskip("pixell.enmap")
    half = np.radians(PIXELS * SIDE / 60 / 2)
    shape, wcs = enmap.geometry(np.array([[-half, half], [half, -half]]), res=np.radians(SIDE / 60), proj="car")
    t, q, u = np.random.default_rng(2).normal(size=(3, *shape))
    enmap.write_map(str(tmp_path / "tqu.fits"), enmap.ndmap(np.stack([t, q, u]), wcs))
    maps, header = read_pair([tmp_path / "tqu.fits"], "COSMO", "uK")
    np.testing.assert_allclose(maps, [-q, u])
    assert header["CDELT1"] * 60 == pytest.approx(-SIDE)
    assert shape == (PIXELS, PIXELS)


def test_a_map_whose_u_has_the_other_sign_is_doubted():
    """Nothing else shows it: E and B trade half of their power, and every pixel looks as before."""
    grid = Grid(64, 2.34375)
    info, rng = {"header": {"geometry": {"pixels": 64, "pixel_arcmin": 2.34375}}}, np.random.default_rng(1)
    spectra = Spectra(*[1e-4 * np.exp(-np.arange(5001) / 800)] * 2, *[np.zeros(5001)] * 2)
    e = np.fft.fft2(rng.standard_normal((64, 64))) * np.sqrt(grid.sample(spectra.ee)) / grid.pixel
    q, u = qu_from_eb(grid, np.fft.ifft2(e).real, np.zeros((64, 64)))
    q, u = (one + white_noise(grid, 5.0, (), rng) for one in (q, u))
    assert doubts(np.stack([q, u]), info, 5.0) == []
    (line,) = doubts(np.stack([q, -u]), info, 5.0)
    assert "of the power of E" in line
    assert doubts(np.stack([q, -u]), info, 50.0) == [], "noise has as much B as E"


def test_a_map_in_another_unit_than_it_says_is_told(model, tmp_path):
    """The ranges of the training maps, which the model file carries, tell kelvins that are called microkelvins."""
    content = torch.load(model, weights_only=True)
    rng = np.random.default_rng(0)
    parts = [input_statistics(torch.from_numpy(rng.normal(0, 4, (20, 2, PIXELS, PIXELS)))) for _ in range(5)]
    torch.save({**content, "input_ranges": ranges(parts)}, tmp_path / "model.pt")
    script = [sys.executable, ROOT / "scripts" / "predict_lensing.py", "--network", tmp_path / "model.pt"]
    for size, told in ((4.0, False), (4e-6, True)):
        q, u = rng.normal(0, size, (2, PIXELS, PIXELS))
        path = write(tmp_path / "qu.fits", q, u)
        done = subprocess.run(
            [*script, "--map", path, "--noise", "1", "--output", tmp_path / "k.fits"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert ("smaller than in training: other units" in done.stderr) == told
