"""The intervals file: what goes in comes out, and what is broken is refused."""

import numpy as np
import pytest
from damaged_files import edited

from limelight.data.axes import OutputAxis
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.inference.intervals import LEVELS, Intervals, quantiles_of, read_intervals, write_intervals


def made(maps: int = 3, bins: int = 4, samples: int = 400) -> Intervals:
    rng = np.random.default_rng(1)
    drawn = rng.poisson(50, (maps, samples, bins)).astype(np.float32)
    return Intervals(
        method="test method",
        test="quiet",
        settings={"noise_sigma_uk": 3.47},
        axis=OutputAxis("luminosity", "Lsun", log10=True, edges=tuple(np.linspace(4, 6, bins + 1).tolist())),
        truth=rng.poisson(50, (maps, bins)),
        quantiles=quantiles_of(drawn),
        rows={name: np.arange(maps) for name in ("group", "subfield", "draw")},
        seconds=np.zeros(maps),
        samples=drawn,
        parameter_samples=rng.normal(size=(maps, 7, 2)),
        parameters=rng.normal(size=(maps, 2)),
        parameter_names=["alpha", "beta"],
        extra={"log_score": np.ones(maps)},
    )


def test_quantiles_are_those_of_a_known_distribution():
    draws = np.tile(np.linspace(0, 1, 2001)[None, 1:-1, None], (2, 1, 3))
    np.testing.assert_allclose(quantiles_of(draws), np.broadcast_to(LEVELS, (2, 3, 5)), atol=1e-12)


def test_quantiles_of_few_draws_hold_what_they_promise():
    """79 draws and a truth of one distribution: numpy's default would hold 92.6 % of the truths."""
    rng = np.random.default_rng(3)
    quantiles, truth = quantiles_of(rng.normal(size=(4000, 79, 4))), rng.normal(size=(4000, 4))
    inside = (quantiles[..., 0] <= truth) & (truth <= quantiles[..., 4])
    assert abs(inside.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / inside.size)


def test_a_round_trip_keeps_everything(tmp_path):
    write_intervals(tmp_path / "a.h5", made(), {"seed": 3})
    found, before = read_intervals(tmp_path / "a.h5"), made()
    assert (found.method, found.test, found.settings) == (before.method, before.test, before.settings)
    assert found.parameter_names == ["alpha", "beta"]
    assert (found.axis, found.counts) == (before.axis, True)
    for name in ("truth", "quantiles", "samples", "parameters"):
        np.testing.assert_array_equal(getattr(found, name), getattr(before, name))
    np.testing.assert_allclose(found.parameter_samples, before.parameter_samples, rtol=1e-6)
    np.testing.assert_array_equal(found.rows["draw"], np.arange(3))
    np.testing.assert_array_equal(found.extra["log_score"], np.ones(3))
    assert "intervals" in describe(tmp_path / "a.h5")
    assert "test method" in describe(tmp_path / "a.h5")
    write_intervals(tmp_path / "b.h5", made(), {"seed": 3})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_broken_files_are_refused(tmp_path):
    ragged = made()
    ragged.quantiles = ragged.quantiles[:, :2]
    with pytest.raises(LimelightError, match="quantiles: found shape"):
        write_intervals(tmp_path / "a.h5", ragged, {})
    falling = made()
    falling.quantiles = falling.quantiles[:, :, ::-1]
    with pytest.raises(LimelightError, match="quantiles that fall"):
        write_intervals(tmp_path / "a.h5", falling, {})
    write_intervals(tmp_path / "a.h5", made(), {})
    with edited(tmp_path / "a.h5") as file:
        file["truth"][0, 0] = np.nan
    with pytest.raises(LimelightError, match="NaN"):
        read_intervals(tmp_path / "a.h5")
