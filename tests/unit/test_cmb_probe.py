"""The probe of CMB lensing: exact symmetries, noise, masks, what a hybrid starts from, and a tiny study from end to end."""

import dataclasses

import numpy as np
import pytest
import torch

from limelight import figures
from limelight.data.shard import read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.audit import audit
from limelight.evaluation.audit_file import read_audit, write_audit, write_table
from limelight.evaluation.estimates import estimates, read_estimates, write_estimates
from limelight.evaluation.evaluation_file import read_evaluation, write_evaluation
from limelight.evaluation.observe import observed
from limelight.evaluation.predict import evaluate
from limelight.files import ROOT, provenance, read_csv
from limelight.probe import load_probe
from limelight.probes.cmb_lensing.config import Sky
from limelight.probes.cmb_lensing.features import quadratic_estimator
from limelight.probes.cmb_lensing.grid import Grid, eb_from_qu, filtered
from limelight.probes.cmb_lensing.limits import analytic_noise
from limelight.probes.cmb_lensing.presentation import turned
from limelight.probes.cmb_lensing.probe import SkySettings, gap_closed
from limelight.saliency.saliency_file import read_saliency, write_saliency
from limelight.saliency.stage import explain
from limelight.study.config import load_study, resolve_study
from limelight.study.selection import header_of
from limelight.study.settings import (
    audit_settings,
    estimates_settings,
    evaluation_settings,
    network_settings,
    saliency_settings,
)
from limelight.summaries.reconstruction import Spectra, correlation, spectra_of
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

pytest.importorskip("ducc0")
PROBE = load_probe("cmb_lensing")
GATED = {"filters": 6, "blocks": 1, "padding": "circular"}
BOTH = {"maps": ["kappa", "e"]}


def _study(**sections):
    raw = {
        "study": "tiny_lensing",
        "probe": "cmb_lensing",
        "seed": 3,
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"patch": {"pixels": 32, "pixel_arcmin": 3.0, "maps": 24, "oversample": 1}},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 1.0e-3},
        "networks": {
            "hybrid": {
                "architecture": "gated",
                "options": {**GATED, "start_from": [2, 7]},
                "data": ["patch"],
                "inputs": "hybrid",
                "noise_uk_arcmin": 1.0,
                "target": BOTH,
            },
            "flat": {
                "architecture": "resunet",
                "options": {"filters": 2, "levels": 1, "down": "flat"},
                "data": ["patch"],
                "noise_uk_arcmin": 1.0,
            },
            "unsure": {
                "architecture": "gated",
                "options": {**GATED, "start_from": [2, -1]},
                "data": ["patch"],
                "inputs": "hybrid",
                "noise_uk_arcmin": 1.0,
                "training": {"loss": "gaussian"},
            },
        },
        "tests": {"noise_1": {"data": "patch", "noise_uk_arcmin": 1.0, "estimators": ["quadratic", "wiener"]}},
        "audit": {"maps": 24, "thresholds": {"min_maps": 10}, "networks": ["hybrid"]},
        "resources": {"training_threads": 1},
    }
    return resolve_study({**raw, **sections}, "tiny_lensing.yaml")


@pytest.fixture(scope="module")
def study():
    return _study()


@pytest.fixture(scope="module")
def shards(study, tmp_path_factory):
    """Shards of the three realisations, written and read again."""
    folder, settings = tmp_path_factory.mktemp("shards"), PROBE.dataset_settings(study, "patch")
    for group in range(3):
        found = PROBE.simulate(settings, "patch", group)
        write_shard(folder / f"{group}.h5", found, provenance(settings, study.seed))
    return [read_shards([folder / f"{group}.h5"]) for group in range(3)]


# How maps are shown


