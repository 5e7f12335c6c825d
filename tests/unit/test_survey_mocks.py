"""Mocks of a survey: one layout for several maps, the transfer function of their pipeline, and ranks of what was planted."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy.stats import kstest

from benchmarks import mock_survey, survey_coverage, survey_ranks
from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.files import write_csv


def test_maps_of_one_layout_share_sigma_and_mask_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mock_survey, "N", 24)
    monkeypatch.setattr(mock_survey, "CHANNELS", 8)
    found = []
    for depth, seed in (("season2", 1), ("season2", 2), ("future", 3)):
        path = tmp_path / f"{depth}{seed}.h5"
        mock_survey.record(path, np.zeros((24, 24, 32)), depth, np.random.default_rng(seed), splits=False, layout=7)
        with h5py.File(path) as file:
            found.append({name: file[name][...] for name in ("map_coadd", "sigma_wn_coadd")})
    first, second, deep = found
    np.testing.assert_array_equal(first["sigma_wn_coadd"], second["sigma_wn_coadd"])
    np.testing.assert_allclose(deep["sigma_wn_coadd"], first["sigma_wn_coadd"] / 10, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(first["map_coadd"]), np.isnan(deep["map_coadd"]))
    seen = np.isfinite(first["map_coadd"])
    assert abs(np.corrcoef(first["map_coadd"][seen], second["map_coadd"][seen])[0, 1]) < 0.1


def test_each_map_of_one_layout_has_ripples_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mock_survey, "N", 24)
    monkeypatch.setattr(mock_survey, "pipeline", lambda data, sigma, seen: data)
    spectra = []
    for number, seed in enumerate((1, 1, 2)):
        path, rng = tmp_path / f"{number}.h5", np.random.default_rng(seed)
        mock_survey.record(path, np.zeros((24, 24, 256)), "season2", rng, splits=False, layout=7)
        with h5py.File(path) as file:
            spectrum = file["map_coadd"][..., 8:16, 8:16].mean(axis=(2, 3)).ravel()
            spectra.append(spectrum[np.isfinite(spectrum)])
    same, other = (np.corrcoef(spectra[0], spectrum)[0, 1] for spectrum in spectra[1:])
    assert same > 0.999
    assert abs(other) < 0.8


def test_sources_are_counted_in_the_square_that_the_study_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A field that lies a pixel beside the middle of its map, in a quarter of the light-cone: that quarter's sources."""
    x, y = (np.random.default_rng(seed).uniform(-1.4, 1.4, 4000) for seed in (1, 2))  # on the light-cone's plane
    lum = np.full(4000, 5.0)

    def lit(halos, parameters, center, rng):
        return x - center[0], y - center[1], np.full(4000, 30.0), lum, np.ones(4000)

    pixel, n = 1.4 / 42, 42
    places = {name: (np.arange(n) - (n - 1) / 2 + off) * pixel for name, off in (("x_deg", 1), ("y_deg", 0))}
    like = SimpleNamespace(pixel_deg=(pixel, pixel), **places)
    monkeypatch.setattr(mock_survey, "sources", lit)
    monkeypatch.setattr(mock_survey, "painted", lambda *light: None)
    for name in ("record", "save_survey", "read_like", "parameters_of", "read_lightcone"):
        monkeypatch.setattr(survey_coverage, name, lambda *args, **named: {})
    monkeypatch.setattr(survey_coverage, "load_survey", lambda path: like)
    args = SimpleNamespace(like="like.h5", seed=1, prior="full", layout=1)
    for quarter, (right, up) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        survey_coverage.write_mock(3, Path("cone.h5"), quarter, {"future": tmp_path / "a.h5"}, tmp_path / "n.csv", args)
        planted = np.loadtxt(tmp_path / "n.csv", skiprows=1)
        assert planted.sum() == ((x > 0) == right).astype(int) @ ((y > 0) == up).astype(int)


