"""What a posterior says beside its answers: in which bins they are whole, and which line model painted the map."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posterior_toys import KINDS, TRAINING, cones, one_map, sampled, trained_network, wanted
from scipy import stats
from training_toys import DATASET, EDGES, PROBE, made_rows, settings

from limelight.data.shard import joined
from limelight.inference import calibration
from limelight.inference.intervals import read_intervals, write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.complete import complete, train_limit
from limelight.inference.posteriors.datasets import train_datasets
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.inference.posteriors.tables import Table
from limelight.probes.line_intensity.answer import predict
from limelight.probes.line_intensity.apply import in_lines, incomplete_in_words, posterior_table
from limelight.probes.line_intensity.columns import incomplete
from limelight.probes.line_intensity.figures.predictions import posterior_figure
from limelight.probes.line_intensity.targets import LuminosityTarget
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

OPTIONS = {"epochs": 30, "patience": 10, "batch_size": 256, "learning_rate": 3e-3, "weight_decay": 0.0}


def table_of(features: torch.Tensor, of_prior: torch.Tensor | None = None) -> Table:
    n = len(features)
    nothing = torch.zeros(n, 1)
    every = torch.ones(n, dtype=torch.bool) if of_prior is None else of_prior
    return Table(features, nothing, nothing, nothing, torch.arange(n), every)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_the_chance_that_a_bin_is_whole_is_that_of_an_exact_posterior():
    """A limit known from one number to 0.2 dex: the chance that it lies below an edge is a normal one."""
    random = torch.Generator().manual_seed(1)
    x = torch.rand(9000, 1, generator=random) * 2 - 1
    limit = (5 + x[:, 0] + 0.2 * torch.randn(9000, generator=random)).double()
    x = torch.cat([x, torch.randn(9000, 3, generator=random)], dim=1)
    strange = torch.arange(6000) % 5 > 0
    limit[:6000][~strange] += 9  # of rows that are not of the prior
    target = LuminosityTarget("dn", "log10_1p", tuple(np.linspace(3, 7, 21)))
    tables = table_of(x[:6000], strange), table_of(x[6000:])
    head, scale = train_limit((x[:6000], x[6000:]), tables, (limit[:6000], limit[6000:]), target, OPTIONS, 1, "toy")
    edges = np.asarray(target.axis.edges)
    seen = torch.tensor([[-0.5, 0, 0, 0], [0.0, 0, 0, 0], [0.6, 0, 0, 0]])
    found = complete(head, scale, seen, edges)
    exact = stats.norm.cdf((edges[:-1] - 5 - seen[:, :1].numpy()) / 0.2)
    middle = (exact > 0.05) & (exact < 0.95)
    assert np.abs(found - exact)[middle].max() < 0.08
    assert (found[exact > 0.99] >= 0.95).all()
    assert (found[exact < 0.01] <= 0.05).all()
    assert (np.diff(found, axis=1) >= 0).all(), "brighter bins are whole before fainter ones"


def test_probabilities_of_datasets_are_those_of_bayes():
    """Three normal clouds, one of them twice as frequent in training."""
    rng = np.random.default_rng(1)
    middles, shares = np.array([[0.0, 0], [1.5, 0], [0, 1.5]]), np.array([0.5, 0.25, 0.25])
    which = rng.choice(3, 12_000, p=shares)
    x = torch.as_tensor(middles[which] + rng.normal(size=(12_000, 2)), dtype=torch.float32)
    number, cut = torch.as_tensor(which), 9000
    tables = table_of(x[:cut]), table_of(x[cut:])
    head = train_datasets((x[:cut], x[cut:]), tables, (number[:cut], number[cut:]), 3, OPTIONS, 1, "toy")
    which = rng.choice(3, 4000, p=shares)
    seen = middles[which] + rng.normal(size=(4000, 2))
    with torch.no_grad():
        found = head(torch.as_tensor(seen, dtype=torch.float32)).exp().numpy()
    likelihood = np.exp(-((seen[:, None] - middles) ** 2).sum(axis=2) / 2) * shares
    exact = likelihood / likelihood.sum(axis=1, keepdims=True)
    assert np.abs(found - exact).mean() < 0.02
    rows = calibration.reliability(found, which)
    assert all(abs(row["probability"] - row["share"]) < 4 * row["error"] for row in rows)


def test_reliability_by_hand():
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]])
    rows = calibration.reliability(probability, np.array([0, 1, 1, 1]), bins=2)
    assert [row["answers"] for row in rows] == [4, 4]
    assert [row["probability"] for row in rows] == pytest.approx([0.2, 0.8])
    assert [row["share"] for row in rows] == pytest.approx([1 / 4, 3 / 4])


def brightness(rows) -> np.ndarray:
    """A limit that the maps' brightness tells."""
    return 4.5 + rows.theta[:, 1]


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return cones(160, 1, 0), cones(80, 2, 1), cones(60, 3, 9)


