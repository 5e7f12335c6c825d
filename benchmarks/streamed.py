"""Heads on a stream, judged on simulations of test light-cones: the tables of docs/inference.md.

example: snakemake stream_files --configfile config/streamed.yaml --cores 2
         python -m benchmarks.streamed --config config/streamed.yaml --results results/streamed
             --output docs/results/streamed

Each of `heads` is trained on the stream's files of the training light-cones, chosen by those of the validation light-cone,
and asked about every simulation of the test light-cones, as `scripts/train_posterior.py` and `scripts/sample_posterior.py`
would. Tables: <output>.csv, one row per test, head and luminosity; <output>_scores.csv, one per test and head; and
<output>_gains.csv, what some heads know beyond others. --heads trains some of them alone; what is trained already is kept
below <results>/heads.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from limelight.data.shard import Rows
from limelight.errors import plain_errors, problem
from limelight.files import provenance, write_csv
from limelight.inference.intervals import Intervals, quantiles_of
from limelight.inference.posteriors.draw import draw_answers, log_score, quantile_answers
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import Posterior, load_posterior
from limelight.inference.posteriors.quantiles import quantile_ranks
from limelight.inference.posteriors.stream import Part, read_stream, streamed_table
from limelight.inference.posteriors.tables import Table, continuous, finished
from limelight.probe import load_probe
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.money import ideal_intervals, interval_rows, without_draws
from limelight.probes.line_intensity.settings import shard_settings
from limelight.probes.line_intensity.targets import line_axis
from limelight.section import plain
from limelight.study.config import load_study
from limelight.study.settings import PosteriorSettings, posterior_settings, stream_settings
from limelight.training.checkpoint import fingerprint_weights, load_model, save_model

PAPER_UK = {"none": 0.0, "comap": 60.6, "season2": 95.3}  # noise per voxel of arXiv:1905.10376
COLUMNS = (
    "test", "noise", "noise_uk_per_paper_voxel", "mean_known", "method", "luminosity_lsun", "mean_count", "maps", "lower_95",
    "upper_95", "width_95", "bias", "rank_covered_68", "rank_covered_95", "error_95",
)  # fmt: skip
TESTS = {"prior": "prior", "fiducial": "fiducial"}  # what the tables call a test, and the stream that it is of
SUMMARIES = ("power", "histogram", "mean")
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Head:
    """One head to train: on whose features, and how it differs from the study's own posterior of that network."""

    network: str
    kind: str = "quantiles"
    features: tuple[str, ...] = ()  # none: all of the network's
    rows: int = 0  # of the stream; 0: all
    seed: int = 0  # added to the study's
    members: int = 3  # of kind quantiles
    blind: bool = False  # features hidden: what the prior alone says
    stream: str = "prior"

    @property
    def name(self) -> str:
        parts = (self.network, self.kind, "+".join(self.features) or "all", f"{self.rows or 'all'} rows")
        return ", ".join((*parts, f"{self.members} of seed {self.seed}")) + ", blind" * self.blind


NOISES = ("comap", "comap_unknown", "quiet", "season2")
TABLED = [Head(network, kind) for kind in ("quantiles", "mdn") for network in NOISES]  # bin by bin


def heads() -> Iterator[Head]:
    """All heads of the tables, the most needed first."""
    yield from TABLED
    yield Head("comap", "mdn", blind=True)
    for network in ("comap", "quiet"):
        for rows in (1280, 2560, 5120):
            yield Head(network, rows=rows)
    for features in (("power",), ("histogram",), ("power", "histogram")):
        for network in ("comap", "quiet"):
            yield Head(network, features=features)
    for network in ("comap", "comap_unknown", "quiet"):
        for seed in SEEDS:
            yield Head(network, seed=seed, members=1)
    for seed in SEEDS:
        for features in (SUMMARIES, (*SUMMARIES, "convolutions"), ("convolutions",)):
            for kind in ("quantiles", "mdn"):
                yield Head("comap_seen", kind, features, seed=seed, stream="seen")


def pairs() -> Iterator[tuple[str, Head, Head]]:
    """(what the first knows beyond the second, the first, the second): compared map by map."""
    for network in NOISES:
        yield "map over prior", Head(network, "mdn"), Head("comap", "mdn", blind=True)
    yield "mean temperature", Head("comap", "mdn"), Head("comap_unknown", "mdn")
    for seed in SEEDS:
        for kind in ("mdn", "quantiles"):
            both = [
                Head("comap_seen", kind, features, seed=seed, stream="seen")
                for features in ((*SUMMARIES, "convolutions"), SUMMARIES)
            ]
            yield "convolutions over summaries", *both