@pytest.mark.parametrize("which", range(8))
def test_turned_polarisation_has_the_turned_e_and_no_b(which):
    """E of Q and U that are mirrored or exchanged is E mirrored or exchanged, and B changes its sign with each mirror."""
    grid = Grid(17, 3.0)  # of an odd side, so that every mode has its partner
    q, u = np.random.default_rng(0).normal(size=(2, 1, 17, 17))
    how = [torch.tensor([bool(which & bit)]) for bit in (1, 2, 4)]
    moved = turned(torch.from_numpy(np.stack([q, u], axis=1)), *how).numpy()
    found = eb_from_qu(grid, moved[:, 0], moved[:, 1])
    expected = np.stack(eb_from_qu(grid, q, u), axis=1)
    if how[0]:
        expected = np.swapaxes(expected, 2, 3)
    if how[1]:
        expected = expected[:, :, ::-1]
    if how[2]:
        expected = expected[:, :, :, ::-1]
    parity = -1 if sum(int(bit) for bit in how) % 2 else 1
    np.testing.assert_allclose(found[0], expected[:, 0], atol=1e-9)
    np.testing.assert_allclose(found[1], parity * expected[:, 1], atol=1e-9)


def _presentation(study, network="flat", noise=0.0):
    return PROBE.presentation(study.networks[network], {"noise_uk_arcmin": noise}, header_of(study, "patch"))


def test_augmented_skies_are_skies(study, shards):
    """κ read off augmented maps by the quadratic estimator follows the augmented truth as well as it does the plain one."""
    how, rows = _presentation(study, "hybrid"), shards[0]
    y = {name: torch.from_numpy(values) for name, values in rows.y.items()}
    scales, found = PROBE.scales(rows.header), []
    moved, truth = how.augment(torch.from_numpy(rows.x), y, torch.Generator().manual_seed(1))
    assert not torch.equal(truth["kappa"], y["kappa"])
    for x, kappa in ((torch.from_numpy(rows.x), y["kappa"]), (moved, truth["kappa"])):
        shown = how.observe(x, torch.Generator())[:, 2:3]
        found.append(correlation(spectra_of(shown.double(), kappa.double(), scales.bins))[0])
    np.testing.assert_allclose(found[0], found[1], atol=0.02)
    assert (found[0][:3] > 0.7).all()


def test_noise_is_what_the_config_says(study):
    how = _presentation(study, noise=6.0)
    blank = torch.zeros(40, 2, 32, 32)
    found = how.bare().observe(blank, torch.Generator().manual_seed(0))
    assert found.std().item() == pytest.approx(6.0 / 3.0, rel=0.02)
    assert torch.equal(how.silent().observe(blank, torch.Generator()), blank)
    level = how.with_noise(3.0).bare().observe(blank, torch.Generator().manual_seed(0))
    torch.testing.assert_close(level, found / 2)


def test_a_range_of_noise_is_drawn_for_each_patch_and_suits_the_tests_within_it():
    ranged = {**_FLAT, "data": ["patch"], "noise_uk_arcmin": [1.0, 7.0]}
    tests = {
        name: {"data": "patch", "noise_uk_arcmin": level} for name, level in (("low", 0.5), ("mid", 4), ("high", 7))
    }
    study = _study(networks={"flat": ranged}, tests=tests, audit={"networks": "none"})
    entry = study.networks["flat"]
    assert [PROBE.knows_observation(entry, study.tests[name]) for name in tests] == [False, True, True]
    how = PROBE.presentation(entry, PROBE.observation_settings(study, entry), header_of(study, "patch")).bare()
    blank = torch.zeros(400, 2, 32, 32)
    level = how.observe(blank, torch.Generator().manual_seed(0)).std(dim=(1, 2, 3)) * 3.0  # pixels of 3 arcmin
    assert level.min() == pytest.approx(1.0, abs=0.15)
    assert level.max() == pytest.approx(7.0, abs=0.4)
    assert level.mean().item() == pytest.approx(4.0, abs=5 * np.sqrt(3 / 400))
    same = how.with_noise(2.0).observe(blank, torch.Generator().manual_seed(0)).std(dim=(1, 2, 3)) * 3.0
    assert same.std() < 0.1
    assert torch.equal(how.silent().observe(blank, torch.Generator()), blank)


