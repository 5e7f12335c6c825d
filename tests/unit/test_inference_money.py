"""The money plot's table, its ideal and point intervals, the calibration table, and the maps an IMNN paints: hand values."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from map_files import GRID, LABELS, make_files, subfields
from scipy import stats

from limelight.data.axes import OutputAxis
from limelight.data.shard import open_shard, read_shards
from limelight.data.targets import VectorTarget
from limelight.errors import LimelightError
from limelight.figures.calibration import calibration_figure
from limelight.figures.style import save
from limelight.files import write_csv
from limelight.inference.calibration_table import COLUMNS, calibration_rows, prior_answers
from limelight.inference.intervals import LEVELS, Intervals, quantiles_of
from limelight.probes.line_intensity import money
from limelight.probes.line_intensity import simulations as simulate
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.figures.money import money_figure
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.settings import LightconeSettings, MapSettings, ShardSettings, SubfieldSettings
from limelight.probes.line_intensity.targets import line_axis, line_target
from limelight.study.posteriors import Imnn

STUDY_GRID = {"freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "channels": 50, "size_deg": 1.4, "pixels": 128}
FIDUCIAL = {"model": "li", "prior": "fiducial", "parameters": {}, "name": "li_fiducial"}


def intervals(
    draws: np.ndarray, truth: np.ndarray, method: str = "some method", test: str = "t", **settings
) -> Intervals:
    m = len(truth)
    return Intervals(
        method=method,
        test=test,
        settings={"line_model": FIDUCIAL, "noise_sigma_uk": 1.227, **settings},
        axis=line_axis(np.linspace(4, 6, truth.shape[1] + 1)),
        truth=truth,
        quantiles=quantiles_of(draws),
        rows={"group": np.arange(m) % 2, "subfield": np.arange(m), "draw": np.zeros(m, int)},
        seconds=np.zeros(m),
        samples=draws.astype(np.float32),
        extra={"p_value": np.linspace(0.001, 1, m), "predictive_p": np.linspace(0, 1, 2 * m).reshape(m, 2)},
    )


def poisson(m: int = 400, s: int = 300, seed: int = 1) -> Intervals:
    """An honest posterior: rates from a gamma prior, one count seen, the next one asked for."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(3.0, [3.0, 30.0, 300.0], (m, 3))
    seen, truth = rng.poisson(rate), rng.poisson(rate)
    known = rng.gamma(3.0 + seen[:, None], 1 / (1 + 1 / np.array([3.0, 30.0, 300.0])), (m, s, 3))
    return intervals(rng.poisson(known), truth)


def test_rows_have_the_widths_bias_and_coverage_of_a_hand_made_case():
    truth = np.array([[100.0], [200.0], [0.0], [400.0]])
    quantiles = np.array(
        [[50, 90, 110, 120, 150], [150, 180, 220, 260, 300], [0, 0, 0, 1, 2], [404, 420, 440, 480, 500]]
    )
    result = intervals(np.ones((4, 5, 1)), truth)
    result.quantiles = quantiles[:, None].astype(float)
    (row,) = money.interval_rows(result, STUDY_GRID)
    assert row["maps"] == 3
    assert row["lower_95"] == pytest.approx(-0.25)  # of −0.5, −0.25, +0.01
    assert row["upper_95"] == pytest.approx(0.5)  # of 0.5, 0.5, 0.25
    assert row["bias"] == pytest.approx(0.1)
    assert row["width_95"] == pytest.approx(0.75)  # of 1, 0.75, 0.24
    assert row["covered_95"] == pytest.approx(2 / 3)
    assert row["covered_68"] == pytest.approx(2 / 3)
    assert row["error_95"] == pytest.approx(np.sqrt(0.95 * 0.05 / 3))
    assert row["noise_uk_per_paper_voxel"] == pytest.approx(
        1.227 * 8**0.5, rel=1e-12
    )  # eight paper voxels a voxel: 3.47


def test_published_rows_and_equal_noise():
    rows = money.published_rows()
    near = min(rows, key=lambda row: abs(row["luminosity_lsun"] - 9e4))
    assert (near["lower_95"], near["upper_95"]) == (-0.2749, 0.7169)  # the issue's −27/+72 %


