"""Bias models: integrals against quadrature, known bias recovered, evidence, chains, convergence."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from limelight.codehash import ROOT, Code
from limelight.errors import LimelightError
from limelight.probes.halo_field import bias_calibration
from limelight.probes.halo_field.bias import (
    FLOOR,
    LEAST_WIDTH,
    MASS_REFERENCE,
    MODELS,
    REFERENCE,
    Mixture,
    catalogue_of,
    draw_catalogue,
    draw_masses,
    neural_lines,
    neural_numbers,
    neural_shapes,
    places_of,
    posterior_of,
    power_law_numbers,
)
from limelight.probes.halo_field.bias_calibration import calibrate, calibration_rows
from limelight.probes.halo_field.bias_study import Fitted, fit, ladder_row, painted_by, points_of
from limelight.probes.halo_field.config import Bias
from limelight.probes.halo_field.sampling import (
    CODE,
    chain_at,
    convergence,
    find_peak,
    sample_chain,
    sampled_evidence,
)

KNOWN = torch.tensor([0.1, 1.1, -0.5, 1.4, 1.0, -1.5], dtype=torch.float64)


def boxes(seed=1, count=1, n=12):
    """Overdensities of lognormal boxes."""
    rng = np.random.default_rng(seed)
    k = np.sqrt(sum(np.meshgrid(*[np.fft.fftfreq(n) ** 2] * 3, indexing="ij")))
    modes = np.fft.fftn(rng.standard_normal((count, n, n, n)), axes=(1, 2, 3))
    field = np.fft.ifftn(modes * np.exp(-((3 * k) ** 2)), axes=(1, 2, 3)).real
    rate = np.exp(0.8 * field / field.std())
    return rate / rate.mean() - 1


def mock(model="power_law", likelihood="poisson", theta=KNOWN, seed=1, n=12):
    """A posterior of halos that were drawn from the model itself."""
    places = places_of(boxes(seed, n=n))
    empty = catalogue_of(places, np.zeros(0, np.int64), np.zeros(0))
    drawn = draw_catalogue(posterior_of(model, likelihood, empty, 10.0), theta, np.random.default_rng(seed))
    return posterior_of(model, likelihood, drawn, 10.0)


def test_the_kernel_sums_over_cells_at_each_distance():
    field = np.zeros((1, 5, 5, 5))
    field[0, 2, 2, 2] = np.e - 1
    features = places_of(field).features.numpy().reshape(5, 5, 5, 4)
    quiet, loud = np.log(1.05), np.log(np.e + 0.05)
    for at, distance, cells in (((2, 2, 2), 0, 1), ((2, 3, 2), 1, 6), ((1, 3, 2), 2, 12), ((3, 3, 1), 3, 8)):
        right = [quiet] * 4
        right[distance] = quiet + (loud - quiet) / cells
        np.testing.assert_allclose(features[at], right)


@pytest.mark.parametrize("mean", [-60.0, -3.0, 0.5])
def test_the_integral_of_the_mixture_is_that_of_quadrature(mean):
    one = torch.ones(1, 1, dtype=torch.float64)
    mixture = Mixture(torch.cat([2 * one, 0.5 * one]), torch.cat([mean * one, one]), torch.cat([3 * one, 0.4 * one]))
    for low in (0.0, 0.7, 2.5):
        found = integrate.quad(
            lambda m: float(mixture.log_density(torch.tensor(m, dtype=torch.float64)).exp()), low, 60, limit=400
        )[0]
        assert float(mixture.number(low)) == pytest.approx(found, rel=1e-6)
    assert float(mixture.number(0.0)) == pytest.approx(2.5)


def test_both_models_count_what_their_densities_integrate_to():
    places = places_of(boxes())
    for name, model in MODELS.items():
        theta = torch.tensor(model.start, dtype=torch.float64)
        assert len(model.start) == len(model.parameters) == {"power_law": 6, "neural": 17}[name]
        mixture = model.mixture(theta, places)
        torch.testing.assert_close(mixture.number(0.0), model.numbers(theta, places).sum(dim=0))
    mean, width = neural_shapes(theta, places)
    assert (mean[0] > mean[1]).all()
    assert (width > 0).all()
    assert (neural_numbers(theta, places) > 0).all()


def test_the_power_law_is_the_published_one():
    """n̄ (1 + δ)^β exp(−ρ (1 + δ)^−ε), whose parameters follow from value, slope and curvature at REFERENCE."""
    places, (value, slope, log_curvature, sharpness) = places_of(boxes()), KNOWN[:4].numpy()
    over = np.exp(log_curvature) / sharpness
    exponent, threshold = slope - over, over / sharpness * np.exp(sharpness * REFERENCE)
    number = np.exp(value + over / sharpness - exponent * REFERENCE)
    density = np.maximum(places.density.numpy(), 0.05)
    right = number * density**exponent * np.exp(-threshold * density**-sharpness)
    np.testing.assert_allclose(power_law_numbers(KNOWN, places)[0], right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("knee", "bend"), [(-3.0, -0.2), (1.5, 0.7), (0.3, 1e-6), (8.0, -4.0)])
def test_the_neural_bias_is_the_published_one(knee, bend):
    """A softplus of a kernel and its bias; numbers, middles and widths follow lines of a slope and an offset in it."""
    places, theta = places_of(boxes()), torch.from_numpy(np.random.default_rng(2).normal(0, 0.7, 17))
    theta[4] = knee
    theta[5] += bend / (1 + np.exp(knee)) - neural_lines(theta)[2]
    softplus, kernel = torch.nn.functional.softplus, bend * theta[:4]
    signal = softplus(places.features @ kernel + knee - REFERENCE * kernel.sum())
    values, slopes, curvature = neural_lines(theta)
    assert float(curvature) == pytest.approx(bend / (1 + np.exp(knee)))
    slopes = slopes / (bend * torch.sigmoid(theta[4]))
    offsets = values - slopes * softplus(theta[4])
    lines = slopes[:, None] * signal + offsets[:, None]
    close = {"rtol": 1e-6, "atol": 1e-8 / min(abs(bend), 0.1)}
    torch.testing.assert_close(neural_numbers(theta, places), softplus(lines[:2]), **close)
    mean, width = neural_shapes(theta, places)
    torch.testing.assert_close(mean, torch.stack([lines[2], lines[2] - softplus(lines[3])]), **close)
    torch.testing.assert_close(width, LEAST_WIDTH + softplus(lines[4:]), **close)


def test_the_numbers_of_the_neural_bias_are_those_at_the_reference():
    """Number, light share, steepness of the heavy Gaussian at MASS_REFERENCE, step, their slopes, and curvature."""
    model, theta = MODELS["neural"], torch.from_numpy(np.random.default_rng(3).normal(0, 0.7, 17))
    found, step = [], 1e-3
    for shift in (-step, 0.0, step):  # of the kernel's sum z, by ln(1 + δ) from REFERENCE
        density = np.exp(REFERENCE + shift / float(theta[:4].sum()))
        places = places_of(np.full((1, 3, 3, 3), density - FLOOR - 1))
        mixture = model.mixture(theta, places)
        heavy, light = mixture.above[:, 0]
        steep = (MASS_REFERENCE - mixture.mean[0, 0]) / mixture.width[0, 0] ** 2
        adds = torch.expm1(mixture.mean[0, 0] - mixture.mean[1, 0]).log() / mixture.width[1, 0] ** 2
        told = (float((heavy + light).log()), float((light / heavy).log()), float(steep), float(adds))
        found.append(told)
    below, at, above = np.array(found)
    np.testing.assert_allclose(at, [theta[6], theta[8], theta[10], theta[12]], atol=1e-9)
    np.testing.assert_allclose((above - below) / (2 * step), [1.0, theta[7], theta[9], theta[11]], rtol=1e-4)
    np.testing.assert_allclose(((above + below - 2 * at) / step**2)[0], theta[5], rtol=1e-4)


def test_the_bends_of_the_neural_bias_leave_its_gradients_finite():
    places = places_of(boxes())
    for knee, bend in ((-40.0, 30.0), (40.0, -30.0), (0.0, 1e-9)):
        theta = torch.tensor(MODELS["neural"].start, dtype=torch.float64)
        theta[4], theta[5] = knee, bend
        theta.requires_grad_(True)
        neural_numbers(theta, places).sum().backward()
        assert theta.grad.isfinite().all()


def test_the_second_slopes_of_far_gaussians_are_finite():
    """A Hessian is taken where a Gaussian's middle may lie LOWEST widths below the least mass."""

    def log_density(width):
        one = torch.ones(1, 1, dtype=torch.float64)
        mixture = Mixture(one, -30.0 * one, width * one)
        return mixture.log_density(torch.tensor(0.5, dtype=torch.float64)).sum()

    width = torch.tensor(1.0, dtype=torch.float64)
    assert torch.autograd.functional.hessian(log_density, width).isfinite()


