"""A tiny study of CMB lensing from end to end: what networks learn, what files hold, what figures draw."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from limelight import figures
from limelight.errors import LimelightError
from limelight.evaluation.audit import audit
from limelight.evaluation.audit_file import read_audit, write_audit, write_table
from limelight.evaluation.estimates import estimates, read_estimates, write_estimates
from limelight.evaluation.evaluation_file import read_evaluation, write_evaluation
from limelight.evaluation.observe import observed
from limelight.evaluation.predict import evaluate
from limelight.files import provenance, read_csv
from limelight.networks import build
from limelight.probes.cmb_lensing.config import Sky
from limelight.probes.cmb_lensing.features import quadratic_estimator
from limelight.probes.cmb_lensing.grid import Grid, filtered
from limelight.probes.cmb_lensing.limits import analytic_noise
from limelight.probes.cmb_lensing.probe import SkySettings
from limelight.saliency.saliency_file import read_saliency, write_saliency
from limelight.saliency.stage import explain
from limelight.section import plain
from limelight.study.settings import (
    audit_settings,
    estimates_settings,
    evaluation_settings,
    network_settings,
    saliency_settings,
)
from limelight.summaries.reconstruction import correlation
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train
from tests.unit.cmb_toys import PROBE, lensing_presentation, lensing_shards, lensing_study

pytest.importorskip("ducc0")


@pytest.fixture(scope="module")
def study():
    return lensing_study()


@pytest.fixture(scope="module")
def shards(study, tmp_path_factory):
    return lensing_shards(study, tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def learnt(study, shards, tmp_path_factory):
    """(evaluations, audit) of the two networks, by the engine's own functions, written and read again."""
    torch.set_num_threads(1)
    folder, made = tmp_path_factory.mktemp("learnt"), provenance({}, study.seed)
    training, validation, test = shards
    found = estimates(estimates_settings(study, "noise_1"), PROBE, test)
    write_estimates(folder / "estimates.h5", found, made)
    beside, evaluations = read_estimates(folder / "estimates.h5"), {}
    for name in study.networks:
        settings = network_settings(study, name)
        content, history = train(settings, PROBE, training, validation, folder / name)
        save_model(folder / f"{name}.pt", content, made)
        module, info = load_model(folder / f"{name}.pt")
        columns = {key: np.array([row[key] for row in history]) for key in history[0]}
        judged = evaluation_settings(study, name, "noise_1")
        result = evaluate(module, info, judged, PROBE, test, columns, estimates=beside)
        write_evaluation(folder / f"{name}.h5", result, made)
        evaluations[name] = read_evaluation(folder / f"{name}.h5")
    module, info = load_model(folder / "hybrid.pt")
    page = audit(module, info, audit_settings(study, "hybrid"), PROBE, {"patch": test})
    write_audit(folder / "audit.h5", page, made)
    write_table(folder / "audit.csv", page)
    return evaluations, read_audit(folder / "audit.h5"), folder


def test_a_hybrid_starts_from_its_estimators_and_stays_near_them(learnt):
    """Two epochs of 24 maps teach nothing: what it answers is what it starts from."""
    hybrid = learnt[0]["hybrid"]
    assert hybrid.channels == ("κ", "E")
    assert hybrid.estimators_of(0) == ["quadratic"]
    assert hybrid.estimators_of(1) == ["wiener"]
    assert hybrid.statistics["correlation"].shape == (2, len(hybrid.scales.edges) - 1)
    for channel, estimator in ((0, "quadratic"), (1, "wiener")):
        theirs = correlation(hybrid.spectra_of(channel, estimator))
        np.testing.assert_allclose(hybrid.statistics["correlation"][channel][:4], theirs[:4], atol=0.05)
        ratio = hybrid.statistics[f"noise_over_{estimator}"]
        assert np.isfinite(ratio[channel]).all()
        assert np.isnan(ratio[1 - channel]).all()
    assert (hybrid.statistics["correlation"][0][:3] > 0.7).all()


