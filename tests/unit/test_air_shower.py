"""Air showers: noise against its spectrum, detectors against closed forms, rows against what the config asks for."""

import numpy as np
import pytest
import torch
from scipy import stats

from limelight.errors import LimelightError
from limelight.evaluation.roc import auc, efficiency, efficiency_error, rate_error, threshold_at
from limelight.networks import build
from limelight.probe import load_probe
from limelight.probes.air_shower.arrays import peak_times
from limelight.probes.air_shower.config import Station
from limelight.probes.air_shower.detectors import bank_statistics, make_bank, threshold_statistic
from limelight.probes.air_shower.noise import covariance, noise_of, spectrum
from limelight.probes.air_shower.pulses import TRANSIENTS, pulses, transients
from limelight.section import plain
from limelight.study.config import resolve_study

PROBE = load_probe("air_shower")
STATION = plain(Station())
SAMPLES = 128
PRIOR = {"samples": SAMPLES, "snr": [1.0, 5.0], "slope_mhz": [30.0, 300.0], "window": [0.25, 0.75]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_pulses(snr: np.ndarray, seed: int) -> torch.Tensor:
    """Pulses of PRIOR with these peaks, by the random numbers of this file."""
    rng = np.random.default_rng(seed)
    f0 = np.exp(rng.uniform(*np.log(PRIOR["slope_mhz"]), len(snr)))
    arrival = rng.uniform(*PRIOR["window"], len(snr)) * SAMPLES
    return torch.from_numpy(
        (snr * rng.choice([-1, 1], len(snr)))[:, None] * pulses(f0, arrival, STATION, SAMPLES)
    ).float()


# Noise


def test_noise_has_the_spectrum_of_the_sky_and_lines_where_they_are():
    station = {**STATION, "lines_mhz": [98.0], "lines_power": 0.5}
    samples, noise = 512, noise_of({**STATION, "lines_mhz": [98.0], "lines_power": 0.5}, 512)
    traces = noise.draw((6000,), random()).double().numpy()
    assert traces.std() == pytest.approx(1, abs=0.01)
    power = np.mean(np.abs(np.fft.rfft(traces * np.hanning(samples), axis=1)) ** 2, axis=0)
    mhz = np.fft.rfftfreq(samples, 1 / station["sampling_mhz"])
    smooth = (mhz > 60) & (mhz < 190) & (np.abs(mhz - 98) > 4)
    expected = spectrum(mhz, station)
    ratio = power[smooth] / expected[smooth]
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.08)  # of 6000 traces: 1.3 % each, and leakage
    line = power[np.abs(mhz - 98) < 2].sum() / ratio.mean() - expected[np.abs(mhz - 98) < 2].sum()
    analogue = (expected - station["digitiser_k"]).sum()
    assert line / 0.5 == pytest.approx(analogue, rel=0.1)  # a share of the power of all the rest
    assert station["sky_k"] * (100 / 300) ** -2.55 == pytest.approx(
        spectrum(np.array([100.0]), station)[0] - 320, rel=1e-3
    )


def test_whitened_noise_is_white():
    noise = noise_of(STATION, SAMPLES)
    white = noise.whitened(noise.draw((20_000,), random())).double().numpy()
    np.testing.assert_allclose(np.cov(white.T), np.eye(SAMPLES), atol=6 * np.sqrt(2 / 20_000))
    factor = noise.factor.double().numpy()
    np.testing.assert_allclose(factor @ factor.T, covariance(STATION, SAMPLES), atol=1e-5)


# Pulses


def test_pulses_arrive_when_they_are_told_to_and_fall_with_their_slope():
    found = pulses(np.array([50.0, 50.0, 300.0]), np.array([40.0, 60.5, 40.0]), STATION, SAMPLES)
    np.testing.assert_allclose(np.abs(found).max(axis=1), 1)
    time = np.broadcast_to(np.arange(SAMPLES), found.shape).astype(float)
    np.testing.assert_allclose(peak_times(found, time), [40, 60.5, 40], atol=0.1)
    mhz = np.fft.rfftfreq(SAMPLES, 1 / STATION["sampling_mhz"])
    steep, flat = (np.abs(np.fft.rfft(found[i])) for i in (0, 2))
    inside = (mhz > 70) & (mhz < 170)
    slope = np.polyfit(mhz[inside], np.log(steep / flat)[inside], 1)[0]
    assert slope == pytest.approx(-1 / 50 + 1 / 300, rel=1e-3)
    np.testing.assert_allclose(found[0, 41:60], -found[0, 39:20:-1], atol=1e-6)  # bipolar: odd about its arrival