def test_masses_are_drawn_from_the_density():
    one = torch.ones(1, 4000, dtype=torch.float64)
    mixture = Mixture(torch.cat([one, 2 * one]), torch.cat([-20 * one, 1.5 * one]), torch.cat([4 * one, 0.3 * one]))
    found = draw_masses(mixture, np.random.default_rng(3))
    alone = Mixture(mixture.above[:, :1], mixture.mean[:, :1], mixture.width[:, :1])
    steps = np.linspace(0, 6, 400)
    cdf = np.array([1 - float(alone.number(m)) / 3 for m in steps])
    assert stats.kstest(found, lambda m: np.interp(m, steps, cdf)).pvalue > 1e-3


def test_a_known_bias_is_recovered_and_the_number_of_halos_is_exact():
    posterior = mock(n=20)
    peak = find_peak(posterior, 1)
    error = (peak.scale @ peak.scale.T).diagonal().sqrt()
    assert ((peak.theta - KNOWN).abs() < 4 * error).all(), (peak.theta, error)
    found = posterior.catalogue
    mixture = posterior.model.mixture(peak.theta, found.places)
    known = posterior.model.mixture(KNOWN, found.places)
    hosts = found.counts > 0
    np.testing.assert_allclose(mixture.above[0, hosts].log().mean(), known.above[0, hosts].log().mean(), atol=0.1)
    assert (mixture.above[0, hosts] / known.above[0, hosts]).log().std() < 0.15  # the bias itself, cell by cell
    number = len(found.mass)
    assert float(mixture.number(0.0).sum()) == pytest.approx(number, rel=1e-3)  # of the best Poisson model
    for m in (0.5, 1.0, 2.0):  # n(M) summed over the cells is the mass function
        beyond = float((found.mass > m).sum())
        assert float(mixture.number(m).sum()) == pytest.approx(beyond, abs=3 * beyond**0.5)


