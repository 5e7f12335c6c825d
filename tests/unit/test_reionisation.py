"""The polarised sky of reionisation against healpy, CAMB, closed forms and drawn covariances."""

import numpy as np
import pytest
import torch
from scipy import stats
from skies import drawn_alm

from limelight.errors import LimelightError
from limelight.probe import load_probe
from limelight.probes.reionisation.config import Bank, Instrument, Sky
from limelight.probes.reionisation.harmonics import (
    flat_matrix,
    multipoles,
    pixels_of,
    symmetries,
    synthesis_matrix,
)
from limelight.probes.reionisation.inputs import Pixels, input_shape, transform_of
from limelight.probes.reionisation.instrument import (
    noise_covariance,
    noise_of,
    noise_spectrum,
    seen_pixels,
    signal_covariance,
    templates,
)
from limelight.probes.reionisation.likelihood import closed_form, fisher_information, log_likelihood, pixel_likelihood
from limelight.probes.reionisation.probe import SkySettings
from limelight.probes.reionisation.simulations import draw_skies, fisher_skies
from limelight.probes.reionisation.spectra import TAUS, camb_ee, ee_spectra
from limelight.probes.reionisation.steps import information_by_step
from limelight.study.config import resolve_study
from limelight.study.posteriors import Imnn

NSIDE, LMAX = 4, 11
N = pixels_of(NSIDE)
TAUGRID = np.linspace(0.03, 0.1, 9)
ISOTROPIC = Instrument(isotropic_uk_arcmin=80, knee_ell=6)
MASKED = Instrument(cut_deg=15, pixel_uk_arcmin=60, anisotropy=0.5, isotropic_uk_arcmin=40, knee_ell=6, dust_uk=0.4)
PROBE = load_probe("reionisation")


def moments(rng, count: int, tau: float, lmax: int = LMAX) -> np.ndarray:
    spread = np.sqrt(ee_spectra(np.array([tau]), lmax)[0])[multipoles(lmax)]
    return rng.standard_normal((count, len(spread))) * spread


# Spectra and harmonics


def test_the_table_of_spectra_is_cambs_between_its_nodes_too():
    pytest.importorskip("camb")
    tau = 0.0572
    assert tau not in TAUS
    found, expected = ee_spectra(np.array([tau]), 47)[0], camb_ee(tau, 47)
    np.testing.assert_allclose(found[2:], expected[2:], rtol=1e-3)


def test_moments_become_the_maps_of_healpy():
    healpy = pytest.importorskip("healpy")
    rng = np.random.default_rng(0)
    k = len(multipoles(LMAX))
    given = rng.standard_normal(2 * k)
    alm, i = np.zeros((2, healpy.Alm.getsize(LMAX)), complex), 0
    for kind in range(2):
        for ell in range(2, LMAX + 1):
            alm[kind, healpy.Alm.getidx(LMAX, ell, 0)] = given[i]
            i += 1
            for m in range(1, ell + 1):
                alm[kind, healpy.Alm.getidx(LMAX, ell, m)] = (given[i] + 1j * given[i + 1]) / np.sqrt(2)
                i += 2
    _, q, u = healpy.alm2map([np.zeros_like(alm[0]), *alm], NSIDE, lmax=LMAX)
    np.testing.assert_allclose(flat_matrix(NSIDE, LMAX) @ given, np.concatenate([q, u]), atol=1e-11)
    scalar = healpy.alm2map(alm[0], NSIDE, lmax=LMAX)
    np.testing.assert_allclose(synthesis_matrix(NSIDE, LMAX, spin=0) @ given[:k], scalar, atol=1e-11)


def test_the_sixteen_symmetries_leave_the_covariance_of_the_sky():
    covariance = signal_covariance(ee_spectra(np.array([0.06]), LMAX)[0], NSIDE)
    seen = set()
    for pixels, sign in zip(*symmetries(NSIDE), strict=True):
        both = np.concatenate([pixels, pixels + N])
        signs = np.repeat([1, sign], N)
        np.testing.assert_allclose(covariance[np.ix_(both, both)] * np.outer(signs, signs), covariance, atol=1e-12)
        seen.add(tuple(pixels))
    assert len(seen) == 16


