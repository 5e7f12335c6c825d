"""Figures that every probe has, told by the axis of the outputs alone: vectors, images, classes, the page of an audit."""

import dataclasses

import audit_toys
import numpy as np
import pytest
from evaluation_toys import classifier, images, network, parameters
from PIL import Image

from limelight import figures
from limelight.errors import LimelightError
from limelight.figures.confusion import accuracy, confusion, observed_alike
from limelight.figures.style import save

ANY = ("loss_history", "training_histories", "predicted_against_true", "spread_ratio", "summary_matrix")


@pytest.mark.parametrize("make", [parameters, images, lambda: parameters(log10_bins=True)])
@pytest.mark.parametrize("name", ANY)
def test_any_probe_has_these_figures(name, make, tmp_path, recwarn):
    first = make()
    save(figures.draw_figure(name, [first, dataclasses.replace(first, test="noisy")]), tmp_path / "f.pdf")
    assert np.asarray(Image.open(tmp_path / "f.png")).std() > 5
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


def test_outputs_go_by_their_names_or_bins():
    named, binned = parameters(), parameters(log10_bins=True)
    assert [panel.get_title() for panel in figures.draw_figure("predicted_against_true", [named]).axes] == [
        "omega m",
        "sigma 8",
    ]
    (panel,) = figures.draw_figure("spread_ratio", [named]).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["omega m", "sigma 8"]
    (panel,) = figures.draw_figure("spread_ratio", [binned]).axes
    assert panel.get_xlabel() == "wave number [1/Mpc]"
    assert panel.get_xlim() == pytest.approx((0.1, 0.4))
    assert panel.lines[2].get_xdata() == pytest.approx([0.15, 0.25, 0.35])


def test_points_are_predictions_against_truths_and_many_outputs_are_thinned():
    e = parameters()
    panel = figures.draw_figure("predicted_against_true", [e]).axes[1]
    assert panel.lines[0].get_xdata() == pytest.approx(e.truth[:, 1])
    assert panel.lines[0].get_ydata() == pytest.approx(e.predicted[:, 1])
    assert len(figures.draw_figure("predicted_against_true", [network("limelight", "clean", maps=8)]).axes) == 9


def test_the_matrix_of_any_probe_holds_its_totals():
    e = parameters()
    error, gain, spread = figures.draw_figure("summary_matrix", [e, dataclasses.replace(e, test="other")]).axes
    for panel, expected in ((error, e.totals["mse_target"]), (gain, e.totals["gain_target"])):
        assert float(panel.texts[0].get_text()) == pytest.approx(expected, rel=0.1)
    assert float(spread.texts[0].get_text()) == pytest.approx(e.statistics["spread_ratio"].min(), rel=0.1)


def test_images_stand_beside_their_truth():
    e = images()
    figure = figures.draw_figure("image_examples", [e], [4])
    true, predicted, difference = (np.asarray(panel.images[0].get_array()) for panel in figure.axes[:3])
    assert true == pytest.approx(e.truth[4, 0].T)
    assert predicted == pytest.approx(e.predicted[4, 0].T)
    assert difference == pytest.approx((e.predicted - e.truth)[4, 0].T)
    on_sky = dataclasses.replace(e.header.axes[0], unit="deg")
    sky = dataclasses.replace(e, header=dataclasses.replace(e.header, axes=(on_sky, e.header.axes[1])))
    mirrored = figures.draw_figure("image_examples", [sky], [4]).axes[0].images[0].get_array()
    assert np.asarray(mirrored) == pytest.approx(e.truth[4, 0].T[:, ::-1]), "east is to the left"
    for wrong, rows in ((e, [6]), (parameters(), [0])):
        with pytest.raises(LimelightError, match="image_examples"):
            figures.draw_figure("image_examples", [wrong], rows)


def test_scales_are_drawn_with_their_errors_and_estimators_beside_them():
    e = images()
    figure = figures.draw_figure("reconstruction", [e, dataclasses.replace(e, test="noisy")])
    correlation, noise, transfer = figure.axes
    for panel, name in ((correlation, "correlation"), (noise, "noise"), (transfer, "transfer")):
        np.testing.assert_allclose(panel.lines[0].get_ydata(), e.statistics[name][0])
        np.testing.assert_allclose(panel.lines[0].get_xdata(), e.spectra["k_mean"], rtol=0.02)
    assert correlation.get_title(loc="left") == "kappa"
    spectra = {**e.spectra, "filter_predicted": e.spectra["truth"][:, 0], "filter_cross": e.spectra["truth"][:, 0]}
    beside = dataclasses.replace(e, spectra=spectra, settings={**e.settings, "estimators": {"filter": 0}})
    (panel, *_) = figures.draw_figure("reconstruction", [beside]).axes
    assert any(np.allclose(line.get_ydata(), 1) and len(line.get_ydata()) == 8 for line in panel.lines)
    with pytest.raises(LimelightError, match="without correlation"):
        figures.draw_figure("reconstruction", [parameters()])