def test_likelihoods_are_those_of_scipy():
    theta = torch.cat([KNOWN, torch.tensor([-0.5], dtype=torch.float64)])
    posterior = mock(likelihood="negative_binomial", theta=theta)
    found, number = posterior.catalogue, posterior.model.numbers(theta, posterior.catalogue.places).sum(dim=0).numpy()
    r = 1 / np.exp(-0.5)
    right = stats.nbinom.logpmf(found.counts.numpy(), r, r / (r + number)).sum()
    counts, masses = posterior.log_likelihood(theta)
    assert float(counts) == pytest.approx(right, rel=1e-9)
    sigma, mean = np.exp(0.75), (np.exp(-1.5) * MASS_REFERENCE - 1.0) / np.exp(-1.5)
    cut = stats.truncnorm(-mean / sigma, np.inf, mean, sigma)
    assert float(masses) == pytest.approx(cut.logpdf(found.mass.numpy()).sum(), rel=1e-6)
    prior = stats.norm(0, [10] * 5 + [2, 3]).logpdf(theta.numpy()).sum()
    assert float(posterior(theta)) == pytest.approx(right + float(masses) + prior)
    assert float(theta[-1]) == pytest.approx(float(find_peak(posterior, 1).theta[-1]), abs=0.6)


def test_the_prior_of_the_neural_bias_is_narrow_where_a_light_gaussian_could_hide():
    """σ of 1 for slopes in ln of the number of halos, 3 for what they change: share, steepness, step and widths."""
    empty = catalogue_of(places_of(boxes(n=3)), np.zeros(0, np.int64), np.zeros(0))
    posterior = posterior_of("neural", "negative_binomial", empty, 10.0)
    narrow = {
        "slope": 1,
        "light share": 3,
        "steepness, heavy": 3,
        "step to the light": 3,
        "width": 3,
        "ln dispersion": 3,
    }
    narrow |= {"knee": 3, "curvature": 1}
    scales = [next((sigma for name, sigma in narrow.items() if name in one), 10) for one in posterior.names]
    assert sorted(scales) == [1] * 6 + [3] * 7 + [10] * 5
    theta = torch.from_numpy(np.random.default_rng(7).normal(0, 2, 18))
    assert float(posterior.log_prior(theta)) == pytest.approx(stats.norm(0, scales).logpdf(theta.numpy()).sum())


