"""Every figure from made-up but realistic evaluations: it draws, shows what was planted, and gives the same bytes twice."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from limelight import figures
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.metrics import PERCENTILES, log10_1p, summarise
from limelight.figures.common import noise_words, paper_sigma_uk, published_bands
from limelight.figures.style import save
from limelight.files import ROOT, resource_path

GRID = {"pixels": 128, "channels": 50, "freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "rest_freq_ghz": 115.27}
GRID |= {"pool_pixels": 2, "pool_channels": 5, "size_deg": 1.4}
# Figures drawn of every single network; test_comparisons.py has the others
ALONE = (
    "map_slices",
    "luminosity_function",
    "error_bands",
    "spread_ratio",
    "blank_map",
    "loss_history",
    "training_spread",
)
EDGES = np.linspace(3.5, 7, 50)


def sample(test: str, sigma_uk: float | list[float], error_dex: float, maps: int = 128, seed: int = 3) -> Evaluation:
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
    noise = rng.normal(0, max(np.max(sigma_uk), 1e-9), pooled.shape) * np.sqrt(20)
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
        "noise": {"sigma_uk": sigma_uk},
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
        blank={"clean": np.full(49, 0.02), "noisy": np.abs(rng.normal(0.5, 0.2, (8, 49))) * np.max(sigma_uk)},
        training=training,
        history=history,
        examples={"raw": fine, "pooled": pooled, "noisy": pooled + noise},
    )


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    return [sample("no_noise", 0.0, 0.02), sample("paper_noise", 3.47, 0.05), sample("comap_noise", 21.4, 0.12)]


@pytest.mark.parametrize("name", ALONE)
def test_figure_draws_and_saves_the_same_bytes_twice(name, evaluations, tmp_path):
    for copy in ("a", "b"):
        save(figures.draw(name, evaluations), tmp_path / f"{copy}.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # letters embedded
    assert b"CreationDate" not in pdf
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 5


def legend_words(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_luminosity_function_shows_the_planted_ratio(evaluations):
    e = evaluations[0]
    planted = dataclasses.replace(e, predicted=1.25 * e.truth)
    figure = figures.draw("luminosity_function", [planted], [4])
    bottom = figure.axes[1]
    ratio = next(line for line in bottom.lines if len(line.get_xdata()) == 49).get_ydata()
    assert np.isnan(ratio[e.truth[4] == 0]).all()
    assert ratio[e.truth[4] > 0] == pytest.approx(1.25)
    assert bottom.get_xlabel() == r"line luminosity $L$ [$L_\odot$]"


def test_published_bands_stand_beside_their_scenario_only(evaluations):
    clean, quiet, loud = (published_bands(e) for e in evaluations)
    assert [label for label, *_ in clean] == ["published CNN (1905.10376), no noise"]
    assert "3.47" in quiet[0][0]
    assert "MCMC" in loud[0][0]
    assert len(clean) == len(quiet) == len(loud) == 1
    table = np.genfromtxt(
        resource_path("published_cnn_errors.csv"), delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    row = table[(table["scenario"] == "no_noise__li_10pct")][3]
    assert (clean[0][1][3], clean[0][2][3]) == (row["luminosity_lsun"], row["frac_err_p25"])
    other = dataclasses.replace(
        evaluations[0],
        settings=evaluations[0].settings | {"line_model": {"name": "p", "model": "padmanabhan", "prior": "10%"}},
    )
    assert published_bands(other) == []
    assert not any("published" in words for words in legend_words(figures.draw("error_bands", [other])))


def test_noise_on_the_published_voxel_by_hand(evaluations):
    # 1.4 deg / 128 and 8 GHz / 50 against 1.4 deg / 256 and 8 GHz / 100: eight times the volume, sigma times sqrt(8)
    assert paper_sigma_uk(evaluations[1]) == pytest.approx(3.47 * np.sqrt(8))


def test_noise_in_words(evaluations):
    quiet, paper = evaluations[:2]
    assert noise_words(quiet) == "no noise"
    assert noise_words(paper) == r"$\sigma$ = 3.47 µK per map voxel"
    uneven = dataclasses.replace(paper, settings=paper.settings | {"noise": {"sigma_uk": 3.47, "edge_ratio": 3}})
    assert noise_words(uneven).endswith("µK per map voxel, × 3 towards the edges")
    drawn = dataclasses.replace(paper, settings=paper.settings | {"noise_sigma_uk": [0.0, 5.0], "foregrounds": "radio"})
    assert noise_words(drawn) == r"$\sigma$ = 0–5 µK per map voxel, radio sources"


def test_two_networks_are_told_apart(evaluations):
    other = dataclasses.replace(evaluations[1], network="rival")
    words = legend_words(figures.draw("spread_ratio", [evaluations[0], other]))
    assert words[0].startswith("limelight, ")
    assert words[1].startswith("rival, ")
    for name in ("loss_history", "training_spread", "blank_map"):
        titles = {axes.get_title() for axes in figures.draw(name, [evaluations[0], other]).axes}
        assert {"limelight", "rival"} <= titles


@pytest.mark.parametrize("name", ALONE)
def test_a_test_of_two_maps_with_empty_bins_still_draws(name, evaluations, tmp_path, recwarn):
    e = sample("few", [1.0, 5.0], 0.1, maps=2)
    save(
        figures.draw(name, [dataclasses.replace(e, settings=e.settings | {"foregrounds": {"slope": 2}})]),
        tmp_path / "f.pdf",
    )
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


@pytest.mark.parametrize(
    ("name", "maps", "says"),
    [
        ("pie", None, "one of map_slices"),
        ("luminosity_function", [999], "below 128"),
        ("luminosity_function", [-1], "from 0 up"),
        ("map_slices", [3], "below 3"),
    ],
)
def test_wrong_requests_are_refused(name, maps, says, evaluations):
    with pytest.raises(LimelightError, match=says):
        figures.draw(name, evaluations, maps)


def test_other_bins_are_not_drawn_together(evaluations):
    other = dataclasses.replace(evaluations[1], log10_lum_edges=EDGES + 0.1)
    with pytest.raises(LimelightError, match="other bins"):
        figures.draw("error_bands", [evaluations[0], other])


def test_every_figure_has_its_caption():
    for kind in figures.FIGURES.values():
        assert len((ROOT / "workflow" / "report" / kind.caption).read_text(encoding="utf-8")) > 100
