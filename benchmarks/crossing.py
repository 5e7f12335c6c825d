"""What galaxies and a second line add to a map's own summaries, in nats, read off linearly: no network, no training.

    python -m benchmarks.crossing --shards A.h5 B.h5 --output crossing.csv

The shards are of data `varied` of config/interlopers.yaml. A ridge regression of log10(1 + N) on the summaries of `crossing`
learns on all shards but one and answers that one; the gain is ½ ln of the variance of the truths over that of the errors, a
lower bound on what a posterior of these summaries gains over the prior, as far as both are Gaussian. One row per set of
summaries, the mean over bins of ten sources and more.
"""

import numpy as np
import torch

from limelight.arguments import Arguments
from limelight.data.shard import read_shards
from limelight.errors import plain_errors
from limelight.evaluation.observe import observed
from limelight.files import write_csv
from limelight.networks import build
from limelight.probe import load_probe
from limelight.study.config import load_study

SETS = (("auto",), ("auto", "cross"), ("auto", "dde"), ("auto", "stack"), ("auto", "other", "cross", "dde", "stack"))
COMPANIONS = {"galaxies": "beside_galaxies", "second line": "beside_line"}
RIDGES = np.geomspace(1, 1e4, 13)  # of standardised summaries: chosen on half of what is learned from
FILLED = 10.0


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", default="config/interlopers.yaml", help="the study")
    parser.add_argument("--shards", nargs="+", required=True, help="two and more of data varied")
    parser.add_output("--output", help="CSV to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study, probe, rows = load_study(args.config), load_probe("line_mixture"), []
    found = read_shards(args.shards)
    for companion, name in COMPANIONS.items():
        network = study.networks[name]
        presentation = probe.presentation(network, probe.observation_settings(study, network), found.header)
        truth = presentation.target.encode(presentation.target.truth(found.y), found.y)
        filled = presentation.target.truth(found.y).mean(axis=0) >= FILLED
        shape = probe.input_shape(network, found.header)
        module = build(network.architecture, network.options, shape, presentation.target.shape)
        summaries = torch.cat([module.summaries(x) for x in observed(found.x, presentation, study.seed, name)]).numpy()
        for kinds in SETS:
            columns = np.concatenate([np.arange(len(summaries[0]))[module.kinds[kind]] for kind in kinds])
            gains = linear_gains(summaries[:, columns].astype(float), truth[:, filled], found.group)
            mean, error = gains.mean(), gains.mean(axis=1).std(ddof=1) / np.sqrt(len(gains))
            row = {
                "companion": companion,
                "summaries": " + ".join(kinds),
                "rows": len(found),
                "bins": int(filled.sum()),
            }
            rows.append({**row, "gain_nats": mean, "error": error})
    write_csv(args.output, rows, 3)


def linear_gains(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Nats over the prior in each bin, (groups, bins), of each group answered by the others."""
    gains = []
    for one in np.unique(group):
        held = group == one
        rest = np.flatnonzero(~held)
        halves = rest[rest < np.median(rest)], rest[rest >= np.median(rest)]
        scores = [np.mean((answers(x, y, halves[0], halves[1], ridge) - y[halves[1]]) ** 2) for ridge in RIDGES]
        wrong = answers(x, y, rest, held, RIDGES[int(np.argmin(scores))]) - y[held]
        prior = y[rest].mean(axis=0) - y[held]
        gains.append(0.5 * np.log(np.mean(prior**2, axis=0) / np.mean(wrong**2, axis=0)))
    return np.array(gains)


def answers(x: np.ndarray, y: np.ndarray, learned: np.ndarray, asked: np.ndarray, ridge: float) -> np.ndarray:
    """Ridge regression on some rows, at others."""
    mean, std = x[learned].mean(axis=0), x[learned].std(axis=0) + 1e-9
    a, b = (x[learned] - mean) / std, np.clip((x[asked] - mean) / std, -10, 10)
    middle = y[learned].mean(axis=0)
    return middle + b @ np.linalg.solve(a.T @ a + ridge * np.eye(a.shape[1]), a.T @ (y[learned] - middle))


if __name__ == "__main__":
    with plain_errors():
        main()
