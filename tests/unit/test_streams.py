"""Streams: fresh simulations are those of the prior, shown with noise of their own, and refused where foreign."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from rival_toys import lightcone_file, toy_study
from scipy import stats
from training_toys import PROBE, SHAPE, made_rows, settings

from limelight.data.shard import read_shards
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import Chosen, load_posterior
from limelight.inference.posteriors.stream import (
    Watcher,
    read_stream,
    streamed_table,
    watch,
    watchers,
    write_part,
)
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.files import write_maps
from limelight.probes.line_intensity.maps.paint import halo_light, paint_draw, paint_subfields, prepare_field
from limelight.probes.line_intensity.rival.shapes import SHAPES, log10_luminosity
from limelight.probes.line_intensity.settings import fine_grid, shard_settings
from limelight.probes.line_intensity.shards import pool_map, pool_maps
from limelight.probes.line_intensity.simulations import typical_halos
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.settings import (
    StreamSettings,
    intervals_settings,
    network_settings,
    posterior_settings,
    stream_settings,
)
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train


class Sums(torch.nn.Module):
    """A trunk whose features are sums over the map's first axis."""

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x[:, 0].sum(dim=1).flatten(1)


def batches(sizes: list[int]):
    """The same ten rows in batches of any sizes."""
    rng = np.random.default_rng(1)
    x, n_above = rng.random((10, *SHAPE), np.float32), np.arange(10 * 25).reshape(10, 25)
    first = 0
    for size in sizes:
        some = slice(first, first + size)
        found = made_rows(x[some], n_above[some])
        yield replace(found, theta=np.ones((size, 1)), parameter_names=["a"], rows={"draw": np.arange(10)[some]})
        first += size


@pytest.fixture
def stream():
    """(settings, watchers) of a stream that a noisy network watches."""
    network = settings(noise={"loud": {"sigma_uk": 1.0}})
    made = StreamSettings(7, "s", 10, {"toy": network}, ("toy", None))
    data = next(batches([10]))
    return made, [Watcher(network, Sums(), PROBE.presentation(network.network, network.observation, data.header))]


def test_a_row_is_seen_alike_in_any_batch_and_otherwise_in_another_file(stream):
    made, seen_by = stream
    whole = watch(made, seen_by, batches([10]), 0, 0)
    parts = watch(made, seen_by, batches([3, 6, 1]), 0, 0)
    np.testing.assert_allclose(parts.features["toy"], whole.features["toy"], rtol=1e-5)
    np.testing.assert_array_equal(parts.y["n_above"], whole.y["n_above"])
    for realisation, part in ((0, 1), (1, 0)):
        other = watch(made, seen_by, batches([10]), realisation, part)
        assert np.abs(other.features["toy"] - whole.features["toy"]).min(axis=0).max() > 0.01, "another noise"


def test_files_come_back_in_order_and_foreign_ones_are_refused(tmp_path, stream):
    made, seen_by = stream
    paths = {}
    for realisation in (0, 1):
        for part in (0, 1):
            found = watch(made, seen_by, batches([10]), realisation, part)
            found.theta[:] = 10 * part + realisation
            paths[realisation, part] = tmp_path / f"{realisation}-{part}.h5"
            write_part(paths[realisation, part], found, seen_by, realisation, part, {"seed": 7})
    weights = seen_by[0].weights
    found = read_stream(list(paths.values()), made, "toy", weights, [0, 1])
    assert found.theta[::10, 0].tolist() == [0, 1, 10, 11], "file by file, of all realisations"
    target = PROBE.target(made.networks["toy"].network, next(batches([1])).header)
    table = streamed_table(found, "toy", target, 15, torch.device("cpu"))
    assert len(table) == 15
    np.testing.assert_array_equal(table.answers.numpy(), found.y["n_above"][:15, :10] - found.y["n_above"][:15, 1:11])
    one = [paths[0, 0]]
    for wanted, words in (
        (lambda: read_stream(one * 2, made, "toy", weights, [0]), "each once"),
        (lambda: read_stream(one, made, "toy", weights, [1]), "realisation 0; expected one of its split"),
        (lambda: read_stream(one, made, "toy", Watcher(None, Sums(2.0), None).weights, [0]), "other weights"),
        (lambda: read_stream(one, made, "other", weights, [0]), "no 'other'"),
        (lambda: streamed_table(found, "toy", target, 41, torch.device("cpu")), "at most the 40"),
    ):
        with pytest.raises(LimelightError, match=words) as error:
            wanted()
        assert "\n" not in str(error.value)