def test_a_mask_is_on_maps_and_truths_and_nothing_is_moved_under_it():
    masked = _study(
        data={"patch": {"pixels": 32, "pixel_arcmin": 3.0, "maps": 2, "taper_deg": 0.4, "margin": 8}},
        networks={"flat": {**_FLAT, "data": ["patch"]}},
        tests={"noise_1": {"data": "patch", "noise_uk_arcmin": 1.0, "estimators": []}},
        audit={"networks": "none"},
    )
    rows = PROBE.simulate(PROBE.dataset_settings(masked, "patch"), "patch", 0)
    how = _presentation(masked, noise=1.0)
    shown = how.bare().observe(torch.from_numpy(rows.x), torch.Generator().manual_seed(0))
    edge = np.abs(shown[:, :, 0].numpy()).max()
    assert edge < 0.1 * shown.std()
    assert np.abs(rows.y["kappa"][:, :, 0]).max() < 0.1 * rows.y["kappa"].std()
    assert np.abs(rows.x[:, :, 0]).max() > 0.5 * rows.x.std(), "the shard keeps the sky, the mask is the telescope's"
    assert not how.moves


def test_estimators_and_hybrids_work_under_a_mask():
    """Filters that know the mask find κ and E of the patch, times the mask; a periodic filter leaks E into B."""
    geometry = {"pixels": 32, "pixel_arcmin": 3.0, "maps": 24, "taper_deg": 0.3, "margin": 16, "oversample": 1}
    hybrid = {**_FLAT, "architecture": "gated", "options": GATED, "data": ["patch"], "inputs": "hybrid"}
    masked = _study(
        data={"patch": geometry},
        networks={"flat": {**hybrid, "target": BOTH}},
        tests={"noise_1": {"data": "patch", "noise_uk_arcmin": 1.0}},
        audit={"networks": "none"},
    )
    rows = PROBE.simulate(PROBE.dataset_settings(masked, "patch"), "patch", 0)
    header, observation = rows.header, {"noise_uk_arcmin": 1.0}
    bins = PROBE.scales(header).bins
    recorded = PROBE.recorder(observation, header).observe(torch.from_numpy(rows.x), torch.Generator().manual_seed(0))
    truths = {name: torch.from_numpy(values).double() for name, values in rows.y.items()}

    def found(answer, truth):
        return correlation(spectra_of(answer.double()[:, None], truths[truth], bins))[0]

    made = PROBE.estimators(masked.tests["noise_1"], observation, header)
    answers = {name: one.estimate(recorded) for name, one in made.items()}
    assert (found(answers["quadratic"], "kappa")[:3] > 0.62).all()
    assert (found(answers["wiener"], "e")[1:5] > 0.93).all()
    periodic = quadratic_estimator(header, 1.0)
    leaking = filtered(periodic.grid, periodic.estimate(recorded[:, 0], recorded[:, 1]), periodic.wiener)
    assert (found(leaking, "kappa")[:3] < found(answers["quadratic"], "kappa")[:3] - 0.1).all()
    shown = _presentation(masked, noise=1.0).features(recorded)
    assert (found(shown[:, 0], "kappa")[:3] > 0.62).all()
    assert (found(shown[:, 5], "e")[1:5] > 0.93).all()


_FLAT = {"architecture": "resunet", "options": {"filters": 2, "levels": 1, "down": "flat"}, "noise_uk_arcmin": 1.0}


# A study from end to end


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
    explained = _study(saliency={"look": {**run, "answers": answers}})
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
    how = _presentation(explained, noise=1.0).bare()
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
        assert figures.draw_figure(figure, [found, found]).axes
    assert figures.draw_figure("saliency_maps", [found]).axes
    drawn = figures.draw_figure("saliency_shares", [found]).findobj(lambda part: hasattr(part, "get_text"))
    assert any("quadratic, filtered" in text.get_text() for text in drawn)