# Noise


@pytest.mark.parametrize("instrument", [ISOTROPIC, MASKED], ids=["isotropic", "masked"])
def test_drawn_noise_has_its_covariance(instrument):
    count = 6000
    drawn = noise_of(instrument, NSIDE, LMAX).draw(count, torch.Generator().manual_seed(0)).flatten(1).double().numpy()
    expected = noise_covariance(instrument, NSIDE, LMAX)
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / count)
    pull = (drawn.T @ drawn / count - expected) / spread
    assert np.abs(pull).max() < 6
    assert pull.std() == pytest.approx(1, abs=0.35)  # correlated noise: its entries scatter together


def test_templates_have_unit_rms_and_the_dust_lies_in_the_plane():
    dust, gain = templates(NSIDE, LMAX)
    for one in (dust, gain):
        assert np.sqrt(np.mean(one**2)) == pytest.approx(1)
    plane = ~seen_pixels(Instrument(cut_deg=20), NSIDE)
    power = (dust.reshape(2, -1) ** 2).sum(axis=0)
    assert power[plane].mean() > 3 * power[~plane].mean()


# The likelihood


def test_the_closed_form_is_the_pixel_likelihood_on_the_full_sky():
    """Pixels see more modes than there are moments; noise of any size in these tells nothing of τ, and none is zero."""
    rng = np.random.default_rng(1)
    matrix = flat_matrix(NSIDE, LMAX)
    spread = np.sqrt(noise_spectrum(ISOTROPIC, LMAX)[multipoles(LMAX)])
    both = np.concatenate(
        [
            moments(rng, 5, 0.06) + rng.standard_normal((5, len(spread))) * spread,
            rng.standard_normal((5, len(spread))) * spread,
        ],
        axis=1,
    )
    left = np.eye(2 * N) - matrix @ np.linalg.pinv(matrix)
    rest = rng.standard_normal((5, 2 * N)) @ left
    maps = (both @ matrix.T + rest).reshape(5, 2, N)
    noise = noise_covariance(ISOTROPIC, NSIDE, LMAX) + left
    found = closed_form(maps, TAUGRID, ISOTROPIC, NSIDE, LMAX, 0.0)
    expected = pixel_likelihood(maps, TAUGRID, noise, np.full(N, True), NSIDE, LMAX, 0.0)
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], rtol=1e-6, atol=1e-6)


def test_the_pixel_likelihood_is_that_of_a_multivariate_normal():
    rng = np.random.default_rng(2)
    maps = draw_skies(np.array([0.05]), rng.standard_normal((1, len(multipoles(LMAX)))), Sky(nside=NSIDE))
    maps = maps + noise_of(MASKED, NSIDE, LMAX).draw(1, torch.Generator().manual_seed(3)).numpy()
    found = log_likelihood(maps, TAUGRID, MASKED, NSIDE, LMAX, 0.0)[0]
    seen = np.tile(seen_pixels(MASKED, NSIDE), 2)
    covariance = [
        signal_covariance(ee, NSIDE) + noise_covariance(MASKED, NSIDE, LMAX) for ee in ee_spectra(TAUGRID, LMAX)
    ]
    expected = np.array(
        [stats.multivariate_normal(cov=one[np.ix_(seen, seen)]).logpdf(maps.reshape(-1)[seen]) for one in covariance]
    )
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("instrument", [ISOTROPIC, MASKED], ids=["closed form", "pixels"])
def test_the_score_scatters_by_the_fisher_information(instrument):
    """Var ∂ln L/∂τ = F, and its mean is zero, over skies drawn at this τ."""
    rng, count, tau, step = np.random.default_rng(4), 3000, 0.06, 1e-3
    maps = draw_skies(np.full(count, tau), rng.standard_normal((count, len(multipoles(LMAX)))), Sky(nside=NSIDE))
    maps = maps + noise_of(instrument, NSIDE, LMAX).draw(count, torch.Generator().manual_seed(5)).numpy()
    low, high = log_likelihood(maps, np.array([tau - step, tau + step]), instrument, NSIDE, LMAX, 0.0).T
    score = (high - low) / (2 * step)
    information = fisher_information(tau, instrument, NSIDE, LMAX, 0.0)
    assert score.var() / information == pytest.approx(1, abs=0.12)
    assert abs(score.mean()) < 4 * np.sqrt(information / count)


