"""The audit condemns what must be condemned, clears what reads, and its parts are right in themselves.

The four networks are trained here, on small maps painted with the package's own constants.
"""

import csv
import dataclasses
import functools

import numpy as np
import pytest
import torch
from astropy import constants
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM
from damaged_files import edited
from judging_toys import auditing, dataset_settings, judging
from training_toys import DATASET, EDGES, GRID, LABELS, PROBE, SHAPE, made_rows, settings

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.evaluation.audit import audit, pick, r_squared_within, response
from limelight.evaluation.audit_file import read_audit, write_audit, write_table
from limelight.evaluation.verdicts import PARTLY, READS, REMEMBERS, TOO_FEW, condemned, in_words, verdicts, warning
from limelight.figures.audit import audit_page
from limelight.figures.style import save
from limelight.files import provenance
from limelight.networks import build
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.interventions import count_extra, dim, light_of_extra, undimmed
from limelight.probes.line_intensity.labels import count_above
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.shards import line_header
from limelight.training.loop import train

LIMITS = {
    "min_sources": 10,
    "min_maps": 20,
    "partly_r_squared": 0.2,
    "reads_r_squared": 0.5,
    "partly_gain": 1.2,
    "reads_gain": 1.5,
    "dimming_response": [0.5, 1.5],
    "superposing_response": [0.1, 2.0],
    "blank_share": 0.95,
}
OPTIONS = {
    "maps": 0,
    "response_maps": 16,
    "noise_sigma_uk": [0.0, 1.0],
    "dim_bins": [1, 2],
    "add_fraction": 0.5,
    "thresholds": LIMITS,
}


COSMOLOGY = {"omega_m": 0.286, "omega_b": 0.047, "h": 0.7, "ns": 0.96, "sigma8": 0.82}
HEADER = line_header(GRID, 0.0, LABELS, COSMOLOGY)


@functools.cache
def sky(count: int, seed: int, group: int = 0) -> Rows:
    """`count` painted and pooled maps, each with its own number of sources and its own brightness (its "line model")."""
    rng = np.random.default_rng(seed)
    maps, labels = [], []
    for _ in range(count):
        n = rng.poisson(3000 * 10 ** rng.uniform(-0.3, 0.3))
        log10_lum = 3.9 + rng.exponential(0.2, n) + rng.uniform(-0.3, 0.3)
        place = GRID.size_deg * (rng.random((n, 2)) - 0.5)
        redshift = GRID.rest_freq_ghz / rng.uniform(GRID.freq_min_ghz, GRID.freq_max_ghz, n) - 1
        cube = paint(place, redshift, redshift, log10_lum, GRID, np.zeros(2), Cosmology(**COSMOLOGY))
        maps.append(pool(cube, GRID.pool_pixels, GRID.pool_channels))
        labels.append(count_above(log10_lum, EDGES))
    found = made_rows(np.array(maps)[:, None], np.array(labels), group)
    rows, examples = {"center_deg": np.zeros((count, 2))}, {"fine": np.zeros((1, 32, 32), np.float32)}
    return dataclasses.replace(found, header=HEADER, rows=rows, examples=examples)


def usual(network: dict | None = None, **training):
    """Settings of a network; network: keys of its entry in the config."""
    entry = {"preprocessing": {"scale_uk": 1.0}, "options": {"filters": 8}, **(network or {})}
    return settings(network=entry, **training)


def trained(folder, network: dict | None = None, **training):
    """A network trained on 120 such maps, as load_model gives it, with its settings."""
    wanted = usual(network, **training)
    content, _ = train(wanted, PROBE, sky(120, 0), sky(24, 1), folder)
    module = build(content["architecture"], content["options"], SHAPE, tuple(content["target"]["shape"]))
    module.load_state_dict(content["state_dict"])
    return module.eval(), content, wanted


def examined(network, control=None, maps: int = 64, group: int = 9, **dataset):
    """The audit of a network on maps that it has not seen. dataset: keys of their entry in the config."""
    test = dataclasses.replace(judging(network[2], header=HEADER), dataset=dataset_settings(header=HEADER, **dataset))
    how = auditing(test, **OPTIONS)
    return audit(*network[:2], how, PROBE, {DATASET: sky(maps, 2, group)}, control and control[:2])