@pytest.mark.parametrize("name", ["reconstruction", "image_examples", "loss_history"])
def test_its_figures_are_drawn(learnt, name):
    assert figures.draw_figure(name, [learnt[0]["hybrid"]], [0]).axes


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


def test_without_noise_the_iterative_estimator_is_the_better_one():
    """Told of too little noise it takes what lensing moves across its last multipole for signal, and falls behind."""
    quiet = _study(
        data={"patch": {"pixels": 48, "pixel_arcmin": 2.34375, "maps": 6}},
        networks={"flat": {**_FLAT, "data": ["patch"], "noise_uk_arcmin": 0.0}},
        tests={"none": {"data": "patch", "noise_uk_arcmin": 0.0, "estimators": ["quadratic", "map"]}},
        audit={"networks": "none"},
    )
    rows = PROBE.simulate(PROBE.dataset_settings(quiet, "patch"), "patch", 0)
    made = PROBE.estimators(quiet.tests["none"], {"noise_uk_arcmin": 0.0}, rows.header)
    x, kappa = torch.from_numpy(rows.x), torch.from_numpy(rows.y["kappa"]).double()
    bins = PROBE.scales(rows.header).bins
    r = {
        name: correlation(spectra_of(made[name].estimate(x).double()[:, None], kappa, bins))[0]
        for name in ("quadratic", "map")
    }
    assert (r["map"] > r["quadratic"])[:7].all(), r
    assert (r["map"][:3] > 0.97).all(), r


def test_the_gap_is_nothing_for_the_one_and_all_for_the_other():
    rng = np.random.default_rng(0)
    truth = rng.exponential(size=(50, 3))
    worse, better = (Spectra(truth * (1 + n), truth, truth) for n in (2.0, 0.5))
    assert gap_closed(worse, worse, better) == pytest.approx(0)
    assert gap_closed(better, worse, better) == pytest.approx(1)
    half = Spectra(truth * (1 + 1.25), truth, truth)
    assert gap_closed(half, worse, better) == pytest.approx(0.5)


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


# The config


def test_the_bench_study_resolves():
    study = load_study(ROOT / "config" / "cmb_lensing.yaml")
    assert {test.noise_uk_arcmin for test in study.tests.values()} == {0.0, 1.0, 5.0}
    assert len(study.splits["test"]) * study.data["patch"].maps >= 400
    masked = load_study(ROOT / "config" / "cmb_lensing_masked.yaml")
    assert masked.data["tapered"].taper_deg > 0
    assert "gaussian" in {network.training.loss for network in masked.networks.values()}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"data": {"patch": {"pixels": 32, "drawn": {"omega": [0.1, 0.2]}}}}, "drawn.omega: .*one of ombh2"),
        ({"data": {"patch": {"pixels": 32, "drawn": {"ns": [0.97, 0.95]}}}}, "low < high"),
        ({"data": {"patch": {"pixels": 32, "taper_deg": 3.0}}}, "taper_deg: .*half the side"),
        ({"networks": {"flat": {**_FLAT, "data": ["patch"], "noise_uk_arcmin": [2, 1]}}}, "low < high"),
        ({"networks": {"flat": {**_FLAT, "data": ["patch"], "noise_uk_arcmin": [2]}}}, "flat.noise_uk_arcmin"),
        (
            {"networks": {"flat": {**_FLAT, "data": ["patch"], "inputs": "hybrid", "noise_uk_arcmin": [1, 2]}}},
            r"flat.noise_uk_arcmin: found \[1.0, 2.0\] of a hybrid",
        ),
        ({"data": {"patch": {"pixels": 32, "margin": 8}}}, "hybrid on cut patches without a mask"),
        (
            {"data": {"patch": {"pixels": 32, "margin": 8}}, "networks": {"flat": {**_FLAT, "data": ["patch"]}}},
            "opposite edges for neighbours",
        ),
    ],
)
def test_faults_of_the_config_are_one_line_each(sections, expected):
    with pytest.raises(LimelightError, match=expected):
        _study(**sections)