def test_a_run_goes_on_with_its_own_mocks_and_posteriors_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rows of a posterior that has since been trained anew stood beside those of the new one."""
    places = {"x_deg": np.arange(4.0), "y_deg": np.arange(4.0), "frequency_ghz": np.arange(26.0, 34.0)}
    monkeypatch.setattr(survey_coverage, "load_survey", lambda path: SimpleNamespace(**places))
    for name in ("like.h5", "mdn/posterior.pt", "flow/posterior.pt", "other/mdn/posterior.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    like, posterior, flow = (tmp_path / name for name in ("like.h5", "mdn/posterior.pt", "flow/posterior.pt"))
    args = SimpleNamespace(
        layout=1, seed=1, prior="full", like=like, lightcones=[Path("0.h5"), Path("1.h5")], rival=None
    )
    args.posterior, args.output, args.kept = [posterior], tmp_path / "rows.csv", tmp_path / "kept"
    for changes in ({}, {}, {"posterior": [flow]}, {"posterior": [posterior, flow]}):  # a second may join
        survey_coverage.check_run(SimpleNamespace(**{**vars(args), **changes}))
    for changes, words in (
        ({"layout": 7}, "rows.made.json: found other mocks"),
        ({"layout": 7, "output": tmp_path / "new.csv"}, "kept/made.json: found other mocks"),
        ({"lightcones": args.lightcones[::-1]}, "rows.made.json: found other mocks"),
        ({"posterior": [tmp_path / "other/mdn/posterior.pt"]}, "rows.made.json: found other network mdn"),
    ):
        with pytest.raises(LimelightError, match=words):
            survey_coverage.check_run(SimpleNamespace(**{**vars(args), **changes}))
    deeper = {"output": tmp_path / "deep.csv", "posterior": [flow]}  # of the same skies, in the same folder of maps
    survey_coverage.check_run(SimpleNamespace(**{**vars(args), **deeper}))
    places["x_deg"] = np.arange(1.0, 5.0)
    with pytest.raises(LimelightError, match="rows.made.json: found other mocks"):
        survey_coverage.check_run(args)
    with pytest.raises(LimelightError, match="--posterior: found several called mdn"):
        survey_coverage.check_names([posterior, tmp_path / "other/mdn/posterior.pt"])


def test_rows_of_two_networks_are_not_taken_for_those_of_one():
    """Sorted by mock and bin they filled one another's bins."""
    mock, lum = (one.ravel() for one in np.meshgrid(np.arange(3), [1.0, 2.0], indexing="ij"))
    rows = {"mock": mock, "log10_lum": lum, "rank": mock + lum / 10}
    np.testing.assert_allclose(survey_ranks.by_bin(rows)["rank"], [[0.1, 0.2], [1.1, 1.2], [2.1, 2.2]])
    for wrong in (np.r_[0:6, 0:6], np.r_[0:5]):
        with pytest.raises(LimelightError, match="expected each bin of each mock once"):
            survey_ranks.by_bin({name: column[wrong] for name, column in rows.items()})


def test_the_transfer_function_is_that_of_the_pipeline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mock_survey, "MODES", 0)
    pixel_mpc = np.radians(mock_survey.PIXEL_DEG) * Cosmology().comoving_distance(115.27 / 30 - 1)
    x = np.arange(mock_survey.N)
    for waves in (2, 6, 12):  # per map
        wave = np.cos(2 * np.pi * waves * x / mock_survey.N)
        data = np.repeat(wave[:, None, None], mock_survey.N, 1) * np.array([1.0, -1.0, 1.0])
        left = mock_survey.pipeline(data, np.ones_like(data), np.ones(data.shape, bool))[40:80, 40:80, 0].mean(axis=1)
        measured = left @ wave[40:80] / (wave[40:80] @ wave[40:80])
        k = 2 * np.pi * waves / (mock_survey.N * pixel_mpc)
        rows = mock_survey.transfer()
        stated = np.interp(k, [row["k_perp_per_mpc"] for row in rows][::2], [row["transfer"] for row in rows][::2])
        assert measured == pytest.approx(stated, abs=0.03)