@pytest.mark.parametrize(("model", "likelihood"), [("power_law", "negative_binomial"), ("neural", "poisson")])
def test_halos_are_drawn_from_the_likelihood_that_fits_them(model, likelihood):
    """Over catalogues of a known θ the mean of ∂ ln L/∂θ is zero, in each direction (Bartlett): no fit, no chain."""
    theta = torch.tensor(MODELS[model].start, dtype=torch.float64)
    theta = (
        torch.cat([theta, torch.tensor([-0.5], dtype=torch.float64)]) if likelihood == "negative_binomial" else theta
    )
    empty = catalogue_of(places_of(boxes(3, n=10)), np.zeros(0, np.int64), np.zeros(0))
    posterior, rng, scores = posterior_of(model, likelihood, empty, 10.0), np.random.default_rng(5), []
    for _ in range(200):
        at = theta.clone().requires_grad_(True)
        sum(posterior.log_likelihood(at, draw_catalogue(posterior, theta, rng))).backward()
        scores.append(at.grad.numpy().copy())
    found = np.array(scores)
    mean, covariance = found.mean(axis=0), np.cov(found.T) / len(found)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-12 * values.max()
    chi2 = ((vectors.T @ mean)[kept] ** 2 / values[kept]).sum()
    assert 1e-3 < stats.chi2.sf(chi2, kept.sum()) < 1 - 1e-3


def test_chains_agree_with_laplace_and_their_files_are_taken_again(tmp_path, monkeypatch):
    posterior = mock(n=14)
    peak = find_peak(posterior, 1)
    chains = np.array([sample_chain(posterior, peak, 40, 60, 5, 1, chain) for chain in range(3)])
    found = convergence(chains)
    assert found["rhat"].max() < 1.1
    assert found["ess"].min() > 12
    evidence, error = sampled_evidence(posterior, chains, 1)
    assert evidence == pytest.approx(peak.log_evidence, abs=0.5)
    assert 0 < error < 0.1
    np.testing.assert_array_equal(chains[1], sample_chain(posterior, peak, 40, 60, 5, 1, 1))  # the seed decides
    made = []

    def make():
        made.append(1)
        return chains[0]

    for key in ("a", "a", "b"):
        np.testing.assert_array_equal(chain_at(tmp_path / "c.h5", key, make, 1), chains[0])
    assert len(made) == 2  # once for each key
    monkeypatch.setattr("limelight.probes.halo_field.sampling.code_hash", lambda chosen: "other code")
    chain_at(tmp_path / "c.h5", "b", make, 1)
    assert len(made) == 3
    monkeypatch.undo()
    (tmp_path / "c.h5").write_bytes(b"nonsense")
    with pytest.raises(LimelightError, match=r"c\.h5"):
        chain_at(tmp_path / "c.h5", "a", make, 1)


def test_a_chain_belongs_to_the_code_of_its_model():
    followed = Code(ROOT).followed([tuple(place.split(":")) for place in CODE])
    assert {"neural_shapes", "neural_signal", "power_law_numbers", "power_law_shapes"} <= {name for _, name in followed}


def test_convergence_knows_the_size_of_autoregressive_chains():
    rng, rho = np.random.default_rng(0), 0.7
    chains = rng.standard_normal((4, 2000, 1))
    for i in range(1, 2000):
        chains[:, i] = rho * chains[:, i - 1] + (1 - rho**2) ** 0.5 * chains[:, i]
    found = convergence(chains)
    assert found["ess"][0] == pytest.approx(8000 * (1 - rho) / (1 + rho), rel=0.2)
    assert found["rhat"][0] == pytest.approx(1, abs=0.01)
    chains[0] += 2
    assert convergence(chains)["rhat"][0] > 1.2