@pytest.mark.parametrize("kind", TRANSIENTS)
def test_transients_keep_to_the_band(kind):
    found = transients([kind] * 20, np.full(20, 256.0), STATION, 512, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(found).max(axis=1), 1)
    power = np.mean(np.abs(np.fft.rfft(found, axis=1)) ** 2, axis=0)
    mhz = np.fft.rfftfreq(512, 1 / STATION["sampling_mhz"])
    assert power[(mhz > 40) & (mhz < 220)].sum() > 0.98 * power.sum()
    early = np.sum(found[:, :150] ** 2) / np.sum(found**2)
    assert early < 0.03


# Detectors


def test_the_roc_of_one_known_pulse_is_the_q_function():
    noise, count = noise_of(STATION, SAMPLES), 40_000
    template = torch.from_numpy(pulses(np.array([100.0]), np.array([64.3]), STATION, SAMPLES)).float()
    white = noise.whitened(template)[0]
    power = float(white @ white)
    quiet = noise.whitened(noise.draw((count,), random(1))) @ white
    loud = noise.whitened(noise.draw((count,), random(2)) + 1.2 * template) @ white
    rates = np.array([0.3, 0.1, 1e-2, 3e-3])
    found = np.array([efficiency(loud.numpy(), quiet.numpy(), rate) for rate in rates])
    exact = stats.norm.sf(stats.norm.isf(rates) - 1.2 * np.sqrt(power))
    slope = stats.norm.pdf(stats.norm.isf(rates) - 1.2 * np.sqrt(power)) / stats.norm.pdf(stats.norm.isf(rates))
    error = np.sqrt(exact * (1 - exact) / count + slope**2 * rates / count)  # of the pulses, and of the threshold
    assert (np.abs(found - exact) < 4 * error).all()
    area = stats.norm.cdf(1.2 * np.sqrt(power / 2))
    assert auc(loud.numpy(), quiet.numpy()) == pytest.approx(area, abs=0.005)


def test_the_likelihood_ratio_of_a_bank_of_one_template_is_that_of_the_template():
    noise = noise_of(STATION, SAMPLES)
    narrow = {**PRIOR, "snr": [2.999, 3.001], "slope_mhz": [99.9, 100.1], "window": [0.5, 0.5 + 1 / 3 / SAMPLES]}
    bank = make_bank(noise, STATION, narrow)
    traces = noise.draw((50,), random(3)) + 3 * drawn_pulses(np.ones(50), 0)
    _, found = bank_statistics(traces, noise, bank)
    pulse = pulses(np.array([100.0]), np.array([64 + 1 / 6]), STATION, SAMPLES)[0]
    inverse = np.linalg.inv(covariance(STATION, SAMPLES))
    match, power = traces.double().numpy() @ inverse @ pulse, pulse @ inverse @ pulse
    exact = np.logaddexp(3 * match, -3 * match) - np.log(2) - 4.5 * power
    np.testing.assert_allclose(found.numpy(), exact, atol=0.02)


def test_no_detector_beats_the_likelihood_ratio_in_gaussian_noise():
    """The ROC of threshold, matched filter and an untrained and a trained network, on pulses of the prior."""
    noise, bank = noise_of(STATION, SAMPLES), make_bank(noise_of(STATION, SAMPLES), STATION, PRIOR)
    count, snr = 4000, np.random.default_rng(4).uniform(*PRIOR["snr"], 4000)
    quiet = noise.draw((count,), random(5))
    loud = noise.draw((count,), random(6)) + drawn_pulses(snr, 7)
    scores = [(threshold_statistic(x), *bank_statistics(x, noise, bank), toy_network(noise)(x)) for x in (quiet, loud)]
    below, above = (np.stack([one.numpy() for one in each]) for each in scores)
    best = auc(above[2], below[2])
    rates = (0.3, 0.1, 0.03, 0.01)
    for i in (0, 1, 3):
        assert auc(above[i], below[i]) < best + 1e-3
        for rate in rates:
            limit = efficiency(above[2], below[2], rate)
            assert efficiency(above[i], below[i], rate) < limit + 3 * np.sqrt(0.25 / count)
    assert auc(above[3], below[3]) > auc(above[0], below[0])  # the network learnt something: the test can fail
    assert best > auc(above[0], below[0]) + 0.02
    fine = make_bank(noise, STATION, PRIOR, per_sample=6, slopes=9)
    pair = (bank_statistics(x[:1500], noise, fine)[1].numpy() for x in (loud, quiet))
    assert auc(*pair) == pytest.approx(auc(above[2, :1500], below[2, :1500]), abs=2e-3)  # the bank is fine enough


