"""Figures of several networks: they draw, show the numbers of their evaluations, and refuse what does not fit together."""

import dataclasses

import numpy as np
import pytest
from evaluation_toys import EDGES, VOLUME, network
from matplotlib.collections import PolyCollection
from PIL import Image
from test_figures import legend_words

from limelight import figures
from limelight.data.axes import OutputAxis
from limelight.errors import LimelightError
from limelight.figures.style import save
from limelight.probes.line_intensity import FIGURES as LINE_FIGURES
from limelight.probes.line_intensity.figures import EACH_NETWORK
from limelight.probes.line_intensity.figures.common import in_quantity
from limelight.probes.line_intensity.figures.compare import log_ratio
from limelight.probes.line_intensity.published import MCMC, published_table

COMPARISONS = ["training_histories", *(name for name in LINE_FIGURES if name not in (*EACH_NETWORK, "audit"))]


@pytest.fixture(scope="module")
def several():
    """Three networks on two tests."""
    return [
        network(name, test, sigma, error, training_rows=maps)
        for name, error, maps in (("limelight", 0.02, 1000), ("filters_32", 0.05, 500), ("stalled", 0.2, 12))
        for test, sigma in (("clean", 0.0), ("noisy", 21.4))
    ]


def line(panel, bins=49, index=0):
    """y of the panel's index-th line with a point a bin."""
    return [np.asarray(one.get_ydata(), float) for one in panel.lines if len(one.get_xdata()) == bins][index]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparison_draws_quietly(name, several, tmp_path, recwarn):
    save(figures.draw_figure(name, several[:4]), tmp_path / "a.pdf")
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 5
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


@pytest.mark.parametrize("name", [n for n in COMPARISONS if n not in ("noise_sweep", "map_scaling")])
def test_one_evaluation_of_two_maps_with_empty_bins_still_draws(name, tmp_path, recwarn):
    save(figures.draw_figure(name, [network("limelight", "few", 1.0, 0.1, maps=2)]), tmp_path / "f.pdf")
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


def test_quantities_by_hand():
    e = network("limelight", "clean")
    dn = np.zeros((1, 49))
    dn[0, [0, 1, 48]] = 8, 4, 2
    one = dataclasses.replace(e, rows={**e.rows, "volume_mpc3": np.array([VOLUME])})
    assert in_quantity(one, dn, "n_above")[0, [0, 1, 2, 48]] == pytest.approx([14, 6, 2, 2])
    low, high = 10 ** EDGES[1], 10 ** EDGES[2]
    assert in_quantity(one, dn, "phi")[0, 1] == pytest.approx(4 / (high - low) / VOLUME)
    assert in_quantity(one, dn, "l_phi")[0, 1] == pytest.approx(4 * np.sqrt(low * high) / (high - low) / VOLUME)
    above = dataclasses.replace(one, target={**e.target, "quantity": "n_above"})
    back = in_quantity(above, np.array([[14.0, 6.0] + 46 * [2.0] + [2.0]]), "dn")[0]
    assert back[:3] == pytest.approx([8, 4, 0])
    assert np.isnan(back[-1])  # beyond the last edge nothing is known


def test_ratios_of_logs_are_eq_2_of_the_notes():
    truth, predicted = np.array([1e4, 100.0, 1.0, 0.0]), np.array([2e4, 50.0, 3.0, 1.0])
    y = log_ratio(predicted, truth)
    assert 10 ** (np.log10(truth[:2]) * (y[:2] - 1)) == pytest.approx(predicted[:2] / truth[:2])  # eq. 1, exactly
    assert np.isnan(y[2:]).all()


def test_predictions_show_planted_ratios(several):
    e = several[0]
    twice, same = (
        dataclasses.replace(e, network=name, predicted=f * e.truth) for name, f in (("twice", 1.5), ("same", 1.0))
    )
    figure = figures.draw_figure("compare_predictions", [twice, same], [3])
    top, ratio, logs = figure.axes
    truth = e.truth[3]
    assert np.nan_to_num(line(ratio), nan=1.5) == pytest.approx(np.full(49, 1.5))
    assert line(ratio, index=1)[truth > 0] == pytest.approx(1.0)
    many = truth > 1
    assert line(logs)[many] == pytest.approx(1 + np.log10(1.5) / np.log10(truth[many]))
    assert top.patches[0].get_data().values == pytest.approx(truth)
    assert legend_words(figure) == ["true", "twice", "same"]


def test_a_wild_prediction_does_not_flatten_the_rest(several):
    e = several[0]
    wild = dataclasses.replace(e, network="wild", predicted=np.where(np.arange(49) == 30, 1e30, e.predicted))
    for name, shown in (("compare_predictions", [0]), ("cross_predictions", [0]), ("typical_fits", None)):
        assert figures.draw_figure(name, [wild], shown).axes[0].get_ylim()[1] < 1e9


