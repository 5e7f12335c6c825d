#!/usr/bin/env python3
"""The 95 % intervals of all methods on the same maps with the same noise: a table, and a figure (docs/inference.md).

example: python scripts/money_plot.py --intervals results/money/posteriors/*/*.h5 \\
    --evaluation results/money/evaluation/*/*.h5 --output results/money/money/table.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument(
        "--intervals", type=Path, nargs="+", required=True, metavar="I.h5", help="of any methods and tests"
    )
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="E.h5", help="of the networks")
    parser.add_output("--output", metavar="T.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.evaluation.evaluation_file import read_evaluation
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.intervals import read_intervals
    from limelight.probes.line_intensity.figures.money import money_figure
    from limelight.probes.line_intensity.money import COLUMNS, money_table, point_intervals, verdicts, without_draws

    check_together([*args.evaluation, *args.intervals])
    evaluations = [read_evaluation(path) for path in args.evaluation]
    results = [point_intervals(e) for e in evaluations]
    results += [without_draws(read_intervals(path)) for path in args.intervals]
    rows = money_table(results, evaluations[0].header.geometry)
    save(money_figure(rows, evaluations[0].axis), args.output, args.evaluation)
    write_csv(args.output, rows, 5, COLUMNS)
    print("\n".join(verdicts(rows)), file=sys.stderr)
    print(f"{args.output}: {len(rows)} rows of {len(results)} results", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
