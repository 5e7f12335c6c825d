#!/usr/bin/env python3
"""Are a method's intervals honest, and what do they know beyond the prior? A table, and a figure (docs/inference.md).

example: python scripts/calibrate_posterior.py --config config/money.yaml --prior results/money/shards/li_full/[0-9].h5 \\
    --intervals results/money/posteriors/mdn_comap/prior_comap.h5 --output calibration.csv
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments
from limelight.errors import plain_errors

if TYPE_CHECKING:
    from limelight.data.targets import Target
    from limelight.study.sections import Study


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="YAML of the study (its seed spreads out the counts)"
    )
    parser.add_argument("--intervals", type=Path, required=True, metavar="I.h5", help="what a method says of a test")
    parser.add_argument("--prior", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="training data")
    parser.add_output("--output", metavar="C.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    from limelight.ancestry import check_data, check_file
    from limelight.figures.calibration import calibration_figure
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.calibration_table import COLUMNS, calibration_rows, prior_answers
    from limelight.inference.intervals import read_intervals
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import intervals_settings

    study, result = load_study(args.config), read_intervals(args.intervals)
    probe, posterior = load_probe(study.probe), result.settings.get("posterior")
    if (
        posterior in study.posteriors and result.test in study.tests
    ):  # of no posterior, such as a rival: the probe's own
        check_file(args.intervals, intervals_settings(study, posterior, result.test))
    check_data(args.prior, {dataset: probe.dataset_settings(study, dataset) for dataset in study.datasets})
    prior = prior_answers(args.prior, answered(study, posterior))
    rows, arrays = calibration_rows(result, prior, study.seed)
    title = f"{result.method} on {result.test.replace('_', ' ')}, {len(result.truth)} rows"
    save(calibration_figure(rows, arrays, result, title), args.output, [args.intervals])
    write_csv(args.output, rows, 5, COLUMNS)
    joint = next((row for row in rows if row["bin"] == "joint"), {})
    words = ", ".join(
        f"{name} {joint[name]:.3f}" for name in ("covered_68", "covered_95", "gain_nats") if name in joint
    )
    print(f"{args.output}: {len(result.truth)} rows; all outputs together: {words or 'no draws'}", file=sys.stderr)


def answered(study: "Study", posterior: str | None) -> "Target":
    """What a posterior of the study answers; a method that is no posterior, such as a rival, answers what all of them do."""
    from limelight.probe import load_probe
    from limelight.study.selection import header_of

    names = [study.posteriors[posterior].network] if posterior in study.posteriors else list(study.networks)
    network = study.networks[names[0]]
    return load_probe(study.probe).posterior_target(network, header_of(study, network.datasets[0]))


if __name__ == "__main__":
    with plain_errors():
        main()