def test_a_mixed_stream_shows_empty_maps_and_the_light_of_two_with_the_counts_of_two():
    """Without noise a feature is the light itself: of the row, of none, or of it and the same draw on the field before."""
    network = settings(noise={"none": {"sigma_uk": 0.0}})
    rows = next(batches([10]))
    clean = StreamSettings(7, "s", 5, {"toy": network}, ("toy", None))
    presentation = PROBE.presentation(network.network, network.observation, rows.header).unaltered().bare()
    light, target = rows.x.sum(axis=(1, 2, 3, 4)), PROBE.target(network.network, rows.header)

    class Total(Sums):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(dim=(1, 2, 3, 4))[:, None]

    def seen(made: StreamSettings, part: int, sizes: list[int]):
        return watch(made, [Watcher(network, Total(), presentation)], batches(sizes), 0, part)

    mixed = replace(clean, empty_share=0.3, superposed_share=0.5)
    counts, laid, empties = rows.y["n_above"][:, :10] - rows.y["n_above"][:, 1:11], 0, 0
    for part in range(12):
        found = seen(mixed, part, [10])
        np.testing.assert_array_equal(seen(mixed, part, [2, 5, 3]).features["toy"], found.features["toy"])
        empty, partner = found.rows["empty"], found.rows["partner"]
        assert set(partner) <= {0, 5}
        assert not partner[:5].any(), "a file's first field has none before it"
        other = np.where(partner > 0, np.arange(10) - partner, -1)
        own = np.where(empty, 0, light + np.where(other >= 0, light[other], 0))
        np.testing.assert_allclose(found.features["toy"][:, 0], own, rtol=1e-5)
        table = streamed_table(found, "toy", target, 0, torch.device("cpu"))
        expected = np.where(empty[:, None], 0, counts + np.where(other[:, None] >= 0, counts[other], 0))
        np.testing.assert_array_equal(table.answers.numpy(), expected)
        np.testing.assert_array_equal(table.of_prior.numpy(), ~empty & (partner == 0))
        laid, empties = laid + (partner > 0).sum(), empties + empty.sum()
    assert abs(laid - 0.5 * 60) < 4 * np.sqrt(60 * 0.25)
    assert abs(empties - 0.3 * 120) < 4 * np.sqrt(120 * 0.21)
    assert "partner" not in seen(clean, 0, [10]).rows


def toy(tmp_path, **posterior):
    """A study with a network of summaries and convolutions, and a posterior on a stream."""
    raw = toy_study()
    raw["rival"] = {}
    raw["grid"] |= {"pool_pixels": 2, "pool_channels": 1}
    raw["line_models"]["flat"] = {"model": "li", "parameters": {"sigma_sfr": 0.0, "sigma_lco": 0.0}}
    raw["networks"] = {
        "n": {
            "architecture": "counting",
            "options": {"scale": 4, "filters": 4, "pool_channels": 5, "across": 4, "along": 2, "bins": 20},
            "preprocessing": {"transform": "none"},
            "line_models": ["li_full"],
            "noise": ["some"],
            "tests": ["over_prior"],
            "training": {"epochs": 1, "batch_size": 8},
        }
    }
    raw["streams"] = {"s": {"networks": ["n"], "draws": 6, "files": 2}}
    raw["posteriors"] = {
        "p": {
            "network": "n",
            "kind": "mdn",
            "stream": "s",
            "features": ["histogram", "mean"],
            "training": {"epochs": 2},
            "mdn": {"hidden": 8, "components": 2},
            **posterior,
        }
    }
    return resolve_study(raw, tmp_path / "toy.yaml")


def test_fresh_maps_are_those_of_the_painter(tmp_path):
    """Without scatter and spread of parameters no random number is left: maps and counts are the study's own."""
    study = toy(tmp_path)
    made, path = shard_settings(study, "flat"), lightcone_file(tmp_path, 2)
    model, edges = get_model("li", made.maps.dataset.parameters), log10_lum_edges(plain(study.labels), EXTENSION_BINS)
    fields, rng = read_subfields(path), np.random.default_rng(1)
    found = list(PROBE.fresh_rows(made, "flat", 2, 0, 3, [path]))
    for (index, halos), rows in zip(read_subfield_halos(path), found, strict=True):
        field = prepare_field(halos, made.grid, fields.center_deg[index], fields.cosmology)
        cube, _, n_above = paint_draw(field, model, made.maps.dataset, edges, rng, "here")
        exact = pool_map(cube, made.grid, 0.0)
        assert rows.rows["subfield"].tolist() == [index] * 3
        for x, counts in zip(rows.x[:, 0], rows.y["n_above"], strict=True):
            np.testing.assert_allclose(x, exact, rtol=1e-4, atol=1e-6 * exact.max())
            assert np.abs(counts - n_above).max() <= 2, "float32: a halo on an edge may fall to the other side"
    with pytest.raises(LimelightError, match="light-cone 2; expected light-cone 1"):
        next(PROBE.fresh_rows(made, "flat", 1, 0, 3, [path]))
    with pytest.raises(
        LimelightError, match="--simulate-from: found 0 files; expected the subfields file of light-cone 2"
    ):
        next(PROBE.fresh_rows(made, "flat", 2, 0, 3, []))