@pytest.fixture(scope="module")
def network(tmp_path_factory, data):
    return trained_network(tmp_path_factory.mktemp("network"), data[0], data[1])


@pytest.mark.parametrize("kind", ["quantiles", "mdn"])
def test_bins_that_the_catalogue_leaves_incomplete_are_marked(tmp_path, monkeypatch, network, data, kind):
    monkeypatch.setattr(type(PROBE), "complete_from", lambda self, made, theta, names: 4.5 + theta[:, 1])
    what = wanted(kind, recalibrate=True)
    what = replace(what, network=replace(what.network, datasets={DATASET: None}))
    content, _ = train_posterior(what, PROBE, *load_model(network), *data[:2])
    save_model(tmp_path / "a.pt", content, {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    edges = posterior.target.edges
    whole = edges[:-1] >= brightness(data[2])[:, None]
    result = posterior_intervals(posterior, sampled(what), PROBE, data[2])
    write_intervals(tmp_path / "i.h5", result, {"seed": 7})
    chance = read_intervals(tmp_path / "i.h5").extra["complete"]
    assert chance.shape == whole.shape
    marked = chance < 0.95
    assert whole[~marked].mean() >= 0.95, "what is not marked is complete"
    assert marked[~whole].mean() > 0.97
    assert (~marked)[whole].mean() > 0.5, "and marks are not everywhere"
    assert chance.mean() == pytest.approx(whole.mean(), abs=0.05)

    faint, bright = (data[2].x[data[2].theta[:, 1].argsort()[i], 0] for i in (0, -1))
    tables = [posterior_table(posterior, cube)[0] for cube in (faint, bright)]
    assert incomplete(tables[0]).sum() < incomplete(tables[1]).sum()
    table = tables[1]
    lines = in_lines(table).splitlines()[1:]
    unknown = incomplete(table)[::2]
    assert [("unknown   at least" in line) for line in lines] == unknown.tolist()
    assert f"({incomplete(table).sum()} of 10 bins)" in incomplete_in_words(table)
    figure = posterior_figure(table, "a cube")
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == incomplete(table).sum()
    assert "lower limits" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert incomplete_in_words({**table, "complete": np.full(10, np.nan)}) == "", "not known is not marked"


def two_models(count: int, seed: int, group: int):
    """Maps of `toys` and, as many, of a line model whose sources are brighter and fewer."""
    rng, plain = np.random.default_rng(100 + seed), cones(count, seed, group)
    made = [one_map(rng, rng.uniform(-0.9, -0.3), rng.uniform(0.1, 0.5)) for _ in range(count)]
    x, n_above = (np.stack(part) for part in zip(*made, strict=True))
    other = replace(made_rows(x[:, None], n_above, group), header=plain.header, rows=plain.rows)
    other = replace(other, dataset=np.repeat(["bright"], count), examples=plain.examples)
    assert n_above.shape[1] == len(EDGES)
    return plain, other


def test_a_posterior_of_two_line_models_says_which_of_them_a_map_is_of(tmp_path, capsys):
    parts = {group: two_models(n, group + 1, group) for n, group in ((120, 0), (60, 1), (60, 9))}
    trained = settings(network={"line_models": [DATASET, "bright"]}, epochs=6, batch_size=16)
    rows = {group: joined(both) for group, both in parts.items()}
    content, _ = train(trained, PROBE, rows[0], rows[1], tmp_path / "checkpoints")
    save_model(tmp_path / "model.pt", content, {"seed": 7})
    what = replace(wanted("mdn", training=TRAINING, mdn=KINDS["mdn"]), network=trained)
    content, _ = train_posterior(what, PROBE, *load_model(tmp_path / "model.pt"), rows[0], rows[1])
    save_model(tmp_path / "a.pt", content, {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    assert posterior.datasets == [DATASET, "bright"]
    result = posterior_intervals(posterior, sampled(what), PROBE, parts[9][0])
    chance = result.extra["dataset_probability"]
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    assert np.median(chance[:, 0]) > 0.9
    cube = parts[9][1]
    other = posterior.dataset_probability(posterior.trunk.features(torch.asinh(torch.as_tensor(cube.x) / 3)))
    assert np.median(other[:, 1]) > 0.9
    both = np.concatenate([chance, other])
    score = -np.log(both[np.arange(120), np.repeat([0, 1], 60)]).mean()
    assert score < 0.5 * np.log(2), "of what a guess would cost"
    from limelight.data.shard import write_shard

    write_shard(tmp_path / "cube.h5", cube, {})
    answer = predict(tmp_path / "cube.h5", posterior=tmp_path / "a.pt")
    assert set(answer.models) == {DATASET, "bright"}
    assert sum(answer.models.values()) == pytest.approx(1)
    assert any(note.startswith("line models: toys ") for note in answer.notes)
