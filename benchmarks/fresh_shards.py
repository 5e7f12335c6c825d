"""Shards of one dataset by the painter of the streams, which is much quicker than rules maps and pooled.

example: python -m benchmarks.fresh_shards --config config/streamed.yaml --dataset li_full --results results/streamed

The maps are of the same prior on the same subfields as those of the rules, but other draws of it (in single precision,
and pooled as they are painted). Only shards that are not there are written, by default of the training and validation
light-cones; the subfields must be there.
"""

import argparse
from pathlib import Path

import numpy as np

from limelight.data.shard import Rows, write_shard
from limelight.errors import plain_errors, problem
from limelight.files import provenance
from limelight.probes.line_intensity.settings import shard_settings
from limelight.probes.line_intensity.simulations import fresh_rows
from limelight.section import plain
from limelight.study.config import load_study

PART = 10_000  # number of a file that no stream has: its draws are not those that heads learn from


def together(batches: list[Rows]) -> Rows:
    """Rows of one dataset and light-cone as one."""
    first = batches[0]
    return Rows(
        header=first.header,
        x=np.concatenate([one.x for one in batches]),
        y={name: np.concatenate([one.y[name] for one in batches]) for name in first.y},
        theta=np.concatenate([one.theta for one in batches]),
        parameter_names=first.parameter_names,
        group=np.concatenate([one.group for one in batches]),
        dataset=np.concatenate([one.dataset for one in batches]),
        rows={name: np.concatenate([one.rows[name] for one in batches]) for name in ("subfield", "draw")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--dataset", required=True, help="a name in its line_models")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--splits", nargs="+", default=["train", "validation"], metavar="SPLIT", help="of light-cones")
    args = parser.parse_args()
    study = load_study(args.config)
    if args.dataset not in study.line_models:
        known = ", ".join(study.line_models)
        raise problem("--dataset", f"'{args.dataset}'", f"one of the config's: {known}", "name one of them")
    settings = shard_settings(study, args.dataset)
    for number in (number for split in args.splits for number in study.splits[split]):
        path = args.results / "shards" / args.dataset / f"{number}.h5"
        if path.is_file():
            continue
        subfields = [args.results / "subfields" / f"{number}.h5"]
        found = together(list(fresh_rows(settings, number, PART, settings.maps.dataset.draws, subfields)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_shard(
            path, found, provenance(settings, study.seed), {"name": args.dataset, **plain(settings.maps.dataset)}
        )
        print(f"{path}: {len(found)} maps", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
