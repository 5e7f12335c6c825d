"""Every figure from made-up but realistic evaluations: it draws, shows what was planted, and gives the same bytes twice."""

import numpy as np
import pytest
from PIL import Image

from limelight import figures
from limelight.evaluation.shards import Evaluation
from limelight.evaluation.statistics import PERCENTILES, log10_1p, summarise
from limelight.figures.style import save

GRID = {"pixels": 128, "channels": 50, "freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "rest_freq_ghz": 115.27}
GRID |= {"pool_pixels": 2, "pool_channels": 5, "size_deg": 1.4}
EDGES = np.linspace(3.5, 7, 50)


def sample(test: str, sigma_uk: float, error_dex: float, maps: int = 128, seed: int = 3) -> Evaluation:
    """A study's evaluation as it might be: Schechter-like counts of varying height and knee, errors growing with L."""
    rng = np.random.default_rng(seed)
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    height, knee = rng.normal(3.2, 0.12, (2, maps, 1)) * np.array([1.0, 0.0])[:, None, None] + np.array(
        [np.zeros((maps, 1)), rng.normal(5.9, 0.15, (maps, 1))]
    )
    counts = rng.poisson(10 ** (height - 0.55 * (centre - 3.5)) * np.exp(-(10 ** (centre - knee)))).astype(float)
    target = log10_1p(counts)
    errors = error_dex * (rng.normal(size=(maps, 1)) + 0.4 * rng.normal(size=(maps, 49))) * (0.6 + (centre - 3.5) / 3.5)
    mean = target.mean(axis=0)
    predicted_target = np.maximum(mean + (target - mean) * 0.95 + errors, 0)
    predicted = 10**predicted_target - 1
    spaces = [
        {"target": t, "natural": n, "counts": n}
        for t, n in ((predicted_target, predicted), (target, counts), (mean, 10**mean - 1))
    ]
    statistics, totals = summarise(*spaces)
    fine = np.where(rng.random((3, 128, 128)) < 0.2, rng.lognormal(0, 1.5, (3, 128, 128)), 0).astype(np.float32)
    pooled = 5 * fine.reshape(3, 64, 2, 64, 2).sum(axis=(2, 4))
    noise = rng.normal(0, max(sigma_uk, 1e-9), pooled.shape) * np.sqrt(20)
    training = {"mean": counts.mean(axis=0), "std": counts.std(axis=0), "mean_target": mean}
    training |= {"std_target": target.std(axis=0), "percentiles": np.percentile(counts, PERCENTILES, axis=0)}
    epochs = np.arange(1, 13)
    history = {
        "epoch": epochs,
        "train_loss": 0.9 * np.exp(-epochs / 3) + 0.02,
        "validation_loss": np.exp(-epochs / 3) * (1 + 0.2 * rng.random(12)) + 0.03,
        "mean_predictor_loss": np.ones(12),
    }
    history |= {name.replace("loss", "mse"): 0.05 * values for name, values in history.items() if name != "epoch"}
    settings = {
        "line_model": {"name": "li10", "model": "li", "prior": "10%"},
        "noise": test,
        "noise_sigma_uk": sigma_uk,
        "foregrounds": "none",
        "loss": "mse",
        "maps": [0, 1, 2],
    }
    return Evaluation(
        network="limelight",
        test=test,
        settings=settings,
        target={"quantity": "dn", "transform": "log10_1p", "standardise": True},
        grid=GRID,
        unit="uK",
        log10_lum_edges=EDGES,
        predicted_target=predicted_target,
        truth_target=target,
        predicted=predicted,
        truth=counts,
        rows={"lightcone": np.zeros(maps, int)},
        statistics=statistics,
        totals=totals,
        blank={"clean": np.full(49, 0.02), "noisy": np.abs(rng.normal(0.5, 0.2, (8, 49))) * sigma_uk},
        training=training,
        history=history,
        examples={"raw": fine, "pooled": pooled, "noisy": pooled + noise},
    )


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    return [sample("no_noise", 0.0, 0.02), sample("paper_noise", 3.47, 0.05), sample("comap_noise", 21.4, 0.12)]


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_figure_draws_and_saves_the_same_bytes_twice(name, evaluations, tmp_path):
    for copy in ("a", "b"):
        save(figures.draw(name, evaluations), tmp_path / f"{copy}.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # letters embedded
    assert b"CreationDate" not in pdf
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 5