GOOD = {"epochs": 20, "learning_rate": 4e-3, "schedule": "one_cycle", "batch_size": 12}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("good"), **GOOD)


@pytest.fixture(scope="module")
def permuted(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("permuted"), **GOOD, permute_labels=True)


class Constant(torch.nn.Module):
    """Answers the training mean (nothing, standardised) to whatever it is shown."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.new_zeros(len(inputs), LABELS["bins"])


def test_a_network_that_reads_is_cleared_in_every_bin_with_sources(good, permuted):
    result = examined(good, permuted)
    told = result.verdict != TOO_FEW
    assert told.sum() >= 6
    assert (result.verdict[told] == READS).all()


def test_permuted_labels_are_condemned(good, permuted):
    result = examined(permuted)
    assert set(result.verdict) == {REMEMBERS, TOO_FEW}
    assert "CONDEMNED" in in_words(result)


def test_a_constant_network_is_condemned(good):
    result = examined((Constant(), *good[1:]))
    assert set(result.verdict) == {REMEMBERS, TOO_FEW}
    assert (result.columns["spread_ratio"] == 0).all()


def test_a_network_that_plain_sgd_left_standing_is_condemned(tmp_path):
    network = trained(tmp_path, epochs=3, optimizer="sgd", learning_rate=1e-5)
    result = examined(network)
    assert set(result.verdict) == {REMEMBERS, TOO_FEW}


def test_the_parts_of_the_good_audit_are_as_they_must_be(good, permuted):
    """What a reader does to each test: it follows, beats both constants, and says little of an empty map."""
    result = examined(good, permuted)
    told = result.verdict != TOO_FEW
    assert (result.columns["gain_over_control"][told] > 1.5).all()
    assert result.control == "toy"
    assert result.blank["clean"][0] < 0.5 * sky(120, 0).y["n_above"][:, 0].mean()
    clean, noisy = result.noise["r_squared"]
    assert clean == pytest.approx(result.columns["r_squared"]), "the sweep starts at the test's own noise"
    assert (noisy[told] < clean[told]).all(), "noise that training never showed"
    assert result.interventions["adding"]["response"].shape == (10, 10)


@pytest.mark.parametrize(
    ("target", "preprocessing"),
    [
        ({"quantity": "n_above"}, {}),
        ({"quantity": "phi"}, {}),
        ({"quantity": "l_phi", "transform": "log10"}, {}),
        ({"transform": "none"}, {"transform": "log10_offset"}),
    ],
)
def test_every_target_and_preprocessing_can_be_audited(target, preprocessing, tmp_path):
    network = trained(tmp_path, {"target": target, "preprocessing": {"scale_uk": 1.0, **preprocessing}}, epochs=1)
    result = examined(network, maps=24)
    n_above = sky(24, 2).y["n_above"]
    sources = n_above[:, :10] - (0 if target.get("quantity") == "n_above" else n_above[:, 1:11])
    assert result.columns["mean_truth"] == pytest.approx(sources.mean(axis=0))
    assert all(
        np.isfinite(result.columns[name][:6]).all() for name in ("r_squared", "dimming_response", "adding_response")
    )
    assert len(result.noise["level"]) == (1 if preprocessing else 2), "no noise for what reads no negative values"
    assert (result.scatter["truth"] >= 0).all()


# The verdict


def columns(**changes) -> dict[str, np.ndarray]:
    """One bin that is read, with changes."""
    values = {"mean_truth": 100, "r_squared": 0.9, "gain_over_mean": 10, "gain_over_control": 10, "blank_share": 0.1}
    values |= {"dimming_response": 1, "superposing_response": 1} | changes
    return {name: np.array([float(value)]) for name, value in values.items()}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, READS),
        ({"mean_truth": 9.9}, TOO_FEW),
        ({"r_squared": np.nan}, TOO_FEW),
        ({"r_squared": 0.49}, PARTLY),
        ({"r_squared": 0.19}, REMEMBERS),
        ({"gain_over_mean": 1.0}, REMEMBERS),
        ({"gain_over_control": 1.15}, REMEMBERS),
        ({"gain_over_control": 1.3}, PARTLY),
        ({"gain_over_control": np.nan}, READS),
        ({"dimming_response": 0.0}, PARTLY),
        ({"dimming_response": -1.0}, PARTLY),
        ({"dimming_response": np.nan}, READS),
        ({"superposing_response": 2.1}, PARTLY),
        ({"superposing_response": 0.0}, PARTLY),
        ({"blank_share": 1.0}, PARTLY),
    ],
)
def test_each_test_has_its_say_in_the_verdict(changes, verdict):
    assert verdicts(columns(**changes), 50, LIMITS).tolist() == [verdict]


def test_few_maps_give_no_verdict():
    assert verdicts(columns(), 19, LIMITS).tolist() == [TOO_FEW]


def test_telling_line_models_apart_explains_nothing_within_them():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 500)
    truth = np.array([0.0, 5.0])[group][:, None] + rng.normal(0, 1, (1000, 3))
    classifier = np.array([0.0, 5.0])[group][:, None] + np.zeros((1000, 3))
    assert r_squared_within(classifier, truth, group) == pytest.approx(0, abs=0.02)
    assert r_squared_within(classifier, truth, np.zeros(1000)) == pytest.approx(1 - 1 / (1 + 2.5**2), abs=0.03)
    assert r_squared_within(truth, truth, group) == pytest.approx(1)


def test_a_response_is_the_slope_through_zero():
    true = np.array([[1.0, 0.001], [2.0, 0.001], [-1.0, 0.001]])
    assert response(0.5 * true, true)[0] == pytest.approx(0.5)
    assert response(-true, true, smallest=0.01)[0] == pytest.approx(-1)
    assert np.isnan(response(true, true, smallest=0.01)[1])


def test_rows_are_picked_evenly():
    assert pick(10, 0).tolist() == list(range(10))
    assert pick(10, 20).tolist() == list(range(10))
    assert pick(101, 5).tolist() == [0, 25, 50, 75, 100]


# Interventions


def test_dimming_moves_light_and_counts_together():
    log10_lum = np.random.default_rng(1).uniform(4, 8, 1000)
    n_above = count_above(log10_lum, EDGES)[None]
    width = EDGES[1] - EDGES[0]
    maps, counts = dim(np.ones((1, 2, 2, 2), np.float32), n_above, 3, width)
    assert maps == pytest.approx(10 ** (-3 * width))
    assert counts[0] == pytest.approx(count_above(log10_lum - 3 * width, EDGES[: counts.shape[1]]))
    assert undimmed(n_above).shape == counts.shape


def test_added_sources_are_counted_above_every_edge_below_them():
    n_above = np.array([[10, 5, 2, 1]])
    assert count_extra(n_above, np.array([[0, 3, 0]])).tolist() == [[13, 8, 2, 1]]
    assert count_extra(n_above, np.array([[1, 2, 4]])).tolist() == [[17, 11, 6, 1]]


@pytest.mark.parametrize("beam_fwhm_arcmin", [0.0, 4.0])
def test_added_sources_shine_as_bright_as_physics_has_it(beam_fwhm_arcmin):
    """The map's sum against L / (4π D_L² Δν Ω) in Rayleigh-Jeans µK, from astropy's constants and distances."""
    grid = Grid(0.7, 32, 20, 29.9, 30.1, 115.27, "uK", 2, 5)  # a narrow band: one redshift for all
    edges = np.array([5.0, 5.0 + 1e-9, 6.0])
    cosmology = Cosmology(**COSMOLOGY)
    rng = np.random.default_rng(2)
    found = light_of_extra(
        np.array([20000, 0]), edges, grid, beam_fwhm_arcmin, np.zeros(2), cosmology, rng, MapDataset(model="li")
    )
    assert found.shape == grid.pooled_shape
    distance = FlatLambdaCDM(H0=70, Om0=0.286, Tcmb0=0).luminosity_distance(115.27 / 30 - 1)
    solid_angle = (0.7 / 32 * u.deg).to_value(u.rad) ** 2
    intensity = 1e5 * constants.L_sun / (4 * np.pi * distance**2 * 0.01 * u.GHz * solid_angle)
    one = (intensity * constants.c**2 / (2 * constants.k_B * (30 * u.GHz) ** 2)).to_value(u.uK)
    sigma_deg = beam_fwhm_arcmin / 60 / np.sqrt(8 * np.log(2))
    kept = (1 - 2 * sigma_deg / np.sqrt(2 * np.pi) / 0.7) ** 2  # some light goes over the edges
    assert found.sum() == pytest.approx(20000 * one * kept, rel=0.005)
    places = (found > 0).sum()
    assert places > 0.9 * found.size, "at random places, everywhere"


def test_no_sources_are_added_where_the_maps_line_model_cuts_them(good):
    """Bins below the cut are asked as before, bins above it are not asked."""
    whole, cut = examined(good), examined(good, log10_lum_cut=float(EDGES[5]))
    above = np.arange(LABELS["bins"]) >= 5
    assert np.isfinite(whole.columns["adding_response"]).all()
    assert np.isnan(cut.columns["adding_response"][above]).all()
    np.testing.assert_array_equal(
        cut.interventions["adding"]["response"][~above], whole.interventions["adding"]["response"][~above]
    )


# Files


def test_the_audit_file_and_table_hold_what_was_found(good, tmp_path):
    result = examined(good)
    write_audit(tmp_path / "a.h5", result, provenance({"a": 1}, 7))
    back = read_audit(tmp_path / "a.h5")
    assert back.verdict.tolist() == result.verdict.tolist()
    assert in_words(back) == in_words(result)
    for group in ("columns", "scatter", "blank", "noise", "datasets"):
        for name, values in getattr(result, group).items():
            np.testing.assert_array_equal(getattr(back, group)[name], values)
    assert list(back.interventions) == ["dimming", "superposing", "adding"]
    for name, details in result.interventions.items():
        for key, values in details.items():
            np.testing.assert_array_equal(back.interventions[name][key], values)
    assert "audit_summary: audit of toy: reads" in describe(tmp_path / "a.h5")
    write_table(tmp_path / "a.csv", result)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["verdict"] for row in rows] == result.verdict.tolist()
    assert [float(row["r_squared"]) for row in rows] == pytest.approx(result.columns["r_squared"], rel=1e-5)
    assert {row["gain_over_control"] for row in rows} == {""}, "no control, no number"
    save(audit_page([back]), tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_an_incomplete_audit_file_is_refused_in_one_line(good, tmp_path):
    write_audit(tmp_path / "a.h5", examined(good), provenance({}, 7))
    with edited(tmp_path / "a.h5") as file:
        del file["columns/r_squared"]
    with pytest.raises(LimelightError, match="no r_squared in 'columns'"):
        read_audit(tmp_path / "a.h5")


def test_condemned_bins_are_named_by_their_luminosity(good):
    result = examined((Constant(), *good[1:]))
    assert condemned(result) == ["10^4.00 to 10^5.20 Lsun"]
    result.verdict[2] = READS
    assert condemned(result) == ["10^4.00 to 10^4.40 Lsun", "10^4.60 to 10^5.20 Lsun"]


def test_a_prediction_is_warned_of_condemned_bins_by_its_own_audit_alone(good):
    info = good[1] | {"provenance": {"config_hash": "abc"}}
    condemned = examined((Constant(), info, good[2]))
    assert "10^4.00 to 10^5.20 Lsun" in warning(condemned, info, "a.h5")
    assert warning(examined((good[0], info, good[2])), info, "a.h5") == ""
    with pytest.raises(
        LimelightError, match=r"a\.h5: found an audit of 'toy' made from abc; expected 'toy' made from xyz"
    ):
        warning(condemned, good[1] | {"provenance": {"config_hash": "xyz"}}, "a.h5")


def test_maps_of_training_are_refused(good):
    with pytest.raises(LimelightError, match=r"realisations \[3\]"):
        examined(good, group=3)