def test_networks_of_other_quantities_are_shown_in_the_first_ones(several):
    e = several[0]
    above = in_quantity(e, e.truth, "n_above")
    other = dataclasses.replace(
        e, network="n", target={**e.target, "quantity": "n_above"}, predicted=above, truth=above
    )
    ratio = line(figures.draw_figure("compare_predictions", [e, other], [0]).axes[1], index=1)
    shown = np.isfinite(ratio)
    assert shown.sum() > 30
    assert ratio[shown] == pytest.approx(1.0)


def test_a_test_of_another_line_model_has_its_own_column(several):
    other = network("limelight", "padmanabhan", model="padmanabhan")
    axes = figures.draw_figure("compare_predictions", [several[0], other], [0, 1]).axes
    assert [panel.get_title() for panel in axes[:2]] == ["test map 0, li10", "test map 0, padmanabhan"]


def test_bands_are_two_sigma_of_40_maps_and_percentiles_of_all(several):
    e = several[0]
    figure = figures.draw_figure("compare_bands", [e, several[2]])
    few = np.linspace(0, 127, 40).astype(int)
    for panel, chosen in zip(figure.axes, (few, slice(None)), strict=True):
        low, high = line(panel), line(panel, index=1)
        error = e.predicted[chosen, 5] / e.truth[chosen, 5] - 1
        if panel is figure.axes[0]:
            assert (low[5], high[5]) == pytest.approx((-2 * np.sqrt(np.mean(error**2)), 2 * np.sqrt(np.mean(error**2))))
        else:
            assert (low[5], high[5]) == pytest.approx(tuple(np.percentile(error, (2.5, 97.5))))
    assert any("published CNN" in words for words in legend_words(figure))
    assert len(figures.draw_figure("compare_bands", [network("limelight", "clean", maps=40)]).axes) == 1


def test_errors_per_bin_are_those_of_the_evaluation(several):
    left, right = figures.draw_figure("error_per_bin", several[:2]).axes
    enough = several[0].statistics["n_used"] >= 20
    assert line(left)[enough] == pytest.approx(several[0].statistics["std"][enough])
    assert line(right) == pytest.approx(several[0].statistics["rms_dex"])
    assert line(right, index=1) == pytest.approx(np.sqrt(several[0].statistics["mse_mean_dex"]))


def test_typical_fits_are_ranked(several):
    e = several[4]
    error = np.mean((np.log10(1 + e.predicted) - np.log10(1 + e.truth)) ** 2, axis=1)
    titles = [panel.get_title() for panel in figures.draw_figure("typical_fits", [e]).axes]
    assert titles[0].startswith(f"best: map {error.argmin()}, ")
    assert titles[2].startswith(f"worst: map {error.argmax()}, ")
    assert titles[3].startswith(f"fewest bright: map {e.truth[:, 33:].sum(axis=1).argmin()}, ")


def test_histories_say_which_is_validation(several):
    figure = figures.draw_figure("training_histories", several)
    panel = figure.axes[0]
    by_name = {one.get_label(): one for one in panel.lines}
    history = several[0].history
    assert by_name["training"].get_ydata() == pytest.approx(history["train_loss"])
    assert by_name["validation"].get_ydata() == pytest.approx(history["validation_loss"])
    assert (by_name["training"].get_linestyle(), by_name["validation"].get_linestyle()) == ("-", "--")
    assert by_name["validation"].get_markerfacecolor() == "white"
    assert legend_words(figure) == ["training", "validation", "always the training mean"]
    negative = dataclasses.replace(several[0], history={**history, "train_loss": history["train_loss"] - 1})
    scales = [panel.get_yscale() for panel in figures.draw_figure("training_histories", [negative]).axes]
    assert scales == ["linear", "log"]


def test_shapes_and_spreads_are_normalised(several):
    e = several[0]
    left, _ = figures.draw_figure("label_shapes", [e], [2]).axes
    assert line(left)[10] == pytest.approx(e.truth[2, 10:].sum() / e.truth[2].sum())  # N(>L)
    assert line(left, index=2)[10] == pytest.approx(e.truth[2, 10] / e.truth[2, 0])  # dN
    top, bottom = figures.draw_figure("label_spreads", [e]).axes
    mean, std = e.training["mean"], e.training["std"]
    assert line(top, index=1) == pytest.approx((mean + 2 * std) / mean[0])
    assert line(top, index=2) == pytest.approx(mean / mean[0])
    assert line(bottom, index=1) == pytest.approx(1 + 2 * std / mean)


def test_densities_stand_beside_the_published_interval(several):
    left, right = figures.draw_figure("counts_and_densities", several).axes
    e = several[0]
    assert line(left) == pytest.approx(np.median(e.truth, axis=0))
    assert line(right) == pytest.approx(np.median(in_quantity(e, e.truth, "l_phi"), axis=0))
    table = published_table(MCMC)[""]
    lines = [one.get_ydata() for one in right.lines if len(one.get_xdata()) == len(table["l_phi_upper95"])]
    assert lines[-1] == pytest.approx(table["l_phi_upper95"])