def test_point_band_is_read_off_other_light_cones():
    rng = np.random.default_rng(2)
    cones = np.repeat([0, 1, 2], 200)
    truth = np.full((600, 2), 3.0)
    predicted = truth + rng.normal(0, [0.05, 0.2], (600, 2)) * np.where(cones == 0, 2, 1)[:, None]
    evaluation = SimpleNamespace(
        network="n", test="t", settings={}, target={"quantity": "dn", "transform": "log10_1p"}, truth=10**truth - 1,
        axis=line_axis([4.0, 5, 6]), predicted_target=predicted, truth_target=truth,
        rows={"group": cones, "subfield": np.arange(600), "draw": np.arange(600)},
    )  # fmt: skip
    result = money.point_intervals(evaluation)
    width = np.log10(1 + result.quantiles[..., 4]) - np.log10(1 + result.quantiles[..., 2])
    np.testing.assert_allclose(width[cones == 0].mean(axis=0), 1.96 * np.array([0.05, 0.2]), rtol=0.1)
    both = np.sqrt((1 + 4) / 2)
    np.testing.assert_allclose(width[cones == 1].mean(axis=0), 1.96 * both * np.array([0.05, 0.2]), rtol=0.1)
    inside = (result.quantiles[..., 0] <= result.truth) & (result.truth <= result.quantiles[..., 4])
    assert inside[cones == 0].mean() == pytest.approx(2 * stats.norm.cdf(0.98) - 1, abs=0.06)
    evaluation.target["quantity"] = "phi"
    with pytest.raises(LimelightError, match="counts per bin"):
        money.point_intervals(evaluation)


def fiducial_settings() -> ShardSettings:
    dataset = MapDataset(model="li", prior="fiducial", draws=1)
    cone = LightconeSettings(1, None, None, GRID.freq_min_ghz, GRID.freq_max_ghz, GRID.rest_freq_ghz)
    return ShardSettings(
        MapSettings(SubfieldSettings(cone, None), GRID, LABELS, "li_fiducial", dataset, None), GRID, 0.0
    )


def test_the_ideal_scatters_as_independent_halos_do(tmp_path, monkeypatch):
    _, shard = make_files(tmp_path, 3, settings=MapDataset(model="li", prior="fiducial", draws=1), name="li_fiducial")
    table, halos = subfields(3)
    monkeypatch.setattr(money, "read_subfields", lambda path: table)
    monkeypatch.setattr(money, "read_subfield_halos", lambda path: halos)
    result = money.ideal_intervals(["any"], read_shards([shard]), fiducial_settings(), maps=10, draws=400)
    values = {name: mean for name, (mean, _) in get_model("li").parameters.items()}
    model, width = get_model("li"), np.hypot(values["sigma_sfr"] / values["alpha"], values["sigma_lco"])
    part = halos[0][1]
    quiet = {**values, "sigma_sfr": 1e-9, "sigma_lco": 1e-9}
    shift = -np.log(10) / 2 * (values["sigma_sfr"] ** 2 / values["alpha"] + values["sigma_lco"] ** 2)
    middle = model.log10_luminosity(part.mass_msun, part.redshift, quiet, np.random.default_rng(0)) + shift
    edges = np.array(result.axis.edges)
    p = np.diff(stats.norm.cdf((edges - middle[:, None]) / width), axis=1)
    mean, variance = p.sum(axis=0), (p * (1 - p)).sum(axis=0)
    found = result.samples[0]
    assert np.abs((found.mean(axis=0) - mean) / np.sqrt(variance / 400 + 1e-9))[mean > 5].max() < 4.5
    np.testing.assert_allclose(found.var(axis=0)[mean > 20], variance[mean > 20], rtol=0.35)
    truth_z = (result.truth[0] - mean)[mean > 5] / np.sqrt(variance[mean > 5])
    assert np.abs(truth_z).max() < 5


@pytest.mark.parametrize("name", ["li", "comap", "breysse"])
def test_scatter_drawn_anew_is_the_line_models_own(name):
    """The same moments and counts, whether the model is taken apart or asked as it is."""
    halos = subfields(3)[1][0][1]
    model = get_model(name)
    values = {key: mean for key, (mean, _) in get_model(name).parameters.items()}
    edges = np.linspace(3.5, 7, 8)
    again = money._scatterer(model, halos.mass_msun, halos.redshift, values, edges[0])
    rng = np.random.default_rng(6)
    found = np.array([money.count_above(again(rng), edges) for _ in range(300)])
    asked = [model.log10_luminosity(halos.mass_msun, halos.redshift, values, rng) for _ in range(300)]
    expected = np.array([money.count_above(lum, edges) for lum in asked])
    error = np.sqrt((found.var(axis=0) + expected.var(axis=0)) / 300) + 1e-9
    assert np.abs((found.mean(axis=0) - expected.mean(axis=0)) / error).max() < 4.5
    filled = expected.mean(axis=0) > 20
    np.testing.assert_allclose(found.std(axis=0)[filled], expected.std(axis=0)[filled], rtol=0.3)