def test_the_published_test_has_the_published_floor():
    """arXiv:1902.04083: nside 16, no noise, τ in 0.03 to 0.08: no estimate has a mean |Δτ|/τ below 2.9 %."""
    quiet = Instrument(isotropic_uk_arcmin=1e-3)
    taus = np.linspace(0.03, 0.08, 11)
    floor = [np.sqrt(2 / np.pi) * fisher_information(t, quiet, 16, 47, 0.0) ** -0.5 / t for t in taus]
    assert np.mean(floor) == pytest.approx(0.029, abs=0.001)


# What networks are shown


@pytest.mark.parametrize("inputs", ["maps", "eb_maps", "alm", "spectra", "power", "filtered", "filtered_power"])
def test_inputs_have_their_shape_and_are_of_order_one(inputs):
    pixels = Pixels(NSIDE, LMAX, 0.0, 0.065)
    rng = np.random.default_rng(6)
    count = 400
    maps = draw_skies(np.full(count, 0.065), rng.standard_normal((count, len(multipoles(LMAX)))), Sky(nside=NSIDE))
    noise = noise_of(MASKED, NSIDE, LMAX)
    maps = (torch.from_numpy(maps) + noise.draw(count, torch.Generator().manual_seed(7))) * noise.seen
    found = transform_of(inputs, MASKED, pixels)(maps)
    assert tuple(found.shape[1:]) == input_shape(inputs, NSIDE, LMAX)
    if inputs in ("spectra", "filtered"):
        np.testing.assert_allclose(found.exp().mean(dim=0), 1, atol=0.25)
    elif inputs in ("power", "filtered_power"):
        np.testing.assert_allclose(found.mean(dim=0), 1, atol=0.25)
    elif inputs == "alm":
        np.testing.assert_allclose(found.square().mean(dim=0), 1, atol=0.4)
    else:
        assert 0.3 < found.std() < 2


@pytest.mark.parametrize(("inputs", "instrument"), [("power", ISOTROPIC), ("filtered_power", MASKED)])
def test_the_score_of_the_exact_likelihood_is_linear_in_the_power(inputs, instrument):
    """∂ ln L/∂τ at the filter's τ is a sum over ℓ of the filtered E power: an IMNN on it can have all of F."""
    tau, step, rng, count = 0.065, 1e-4, np.random.default_rng(9), 200
    maps = draw_skies(
        rng.uniform(0.03, 0.1, count), rng.standard_normal((count, len(multipoles(LMAX)))), Sky(nside=NSIDE)
    )
    noise = noise_of(instrument, NSIDE, LMAX)
    maps = (torch.from_numpy(maps) + noise.draw(count, torch.Generator().manual_seed(10))) * noise.seen
    shown = transform_of(inputs, instrument, Pixels(NSIDE, LMAX, 0.0, tau))(maps)[:, 0].double().numpy()
    low, high = log_likelihood(maps.numpy(), np.array([tau - step, tau + step]), instrument, NSIDE, LMAX, 0.0).T
    score = (high - low) / (2 * step)
    design = np.column_stack([np.ones(count), shown])
    left = score - design @ np.linalg.lstsq(design, score, rcond=None)[0]
    assert left.std() < (0.002 if instrument is MASKED else 0.03) * score.std()  # pseudo-power: HEALPix' quadrature


