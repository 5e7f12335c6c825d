"""Images of strong lenses against lenstronomy's own, their bound against derivatives, and what turns with an image."""

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.probes.strong_lens.bound import bounds, fisher, least_covariance, log_likelihood, sample
from limelight.probes.strong_lens.config import Camera, Galaxies
from limelight.probes.strong_lens.images import PARAMETERS, Painter, fluxes, sky_sigma, variance
from limelight.probes.strong_lens.presentation import LensPresentation
from limelight.probes.strong_lens.simulations import KINDS, limits, simulate_images
from limelight.study.config import resolve_study

pytest.importorskip("lenstronomy")
CAMERA, DATA = Camera(pixels=33), Galaxies(images=60, lenses=0.5)
LIMITS = limits(DATA)
LENS = dict(
    zip(
        PARAMETERS,
        [1.3, 0.15, -0.1, 0.2, -0.12, 0.05, -0.03, 0.0, 0.1, 0.05, 19.5, 1.5, 0.5, -1.2, 0.1, -0.2, 22.5, 0.2, 0.1],
        strict=True,
    )
)
MODEL = np.array(list(LENS.values()))


def lenstronomys(band: int, finer: int) -> np.ndarray:
    """The same lens by lenstronomy's image simulation, on `finer`² points a pixel; (x, y)."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.LightModel.Profiles.sersic import Sersic

    n, side = CAMERA.pixels, CAMERA.pixel_arcsec
    corner = -(n - 1) / 2 * side
    grid = {"ra_at_xy_0": corner, "dec_at_xy_0": corner, "transform_pix2angle": np.eye(2) * side}
    psf = PSF("GAUSSIAN", fwhm=CAMERA.psf_fwhm_arcsec[band], pixel_size=side, truncation=6)
    model = ImageModel(
        ImageData(np.zeros((n, n)), **grid),
        psf,
        LensModel(["SIE"]),
        LightModel(["SERSIC_ELLIPSE"]),
        LightModel(["SERSIC_ELLIPSE"]),
        kwargs_numerics={"supersampling_factor": finer, "supersampling_convolution": False},
    )

    def light(name: str, index: float, radius: float, x: float, y: float, whole: float) -> dict:
        shape = {"R_sersic": radius, "n_sersic": index, "e1": LENS[f"{name}_e1"], "e2": LENS[f"{name}_e2"]}
        amp = whole / Sersic().total_flux(1.0, radius, index)
        return {"amp": amp, **shape, "center_x": x, "center_y": y}

    centre = {"center_x": LENS["x"], "center_y": LENS["y"]}
    of_lens, of_source = (fluxes(*MODEL[part])[band] for part in (slice(10, 13), slice(16, 19)))
    lens = light("light", 4.0, np.exp(LENS["ln_radius"]), LENS["x"], LENS["y"], of_lens)
    radius = np.exp(LENS["source_ln_radius"])
    source = light("source", 1.0, radius, LENS["source_x"], LENS["source_y"], of_source)
    mass = {"theta_E": LENS["theta_E"], "e1": LENS["e1"], "e2": LENS["e2"], **centre}
    return model.image([mass], [source], [lens]).T  # flux per pixel of a surface brightness per square arcsec


def test_an_image_is_that_of_lenstronomy():
    ours = Painter(CAMERA).lens(MODEL)
    middle = slice(4, -4)  # lenstronomy has another sky beyond the edge
    for band in range(3):
        theirs = lenstronomys(band, 7)
        np.testing.assert_allclose(ours[band][middle, middle], theirs[middle, middle], atol=4e-3 * theirs.max())
        assert theirs.sum() == pytest.approx(ours[band].sum(), rel=0.01)


def test_noise_is_the_surveys():
    sigma = sky_sigma(CAMERA)
    in_aperture = sigma * np.sqrt(np.pi / 4 * 1.95**2) / CAMERA.pixel_arcsec
    np.testing.assert_allclose(30 - 2.5 * np.log10(10 * in_aperture), CAMERA.depth_mag)
    image = np.full((3, 2, 2), 100.0)
    np.testing.assert_allclose(variance(image, CAMERA)[:, 0, 0], sigma**2 + 100 / 20)
    presentation = LensPresentation(None, sky=tuple(sigma), electrons=20.0, shown=False)
    seen = presentation.observe(torch.full((4000, 3, 2, 2), 100.0), torch.Generator().manual_seed(1))
    np.testing.assert_allclose(seen.var(dim=(0, 2, 3)).numpy(), sigma**2 + 5, rtol=0.06)
    assert torch.equal(presentation.silent().observe(seen, torch.Generator()), seen)


def test_truths_turn_with_their_images():
    painter, random = Painter(CAMERA), torch.Generator().manual_seed(4)
    image = torch.from_numpy(painter.lens(MODEL))[None].repeat(24, 1, 1, 1)
    parameters = torch.from_numpy(MODEL[:5])[None].repeat(24, 1)
    # The same turns carry the shapes of the lens's and of the source's light: places of (radius, e1, e2, x, y) each
    groups = ([0, 1, 2, 3, 4], [7, 8, 9, 5, 6], [13, 14, 15, 3, 4])
    presentation, found = LensPresentation(None), []
    for group in groups:
        random.manual_seed(4)
        y = {"parameters": torch.from_numpy(MODEL[group])[None].repeat(24, 1)}
        turned, y = presentation.augment(image, y, random)
        found.append(y["parameters"].numpy())
    assert len({tuple(row) for row in found[0].round(6).tolist()}) == 8
    assert (found[0][:, 0] == parameters[:, 0].numpy()).all()
    for i in range(24):
        model = MODEL.copy()
        for group, values in zip(groups, found, strict=True):
            model[group] = values[i]
        np.testing.assert_allclose(painter.lens(model), turned[i], atol=2e-3 * image.max())


def test_the_fisher_information_is_the_variance_of_the_score():
    painter, rng = Painter(CAMERA), np.random.default_rng(2)
    found = fisher(MODEL, LIMITS, painter, CAMERA)
    np.testing.assert_allclose(
        found, fisher(MODEL, LIMITS, painter, CAMERA, step=3e-4), rtol=1e-3, atol=1e-4 * found.max()
    )
    clean = painter.lens(MODEL)
    for i in (0, 3, 16):
        step = 1e-3 * np.diff(LIMITS[i])[0] * np.eye(19)[i]
        above, below = painter.lens(MODEL + step), painter.lens(MODEL - step)
        scores = []
        for _ in range(400):
            data = clean + rng.standard_normal(clean.shape) * np.sqrt(variance(clean, CAMERA))
            sides = [log_likelihood(data, image, CAMERA) for image in (above, below)]
            scores.append((sides[0] - sides[1]) / (2 * step[i]))
        assert np.mean(scores) == pytest.approx(0, abs=4 * np.std(scores) / 20)
        assert np.var(scores) == pytest.approx(found[i, i], rel=0.25)


def test_the_bound_knows_the_prior_and_mcmc_keeps_near_it():
    camera, rng = Camera(pixels=21), np.random.default_rng(3)
    nothing = least_covariance(np.zeros((19, 19)), LIMITS)
    np.testing.assert_allclose(np.sqrt(np.diag(nothing)), np.diff(LIMITS, axis=1)[:, 0] / np.sqrt(12))
    clean = Painter(camera).lens(MODEL)
    data = clean + rng.standard_normal(clean.shape) * np.sqrt(variance(clean, camera))
    draws, how = sample(data, MODEL, LIMITS, camera, 40, 40, 60, np.random.SeedSequence(1))
    least = bounds(MODEL[None], LIMITS, camera)[0]
    over = draws.std(axis=0) / least
    assert 0.5 < over[0] < 1.3
    assert over.max() < 1.3
    assert np.abs((draws.mean(axis=0) - MODEL) / least).max() < 4
    assert how["rhat"].max() < 1.3
    twice = [sample(data, MODEL, LIMITS, camera, 40, 0, 4, np.random.SeedSequence(1))[0] for _ in range(2)]
    assert (twice[0] == twice[1]).all()


def test_galaxies_that_are_no_lenses_hold_no_arcs_but_what_their_kind_says():
    x, y = simulate_images(DATA, CAMERA, np.random.default_rng(5))
    assert x.dtype == np.float32
    assert set(y["kind"]) == set(range(len(KINDS)))
    assert ((y["kind"] == 0) == (y["lens"] == 1)).all()
    assert (y["model"][y["lens"] == 0] == 0).all()
    low, high = LIMITS.T
    assert ((y["model"][y["lens"] == 1] >= low) & (y["model"][y["lens"] == 1] <= high)).all()
    blue = x[:, 0].sum(axis=(1, 2)) / x[:, 2].sum(axis=(1, 2))  # g over i
    alone = y["kind"] == 1
    reddest = 10 ** (-0.4 * (DATA.lens_g_r[1] + DATA.lens_r_i[1]))
    bluest = 10 ** (-0.4 * (DATA.lens_g_r[0] + DATA.lens_r_i[0]))
    assert ((blue[alone] > 0.99 * reddest) & (blue[alone] < 1.01 * bluest)).all()  # the light of one galaxy
    for kind in (0, 2, 3):
        assert np.median(blue[y["kind"] == kind]) > 1.2 * np.median(blue[alone])
    middle = x[y["kind"] == 2].sum(axis=1)
    assert (middle.reshape(len(middle), -1).argmax(axis=1) // CAMERA.pixels).std() > 0  # companions stand anywhere


def test_what_cannot_be_is_refused():
    def faults(**changed) -> str:
        base = {
            **{"study": "s", "probe": "strong_lens", "data": {"d": {"images": 10}}, "tests": {"t": {"data": "d"}}},
            **{"realisations": {"train": [0], "validation": [1], "test": [2]}},
            "networks": {"n": {"architecture": "lenet", "data": ["d"]}},
        }
        with pytest.raises(LimelightError) as told:
            resolve_study({**base, **changed}, "s.yaml")
        return str(told.value)

    assert "data.d.theta_e: found [2.0, 1.0]" in faults(data={"d": {"theta_e": [2, 1]}})
    assert "data.d.theta_e: found [0.0, 1.0]" in faults(data={"d": {"theta_e": [0, 1]}})
    assert "data.d.ellipticity: found [-0.6, 0.1]" in faults(data={"d": {"ellipticity": [-0.6, 0.1]}})
    assert "networks.n.data: found a share of lenses of 0.5; expected 1" in faults(data={"d": {"lenses": 0.5}})
    kind = {"n": {"architecture": "lenet", "data": ["d"], "target": {"answer": "kind"}}}
    assert "expected above 0 and below 1" in faults(networks=kind)
    posterior = {"p": {"network": "n", "kind": "imnn"}}
    assert "posteriors.p: found kind imnn, of target; expected kind mdn, npe or quantiles" in faults(
        posteriors=posterior
    )
    posterior = {"p": {"network": "n", "kind": "npe", "of": "parameters"}}
    assert "posteriors.p: found kind npe, of parameters" in faults(posteriors=posterior)
    assert "camera.depth_mag" in faults(camera={"depth_mag": [24.0]})