def test_fresh_parameters_are_draws_of_the_prior_within_its_temperatures(tmp_path):
    study, path = toy(tmp_path), lightcone_file(tmp_path, 2)
    made = shard_settings(study, "li_full")
    first, again, other = (list(PROBE.fresh_rows(made, "li_full", 2, part, 40, [path])) for part in (0, 0, 1))
    theta = [np.concatenate([rows.theta for rows in found]) for found in (first, again, other)]
    np.testing.assert_array_equal(theta[0], theta[1])
    assert len(np.unique(np.concatenate(theta[::2]), axis=0)) == 2 * len(theta[0]), "each draw its own"
    x = np.concatenate([rows.x for rows in first])
    mean_uk = x.mean(axis=(1, 2, 3, 4)) / 4  # of sums of four voxels
    assert ((mean_uk >= 0.05) & (mean_uk <= 30)).all()
    fields = read_subfields(path)
    (_, halos), *_ = read_subfield_halos(path)
    field, rng = prepare_field(halos, made.grid, fields.center_deg[0], fields.cosmology), np.random.default_rng(3)
    model = get_model("li")
    painted = [paint_draw(field, model, made.maps.dataset, np.array([4.0, 9.0]), rng, "here") for _ in range(200)]
    known = np.log10([cube.mean() for cube, _, _ in painted])
    assert stats.ks_2samp(np.log10(mean_uk), known).pvalue > 1e-3


def shard_of(study, cone, path, folder):
    """The shard of one light-cone, from its subfields."""
    made, table, grid = shard_settings(study, "li_full"), read_subfields(path), fine_grid(study)
    model, labels = made.maps.dataset, plain(study.labels)
    painted = paint_subfields(table, read_subfield_halos(path), "li_full", model, labels, grid, study.seed)
    write_maps(folder / "maps.h5", painted, table, grid, "li_full", model, labels, {})
    pool_maps(folder / f"{cone}_shard.h5", folder / "maps.h5", made.grid, 0.0, provenance(made, study.seed))
    return folder / f"{cone}_shard.h5"