def test_spectra_of_an_e_mode_sky_have_no_b_and_do_not_turn_with_it():
    """On the full sky pseudo-spectra are the spectra themselves, up to what HEALPix' quadrature leaves."""
    healpy = pytest.importorskip("healpy")
    shown = transform_of("spectra", Instrument(isotropic_uk_arcmin=30), Pixels(8, 12, 0.0, 0.06))
    alm = drawn_alm(ee_spectra(np.array([0.06]), 12)[0], np.random.default_rng(1))
    turned = healpy.Rotator(rot=(30, 50, 70)).rotate_alm(np.array([0 * alm, alm, 0 * alm]), lmax=12)[1]
    maps = [healpy.alm2map([0 * one, one, 0 * one], 8, lmax=12)[1:] for one in (alm, turned)]
    e, b = shown(torch.from_numpy(np.array(maps, np.float32))).movedim(1, 0)
    np.testing.assert_allclose(e[0], e[1], atol=0.06)
    assert b.max() < e.min() - 2


def test_a_presentation_turns_the_sky_before_its_noise_and_cuts_it_after():
    header = PROBE.header(SkySettings(1, Sky(nside=NSIDE)))
    how = PROBE._presentation(MASKED, header, None)
    x = torch.randn(6, 2, N, generator=torch.Generator().manual_seed(0))
    turned, _ = how.augment(x, {}, torch.Generator().manual_seed(1))
    assert not torch.equal(turned, x)
    np.testing.assert_allclose(turned.square().sum((1, 2)), x.square().sum((1, 2)), rtol=1e-5)
    shown = how.observe(x, torch.Generator().manual_seed(2))
    seen = torch.from_numpy(seen_pixels(MASKED, NSIDE))
    assert (shown[..., ~seen] == 0).all()
    assert (shown[..., seen] != x[..., seen]).all()
    silent = how.silent().observe(x, torch.Generator().manual_seed(2))
    np.testing.assert_array_equal(silent, x * seen)


# The bank, derivatives, and the config


def test_a_bank_of_noises_is_split_by_realisation():
    bank = Bank(noises=3, instrument=ISOTROPIC)
    plain, banked = SkySettings(1, Sky(nside=NSIDE, maps=12)), SkySettings(1, Sky(nside=NSIDE, maps=12, bank=bank))
    noises = []
    for realisation in (0, 1):
        stored = PROBE.simulate(banked, "sky", realisation)
        noise = stored.x - PROBE.simulate(plain, "sky", realisation).x  # the same skies: their streams are their own
        for i in range(12):
            np.testing.assert_allclose(noise[i], noise[i % 3], atol=1e-6)
        assert len(set(stored.rows["noise"].tolist())) == 3
        noises += list(noise[:3])
    flat = np.array(noises).reshape(6, -1)
    closeness = np.corrcoef(flat)[np.triu_indices(6, 1)]
    assert closeness.max() < 0.9
    assert PROBE._presentation(MASKED, stored.header, None).stored


def test_derivatives_come_from_the_same_sky():
    options = Imnn(simulations=40, derivatives=10, step=0.1)
    fiducial, below, above, step = fisher_skies(Sky(nside=NSIDE), options, 3)
    assert (fiducial.shape, below.shape) == ((40, 2, N), (10, 1, 2, N))
    assert step[0] == pytest.approx(0.1 * 0.07 / np.sqrt(12))
    for low, high in zip(below[:, 0], above[:, 0], strict=True):
        assert np.corrcoef(low.ravel(), high.ravel())[0, 1] > 0.99
        assert high.std() > low.std()