class Judge:
    """Trains heads on the files of a study and asks them about its tests."""

    def __init__(self, config: Path, results: Path):
        self.study, self.results = load_study(config), results
        self.probe = load_probe(self.study.probe)
        self.edges = log10_lum_edges(plain(self.study.labels))

    def part(self, stream: str, network: str, weights: str, split: str) -> Part:
        """What a network saw of a split of a stream: of every file that is there."""
        numbers = self.study.splits[split]
        folder = self.results / "streams" / stream
        paths = sorted(path for n in numbers for path in folder.glob(f"{n}-*.h5"))
        if not paths:
            raise problem(
                folder, f"no files of {split}", "those of its light-cones", "run snakemake stream_files first"
            )
        return read_stream(paths, stream_settings(self.study, stream), network, weights, numbers)

    def trained(self, head: Head) -> tuple[Posterior, str]:
        """(the posterior of a head, what its network's weights are called); kept in a file."""
        trunk, info = load_model(self.results / "networks" / head.network / "model.pt")
        weights = fingerprint_weights(trunk.state_dict())
        path = self.results / "heads" / f"{head.name}.pt"
        if not path.is_file():
            settings = self.settings(head)
            parts = [self.part(head.stream, head.network, weights, split) for split in ("train", "validation")]
            for part in parts if head.blind else ():
                hide(part, head.network)
            content, history = train_posterior(settings, self.probe, trunk, info, *parts)
            print(f"{head.name}: {len(history)} epochs, {content['training']}", flush=True)
            path.parent.mkdir(exist_ok=True)
            save_model(path, content, provenance(settings, self.study.seed), "posterior")
        return load_posterior(path), weights

    def settings(self, head: Head) -> PosteriorSettings:
        """The study's own posterior on the head's network, changed as the head says."""
        base = posterior_settings(self.study, head.network)
        own = getattr(self.study.posteriors[head.network], head.kind)
        if head.kind == "quantiles":
            own = own.model_copy(update={"members": head.members})
        changes = {"kind": head.kind, head.kind: own, "features": list(head.features) or None, "stream_rows": head.rows}
        entry = base.entry.model_copy(update=changes)
        return replace(base, entry=entry, network=replace(base.network, seed=base.network.seed + head.seed))

    def answers(self, head: Head) -> dict[str, dict[str, np.ndarray]]:
        """What a head says of each test: truth, quantiles, ranks, scores; kept in a file."""
        path = self.results / "heads" / f"{head.name}.npz"
        if not path.is_file():
            posterior, weights = self.trained(head)
            found = {}
            for test, stream in TESTS.items():
                stream = head.stream if stream == "prior" else stream
                if head.network in self.study.streams[stream].networks:
                    part = self.part(stream, head.network, weights, "test")
                    if head.blind:
                        hide(part, head.network)
                    table = streamed_table(part, head.network, posterior.target, 0, torch.device("cpu"))
                    found |= {f"{test}/{k}": v for k, v in _asked(posterior, table, part, head.features).items()}
            np.savez(path, **found)
        with np.load(path) as file:
            tests = dict.fromkeys(key.split("/")[0] for key in file)
            return {test: {k.split("/")[1]: file[k] for k in file if k.startswith(f"{test}/")} for test in tests}

    def rows_of(self, head: Head, test: str, found: dict[str, np.ndarray]) -> list[dict]:
        """The table's rows of a head on a test."""
        network = self.study.networks[head.network]
        result = Intervals(
            method={"quantiles": "quantiles", "mdn": "mixture density"}[head.kind],
            test=test,
            settings={"line_model": {"name": test}},
            axis=line_axis(self.edges),
            truth=found["truth"],
            quantiles=found["quantiles"],
            rows={name: found[name] for name in ("group", "subfield", "draw")},
            seconds=np.zeros(len(found["truth"])),
            extra={"rank": found["rank"]},
        )
        own = {"noise": network.noise[0], "noise_uk_per_paper_voxel": PAPER_UK[network.noise[0]]}
        return [row | own | {"mean_known": not network.preprocessing.remove_means} for row in interval_rows(result)]

    def ideal(self, test: str, maps: int, draws: int) -> Intervals:
        """The scatter that is left when halos and parameters are known, of simulations of the test."""
        stream = TESTS[test]
        network = self.study.streams[stream].networks[0]
        trunk, _ = load_model(self.results / "networks" / network / "model.pt")
        part = self.part(stream, network, fingerprint_weights(trunk.state_dict()), "test")
        (dataset, _), keep = stream_settings(self.study, stream).dataset, part.rows["draw"] >= 0
        made = shard_settings(self.study, dataset)
        group = part.rows["group"][keep]
        rows = {name: values[keep] for name, values in part.rows.items()}
        found = Rows(
            self.probe.header(made), np.zeros((len(group), 1)), {k: v[keep] for k, v in part.y.items()}, part.theta[keep],
            part.parameter_names, group, np.repeat([dataset], len(group)), rows,
        )  # fmt: skip
        paths = [self.results / "subfields" / f"{n}.h5" for n in self.study.splits["test"]]
        return without_draws(replace(ideal_intervals(paths, found, made, maps, draws), test=test))


def hide(part: Part, network: str) -> None:
    """Put one random number in the place of what a network saw: a head can then only learn the prior."""
    features = part.features[network]
    features[:] = 0
    features[:, 0] = np.random.default_rng(len(features)).standard_normal(len(features))


