"""Heads on a stream, judged on simulations of test light-cones: the tables of docs/fresh_simulations.md.

example: snakemake stream_files --configfile config/streamed.yaml --cores 2
         python -m benchmarks.streamed_rival --config config/streamed.yaml --results results/streamed
         python -m benchmarks.streamed --config config/streamed.yaml --results results/streamed
             --output docs/results/streamed_levels

(`make streamed` does all of it.) Each of `heads` (benchmarks.streamed_heads) whose network the config has is trained on the
stream's files of the training light-cones, chosen by those of the validation light-cones, and asked about every simulation
of the test light-cones, as `scripts/train_posterior.py` and `scripts/sample_posterior.py` would.
Tables: <output>.csv, one row per test, method and luminosity, the rival's beside the heads'; <output>_scores.csv, one per
test and head; <output>_verdicts.csv, in how many bins each is narrow, unbiased and honest enough; <output>_gains.csv, what
some heads know beyond others; <output>_models.csv, tests on other models than that of training; <output>_hours.csv, widths
by noise. --heads takes some of them alone; what is trained already is kept below <results>/heads.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.streamed_heads import MAIN, SAMPLED, TABLED, Head, heads, pairs
from benchmarks.streamed_tables import foreign_row, gain_row, hours_rows, joint_ranks_of, score_row
from benchmarks.streamed_verdicts import verdict_rows
from limelight.codehash import code_hash
from limelight.data.shard import Rows
from limelight.errors import plain_errors, problem
from limelight.files import provenance, settings_hash, write_csv
from limelight.inference.intervals import LEVELS, Intervals, quantiles_of, read_intervals
from limelight.inference.posteriors.draw import draw_answers, log_score, quantile_answers
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import Posterior, load_posterior
from limelight.inference.posteriors.quantiles import quantile_ranks
from limelight.inference.posteriors.recalibrate import conformal, recalibration_of_draws
from limelight.inference.posteriors.stream import Part, read_stream, streamed_table
from limelight.inference.posteriors.tables import Table, continuous, finished
from limelight.probe import load_probe
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.completeness import complete_from
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.money import ROWS, ideal_intervals, interval_rows, maps_of, of_maps, without_draws
from limelight.probes.line_intensity.settings import fine_grid, shard_settings
from limelight.probes.line_intensity.targets import line_axis
from limelight.section import plain
from limelight.study.code import POSTERIOR, STREAM, stage_code
from limelight.study.config import load_study
from limelight.study.settings import PosteriorSettings, posterior_settings, stream_settings
from limelight.training.checkpoint import fingerprint_weights, load_model, save_model

PAPER_UK = {"none": 0.0, "half": 30.3, "comap": 60.6, "season2": 95.3, "twice": 190.6}  # per voxel of arXiv:1905.10376
COLUMNS = (
    "test", "noise", "noise_uk_per_paper_voxel", "mean_known", "method", "luminosity_lsun", "mean_count", "maps", "lower_95",
    "upper_95", "width_95", "bias", "rank_covered_68", "rank_covered_95", "error_95", "shared_maps", "shared_width_95",
    "shared_bias",
)  # fmt: skip
TESTS = {"li_full": "prior", "li_fiducial": "fiducial"}  # what the tables call a dataset; others have their own names
SAME = "prior, fields of training"  # a test on simulations that training was not shown, of fields that it was


class Judge:
    """Trains heads on the files of a study and asks them about its tests."""

    def __init__(self, config: Path, results: Path):
        self.study, self.results = load_study(config), results
        self.probe = load_probe(self.study.probe)
        self.edges = log10_lum_edges(plain(self.study.labels))

    def tests(self, network: str) -> dict[str, str]:
        """The streams that simulate tests and that a network sees, by the test's name."""
        found = {}
        for name, entry in self.study.streams.items():
            if entry.test_files and network in entry.networks:
                dataset = stream_settings(self.study, name).dataset[0]
                found[TESTS.get(dataset, dataset)] = name
        return found

    def files(self, stream: str, split: str) -> list[Path]:
        """Those of a split of a stream that are there."""
        folder = self.results / "streams" / stream
        return sorted(path for n in self.study.splits[split] for path in folder.glob(f"{n}-*.h5"))

    def key(self, stream: str, splits: tuple[str, ...], *more: object) -> str:
        """Stands in the names of what is kept: other settings, simulations or code than these have files of their own.

        more: what else it depends on, the hash of its code among it; the code of the simulations is in it already.
        """
        names = [path.name for split in splits for path in self.files(stream, split)]
        settings, networks = stream_settings(self.study, stream), self.study.streams[stream].networks
        chosen = stage_code(self.study, *STREAM, networks=networks, datasets=[settings.dataset[0]])
        return settings_hash([settings, names, code_hash("scripts/make_stream.py", chosen=chosen), *more])[:12]

    def folder(self, head: Head) -> Path:
        """Where a head and its answers are kept."""
        entry = self.settings(replace(head, recalibrated=False))
        datasets = self.study.networks[head.network].datasets
        chosen = stage_code(self.study, *POSTERIOR, networks=[head.network], datasets=datasets)
        code = code_hash("scripts/train_posterior.py", chosen=chosen)
        return self.results / "heads" / self.key(self.stream(head), ("train", "validation"), entry, code)

    def stream(self, head: Head) -> str:
        """The stream that a head learns from."""
        return head.stream or self.study.posteriors[head.network].stream

    def part(self, stream: str, network: str, split: str) -> Part:
        """What a network saw of a split of a stream: of every file that is there."""
        numbers, trunk = self.study.splits[split], load_model(self.results / "networks" / network / "model.pt")[0]
        paths = self.files(stream, split)
        if not paths:
            found, fix = f"no files of {split}", "run snakemake stream_files first"
            raise problem(self.results / "streams" / stream, found, "those of its light-cones", fix)
        weights = fingerprint_weights(trunk.state_dict())
        return read_stream(paths, stream_settings(self.study, stream), network, weights, numbers)

    def learnt_from(self, head: Head) -> list[Part]:
        """Training and validation rows of a head."""
        parts = [self.part(self.stream(head), head.network, split) for split in ("train", "validation")]
        if head.draws:
            parts[0] = some_rows(parts[0], parts[0].rows["draw"] < head.draws)
        for part in parts if head.blind else ():
            hide(part, head.network)
        return parts

    def trained(self, head: Head) -> Posterior:
        """The posterior of a head; kept in a file. A recalibrated one is the other, stretched."""
        path = self.folder(head) / f"{replace(head, recalibrated=False).name}.pt"
        if not path.is_file():
            settings = self.settings(head)
            trunk, info = load_model(self.results / "networks" / head.network / "model.pt")
            content, history = train_posterior(settings, self.probe, trunk, info, *self.learnt_from(head))
            print(f"{head.name}: {len(history)} epochs, {content['training']}", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(path, content, provenance(settings, self.study.seed), "posterior")
        posterior = load_posterior(path)
        if head.recalibrated:
            part, device = self.learnt_from(head)[1], torch.device("cpu")
            table = streamed_table(part, head.network, posterior.target, head.validation_rows, device)
            table.features = posterior.trunk.pick(table.features)
            learn_recalibration(posterior, table, self.study.seed)
        return posterior

    def settings(self, head: Head) -> PosteriorSettings:
        """The study's own posterior on the head's network, changed as the head says."""
        base = posterior_settings(self.study, head.network)
        own = getattr(self.study.posteriors[head.network], head.kind).model_copy(update={"members": head.members})
        changes = {"kind": head.kind, head.kind: own, "features": list(head.features), "stream_rows": head.rows}
        entry = base.entry.model_copy(update=changes)
        network = replace(base.network, seed=base.network.seed + head.seed)
        if head.stream:
            dataset, made = stream_settings(self.study, head.stream).dataset
            shown = network.network.model_copy(update={"line_models": [dataset]})
            network = replace(network, network=shown, datasets={dataset: made})
        return replace(base, entry=entry, network=network)

    def answers(self, head: Head) -> dict[str, dict[str, np.ndarray]]:
        """What a head says of each test that is there: truth, quantiles, ranks, scores; kept in a file."""
        folder, found = self.folder(head) / head.name, {}
        code = code_hash("benchmarks/streamed.py", "benchmarks/streamed_tables.py")
        for test, stream in self.tests(head.network).items():
            if list((self.results / "streams" / stream).glob(f"{self.study.splits['test'][-1]}-*.h5")):
                found[test] = self.answered(head, test, folder / f"{test}-{self.key(stream, ('test',), code)}.npz")
        if head.draws:
            found[SAME] = self.answered(head, SAME, folder / f"{SAME}-{code}.npz")
        return found

    def answered(self, head: Head, test: str, path: Path) -> dict[str, np.ndarray]:
        """What a head says of one test."""
        if not path.is_file():
            posterior, tests = self.trained(head), self.tests(head.network)
            if test == SAME:
                part = self.part(self.stream(head), head.network, "train")
                part = some_rows(part, part.rows["draw"] >= head.draws)
            else:
                part = self.part(tests[test], head.network, "test")
            if head.blind:
                hide(part, head.network)
            table = streamed_table(part, head.network, posterior.target, 0, torch.device("cpu"))
            path.parent.mkdir(parents=True, exist_ok=True)
            complete = self.complete(tests.get(test, tests["prior"]), part)
            np.savez(path, **_asked(posterior, table, part), complete=complete)
        with np.load(path) as file:
            return dict(file)

    def complete(self, stream: str, part: Part) -> np.ndarray:
        """In which bins of each map the catalogue holds all sources, (m, d) bool: its lightest halos are fainter."""
        entry = self.study.line_models[stream_settings(self.study, stream).dataset[0]]
        model, band = get_model(entry.model, entry.parameters), fine_grid(self.study).redshift_range
        limits = [
            complete_from(
                model, dict(zip(part.parameter_names, values, strict=True)), self.study.lightcones.mass_min_msun, band
            )
            for values in part.theta.tolist()
        ]
        return self.edges[:-1] >= np.array(limits)[:, None]

    def intervals(self, head: Head, test: str, found: dict[str, np.ndarray]) -> Intervals:
        """What a head says of a test, in the form that all methods share."""
        return Intervals(
            method={"quantiles": "quantiles", "mdn": "mixture density", "npe": "flow"}[head.kind]
            + f", {head.rows} simulations" * bool(head.rows)
            + ", recalibrated" * head.recalibrated,
            test=test,
            settings={"line_model": {"name": test}},
            axis=line_axis(self.edges),
            truth=found["truth"],
            quantiles=found["quantiles"],
            rows={name: found[name] for name in ROWS},
            seconds=np.zeros(len(found["truth"])),
            extra={"rank": found["rank"]},
        )

    def rival_path(self, test: str, network: str) -> Path:
        """Where the rival's intervals stand, of maps as this network is shown them."""
        noise, code = self.study.networks[network].noise[0], code_hash("benchmarks/streamed_rival.py")
        key = self.key(self.tests(network)[test], ("test",), self.study.rival, code)
        return self.results / "rival" / f"{test}_{noise}-{key}.h5"

    def rival(self, test: str, network: str) -> Intervals | None:
        """The rival's intervals under the noise of a network, if it has sampled them."""
        path = self.rival_path(test, network)
        return without_draws(read_intervals(path)) if path.is_file() else None

    def rows_of(self, result: Intervals, network: str, rival: Intervals | None) -> list[dict]:
        """The table's rows of a method under the noise of a network; shared_*: of the maps alone that the rival has, too."""
        entry = self.study.networks[network]
        own = {"noise": entry.noise[0], "noise_uk_per_paper_voxel": PAPER_UK[entry.noise[0]]}
        own["mean_known"] = not (entry.preprocessing.remove_means or "rival" in result.method)
        rows = interval_rows(result)
        if rival is None:
            return [row | own for row in rows]
        shared = interval_rows(of_maps(result, maps_of(rival)))
        return [
            row | own | {f"shared_{name}": alike.get(name) for name in ("maps", "width_95", "bias")}
            for row, alike in zip(rows, shared, strict=True)
        ]

    def ideal(self, test: str, maps: int, draws: int) -> Intervals:
        """The scatter that is left when halos and parameters are known, of simulations of the test."""
        network = MAIN[0]
        stream = self.tests(network)[test]
        part = self.part(stream, network, "test")
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


def some_rows(part: Part, keep: np.ndarray) -> Part:
    """The rows (n,) bool of a part."""
    groups = ("y", "rows", "features", "statistics")
    kept = {group: {name: values[keep] for name, values in getattr(part, group).items()} for group in groups}
    return Part(theta=part.theta[keep], parameter_names=part.parameter_names, **kept)


def learn_recalibration(posterior: Posterior, validation: Table, seed: int) -> None:
    """Recalibrate a posterior on a table, in place."""
    content = posterior.content
    if content["kind"] == "quantiles":
        content["recalibration"] = conformal(posterior, validation, seed)
    else:
        content |= recalibration_of_draws(posterior, validation, seed)


def _asked(posterior: Posterior, table: Table, part: Part) -> dict[str, np.ndarray]:
    """What a posterior says of every row: quantiles, ranks, pinball loss and, of one with draws, ln q and joint ranks."""
    x, truth = posterior.trunk.pick(table.features), table.answers.numpy()
    random = torch.Generator().manual_seed(1)
    y = continuous(table.answers, posterior.target, random).numpy()
    views = {"features": x, "statistics": table.statistics}
    found = {"truth": truth, "p_value": p_values(posterior.content["check"], views).numpy()}
    if posterior.content["kind"] == "quantiles":
        at = quantile_answers(posterior, x)
        found["quantiles"] = finished(at, posterior.target).numpy()
    else:
        if (score := log_score(posterior, x, table.answers, 1, "streamed")) is not None:
            found["log_score"] = score.numpy()
        draws = draw_answers(posterior, x, 400, 1, "streamed")[0].numpy()
        at = torch.as_tensor(quantiles_of(continuous(torch.as_tensor(draws), posterior.target, random).numpy()))
        found["quantiles"] = quantiles_of(draws)
        found |= joint_ranks_of(truth, draws, np.random.default_rng(1))
    over, levels = y[..., None] - at.numpy(), np.array(LEVELS)
    found["pinball"] = np.maximum(over * levels, over * (levels - 1)).mean(axis=-1)
    found["rank"] = quantile_ranks(at.numpy(), y)
    rows = {name: part.rows[name] for name in ("group", "subfield", "draw")}
    return found | rows | {"learnt_from": np.array(posterior.content["training"]["presentations"])}


def half_widths(head: Head, test: str, found: dict[str, np.ndarray], noise: float, edges: np.ndarray) -> list[dict]:
    """Half widths of the 68 % intervals of the bins that hold sources, in dex: the median over maps."""
    low, high = (np.log10(1 + found["quantiles"][..., i]) for i in (1, 3))
    half, counts = np.median((high - low) / 2, axis=0), found["truth"].mean(axis=0)
    lum = 10 ** ((edges[1:] + edges[:-1]) / 2)
    keep = [i for i in range(len(half)) if counts[i] >= 1]
    common = {"test": test, "noise_uk_per_paper_voxel": noise}
    return [common | {"luminosity_lsun": lum[i], "mean_count": counts[i], "half_width_68_dex": half[i]} for i in keep]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--output", type=Path, required=True, help="tables to write, without .csv")
    parser.add_argument(
        "--heads", nargs=2, type=int, default=(0, 1000), metavar="N", help="first and last of the heads"
    )
    parser.add_argument("--networks", nargs="*", metavar="NAME", help="heads on these alone")
    parser.add_argument("--train", action="store_true", help="train the heads and stop; their tests may be missing yet")
    parser.add_argument("--ideal", type=int, default=64, metavar="MAPS", help="maps whose ideal is drawn; 0: none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(args.config, args.results)
    known = [head for head in heads() if head.network in (args.networks or judge.study.networks)]
    chosen = known[slice(*args.heads)]
    for head in chosen if args.train else ():
        judge.trained(head)
    if not args.train:
        write_tables(judge, chosen, args.output, args.ideal)


def write_tables(judge: Judge, chosen: list[Head], output: Path, ideal: int) -> None:
    """All tables of the chosen heads."""
    answers = {head: judge.answers(head) for head in chosen}
    rows, widths, models = [], [], []
    for head in (head for head in TABLED if head in answers):
        noise = PAPER_UK[judge.study.networks[head.network].noise[0]]
        for test, found in answers[head].items():
            rows += judge.rows_of(judge.intervals(head, test, found), head.network, judge.rival(test, head.network))
            if head.kind == "quantiles" and not head.recalibrated and "unknown" not in head.network:
                widths += half_widths(head, test, found, noise, judge.edges)
            if head.kind == "quantiles":
                joint = answers.get(Head(head.network, "mdn", seed=1, members=1), {}).get(test)
                models.append(foreign_row(head, test, found, joint if joint and "joint" in joint else None))
    shown = {head.network for head in chosen}
    for network, test in (pair for pair in SAMPLED if pair[0] in shown):
        if rival := judge.rival(test, network):
            rows += judge.rows_of(rival, network, rival)
    for test in TESTS.values() if ideal else ():
        rows += interval_rows(judge.ideal(test, ideal, 79))
    gains = []
    for what, first, second in pairs():
        if {*first, *second} <= set(chosen):
            for test in answers[first[0]]:
                both = [(answers[one][test], answers[two][test]) for one, two in zip(first, second, strict=True)]
                gains.append(gain_row(what, (first[0], second[0]), test, both))
    scores = [score_row(head, test, found) for head, tests in answers.items() for test, found in tests.items()]
    write_csv(output.with_suffix(".csv"), rows, digits=4, columns=COLUMNS)
    tables = {
        "scores": scores,
        "gains": gains,
        "models": models,
        "hours": with_hours(widths),
        "verdicts": verdict_rows(rows),
    }
    for name, table in tables.items():
        if table:
            write_csv(output.with_name(f"{output.name}_{name}.csv"), table, digits=4)


def with_hours(widths: list[dict]) -> list[dict]:
    """Half widths by noise, and beside each the hours that its bin takes; of the tests that several noises share."""
    shared = [row for row in widths if row["test"] in TESTS.values()]
    hours = {(row["test"], row["luminosity_lsun"]): row["hours_to_0.1_dex"] for row in hours_rows(shared)}
    return [row | {"hours_to_0.1_dex": hours[row["test"], row["luminosity_lsun"]]} for row in shared]


if __name__ == "__main__":
    with plain_errors():
        main()