def raw(**changes) -> dict:
    study = {
        "study": "s",
        "probe": "reionisation",
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"sky": {"nside": 4}, "stored": {"nside": 4, "bank": {"noises": 2, "instrument": {}}}},
        "networks": {
            "n": {"architecture": "dense", "data": ["sky"], "instrument": {}, "inputs": "spectra", "tests": ["t"]}
        },
        "tests": {"t": {"data": "sky"}},
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        place = study
        for key in way:
            place = place[key]
        place[last] = value
    return study


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data__sky__tau": [0.1, 0.03]}, r"data.sky.tau: found \[0.1, 0.03\]; expected \[low, high\] with 0.01 ≤ low"),
        ({"data__sky__tau": [0.03, 0.5]}, r"data.sky.tau: .*≤ 0.16"),
        ({"networks__n__data": ["sky", "stored"]}, r"networks.n.data: found datasets with stored noise"),
        ({"tests__t__instrument": {"cut_deg": 20}}, r"tests.t.instrument.pixel_uk_arcmin: found 0"),
        ({"tests__t__data": "stored"}, r"tests.t.data: found stored, with stored noise"),
        (
            {"data__faint": {"nside": 4, "tau": [0.03, 0.04]}, "tests__t__data": "faint"},
            r"networks.n.tests: found 't', its τ lies between \[0.03, 0.04\], and the network knows \[0.03, 0.1\]",
        ),
    ],
)
def test_faults_of_the_config_end_in_one_line(changes, line):
    resolve_study(raw(), "s.yaml")
    with pytest.raises(LimelightError, match=line):
        resolve_study(raw(**changes), "s.yaml")


def test_first_rows_that_are_all_of_one_dataset_are_refused():
    """Datasets stand one after the other: the first 500 rows of two of 500 each are those of the first alone."""
    both = {"data__other": {"nside": 4}, "networks__n__data": ["sky", "other"]}
    assert resolve_study(raw(**both, networks__n__training={"max_maps": 501}), "s.yaml")
    assert resolve_study(raw(networks__n__training={"max_maps": 5}), "s.yaml")
    with pytest.raises(LimelightError, match="max_maps: found 500, all of them rows before those of other; expected 0"):
        resolve_study(raw(**both, networks__n__training={"max_maps": 500}), "s.yaml")


# A user's own maps


@pytest.mark.parametrize(
    "instrument", [{"isotropic_uk_arcmin": 60}, {"cut_deg": 20, "pixel_uk_arcmin": 70, "isotropic_uk_arcmin": 40}]
)
def test_maps_in_another_convention_are_doubted(instrument):
    """A wrong sign of U or pixels in nested order make B of E, and τ a tenth too high or low, in healthy-looking maps."""
    study = resolve_study(raw(networks__n__instrument=instrument, tests__t__instrument=instrument), "s.yaml")
    entry, found = study.networks["n"], PROBE.simulate(PROBE.dataset_settings(study, "sky"), "sky", 2)
    record = PROBE.recorder(entry.instrument, found.header).observe
    maps = record(torch.from_numpy(found.x), torch.Generator().manual_seed(1)).numpy()
    ducc0 = pytest.importorskip("ducc0")
    nested = np.empty_like(maps)
    nested[:, :, ducc0.healpix.Healpix_Base(4, "RING").ring2nest(np.arange(pixels_of(4)))] = maps
    noisy = maps + np.random.default_rng(0).normal(0, 0.1, maps.shape).astype(np.float32)
    for sound in (maps, maps[:1], maps[7:8]):
        assert PROBE.doubts(entry, entry.instrument, found.header, sound) == []
    for wrong in (maps * np.float32([[1], [-1]]), nested, noisy, maps * 1e-6):
        (line,) = PROBE.doubts(entry, entry.instrument, found.header, wrong)
        assert "B modes have" in line


# What an IMNN claims


@pytest.mark.parametrize("fresh", [True, False])
def test_long_steps_and_reused_simulations_claim_more_than_there_is(fresh):
    torch.set_num_threads(1)
    sky = Instrument(isotropic_uk_arcmin=60)
    asked = ((1.71,), 1000, 250) if fresh else ((0.43,), 300, 150)
    (row,) = information_by_step(*asked, 1, sky, fresh=fresh)
    assert row["small_step"] < 1.02  # what it really has
    if fresh:  # a long step
        assert row["fresh"] > 1.15 * row["small_step"]
    else:
        assert row["claimed"] > 1.1
        assert row["fresh"] < 1.02