def test_the_network_of_traces_can_be_the_bank_of_matched_filters():
    """With templates as its filters, and told the window (by 8 nats), it is within 0.008 of the likelihood ratio's area.

    What it lacks is that the noise is whitened from less of the past at the beginning of a trace than later.
    """
    noise, kernel = noise_of(STATION, SAMPLES), 48
    module = build("traces", {"filters": 15, "kernel": kernel, "context": 1, "dense": 1}, (1, SAMPLES), (2,))
    slopes, arrivals = np.repeat([35.0, 65.0, 100.0, 160.0, 260.0], 3), 64 + np.tile([0, 1 / 3, 2 / 3], 5)
    every = noise.whitened(torch.from_numpy(pulses(slopes, arrivals, STATION, SAMPLES)).float())
    with torch.no_grad():
        near = every[:, 64 - kernel // 2 : 64 + kernel // 2]
        module.filters.weight.copy_(near / near.norm(dim=1, keepdim=True) / np.sqrt(2))
        module.place[..., :4] = module.place[..., 13:] = -1.0
    bank, count = make_bank(noise, STATION, PRIOR), 6000
    snr = np.random.default_rng(4).uniform(*PRIOR["snr"], count)
    traces = noise.draw((count,), random(5)), noise.draw((count,), random(6)) + drawn_pulses(snr, 7)
    with torch.no_grad():
        below, above = (module(noise.whitened(x)[:, None])[:, 1].numpy() for x in traces)
    exact = auc(*(bank_statistics(x, noise, bank)[1].numpy() for x in reversed(traces)))
    assert exact - 0.008 < auc(above, below) < exact + 1e-3


@pytest.mark.parametrize("samples", [61, 64])
def test_the_network_of_traces_finds_a_pulse_wherever_it_stands(samples):
    """The squares are those of a plain correlation, also at the ends, and where samples are no multiple of four."""
    module = build("traces", {"filters": 3, "kernel": 6}, (1, samples), (2,))
    x = torch.randn(2, 1, samples, generator=random(1))
    found = module.squares(x).flatten(1, 2)[:, :samples]
    padded = torch.nn.functional.pad(x, (2, 3))
    expected = torch.nn.functional.conv1d(padded, module.filters.weight[:, None]).square()
    torch.testing.assert_close(found, expected.transpose(1, 2))
    assert module(x).shape == (2, 2)


def toy_network(noise):
    """A small network trained on stronger pulses, as a function of traces."""
    torch.manual_seed(0)
    module = build("traces", {"filters": 8, "context": 8, "dense": 8}, (1, SAMPLES), (2,))
    optimizer, rng = torch.optim.Adam(module.parameters(), 5e-3), random(8)
    for step in range(120):
        snr = np.random.default_rng(step).uniform(3, 8, 128) * (np.arange(128) % 2)
        x = noise.draw((128,), rng) + drawn_pulses(snr, step)
        loss = torch.nn.functional.cross_entropy(module(x[:, None]), torch.arange(128) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def score(x):
        outputs = module(x[:, None])
        return outputs[:, 1] - outputs[:, 0]

    return score


def test_a_threshold_is_exceeded_at_its_rate_and_few_traces_set_none():
    scores = np.random.default_rng(0).permutation(100_000).astype(float)
    assert np.mean(scores > threshold_at(scores, 1e-3)) == pytest.approx(1e-3, abs=1.1e-5)
    assert threshold_at(scores[:5000], 1e-3) == np.inf
    assert np.isnan(efficiency(scores, scores[:5000], 1e-3))


def test_errors_of_efficiency_and_rate_are_their_scatter():
    """Gaussian scores, 2 apart, thresholds of one in a hundred from 2000: 300 sets of them."""
    rng, found, rates, told = np.random.default_rng(3), [], [], []
    for _ in range(300):
        negative, positive = rng.normal(0, 1, 2000), rng.normal(2, 1, 400)
        found.append(efficiency(positive, negative, 0.01))
        rates.append(stats.norm.sf(threshold_at(negative, 0.01)))
        told.append(efficiency_error(positive, negative, 0.01))
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(found), rel=0.15)
    assert rate_error(2000, 0.01) == pytest.approx(np.std(rates), rel=0.15)
    assert np.std(found) > 1.5 * np.sqrt(0.37 * 0.63 / 400)  # the threshold's scatter counts
    assert np.isnan(efficiency_error(positive, negative, 1e-3))


def test_networks_on_traces_say_what_they_take():
    with pytest.raises(LimelightError, match="one axis, time"):
        build("traces", {}, (1, 8, 8), (2,))
    with pytest.raises(LimelightError, match="kernel"):
        build("traces", {"kernel": 1}, (1, 64), (2,))


# A study


def study_of(**changes):
    found = {
        "study": "tiny",
        "probe": "air_shower",
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"traces": {"samples": SAMPLES, "rows": 200}},
        "training": {"epochs": 2, "batch_size": 32, "loss": "cross_entropy"},
        "networks": {"n": {"architecture": "traces", "data": ["traces"], "curriculum": {"lift": 3, "over": 0.5}}},
        "tests": {"t": {"data": "traces"}},
        "audit": {"networks": "none"},
    }
    for key, value in changes.items():
        place, (*path, last) = found, key.split("__")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return resolve_study(found, "tiny.yaml")