def test_units_change_ratios_of_logs_alone(several):
    e = several[0]
    scaled = dataclasses.replace(e, predicted=1.2 * e.truth)
    values, counts, densities = figures.draw_figure("log_ratio_units", [scaled]).axes
    i = 20  # every map has sources there
    assert e.truth[:, i].min() > 1
    assert line(values)[i] == pytest.approx(1.2)
    assert line(counts)[i] == pytest.approx(np.median(1 + np.log10(1.2) / np.log10(e.truth[:, i])))
    density = in_quantity(e, e.truth, "l_phi")[:, i]
    assert line(densities)[i] == pytest.approx(np.median(1 + np.log10(1.2) / np.log10(density)))
    assert line(densities)[i] < 1 < line(counts)[i]  # the density's logarithm is negative


def test_empty_maps_and_cross_predictions(several):
    panel = figures.draw_figure("blank_maps", several).axes[0]
    assert line(panel, index=1) == pytest.approx(0.02)
    axes = figures.draw_figure("cross_predictions", several, [7]).axes
    assert [panel.get_title() for panel in axes[:2]] == ["limelight on clean, map 7", "limelight on noisy, map 7"]
    assert line(axes[1]) == pytest.approx(several[1].training["percentiles"][2])
    assert np.nan_to_num(line(axes[1], index=1)) == pytest.approx(np.maximum(several[1].predicted[7], 0))
    axes = figures.draw_figure("cross_predictions", several[::2], [7, 3]).axes  # a single test: a column a map
    assert [panel.get_title() for panel in axes[:2]] == ["limelight on clean, map 7", "limelight on clean, map 3"]
    assert np.nan_to_num(line(axes[1], index=1)) == pytest.approx(np.maximum(several[0].predicted[3], 0))


def test_matrix_holds_the_totals_and_leaves_untested_pairs_empty(several):
    figure = figures.draw_figure("summary_matrix", several[:-1])
    error, gain, _ = figure.axes
    for panel, key in ((error, "mse_dex"), (gain, "gain_dex")):
        cells = {text.get_position(): text.get_text() for text in panel.texts}
        assert len(cells) == 5
        assert float(cells[1, 0]) == pytest.approx(several[1].totals[key], rel=0.1)
        assert all(len(words) <= 5 for words in cells.values())
    assert [label.get_text() for label in error.get_yticklabels()] == ["limelight", "filters 32", "stalled"]


def test_sweeps_show_error_against_noise_and_maps(several):
    left, _ = figures.draw_figure("noise_sweep", several).axes
    assert left.lines[0].get_ydata() == pytest.approx([e.totals["mse_dex"] for e in several[:2]])
    assert left.lines[0].get_xdata() == pytest.approx([0, 21.4 * np.sqrt(8)])
    (panel,) = figures.draw_figure("map_scaling", several).axes
    assert list(panel.lines[0].get_xdata()) == [12, 500, 1000]
    assert panel.lines[0].get_ydata() == pytest.approx([e.totals["mse_dex"] for e in several[4::-2]])


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("noise_sweep", {"noise_sigma_uk": 0.0}, "one noise level"),
        ("noise_sweep", {"noise_sigma_uk": [0.0, 3.0]}, "drawn from a range"),
        ("map_scaling", {"training_rows": 500}, "500 in all"),
        ("map_scaling", {"training_rows": 0}, "does not say"),
    ],
)
def test_sweeps_refuse_what_does_not_vary(name, change, says, several):
    alike = [dataclasses.replace(e, settings=e.settings | change) for e in several]
    with pytest.raises(LimelightError, match=says):
        figures.draw_figure(name, alike)


def test_too_much_for_one_figure_is_refused(several):
    tests = [dataclasses.replace(several[0], test=f"t{i}") for i in range(5)]
    for name in ("compare_bands", "cross_predictions"):
        with pytest.raises(LimelightError, match="5 tests; expected at most 4"):
            figures.draw_figure(name, tests)
    for name in ("typical_fits", "log_ratio_units"):
        with pytest.raises(LimelightError, match="7 evaluations; expected at most 6"):
            figures.draw_figure(name, [*several, several[0]])
    with pytest.raises(LimelightError, match="below 128, which all tests have"):
        figures.draw_figure("compare_predictions", several, [128])
    with pytest.raises(LimelightError, match="at most 4 in one figure"):
        figures.draw_figure("label_spreads", [dataclasses.replace(several[0], network=f"n{i}") for i in range(5)])


def test_other_bins_go_together_only_where_bins_do_not_matter(several):
    other = dataclasses.replace(several[2], axis=OutputAxis("luminosity", "Lsun", True, edges=tuple(EDGES + 0.1)))
    with pytest.raises(LimelightError, match="another axis"):
        figures.draw_figure("compare_bands", [several[0], other])
    figures.draw_figure("summary_matrix", [several[0], other])


def test_bands_are_shaded_for_one_network_only(several):
    panel = figures.draw_figure("compare_bands", several[::2]).axes[0]
    assert len([c for c in panel.collections if isinstance(c, PolyCollection)]) == 1