def _asked(posterior: Posterior, table: Table, part: Part, features: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Truths, quantiles, ranks and scores of every row of a table. Scores: pinball loss, ln q where there is a density."""
    x = posterior.trunk.pick(table.features) if features else table.features
    random = torch.Generator().manual_seed(1)
    y = continuous(table.answers, posterior.target, random).numpy()
    if posterior.content["kind"] == "quantiles":
        at = quantile_answers(posterior, x)
        quantiles, scores = finished(at, posterior.target).numpy(), {}
    else:
        drawn = draw_answers(posterior, x, 400, 1, "streamed")[0]
        spread = continuous(drawn, posterior.target, random).numpy()
        at, quantiles = torch.as_tensor(quantiles_of(spread)), quantiles_of(drawn.numpy())
        scores = {"log_score": log_score(posterior, x, table.answers, 1, "streamed").numpy()}
    levels = np.array([0.025, 0.16, 0.5, 0.84, 0.975])
    over = y[..., None] - at.numpy()
    loss = np.maximum(over * levels, over * (levels - 1)).mean(axis=-1)
    truth = table.answers.numpy()
    rows = {name: part.rows[name] for name in ("group", "subfield", "draw")}
    found = {"truth": truth, "quantiles": quantiles, "rank": quantile_ranks(at.numpy(), y), "pinball": loss}
    return found | scores | rows | {"learnt_from": np.array(posterior.content["training"]["presentations"])}


def clustered(values: np.ndarray, found: dict[str, np.ndarray]) -> tuple[float, float]:
    """(mean, its error) of values (m,): maps of one subfield share their halos, so the error is that of subfields' means."""
    place = 1000 * found["group"] + found["subfield"]
    means = np.array([values[place == one].mean() for one in np.unique(place)])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def score_row(head: Head, test: str, found: dict[str, np.ndarray]) -> dict:
    """One row of the table of scores; bins that hold ten sources on average count."""
    filled = found["truth"].mean(axis=0) >= 10
    inside = np.abs(found["rank"] - 0.5) <= 0.475
    loss, error = clustered(found["pinball"][:, filled].mean(axis=1), found)
    low, high = found["quantiles"][..., 0], found["quantiles"][..., 4]
    width = np.median(np.log10((1 + high) / (1 + low)), axis=0)[filled].mean()
    row = {
        "network": head.network,
        "learnt_from": int(found["learnt_from"]),
        "kind": head.kind,
        "features": "+".join(head.features) or "all",
    }
    row |= {"members": head.members, "seed": head.seed, "blind": head.blind, "test": test}
    row |= {"maps": len(found["truth"]), "pinball_dex": loss, "pinball_error": error, "width_95_dex": width}
    row["covered_95"] = inside[:, filled].mean()
    if "log_score" in found:
        row["log_score"], row["log_score_error"] = clustered(found["log_score"], found)
    return row


def gain_row(what: str, heads: tuple[Head, Head], test: str, found: tuple[dict, dict]) -> dict:
    """What the first of two heads knows beyond the second, map by map: in nats where both have a density.

    pinball_gain: by how much smaller its pinball loss is, over the bins that hold ten sources on average.
    """
    first, second = found
    filled = first["truth"].mean(axis=0) >= 10
    loss, other = (one["pinball"][:, filled].mean(axis=1) for one in found)
    row = {"what": what, "network": heads[0].network, "kind": heads[0].kind, "seed": heads[0].seed, "test": test}
    row["maps"] = len(loss)
    if "log_score" in first and "log_score" in second:
        row["nats"], row["nats_error"] = clustered(first["log_score"] - second["log_score"], first)
    gain, error = clustered(other - loss, first)
    return row | {"pinball_gain": gain / other.mean(), "pinball_gain_error": error / other.mean()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--output", type=Path, required=True, help="tables to write, without .csv")
    parser.add_argument(
        "--heads", nargs=2, type=int, default=(0, 1000), metavar="N", help="first and last of the heads"
    )
    parser.add_argument("--train", action="store_true", help="train the heads and stop; their tests may be missing yet")
    parser.add_argument("--ideal", type=int, default=64, metavar="MAPS", help="maps whose ideal is drawn; 0: none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge, rows, scores = Judge(args.config, args.results), [], []
    chosen = list(heads())[slice(*args.heads)]
    for head in chosen if args.train else ():
        judge.trained(head)
    if args.train:
        return
    for head in chosen:
        for test, found in judge.answers(head).items():
            scores.append(score_row(head, test, found))
            if head in TABLED:
                rows += judge.rows_of(head, test, found)
    for test in TESTS if args.ideal else ():
        rows += interval_rows(judge.ideal(test, args.ideal, 79))
    write_csv(args.output.with_suffix(".csv"), rows, digits=4, columns=COLUMNS)
    write_csv(args.output.with_name(args.output.name + "_scores.csv"), scores, digits=4)
    gains = [
        gain_row(what, (first, second), test, (judge.answers(first)[test], judge.answers(second)[test]))
        for what, first, second in pairs()
        if {first, second} <= set(chosen)
        for test in judge.answers(first)
    ]
    write_csv(args.output.with_name(args.output.name + "_gains.csv"), gains, digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
