#!/usr/bin/env python3
"""Write the tidy table of a study, CSV: one row per network, test and output, from evaluation files alone.

example: python scripts/summarise.py --evaluation results/demo/evaluation/*/*.h5 --output summary.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="E.h5", help="evaluation files")
    parser.add_output("--output", metavar="S.csv", help="the table to write")
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.evaluation.evaluation_file import read_evaluation
    from limelight.evaluation.summary import summary_csv
    from limelight.files import write_text

    check_together(args.evaluation)
    table = summary_csv(read_evaluation(path) for path in args.evaluation)
    write_text(args.output, table)
    rows = table.count("\n") - 1
    print(f"{args.output}: {rows} rows of {len(args.evaluation)} evaluations", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
