"""Does an observed rival cover what maps hold, at several depths? Maps of a shard it has not learnt from, observed anew.

One rival, whose test has a range of σ, answers each map under `--factors` times the survey's σ. Rows are those of
benchmarks.survey_coverage (depth: the factor), so that benchmarks.survey_ranks makes the table; a killed run goes on.

example: python -m benchmarks.observed_depths --config config/mine.yaml --rival range --test prior_depths \\
    --emulator results/mine/rival/range/emulator.h5 --data results/mine/shards/li_full/10.h5 --factors 1 0.1 --output r.csv
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.survey_coverage import old_rows, rows_of
from limelight.data.shard import read_shards
from limelight.errors import plain_errors, problem
from limelight.files import write_csv
from limelight.inference.intervals import evenly
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.rival.observed import read_observed
from limelight.probes.line_intensity.rival.observed_stage import make_sampler, recorder
from limelight.probes.line_intensity.settings import rival_settings
from limelight.study.config import load_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "emulator", "data", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rival", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0], help="times the survey's σ")
    parser.add_argument("--maps", type=int, default=24, help="of the shard, evenly spread")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study, shard = load_study(args.config), read_shards([args.data])
    settings = rival_settings(study, args.rival, args.test)
    if set(shard.group.tolist()) & set(settings.emulator.train):
        raise problem(
            args.data, "maps of a training light-cone", "ones that the rival has not learnt from", "give others"
        )
    records = recorder(settings.emulator.observations[settings.observed_as], shard.header)
    (low, high), own = records.noise[0], study.observation.noise[study.tests[args.test].noise].sigma_range
    edges, rows = log10_lum_edges(shard.header.truths["labels"]), old_rows(args.output)
    planted = quantity(shard.y["n_above"][:, : len(edges)], edges, 1.0, "dn")
    done = {(row["mock"], row["depth"]) for row in rows}
    with tempfile.TemporaryDirectory() as chains:
        sampler = make_sampler(settings, read_observed(args.emulator), shard.header, chains)
        for row in evenly(len(shard), args.maps).tolist():
            for i, factor in enumerate(args.factors):
                if (row, factor) in done:
                    continue
                sigma = factor * high / own[1]
                if not 0.99 * low <= sigma <= 1.01 * high:
                    raise problem("--factors", factor, f"{own[0]} to {own[1]}, those of the test", "choose another")
                random = torch.Generator().manual_seed(row)
                one = replace(records, noise=((sigma, sigma),)).record(torch.as_tensor(shard.x[row]), random)
                drawn = sampler.draw(one, float(shard.y["volume_mpc3"][row]), edges, row, i)
                about = {"mock": row, "method": f"rival {args.rival}", "depth": factor}
                rows += [about | found for found in rows_of(drawn["counts"], planted[row], np.random.default_rng(row))]
                write_csv(args.output, rows, digits=6)


if __name__ == "__main__":
    with plain_errors():
        main()