def test_a_fit_is_told_judged_and_painted(tmp_path):
    posterior = mock(n=12)
    settings = Bias(data="boxes", models=["power_law"], likelihoods=["poisson"], chains=2, warmup=10, samples=20)
    settings = settings.model_copy(update={"tree_depth": 4})
    points = points_of(posterior.catalogue)
    assert points.density[0] < points.density[1] < points.density[2]
    fitted = fit(settings, "power_law", "poisson", posterior.catalogue, points, tmp_path, "key", 1)
    assert len(list(tmp_path.glob("power_law-poisson-*.h5"))) == 2
    inside = np.exp(fitted.functions.mean(axis=(0, 1)).reshape(3, 3)) / points.fof
    assert np.abs(np.log(inside[points.fof_error / points.fof < 0.2])).max() < 0.5
    row = ladder_row(fitted, posterior.catalogue, 1)
    truth = sum(float(v) for v in posterior.log_likelihood(KNOWN)) / len(posterior.catalogue.mass)
    assert row["both"] == pytest.approx(truth, abs=0.05)
    painted = painted_by(fitted, posterior.catalogue, (1, 12, 12, 12), 3, 1)
    assert painted.drawn.shape == (3, 1, 12, 12, 12)
    assert painted.drawn.mean() == pytest.approx(float(posterior.catalogue.counts.mean()), rel=0.15)


def fitted_to_mock():
    """A fit of a power law without chains, and the points of n(M|δ)."""
    posterior = mock(n=12)
    return Fitted(posterior, find_peak(posterior, 1), *3 * [np.zeros(0)]), points_of(posterior.catalogue)


@pytest.fixture
def small_calibration(monkeypatch):
    monkeypatch.setattr(bias_calibration, "SBC_STEPS", (8, 18))
    monkeypatch.setattr(bias_calibration, "SBC_CELLS", 1000)
    monkeypatch.setattr(bias_calibration, "SBC_WIDTH", 1.0)
    monkeypatch.setattr(bias_calibration, "SBC_CELLS_OF_BIN", 20)


def test_calibration_tells_right_posteriors_from_narrow_and_shifted_ones(tmp_path, monkeypatch, small_calibration):
    """Normal draws about the maximum in place of chains: as wide as the posterior of these halos, too narrow, shifted."""
    peaks, fits = {}, 40

    def normal_draws(width, shift):
        def chain(prior, tree_depth, seed, fit):
            if fit not in peaks:
                theta, posterior = bias_calibration.prior_draw(prior, seed, fit)
                peaks[fit] = find_peak(posterior, seed, theta)
            z = torch.from_numpy(np.random.default_rng(fit).standard_normal((45, len(peaks[fit].theta))))
            return (peaks[fit].theta + (shift + width * z) @ peaks[fit].scale.T).numpy()

        return chain

    fitted, points = fitted_to_mock()
    told = {}
    for name, settings in {"right": (1.0, 0.0), "narrow": (0.4, 0.0), "shifted": (1.0, 1.0)}.items():
        monkeypatch.setattr(bias_calibration, "simulated_chain", normal_draws(*settings))
        found = calibrate(fitted, points, fits, 4, tmp_path / name, "key", 1)
        rows = calibration_rows(fitted, points, found, 8e11)
        assert (found.shape, len(rows)) == ((fits, 9), 9)
        told[name] = [np.array([row[column] for row in rows]) for column in ("p_value", "within_68")]
    p, within = told["right"]
    assert p.min() > 1e-3
    assert within.mean() == pytest.approx(0.68, abs=0.1)
    assert told["narrow"][1].mean() < 0.5
    assert told["shifted"][0].min() < 1e-4


def test_a_calibration_that_was_stopped_goes_on_to_the_same_ranks(tmp_path, monkeypatch, small_calibration):
    fitted, points = fitted_to_mock()
    whole = calibrate(fitted, points, 3, 3, tmp_path / "whole", "key", 1)
    calibrate(fitted, points, 2, 3, tmp_path / "parts", "key", 1)
    calls, real = [], bias_calibration.sample_chain
    monkeypatch.setattr(bias_calibration, "sample_chain", lambda *given: calls.append(given) or real(*given))
    np.testing.assert_array_equal(calibrate(fitted, points, 3, 3, tmp_path / "parts", "key", 1), whole)
    assert len(calls) == 1  # two fits were there
    assert ((whole > 0) & (whole < 1)).all()
    assert len(np.unique(whole)) == whole.size  # spread over their steps
    calibrate(fitted, points, 1, 3, tmp_path / "parts", "other key", 1)
    assert len(calls) == 2
