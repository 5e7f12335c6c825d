"""What galaxies and a second line add to a posterior: nats over the prior, and beyond the map alone, by light-cone.

    python -m benchmarks.crossing_heads --intervals results/interlopers/posteriors/*/both_lines.h5 \\
        --training results/interlopers/shards/varied/{6,7,8,9,10,11,12,13}.h5 --output heads.csv

The posteriors are those of config/interlopers.yaml, all of the same rows. One line each: means over the bins of ten sources
and more, and over the test's light-cones, by whose scatter errors are.
"""

from pathlib import Path

import numpy as np

from limelight.arguments import Arguments
from limelight.data.shard import open_shard, read_header
from limelight.errors import plain_errors, problem
from limelight.files import write_csv
from limelight.inference import calibration
from limelight.inference.calibration_table import prior_answers
from limelight.inference.intervals import Intervals, read_intervals
from limelight.probe import load_probe
from limelight.seeds import generator
from limelight.study.config import load_study
from limelight.study.sections import Study

FILLED = 10.0
ALONE = "auto"  # of the map without a companion


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, default="config/interlopers.yaml", help="the study")
    parser.add_argument("--intervals", type=Path, nargs="+", required=True, help="of each posterior, on one test")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="shards that say what the prior is")
    parser.add_output("--output", help="CSV to write")
    args = parser.parse_args()
    study = load_study(args.config)
    found = {path.parent.name: read_intervals(path) for path in args.intervals}
    if ALONE not in found:
        raise problem("--intervals", ", ".join(found), f"'{ALONE}' among them", "give it, too")
    write_csv(args.output, heads_rows(found, prior_of(study, args.training), study.seed), 3)


def prior_of(study: Study, shards: list[Path]) -> np.ndarray:
    """Counts (n, bins) of training data."""
    with open_shard(shards[0]) as file:
        header = read_header(file)
    network = study.networks[study.posteriors[ALONE].network]
    return prior_answers(shards, load_probe(study.probe).target(network, header))


def heads_rows(found: dict[str, Intervals], prior: np.ndarray, seed: int) -> list[dict]:
    """One row per posterior; prior: counts (n, bins)."""
    first = found[ALONE]
    filled, group = first.truth.mean(axis=0) >= FILLED, first.rows["group"]
    known = calibration.spread_out(prior[:, filled], generator(seed, "prior of crossing heads"))
    scores = {}
    for name, one in found.items():
        if any(not np.array_equal(one.rows[key], first.rows[key]) for key in first.rows):
            raise problem(name, "other rows of the test", f"those of '{ALONE}'", "give intervals of one test")
        rng = generator(seed, f"crossing head {name}")
        truth, draws = (calibration.spread_out(part[..., filled], rng) for part in (one.truth, one.samples))
        rank = calibration.ranks(draws, truth)
        scores[name] = {
            "gain_nats": calibration.information_gain(draws, truth, known).mean(axis=1),
            "crps": calibration.crps(draws, truth).mean(axis=1),
            **{f"covered_{100 * level:.0f}": (abs(rank - 0.5) < level / 2).mean(axis=1) for level in (0.68, 0.95)},
        }
    rows = []
    for name, score in scores.items():
        row = {"posterior": name, "rows": len(group), "light_cones": len(np.unique(group)), "bins": int(filled.sum())}
        beyond = score["gain_nats"] - scores[ALONE]["gain_nats"]
        for key, values in (score | {"beyond_alone_nats": beyond}).items():
            means = np.array([values[group == one].mean() for one in np.unique(group)])
            row |= {key: means.mean(), f"{key}_error": means.std(ddof=1) / np.sqrt(len(means))}
        rows.append(row)
    return rows


if __name__ == "__main__":
    with plain_errors():
        main()
