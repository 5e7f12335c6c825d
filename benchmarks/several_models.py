"""What a posterior that learnt from several line models says of maps of each, beside one that knows one of them alone.

example: snakemake --configfile config/several_models.yaml --cores 2
         python -m benchmarks.several_models --results results/several_models --output docs/results/several_models

Reads the intervals files of the study's posteriors. Tables: <output>.csv, one row per posterior and line model of the maps:
coverage, joint coverage, widths, the probability of the right line model, the misspecification check, and which bins are
marked as incomplete; <output>_reliability.csv: are probabilities of line models, and of complete bins, as frequent as said?
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.streamed_tables import clustered, filled_bins, joint_ranks_of
from limelight.data.shard import open_shard
from limelight.errors import plain_errors, problem
from limelight.files import attribute, write_csv
from limelight.inference import calibration
from limelight.inference.intervals import Intervals, read_intervals
from limelight.inference.posteriors.misspecification import UNUSUAL
from limelight.probe import load_probe
from limelight.probes.line_intensity.columns import WHOLE
from limelight.study.config import load_study
from limelight.study.sections import Study


def answered(result: Intervals) -> dict[str, np.ndarray]:
    """A method's answers as the tables of benchmarks.streamed have them."""
    rng = np.random.default_rng(1)
    truth, draws = (calibration.spread_out(values, rng) for values in (result.truth, result.samples))
    found = {
        **result.extra,
        "truth": result.truth,
        "quantiles": result.quantiles,
        "rank": calibration.ranks(draws, truth),
    }
    return found | joint_ranks_of(result.truth, result.samples, rng) | result.rows


def model_row(posterior: str, model: str, found: dict[str, np.ndarray], number: int) -> dict:
    """One row of the table; number: of the maps' line model among those of the posterior, −1 if it is none."""
    filled = filled_bins(found)
    inside = (np.abs(found["rank"] - 0.5) <= 0.475)[:, filled]
    row = {"posterior": posterior, "line_model": model, "maps": len(inside), "bins": filled.sum()}
    row["covered_95"], row["covered_95_error"] = clustered(inside.mean(axis=1), found)
    row["joint_95"], row["joint_95_error"] = clustered((found["joint"] >= 0.05).astype(float), found)
    low, high = (np.log10(1 + found["quantiles"][:, filled, i]) for i in (0, 4))
    row["width_95_dex"] = np.median(high - low, axis=0).mean()
    row["unusual_p_0.05"] = np.mean(found["p_value"] < UNUSUAL)
    if "dataset_probability" in found and number >= 0:
        chance = found["dataset_probability"]
        row["probability"], row["probability_error"] = clustered(chance[:, number], found)
        row["most_probable"] = np.mean(chance.argmax(axis=1) == number)
        row["nats"] = np.mean(np.log(chance[:, number] * chance.shape[1]))  # beyond even odds
    row["whole"] = np.mean(found["whole"])
    row["said_whole"] = np.mean(found["complete"] >= WHOLE)
    said = found["complete"] >= WHOLE
    row["whole_where_said"] = found["whole"][said].mean() if said.any() else np.nan
    return row


def limits_of(study: Study, dataset: str, results: Path, group: np.ndarray) -> np.ndarray:
    """log10 L (m,) from which on the catalogue holds all sources of each test map, from its shards' parameters."""
    probe, theta, groups = load_probe(study.probe), [], []
    for number in study.splits["test"]:
        with open_shard(results / "shards" / dataset / f"{number}.h5") as file:
            names = list(attribute(file, "parameter_names"))
            theta.append(file["theta"][...])
            groups.append(file["group"][...])
    if not np.array_equal(np.concatenate(groups), group):
        raise problem(results / "shards" / dataset, "other maps", "those of the intervals files", "make both again")
    return probe.complete_from(probe.dataset_settings(study, dataset), np.concatenate(theta), names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config/several_models.yaml"), help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--output", type=Path, required=True, help="tables to write, without .csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = load_study(args.config)
    rows, reliable = [], []
    for name, posterior in study.posteriors.items():
        models, every = study.networks[posterior.network].datasets, []
        for test, entry in study.tests.items():
            result = read_intervals(args.results / "posteriors" / name / f"{test}.h5")
            found = answered(result)
            limits = limits_of(study, entry.dataset, args.results, result.rows["group"])
            found["whole"] = np.asarray(result.axis.edges)[:-1] >= limits[:, None]
            number = models.index(entry.dataset) if entry.dataset in models else -1
            rows.append(model_row(name, test, found, number))
            every.append((number, found))
        reliable += reliability_rows(name, every)
    write_csv(args.output.with_suffix(".csv"), rows, digits=4)
    write_csv(args.output.with_name(f"{args.output.name}_reliability.csv"), reliable, digits=4)


def reliability_rows(name: str, every: list[tuple[int, dict[str, np.ndarray]]]) -> list[dict]:
    """Of line models that the posterior knows: of their probability, and of the chance that bins are whole."""
    known = [(number, found) for number, found in every if number >= 0]
    whole, said = (np.concatenate([found[key].ravel() for _, found in known]) for key in ("whole", "complete"))
    bins = calibration.reliability(said[:, None], np.where(whole, 0, -1))
    rows = [{"posterior": name, "of": "complete bins"} | row for row in bins]
    if "dataset_probability" in known[0][1]:
        chance = np.concatenate([found["dataset_probability"] for _, found in known])
        truth = np.repeat([number for number, _ in known], [len(found["truth"]) for _, found in known])
        rows += [{"posterior": name, "of": "line model"} | row for row in calibration.reliability(chance, truth)]
    return rows


if __name__ == "__main__":
    with plain_errors():
        main()