def test_fisher_maps_share_everything_but_the_parameter(monkeypatch):
    table, halos = subfields(3)
    monkeypatch.setattr(simulate, "read_subfields", lambda path: table)
    monkeypatch.setattr(simulate, "read_subfield_halos", lambda path: halos)
    options = Imnn.model_construct(simulations=4, derivatives=4, step=0.1)
    line_model = MapDataset(model="li", prior="10%")
    fiducial, below, above, step = simulate.fisher_maps(["a"], line_model, GRID, 0.0, options, 9)
    assert fiducial.shape == (4, *GRID.pooled_shape)
    assert below.shape == above.shape == (4, 5, *GRID.pooled_shape)
    np.testing.assert_allclose(step, 0.01 * np.array([0.3, 0.37, 3.74, 0.1, 0.1]))
    beta = list(get_model("li").parameters).index("beta")
    expected = 10 ** (-2 * step[beta] / 1.37)  # log10 L = (… − β)/α with the same scatter
    filled = below[:, beta] > 0
    np.testing.assert_allclose((above[:, beta] / np.where(filled, below[:, beta], 1))[filled], expected, rtol=1e-4)
    assert not np.array_equal(fiducial[0], fiducial[1])
    same = simulate.fisher_maps(["a"], line_model, GRID, 0.0, options, 9)
    assert np.array_equal(same[1], below)


def test_calibration_table_of_an_honest_posterior(tmp_path):
    result = poisson()
    rng = np.random.default_rng(5)
    prior = rng.poisson(rng.gamma(3.0, [3.0, 30.0, 300.0], (4000, 3)))
    alpha = rng.normal(size=(400, 1))
    seen = alpha + rng.normal(size=(400, 1))
    result.parameters, result.parameter_names = alpha, ["alpha"]
    result.parameter_samples = seen[:, None] / 2 + rng.normal(0, 0.5**0.5, (400, 300, 1))
    rows, arrays = calibration_rows(result, prior, 7)
    (parameter,) = (row for row in rows if row["bin"] == "alpha")
    assert abs(parameter["covered_68"] - 0.68) < 4 * parameter["error_68"]
    assert parameter["rank_p"] > 1e-3
    for row in rows[:3]:
        assert abs(row["covered_95"] - 0.95) < 4 * row["error_95"]
        assert row["gain_nats"] > 0.1
        assert row["crps"] < row["prior_crps"]
    joint = next(row for row in rows if row["bin"] == "joint")
    assert abs(joint["covered_68"] - 0.68) < 4 * joint["error_68"]
    shares = {row["bin"]: row["covered_95"] for row in rows if str(row["bin"]).startswith(("usual", "predictive"))}
    assert shares["usual at 0.05"] == pytest.approx(0.95, abs=0.01)
    assert shares["predictive 0"] == pytest.approx(0.95, abs=0.01)
    write_csv(tmp_path / "c.csv", rows, 5, COLUMNS)
    with open(tmp_path / "c.csv", newline="") as file:
        assert [row["bin"] for row in csv.DictReader(file)] == [str(row["bin"]) for row in rows]
    save(calibration_figure(rows, arrays, result, "a title"), tmp_path / "c.csv")
    again = calibration_rows(result, prior, 7)[0]
    assert again == rows


def test_a_test_of_a_single_map_has_no_tarp(tmp_path, capsys):
    several = poisson()
    one = intervals(several.samples[:1], several.truth[:1])
    rows, arrays = calibration_rows(one, np.ones((10, 3)), 7)
    assert np.isnan(next(row for row in rows if row["bin"] == "tarp")["covered_95"])
    assert "TARP says nothing" in capsys.readouterr().err
    save(calibration_figure(rows, arrays, one, "a title"), tmp_path / "c.csv")


def test_a_method_without_draws_gets_its_intervals_judged():
    result = poisson()
    result.samples = None
    rows, arrays = calibration_rows(result, np.ones((10, 3)), 7)
    assert arrays == {}
    assert rows[2]["interval_covered_95"] == pytest.approx(0.95, abs=0.04)


