"""The probe of CMB lensing: exact symmetries, noise, masks, its estimators, and faults of its config."""

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.files import ROOT
from limelight.probes.cmb_lensing.features import quadratic_estimator
from limelight.probes.cmb_lensing.grid import Grid, eb_from_qu, filtered
from limelight.probes.cmb_lensing.presentation import turned
from limelight.probes.cmb_lensing.probe import gap_closed
from limelight.study.config import load_study
from limelight.study.selection import header_of
from limelight.summaries.reconstruction import Spectra, correlation, spectra_of
from tests.unit.cmb_toys import BOTH, FLAT, GATED, PROBE, lensing_presentation, lensing_shards, lensing_study

pytest.importorskip("ducc0")


@pytest.fixture(scope="module")
def study():
    return lensing_study()


@pytest.fixture(scope="module")
def shards(study, tmp_path_factory):
    return lensing_shards(study, tmp_path_factory.mktemp("shards"))


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


def test_augmented_skies_are_skies(study, shards):
    """κ read off augmented maps by the quadratic estimator follows the augmented truth as well as it does the plain one."""
    how, rows = lensing_presentation(study, "hybrid"), shards[0]
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
    how = lensing_presentation(study, noise=6.0)
    blank = torch.zeros(40, 2, 32, 32)
    found = how.bare().observe(blank, torch.Generator().manual_seed(0))
    assert found.std().item() == pytest.approx(6.0 / 3.0, rel=0.02)
    assert torch.equal(how.silent().observe(blank, torch.Generator()), blank)
    level = how.with_noise(3.0).bare().observe(blank, torch.Generator().manual_seed(0))
    torch.testing.assert_close(level, found / 2)


def test_a_range_of_noise_is_drawn_for_each_patch_and_suits_the_tests_within_it():
    ranged = {**FLAT, "data": ["patch"], "noise_uk_arcmin": [1.0, 7.0]}
    tests = {
        name: {"data": "patch", "noise_uk_arcmin": level} for name, level in (("low", 0.5), ("mid", 4), ("high", 7))
    }
    study = lensing_study(networks={"flat": ranged}, tests=tests, audit={"networks": "none"})
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
    masked = lensing_study(
        data={"patch": {"pixels": 32, "pixel_arcmin": 3.0, "maps": 2, "taper_deg": 0.4, "margin": 8}},
        networks={"flat": {**FLAT, "data": ["patch"]}},
        tests={"noise_1": {"data": "patch", "noise_uk_arcmin": 1.0, "estimators": []}},
        audit={"networks": "none"},
    )
    rows = PROBE.simulate(PROBE.dataset_settings(masked, "patch"), "patch", 0)
    how = lensing_presentation(masked, noise=1.0)
    shown = how.bare().observe(torch.from_numpy(rows.x), torch.Generator().manual_seed(0))
    edge = np.abs(shown[:, :, 0].numpy()).max()
    assert edge < 0.1 * shown.std()
    assert np.abs(rows.y["kappa"][:, :, 0]).max() < 0.1 * rows.y["kappa"].std()
    assert np.abs(rows.x[:, :, 0]).max() > 0.5 * rows.x.std(), "the shard keeps the sky, the mask is the telescope's"
    assert not how.moves


def test_estimators_and_hybrids_work_under_a_mask():
    """Filters that know the mask find κ and E of the patch, times the mask; a periodic filter leaks E into B."""
    geometry = {"pixels": 32, "pixel_arcmin": 3.0, "maps": 24, "taper_deg": 0.3, "margin": 16, "oversample": 1}
    hybrid = {**FLAT, "architecture": "gated", "options": GATED, "data": ["patch"], "inputs": "hybrid"}
    masked = lensing_study(
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
    shown = lensing_presentation(masked, noise=1.0).features(recorded)
    assert (found(shown[:, 0], "kappa")[:3] > 0.62).all()
    assert (found(shown[:, 5], "e")[1:5] > 0.93).all()


# What stands beside the networks


def test_without_noise_the_iterative_estimator_is_the_better_one():
    """Told of too little noise it takes what lensing moves across its last multipole for signal, and falls behind."""
    quiet = lensing_study(
        data={"patch": {"pixels": 48, "pixel_arcmin": 2.34375, "maps": 6}},
        networks={"flat": {**FLAT, "data": ["patch"], "noise_uk_arcmin": 0.0}},
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
        ({"data": {"patch": {"pixels": 32, "drawn": {"h": [67, 70]}}}}, "drawn.h: found .*; expected 0.2 to 2"),
        ({"data": {"patch": {"pixels": 32, "universe": {"h": 67.4}}}}, "universe.h: found 67.4"),
        ({"data": {"patch": {"pixels": 32, "universe": {"ln1e10as": 2.1e-9}}}}, "universe.ln1e10as: found 2.1e-09"),
        ({"data": {"patch": {"pixels": 32, "taper_deg": 3.0}}}, "taper_deg: .*half the side"),
        ({"networks": {"flat": {**FLAT, "data": ["patch"], "noise_uk_arcmin": [2, 1]}}}, "low < high"),
        ({"networks": {"flat": {**FLAT, "data": ["patch"], "noise_uk_arcmin": [2]}}}, "flat.noise_uk_arcmin"),
        (
            {"networks": {"flat": {**FLAT, "data": ["patch"], "inputs": "hybrid", "noise_uk_arcmin": [1, 2]}}},
            r"flat.noise_uk_arcmin: found \[1.0, 2.0\] of a hybrid",
        ),
        ({"data": {"patch": {"pixels": 32, "margin": 8}}}, "hybrid on cut patches without a mask"),
        (
            {"data": {"patch": {"pixels": 32, "margin": 8}}, "networks": {"flat": {**FLAT, "data": ["patch"]}}},
            "opposite edges for neighbours",
        ),
    ],
)
def test_faults_of_the_config_are_one_line_each(sections, expected):
    with pytest.raises(LimelightError, match=expected):
        lensing_study(**sections)