def test_the_curriculum_lifts_pulses_and_lets_them_down():
    study = study_of()
    network, settings = study.networks["n"], PROBE.dataset_settings(study, "traces")
    rows = PROBE.simulate(settings, "traces", 0)
    how = PROBE.presentation(network, {}, rows.header)
    x, y = torch.from_numpy(rows.x), {name: torch.from_numpy(values) for name, values in rows.y.items()}
    for share, lift in ((0.0, 3.0), (0.25, 1.5), (0.5, 0.0), (0.9, 0.0)):
        shown, told = how.at(share).augment(x, y, random())
        expected = np.where(rows.y["shower"] == 1, rows.y["snr"] + lift, 0)
        np.testing.assert_allclose(shown.abs().amax(dim=(1, 2)).numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(told["snr"].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(how.unaltered().augment(x, y, random())[0].abs(), x.abs())
    assert how.observe(torch.zeros(200, 1, SAMPLES), random()).var() == pytest.approx(1, abs=0.03)  # whitened
    how = how.bare()
    noisy = how.observe(torch.zeros(200, 1, SAMPLES), random())
    assert noisy.std() == pytest.approx(1, abs=0.03)
    assert how.silent().observe(x, random()).equal(x)


def test_rows_hold_pulses_transients_and_nothing_in_their_shares():
    study = study_of(data__traces__transients=["sparks", "chirp"], data__traces__rows=4000)
    rows = PROBE.simulate(PROBE.dataset_settings(study, "traces"), "traces", 0)
    peak, shower = np.abs(rows.x).max(axis=(1, 2)), rows.y["shower"] == 1
    assert shower.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(peak[shower], rows.y["snr"][shower], rtol=1e-5)
    assert np.mean(peak[~shower] == 0) == pytest.approx(0.5, abs=0.04)
    busy = peak[~shower & (peak > 0)]
    assert stats.kstest(np.log(busy / 3) / np.log(10 / 3), "uniform").pvalue > 1e-3
    assert stats.kstest((peak[shower] - 1) / 4, "uniform").pvalue > 1e-3
    again = PROBE.simulate(PROBE.dataset_settings(study, "traces"), "traces", 0)
    np.testing.assert_array_equal(again.x, rows.x)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data__traces__snr", [5, 1], "data.traces.snr"),
        ("data__traces__window", [0.2, 1.2], "high ≤ 1"),
        ("data__traces__transients", ["thunder"], "data.traces.transients"),
        ("data__traces__array", {}, "networks.n.target.answer"),
        ("station__band_mhz", [50, 300], "half the samples per microsecond"),
        ("networks__n__training", {"loss": "mse"}, "cross_entropy for classes"),
    ],
)
def test_faults_of_a_config_are_one_line(key, value, words):
    with pytest.raises(LimelightError) as caught:
        study_of(**{key: value})
    assert words in str(caught.value)