def test_the_money_table_and_its_verdicts(tmp_path):
    honest = poisson()
    wide = poisson()
    wide.method, wide.quantiles = (
        "the rival (MCMC)",
        np.maximum(wide.quantiles + (wide.quantiles - wide.quantiles[..., 2:3]), 0),
    )
    rows = money.money_table([honest, wide], STUDY_GRID)
    lines = money.verdicts(rows, least_count=5)
    assert "some method: " in lines[0]
    assert "narrower than the rival in 3 of 3" in lines[0]
    save(money_figure(rows, honest.axis), tmp_path / "m.csv")
    assert (tmp_path / "m.png").stat().st_size > 10_000
    other = poisson()
    few = poisson(m=40)
    few.method, few.rows = "rival li: P(k) + VID", {name: values[:40] for name, values in honest.rows.items()}
    few.truth, few.samples = honest.truth[:40], honest.samples[:40]
    middle = honest.quantiles[:40, :, 2:3]
    few.quantiles = middle + 1.01 * (honest.quantiles[:40] - middle)  # a little wider than the other's on the same maps
    rows = money.money_table([honest, few], STUDY_GRID)
    assert "narrower than the rival in 3 of 3" in money.verdicts(rows, 5)[0]
    assert [row["shared_maps"] for row in rows[:3]] == [row["maps"] for row in rows[3:6]]
    np.testing.assert_allclose([1.01 * row["shared_width_95"] for row in rows[:3]], [r["width_95"] for r in rows[3:6]])
    other.rows = {**other.rows, "draw": other.rows["draw"] + 1}
    with pytest.raises(LimelightError, match="different maps"):
        money.money_table([honest, other], STUDY_GRID)


def test_coverage_by_ranks_is_right_where_sources_are_few():
    """Rates of a tenth: intervals with their edges hold far more than they promise, ranks do not."""
    rng = np.random.default_rng(4)
    rate = rng.gamma(3.0, 0.03, (4000, 1))
    result = intervals(rng.poisson(rng.gamma(3.0, 0.03, (4000, 200, 1))), rng.poisson(rate))
    slim = money.without_draws(result)
    assert slim.samples is None
    (row,) = money.interval_rows(slim, STUDY_GRID)
    assert row["rank_covered_95"] == pytest.approx(0.95, abs=0.015)
    assert row["rank_covered_68"] == pytest.approx(0.68, abs=0.03)
    assert "rank_covered_95" not in money.interval_rows(result, STUDY_GRID)[0]


def test_prior_answers_are_the_labels_of_shards(tmp_path):
    _, shard = make_files(tmp_path)
    data = read_shards([shard])
    found = prior_answers([shard, shard], line_target("dn", "log10_1p", (), data.header))
    np.testing.assert_array_equal(found[: len(data)], -np.diff(data.y["n_above"][:, :50], axis=1))
    assert len(found) == 2 * len(data)
    with open_shard(shard) as file:
        volume = file["y/volume_mpc3"][...]
    alone = VectorTarget("volume_mpc3", OutputAxis("volume", names=("v",)), (1,))
    np.testing.assert_array_equal(prior_answers([shard], alone), volume)
    assert len(LEVELS) == len(money.SIGMAS)
    np.testing.assert_allclose(stats.norm.ppf(LEVELS), money.SIGMAS, atol=1e-5)


def test_answers_that_are_no_counts_are_judged_as_they_are():
    """Parameters of an exact Gaussian posterior: covered, in their own units, under their own names."""
    rng = np.random.default_rng(11)
    truth = rng.normal(0, [1, 10], (400, 2))
    seen = truth + rng.normal(0, [1, 10], (400, 2))
    draws = seen[:, None] / 2 + rng.normal(0, [0.5**0.5, 10 * 0.5**0.5], (400, 300, 2))
    result = intervals(draws, truth)
    result.axis, result.counts = OutputAxis("parameter", names=("amplitude", "slope")), False
    rows, arrays = calibration_rows(result, rng.normal(0, [1, 10], (4000, 2)), 7)
    assert [row["output"] for row in rows[:2]] == ["amplitude", "slope"]
    assert arrays["filled"].all()
    for row, unit in zip(rows, (1, 10), strict=False):
        assert abs(row["covered_68"] - 0.68) < 4 * row["error_68"]
        assert row["width_95"] == pytest.approx(2 * 1.96 * unit * 0.5**0.5, rel=0.05)
        assert row["crps"] == pytest.approx(unit * 0.5**0.5 / np.pi**0.5, rel=0.1)  # σ/√π of an honest Gaussian
        assert row["gain_nats"] == pytest.approx(0.5 * np.log(2), abs=0.1)  # of a Gaussian channel