def run(script: str, *given: object) -> None:
    """A script of the workflow, in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", [script, *map(str, given)])
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")


def test_a_posterior_learns_from_a_stream_and_sees_what_it_is_given(tmp_path, capsys):
    study, probe = toy(tmp_path), PROBE
    paths = {cone: lightcone_file(tmp_path, cone) for cone in (0, 1, 2, 6, 7)}
    shards = {cone: shard_of(study, cone, path, tmp_path) for cone, path in paths.items()}
    training, validation = read_shards([shards[i] for i in (0, 1, 2)]), read_shards([shards[6]])
    network = network_settings(study, "n")
    content, _ = train(network, probe, training, validation, tmp_path / "checkpoints")
    save_model(tmp_path / "model.pt", content, provenance(network, study.seed))
    trunk, info = load_model(tmp_path / "model.pt")
    made = stream_settings(study, "s")
    seen_by = watchers(made, probe, {"n": (trunk, info)})
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(plain(study)))
    given = ["--config", config, "--stream", "s", "--networks", tmp_path / "model.pt"]
    for odd, words in (
        (["--realisation", 7, "--part", 0], "--realisation: found 7; expected one of train, validation: "),
        (["--realisation", 1, "--part", 2], "--part: found 2; expected below 2, the files of realisation 1"),
        (["--realisation", 6, "--part", 1], "--part: found 1; expected below 1, the files of realisation 6"),
    ):
        with pytest.raises(SystemExit):
            run("make_stream.py", *given, *odd, "--output", tmp_path / "unseen.h5")
        assert words in capsys.readouterr().err
    given += ["--part", 0]
    files = {}
    for cone in (0, 1, 2, 6):
        files[cone] = tmp_path / f"s{cone}.h5"
        own = ["--realisation", cone, "--simulate-from", paths[cone], "--output", files[cone]]
        run("make_stream.py", *given, *own)
    batches = probe.fresh_rows(shard_settings(study, "li_full"), "li_full", 1, 0, 6, [paths[1]])
    write_part(tmp_path / "again.h5", watch(made, seen_by, batches, 1, 0), seen_by, 1, 0, provenance(made, study.seed))
    assert (tmp_path / "again.h5").read_bytes() == files[1].read_bytes(), "the same bytes from another process"
    words = describe(files[2])
    assert "24 simulations of realisation 2" in words
    assert "seen by network n: " in words
    weights = seen_by[0].weights
    parts = [read_stream([files[i] for i in cones], made, "n", weights, cones) for cones in ([0, 1, 2], [6])]
    wanted = posterior_settings(study, "p")
    content, history = train_posterior(wanted, probe, trunk, info, *parts)
    assert len(content["scales"]["features"]["mean"]) == 21, "the histogram and the mean"
    assert content["training"]["presentations"] == 3 * 4 * 6
    save_model(tmp_path / "same.pt", content, provenance(wanted, study.seed), "posterior")
    given = ["--config", config, "--name", "p", "--network", tmp_path / "model.pt", "--output", tmp_path / "p.pt"]
    run("train_posterior.py", *given, "--train", *(files[i] for i in (0, 1, 2)), "--validation", files[6])
    assert (tmp_path / "p.pt").read_bytes() == (tmp_path / "same.pt").read_bytes()
    posterior = load_posterior(tmp_path / "p.pt")
    result = posterior_intervals(
        posterior, intervals_settings(study, "p", "over_prior"), probe, read_shards([shards[7]])
    )
    assert result.samples.shape == (8, 500, 49)
    assert result.method == "mixture density, p"
    tiny = {"simulations": 40, "derivatives": 10, "step": 0.01, "steps": 25, "hidden": 8}
    compressed = posterior_settings(toy(tmp_path, kind="imnn", imnn=tiny), "p")
    simulations = probe.fisher_rows(compressed, [paths[i] for i in (0, 1, 2)])
    content, _ = train_posterior(compressed, probe, trunk, info, *parts, simulations)
    assert content["prior"]["summaries"].shape == (3 * 4 * 6, 5), "of every row of the stream"
    with pytest.raises(LimelightError, match="some of power, histogram, mean, convolutions"):
        Chosen(trunk, ["sums"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stream": "t"}, "one of s"),
        ({"stream": None, "stream_rows": 5}, "a stream beside it"),
        ({"fine_tune": 2}, "can only be trained on stored data"),
        ({"presentations": 2}, "shows every simulation once"),
        ({"empty_share": 0.1}, "empty_share: found 0.1 with a stream; expected the share of its stream"),
        ({"network": "m"}, "a stream that m watches"),
        ({"kind": "quantiles", "of": "parameters"}, "parameters; expected the default with kind: quantiles"),
    ],
)
def test_a_config_that_asks_for_the_impossible_is_one_line(tmp_path, changes, words):
    raw = plain(toy(tmp_path))
    raw["networks"]["m"] = raw["networks"]["n"]
    raw["posteriors"]["p"] |= changes
    raw["posteriors"]["p"] = {key: value for key, value in raw["posteriors"]["p"].items() if value is not None}
    with pytest.raises(LimelightError, match=words):
        resolve_study(raw, tmp_path / "toy.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "none"}, "one of li_full, .*defined in line_models"),
        ({"dataset": "flat"}, "draws of its network's own prior"),
        ({"files": 0}, "p learns from them"),
        ({"validation_files": 0}, "p learns from them"),
        ({"empty_share": 0.5, "superposed_share": 0.5}, "streams.s: .*less than 1 together"),
    ],
)
def test_a_posterior_needs_a_stream_of_its_prior_that_has_files(tmp_path, changes, words):
    raw = plain(toy(tmp_path))
    raw["streams"]["s"] |= changes
    with pytest.raises(LimelightError, match=words):
        resolve_study(raw, tmp_path / "toy.yaml")


def test_what_is_foreseen_to_be_out_of_reach_is_out_of_reach(tmp_path):
    """Held against maps' own mean temperatures, under Li's full prior, whose scatter is up to 0.7 dex."""
    study, path = toy(tmp_path), lightcone_file(tmp_path, 2)
    made, model, shape = shard_settings(study, "li_full"), get_model("li"), SHAPES["li"]
    fields = read_subfields(path)
    (_, halos), *_ = read_subfield_halos(path)
    field = prepare_field(halos, made.grid, fields.center_deg[0], fields.cosmology, shape, np.float32)
    typical, line_model, rng = typical_halos(field), made.maps.dataset, np.random.default_rng(3)
    out, foreseen = [], []
    for _ in range(300):
        values = draw_parameters(model, "full", None, rng)
        (amplitude,), (own,) = shape.split(np.array([list(values.values())]))
        log10_lum = log10_luminosity(shape, *field.properties, amplitude, own, rng.standard_normal(len(field)))
        out.append(not halo_light(field, log10_lum, line_model).allowed)
        numbers = np.array(list(values.values()))
        foreseen.append(typical.out_of_reach(shape, numbers, line_model.mean_temperature_uk))
    out, foreseen = np.array(out), np.array(foreseen)
    assert not (foreseen & ~out).any()
    assert foreseen.sum() > 0.5 * out.sum() > 20