def test_of_many_channels_some_are_drawn_from_the_first_to_the_last():
    e = images(channels=tuple("abcdefg"))
    panels = figures.draw_figure("reconstruction", [e]).axes
    assert len(panels) == 12
    for name, panel in zip("aceg", panels[::3], strict=True):
        assert panel.get_title(loc="left") == name
        np.testing.assert_allclose(panel.lines[0].get_ydata(), e.statistics["correlation"]["abcdefg".index(name)])
    rows = figures.draw_figure("image_examples", [e, dataclasses.replace(e, test="noisy")], [4]).axes[:18:3]
    assert [row.get_ylabel()[0] for row in rows] == list("adgadg")
    assert np.asarray(rows[1].images[0].get_array()) == pytest.approx(e.truth[4, 3].T)


# Classes


def shares(*told: int) -> np.ndarray:
    """Probabilities of two classes, the more probable one as told."""
    return np.array([[0.8, 0.2], [0.3, 0.7]])[list(told)]


def four_tests() -> list:
    """One classifier on two datasets, each with two noises."""
    return [
        classifier("faint_clean", "faint", shares(0, 0, 0, 1), noise_sigma_uk=0.0),
        classifier("bright_clean", "bright_ones", shares(1, 1, 1, 1), noise_sigma_uk=0.0),
        classifier("faint_loud", "faint", shares(0, 1, 1), noise_sigma_uk=9.0),
        classifier("bright_loud", "bright_ones", shares(0, 1), noise_sigma_uk=9.0),
    ]


def test_confusion_counts_rows_by_what_they_are_of():
    tests = four_tests()
    clean, loud = observed_alike(tests)
    assert [[e.test for e in group] for group in (clean, loud)] == [
        ["faint_clean", "bright_clean"],
        ["faint_loud", "bright_loud"],
    ]
    assert confusion(clean).tolist() == [[3, 1], [0, 4]]
    assert confusion(loud).tolist() == [[1, 2], [1, 1]]
    assert accuracy(confusion(clean)) == pytest.approx(7 / 8)
    assert tests[0].totals["accuracy"] == pytest.approx(3 / 4)


def test_the_matrix_has_one_panel_per_way_of_observing(tmp_path):
    figure = figures.draw_figure("confusion_matrix", four_tests())
    assert [panel.get_title() for panel in figure.axes] == [
        "faint clean\nbright clean: 87.5% right",
        "faint loud\nbright loud: 40.0% right",
    ]
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells[0, 0] == "75.0%\n3"
    assert cells[1, 1] == "100.0%\n4"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["faint", "bright ones"]
    save(figure, tmp_path / "c.pdf")
    assert (tmp_path / "c.png").stat().st_size > 5000
    half = figures.draw_figure("confusion_matrix", four_tests()[::2])
    assert [text.get_text() for text in half.axes[0].texts][2:] == ["", ""], "no test shows the second class"


def test_what_is_no_single_classifier_has_no_confusion_matrix():
    first = four_tests()[0]
    for wrong in ([first, dataclasses.replace(first, network="other")], [parameters()]):
        with pytest.raises(LimelightError, match="expected evaluation files of one classifier"):
            figures.draw_figure("confusion_matrix", wrong)


def test_classifiers_are_summed_up_by_accuracy():
    panels = figures.draw_figure(
        "summary_matrix", [dataclasses.replace(e, header=parameters().header) for e in four_tests()]
    ).axes
    assert panels[2].get_title() == "share of rows right"
    assert float(panels[2].texts[0].get_text()) == pytest.approx(0.75)


# The page of an audit


@pytest.mark.parametrize("make", [audit_toys.of_lines, audit_toys.of_parameters])
def test_the_page_of_an_audit_draws_what_there_is(make, tmp_path, recwarn):
    result = make()
    figure = figures.draw_figure("audit", [result])
    save(figure, tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]
    panels = [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]
    assert len(panels) == (7 if result.interventions else 4)
    assert len(panels[0].patches) == len(result.verdict)


def test_the_page_says_what_the_audit_found():
    result = audit_toys.of_lines()
    figure = figures.draw_figure("audit", [result])
    assert "reads 6 of 9 bins, 2 partly, remembers 1" in figure.get_suptitle()
    assert figure.get_suptitle().endswith("400 maps of li10, observed as in test comap noise")
    by_label = {line.get_label(): line for panel in figure.axes for line in panel.lines}
    told = result.verdict != "too few to tell"
    for label, column in (("every source dimmed", "dimming_response"), ("always the training mean", "gain_over_mean")):
        drawn = by_label[label].get_ydata()
        assert drawn[told] == pytest.approx(result.columns[column][told])
        assert np.isnan(drawn[~told]).all()
    rows = [words.get_text() for panel in figure.axes for words in panel.get_yticklabels()]
    assert {"li10", "padmanabhan", "no noise", "3 µK"} <= set(rows)
    assert "sources per bin" in " ".join(panel.get_ylabel() for panel in figure.axes)
    heat = next(panel for panel in figure.axes if panel.get_ylabel() == r"luminosity asked [$L_\odot$]")
    found = np.asarray(heat.collections[0].get_array())
    assert found == pytest.approx(result.interventions["adding"]["response"].T), "the changed bin is the column"