def test_errors_of_pixels_and_of_modes_cover_the_truth(learnt):
    """Calibrated on one realisation, held against another: shares of pixels within, and the power of what is wrong."""
    unsure = learnt[0]["unsure"]
    assert unsure.truth.shape == (4, 1, 32, 32), "the variances are no answers of their own"
    assert unsure.totals["covered_68"] == pytest.approx(0.683, abs=0.02)
    assert unsure.totals["covered_95"] == pytest.approx(0.95, abs=0.015)
    modes = unsure.spectra["modes"] * 24 / 2  # each mode has a partner; 24 maps here and 24 in the validation
    away = (unsure.statistics["error_power_over_expected"][0] - 1) / np.sqrt(2 / modes)
    assert np.abs(away).max() < 4
    wrong = unsure.spectra["predicted"] + unsure.spectra["truth"] - 2 * unsure.spectra["cross"]
    np.testing.assert_allclose(unsure.statistics["error_power"], wrong.mean(axis=0), rtol=1e-5)
    theirs = correlation(unsure.spectra_of(0, "quadratic"))
    np.testing.assert_allclose(unsure.statistics["correlation"][0][:4], theirs[:4], atol=0.05)
    assert "covered_68" not in learnt[0]["hybrid"].totals


def test_files_hold_the_first_maps_and_the_spectra_of_all(learnt):
    flat = learnt[0]["flat"]
    assert flat.truth.shape == (4, 1, 32, 32)
    assert flat.spectra["cross"].shape[:2] == (24, 1)
    assert flat.spectra["quadratic_cross"].shape == flat.spectra["cross"][:, 0].shape
    assert flat.examples["quadratic"].shape == (4, 32, 32)
    assert flat.settings["noise_uk_arcmin"] == 1.0


def test_the_audit_judges_each_scale_of_each_map(learnt):
    _, page, folder = learnt
    shells = len(learnt[0]["hybrid"].scales.edges) - 1
    table = read_csv(folder / "audit.csv", "an audit")
    assert len(page.verdict) == len(table["verdict"]) == 2 * shells
    assert table["output"][0].startswith("κ ")
    r_squared = learnt[0]["hybrid"].statistics["r_squared"].ravel()
    np.testing.assert_allclose(page.columns["r_squared"], r_squared, atol=0.1)
    assert (page.columns["blank_share"] < 0.3).all(), "empty maps have an empty answer"
    assert set(page.verdict[shells : shells + 3]) == {"reads"}, "E at low L is there for the taking"


def test_a_pixels_saliency_stands_beside_the_exact_kernel(learnt, shards, tmp_path):
    """κ beside the filtered quadratic estimator at the same maps; all pixels have none; figures compare runs."""
    pytest.importorskip("captum")
    run = {"network": "flat", "methods": ["gradient"], "maps": 4, "checked_maps": 2, "interventions": False}
    answers = {"all": {"signs": "random"}, "pixel": {"pixel": [20, 9]}}
    explained = lensing_study(saliency={"look": {**run, "answers": answers}})
    settings = saliency_settings(explained, "look")
    module, info = load_model(learnt[2] / "flat.pt")
    write_saliency(tmp_path / "look.h5", explain(module, info, settings, PROBE, shards[2]), provenance({}, 3))
    found = read_saliency(tmp_path / "look.h5")
    assert list(found.references) == [("pixel", "quadratic, filtered")]
    one = found.references["pixel", "quadratic, filtered"]
    network = found.pictures["pixel", "gradient"]
    assert network.numbers["receptive"] <= np.hypot(20, 20), "ten convolutions of five pixels see no farther"
    assert network.numbers["mean_radius"] <= network.numbers["saliency_radius"] <= network.numbers["receptive"]
    estimator = quadratic_estimator(shards[2].header, 1.0)
    how = lensing_presentation(explained, noise=1.0).bare()
    rows = np.linspace(0, 23, 4).round().astype(int)
    recorded = torch.cat(list(observed(shards[2].x[rows], how, explained.seed, "saliency look"))).double().numpy()
    by_hand = []
    for q, u in recorded:
        maps = torch.from_numpy(np.stack([q, u])).requires_grad_()
        kappa = filtered(estimator.grid, estimator.estimate(*maps), estimator.wiener)
        kappa[20, 9].backward()
        by_hand.append(maps.grad.square().numpy() / maps.grad.square().sum().item())
    np.testing.assert_allclose(one.mean, np.mean(by_hand, axis=0), rtol=1e-3, atol=1e-7)
    for figure in ("saliency_strides", "saliency_reach"):
        assert marks(figure, found) == 0
        spoilt = copy.deepcopy(found)
        for one in spoilt.pictures.values():
            one.faults = ["ignores the weights"]
        assert marks(figure, spoilt) >= 2, f"{figure}: one for each run"
    assert figures.draw_figure("saliency_maps", [found]).axes
    drawn = figures.draw_figure("saliency_shares", [found]).findobj(lambda part: hasattr(part, "get_text"))
    assert any("quadratic, filtered" in text.get_text() for text in drawn)


