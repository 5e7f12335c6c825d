"""The statistics against errors planted with known bias, width and percentiles."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from limelight.evaluation import metrics
from limelight.evaluation.metrics import Judged
from limelight.probes.line_intensity import metrics as line
from limelight.probes.line_intensity.targets import LuminosityTarget
from limelight.text_table import text_table


def planted(bias: float, sigma: float, n: int = 4001) -> tuple[np.ndarray, np.ndarray]:
    """Truths (n, 2) and predictions whose fractional errors are exact quantiles of N(bias, sigma): no sampling noise."""
    quantiles = (np.arange(n) + 0.5) / n
    errors = bias + sigma * norm.ppf(quantiles)
    truth = np.geomspace(1, 1e4, n)[:, None] * np.array([1.0, 30.0])
    return truth * (1 + errors[:, None]), truth


def summarise(predicted: np.ndarray, truth: np.ndarray, constant: np.ndarray):
    """All statistics of counts (m, bins) that are their own targets, beside a constant (bins,)."""
    target = LuminosityTarget("dn", "none", tuple(4.0 + np.arange(truth.shape[1] + 1)))
    y = {"n_above": np.zeros((len(truth), 1)), "volume_mpc3": np.ones(len(truth))}
    found = Judged(SimpleNamespace(target=target), None, y, predicted, truth, constant, predicted, truth, constant, y)
    return metrics.judge(found, line.line_metrics)


@pytest.mark.parametrize(("bias", "sigma"), [(0.0, 0.1), (0.2, 0.05), (-0.1, 0.3)])
def test_gaussian_errors_give_back_their_bias_width_and_percentiles(bias, sigma):
    result = line.fractional_statistics(*planted(bias, sigma))
    assert result["n_used"] == pytest.approx([4001, 4001])
    for name, expected in {
        "bias_mean": bias,
        "bias_median": bias,
        "scatter": sigma,
        "variance": sigma**2 + bias**2,  # about the truth
        "std": np.hypot(sigma, bias),
        "two_sigma_lower": -2 * np.hypot(sigma, bias),
        "two_sigma_upper": 2 * np.hypot(sigma, bias),
        "p2.5": bias - 1.959964 * sigma,
        "p16": bias - 0.994458 * sigma,
        "p84": bias + 0.994458 * sigma,
        "p97.5": bias + 1.959964 * sigma,
    }.items():
        assert result[name] == pytest.approx(np.full(2, expected), abs=3e-3 * sigma), name


def test_bins_without_sources_are_left_out_and_counted():
    truth = np.array([[10.0, 0.0, 0.0], [20.0, 4.0, 0.0], [40.0, 0.0, 0.0]])
    predicted = np.array([[11.0, 5.0, 1.0], [18.0, 5.0, 0.0], [40.0, 1.0, 2.0]])
    result = line.fractional_statistics(predicted, truth)
    assert result["n_used"].tolist() == [3, 1, 0]
    assert result["bias_mean"][:2] == pytest.approx([0.0, 0.25])
    assert result["bias_median"][0] == 0.0
    assert result["std"][0] == pytest.approx(np.sqrt(0.02 / 3))
    assert np.isnan([values[2] for name, values in result.items() if name != "n_used"]).all()


def test_spread_ratio_and_r_squared_of_known_predictors():
    truth = np.random.default_rng(1).normal(3, 0.5, (200, 4))
    constant = np.tile(truth.mean(axis=0), (200, 1))
    assert metrics.spread_ratio(truth, truth) == pytest.approx(np.ones(4))
    assert metrics.r_squared(truth, truth) == pytest.approx(np.ones(4))
    assert metrics.spread_ratio(constant, truth) == pytest.approx(np.zeros(4), abs=1e-12)
    assert metrics.r_squared(constant, truth) == pytest.approx(np.zeros(4), abs=1e-12)
    shrunk = constant + 0.3 * (truth - constant)
    assert metrics.spread_ratio(shrunk, truth) == pytest.approx(np.full(4, 0.3))
    assert metrics.r_squared(shrunk, truth) == pytest.approx(np.full(4, 1 - 0.7**2))
    shuffled = truth[::-1]  # the right spread, the wrong maps
    assert metrics.spread_ratio(shuffled, truth) == pytest.approx(np.ones(4))
    assert (metrics.r_squared(shuffled, truth) < -0.5).all()
    assert np.isnan(metrics.spread_ratio(truth, np.ones_like(truth))).all()


def test_gain_over_the_training_mean():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 1, (50_000, 3))
    predicted = truth + rng.normal(0, 0.1, truth.shape)
    bins, totals = metrics.squared_errors(predicted, truth, np.zeros(3), "target")
    assert bins["mse_target"] == pytest.approx(np.full(3, 0.01), rel=0.05)
    assert bins["gain_target"] == pytest.approx(np.full(3, 100), rel=0.05)
    assert totals["gain_target"] == pytest.approx(100, rel=0.03)
    mean_itself = np.zeros_like(truth)
    assert metrics.squared_errors(mean_itself, truth, np.zeros(3), "target")[1]["gain_target"] == 1.0


def test_the_two_dex_scales_by_hand():
    assert line.log10_1p([0, 9, 99, -3]) == pytest.approx([0, 1, 2, 0])
    assert line.log10_or_zero([0, 0.5, 1, 10, 1000, -3]) == pytest.approx([0, 0, 0, 1, 3, 0])
    counts, truth = np.array([[9.0, 99.0]]), np.array([[99.0, 99.0]])
    bins, totals = summarise(counts, truth, np.array([999.0, 0.0]))
    assert bins["mse_dex"] == pytest.approx([1, 0])
    assert bins["mse_dex_notes"] == pytest.approx([np.log10(11) ** 2, 0])
    assert totals["mse_dex"] == pytest.approx(0.5)
    assert totals["mse_mean_dex"] == pytest.approx((1 + 4) / 2)
    assert totals["gain_dex"] == pytest.approx(5)
    assert np.isnan(totals["lowest_spread_ratio_100"])


def test_lowest_spread_ratio_counts_well_filled_bins_only():
    truth = np.array([[90.0, 1.0], [110.0, 3.0]])  # means 100 and 2
    predicted = np.array([[95.0, 2.0], [105.0, 2.0]])
    bins, totals = summarise(predicted, truth, truth.mean(axis=0))
    assert bins["spread_ratio"] == pytest.approx([0.5, 0.0])
    assert totals["lowest_spread_ratio_100"] == pytest.approx(0.5)


def test_a_network_reads_the_map_when_both_gain_and_spread_say_so():
    def totals(gain: float, spread: float) -> dict[str, float]:
        return {"mse_dex": 0.002, "gain_dex": gain, "lowest_spread_ratio_100": spread}

    assert line.reads_the_map(totals(10.0, 0.81))
    for gain, spread in ((9.9, 0.9), (40.0, 0.8), (40.0, float("nan"))):
        assert not line.reads_the_map(totals(gain, spread))
    assert "0.002 dex², 40 times below that of the training mean; lowest spread ratio 0.90" in line.in_words(
        totals(40.0, 0.9)
    )
    assert "no bin holds 100 sources" in line.in_words(totals(40.0, float("nan")))


def test_the_rows_of_a_table_say_whether_the_goal_is_reached():
    def row(spread: float, sigma: float, foregrounds: str = "none") -> dict[str, str]:
        totals = {"mse_dex": 0.00479, "gain_dex": 71.2, "lowest_spread_ratio_100": spread}
        return line.in_columns(totals, {"noise_sigma_uk": [0, sigma], "foregrounds": foregrounds})

    assert row(0.93, 0) == {
        "mse [dex²]": "0.00479",
        "below the training mean": "71.2 ×",
        "lowest spread ratio": "0.93",
        "goal": "reached",
    }
    assert row(0.5, 0)["goal"] == row(float("nan"), 0)["goal"] == "MISSED"
    assert row(0.5, 11)["goal"] == row(0.5, 0, "radio")["goal"] == row(float("nan"), 11)["lowest spread ratio"] == ""


def test_a_text_table_aligns_words_left_and_numbers_right():
    rows = [
        {"network": "limelight", "mse": "0.5", "goal": "reached"},
        {"network": "cnn", "mse": "12.25 ×", "told": "9 %"},
    ]
    assert text_table(rows, "  ").splitlines() == [
        "  network         mse   goal      told",
        "  limelight       0.5   reached      –",
        "  cnn         12.25 ×   –          9 %",
    ]
    assert text_table([]) == ""