def test_ranks_of_a_calibrated_posterior_are_uniform_and_of_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """Counts with many ties; a posterior twice too narrow; one that is too high."""
    rng, mocks, bins = np.random.default_rng(1), 200, 49
    rows, wide = [], np.hypot(0.3, 0.2)
    known = np.floor(10 ** rng.normal(np.linspace(3, 0, bins), wide, (1000, bins)) - 1).clip(0)
    for number in range(mocks):
        middle = rng.normal(np.linspace(3, 0, bins), 0.3)
        planted = np.floor(10 ** rng.normal(middle, 0.2) - 1).clip(0)
        for method, width, off in (("right", 0.2, 0), ("narrow", 0.1, 0), ("high", 0.2, 0.2)):
            drawn = np.floor(10 ** rng.normal(middle + off, width, (400, bins)) - 1).clip(0)
            about = {"mock": number, "method": method, "depth": "season2"}
            rows += [about | row for row in survey_coverage.rows_of(drawn, planted, known, rng)]
    write_csv(tmp_path / "rows.csv", rows, digits=6)
    prior = np.tile([[0.0], [1], [10], [100], [1000]], bins)
    monkeypatch.setattr(survey_ranks, "read_shards", lambda paths: None)
    monkeypatch.setattr(survey_ranks, "prior_percentiles", lambda rows: (None, prior))
    words = ["--rows", str(tmp_path / "rows.csv"), "--training", "none", "--output", str(tmp_path / "t.csv")]
    monkeypatch.setattr(sys, "argv", ["survey_ranks", *words, "--figure", str(tmp_path / "f.png")])
    survey_ranks.main()
    table = list(csv.DictReader((tmp_path / "t.csv").open()))
    p = {
        name: np.array([float(row["p_ks"]) for row in table if row["method"] == name])
        for name in ("right", "narrow", "high")
    }
    assert np.mean(p["right"] < 0.05) < 0.15
    assert (p["narrow"][:30] < 0.01).all()
    assert (p["high"][:30] < 0.01).all()
    inside = {name: np.mean([float(row["inside_95"]) for row in table if row["method"] == name]) for name in p}
    assert inside["right"] == pytest.approx(0.95, abs=0.02)
    assert inside["narrow"] < 0.85
    for name, expected in (("gain_nats", np.log(wide / 0.2)), ("crps_over_prior", 0.2 / wide)):
        score = {method: np.mean([float(row[name]) for row in table if row["method"] == method][:20]) for method in p}
        assert score["right"] == pytest.approx(expected, abs=0.05)
        worse = (score["narrow"], score["high"])
        assert max(worse) < score["right"] if name == "gain_nats" else min(worse) > score["right"]
    one = table[0]
    assert float(one["nats"]) == pytest.approx(np.log((np.log10(101) - np.log10(2)) / 0.4), abs=0.1)
    assert (tmp_path / "f.png").stat().st_size > 10_000
    assert "season2, right: 200 mocks" in capsys.readouterr().out


def test_uneven_bins_are_those_of_scipy_and_count_once_where_bins_go_together():
    rng = np.random.default_rng(3)
    ranks = rng.uniform(size=(40, 30)) ** np.linspace(1, 1.8, 30)
    expected = sum(kstest(column, "uniform").pvalue < 0.05 for column in ranks.T)
    assert 0 < expected < 30
    assert survey_ranks.uneven_bins(ranks) == expected
    one = np.linspace(0, 1, 40) ** 2.5  # uneven: and so it is in every bin that says the same
    together = one[:, None] + 1e-4 * rng.uniform(size=(40, 6))
    alone = np.column_stack([rng.permutation(one) for _ in range(6)])
    assert survey_ranks.uneven_bins(together.clip(0, 1)) == survey_ranks.uneven_bins(alone) == 6
    assert survey_ranks.chance_of_uneven(together.clip(0, 1)) == pytest.approx(0.05, abs=0.02), "one bin six times"
    assert survey_ranks.chance_of_uneven(alone) == 0, "six bins of their own"