def test_a_hybrid_is_explained_by_q_and_u_through_its_features(study, shards):
    """One that corrects nothing yet is the filtered quadratic estimator: its gradient is the exact kernel."""
    pytest.importorskip("captum")
    run = {"network": "hybrid", "methods": ["gradient"], "maps": 3, "checked_maps": 2, "interventions": False}
    looked = lensing_study(saliency={"look": {**run, "answers": {"pixel": {"pixel": [20, 9], "channel": 0}}}})
    module = build("gated", study.networks["hybrid"].options, (8, 32, 32), (2, 32, 32)).eval()
    with torch.no_grad():
        module.trunks[0].output.weight[:] = 0.0
    found = explain(module, info_of(study, shards[2]), saliency_settings(looked, "look"), PROBE, shards[2])
    assert found.channels == ("Q", "U")
    own, exact = found.pictures["pixel", "gradient"], found.references["pixel", "quadratic, filtered"]
    np.testing.assert_allclose(own.mean, exact.mean, rtol=1e-3, atol=1e-6 * exact.mean.max())
    assert own.tables["value"].sum() == pytest.approx(1)


def test_under_a_mask_every_channel_that_a_hybrid_sees_is_told():
    """Its answer is its third channel: all attribution of a pixel stands there, at the pixel, and in the picture."""
    pytest.importorskip("captum")
    run = {"network": "hybrid", "methods": ["gradient"], "maps": 2, "checked_maps": 2, "interventions": False}
    patch = {"pixels": 32, "pixel_arcmin": 3.0, "maps": 2, "taper_deg": 0.3, "margin": 16, "oversample": 1}
    answers = {"pixel": {"pixel": [20, 9], "channel": 0}, "all": {"signs": "random"}}
    hybrid = lensing_study().networks["hybrid"]
    masked = lensing_study(
        data={"patch": patch},
        networks={"hybrid": plain(hybrid)},
        audit={"networks": "none"},
        saliency={"look": {**run, "answers": answers}},
    )
    rows = PROBE.simulate(PROBE.dataset_settings(masked, "patch"), "patch", 2)
    module = build("gated", hybrid.options, (8, 32, 32), (2, 32, 32)).eval()
    found = explain(module, info_of(masked, rows), saliency_settings(masked, "look"), PROBE, rows)
    one = found.pictures["pixel", "gradient"]
    assert one.mean.shape == (8, 32, 32)
    assert one.mean[2, 20, 9] == pytest.approx(1)
    assert one.tables["value"].sum(axis=1) == pytest.approx([0, 0, 1, 0, 0, 0, 0, 0])
    drawn = figures.draw_figure("saliency_maps", [found]).findobj(lambda part: hasattr(part, "get_text"))
    assert any("input 2" in text.get_text() for text in drawn)
    assert found.references == {}


def info_of(study, rows) -> dict:
    """What a model file would say of the untrained hybrid."""
    shape, header = (2, *rows.header.shape[1:]), rows.header
    axis = PROBE.target(study.networks["hybrid"], header).axis
    target = {"outputs": "target", "shape": list(shape), "axis": dataclasses.asdict(axis)}
    target |= {"mean": torch.zeros(shape).double(), "std": torch.ones(shape).double()}
    entry = plain(study.networks["hybrid"])
    words = {"network": "hybrid", "header": dataclasses.asdict(header), "target": target, "entry": entry}
    return {**words, "provenance": {"config_hash": "abc"}}


def marks(figure: str, found) -> int:
    """How often a figure of two equal runs says that a method fails."""
    drawn = figures.draw_figure(figure, [found, found]).findobj(lambda part: hasattr(part, "get_text"))
    return sum("FAILS" in text.get_text() for text in drawn)


@pytest.mark.parametrize("name", ["reconstruction", "image_examples", "loss_history"])
def test_its_figures_are_drawn(learnt, name):
    shown = [0] if name == "image_examples" else None
    assert figures.draw_figure(name, [learnt[0]["hybrid"]], shown).axes


