"""A network on a user's own Q and U: signs of every convention, units, and what is refused."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from astropy.io import fits

from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.networks import build
from limelight.probes.cmb_lensing.apply import check_map, read_qu, reconstruct
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.selection import header_of
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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained network as a model file."""
    study = resolve_study(
        {
            "study": "lensing",
            "probe": "cmb_lensing",
            "realisations": {"train": [0], "validation": [1], "test": [2]},
            "data": {"patch": {"pixels": PIXELS, "pixel_arcmin": SIDE}},
            "networks": {
                "net": {"architecture": "gated", "options": OPTIONS, "data": ["patch"], "noise_uk_arcmin": 1.0}
            },
            "tests": {"t": {"data": "patch", "noise_uk_arcmin": 1.0}},
        },
        "lensing.yaml",
    )
    header, shape = header_of(study, "patch"), (1, PIXELS, PIXELS)
    torch.manual_seed(0)
    module = build("gated", OPTIONS, header.shape, shape)
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
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_model(path, content, provenance({}, 1))
    return path


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


def test_a_convention_must_not_contradict_the_header(tmp_path):
    path = write(tmp_path / "m.fits", np.zeros((4, 4)), np.zeros((4, 4)), convention="IAU")
    with pytest.raises(LimelightError, match="POLCCONV: found IAU"):
        read_qu(path, "COSMO")
    text = tmp_path / "no.fits"
    text.write_text("not a map")
    with pytest.raises(LimelightError, match="FITS"):
        read_qu(text)