def test_the_page_of_the_audit_is_drawn(learnt):
    assert figures.draw_figure("audit", [learnt[1]]).axes


def test_networks_stand_between_the_estimators(learnt):
    evaluations = [learnt[0][name] for name in ("hybrid", "flat")]
    figure = figures.draw_figure("lensing_noise", evaluations)
    ratio, _, b_modes = figure.axes
    np.testing.assert_allclose(ratio.lines[0].get_ydata(), evaluations[0].statistics["noise_over_quadratic"][0])
    spectra = evaluations[0].spectra
    left = spectra["b_left"].sum(0) / spectra["b_lensed"].sum(0)
    np.testing.assert_allclose(b_modes.lines[0].get_ydata(), left)
    assert (left[:5] < 0.9).all(), "a quadratic estimate at 1 µK arcmin removes B"
    whole = evaluations[0]
    masked = dataclasses.replace(whole, spectra={key: one for key, one in whole.spectra.items() if "b_l" not in key})
    assert len(figures.draw_figure("lensing_noise", [masked]).axes) == 2, "nothing is delensed under a mask"
    maps = figures.draw_figure("lensing_maps", evaluations, [2])
    truth, drawn = evaluations[0].truth[2, 0], np.asarray(maps.axes[0].images[0].get_array())
    modes, shown = np.fft.fft2(truth), np.fft.fft2(drawn)
    ell = Grid(32, 3.0).ell
    low = (ell > 0) & (ell < 2000)
    np.testing.assert_allclose(shown[low], modes[low], atol=1e-9)
    np.testing.assert_allclose(shown[ell > 2000], 0, atol=1e-9)
    names = [panel.get_title() for panel in maps.axes[:8:1] if panel.get_title()]
    assert names == ["true κ", "quadratic", "hybrid", "flat"]


def test_what_theory_promises_is_what_estimators_reach_and_stands_in_the_figure(learnt):
    """r of both estimators against an independent prototype's measurement (400 maps of 64² pixels at 1 µK arcmin)."""
    data = Sky(pixels=64, pixel_arcmin=2.34375)
    header = PROBE.header(SkySettings(1, data))
    edges = np.array([72, 150, 300, 500, 800, 1200, 1700, 2300])
    expected = {name: 1 / np.sqrt(1 + noise) for name, noise in analytic_noise(header, 1.0, edges).items()}
    np.testing.assert_allclose(expected["map"], [0.987, 0.985, 0.965, 0.932, 0.832, 0.644, 0.478], atol=0.025)
    quadratic = np.array([0.975, 0.955, 0.892, 0.841, 0.711, 0.542, 0.402])
    np.testing.assert_allclose(quadratic / expected["quadratic"], 0.98, atol=0.03)  # N1 takes 1 to 4 %
    hybrid = learnt[0]["hybrid"]
    settings = {**hybrid.settings, "estimators": {**hybrid.settings["estimators"], "map": 0}}
    spectra = {**hybrid.spectra, **{f"map_{key}": hybrid.spectra[f"quadratic_{key}"] for key in ("predicted", "cross")}}
    figure = figures.draw_figure("lensing_noise", [dataclasses.replace(hybrid, settings=settings, spectra=spectra)])
    (drawn,) = [line for line in figure.axes[0].lines if line.get_marker() == "_"]
    limit = analytic_noise(hybrid.header, 1.0, np.array(hybrid.scales.edges))
    np.testing.assert_allclose(drawn.get_ydata(), limit["map"] / limit["quadratic"])
    assert (drawn.get_ydata()[:5] < 0.6).all()


def test_estimates_of_other_rows_are_refused(study, shards, learnt):
    module, info = load_model(learnt[2] / "flat.pt")
    other = read_estimates(learnt[2] / "estimates.h5")
    fewer = {name: spectra[:10] for name, spectra in other.spectra.items()}
    wrong = dataclasses.replace(other, spectra=fewer)
    judged = evaluation_settings(study, "flat", "noise_1")
    with pytest.raises(LimelightError, match="estimates of noise_1, rows"):
        evaluate(module, info, judged, PROBE, shards[2], {}, estimates=wrong)
    swapped = {name: spectra[np.arange(24)[::-1]] for name, spectra in other.spectra.items()}
    with pytest.raises(LimelightError, match="other truths"):
        evaluate(module, info, judged, PROBE, shards[2], {}, estimates=dataclasses.replace(other, spectra=swapped))
