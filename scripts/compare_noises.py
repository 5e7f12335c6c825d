#!/usr/bin/env python3
"""Tell what banks of noises cost beside fresh noise (docs/reionisation.md): a table and a figure.

example: python scripts/compare_noises.py --config config/reionisation_maps.yaml --information exact/masked.csv \\
    --output noises/masked.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--information", type=Path, required=True, metavar="E.csv", help="its table of what posteriors lose on one test"
    )
    parser.add_output("--output", metavar="N.csv", help="table; a figure stands beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    from limelight.figures.style import save
    from limelight.files import read_csv, write_csv
    from limelight.probes.reionisation.noises import COLUMNS, noise_rows, noises_figure
    from limelight.study.config import load_study

    study = load_study(args.config)
    if study.probe != "reionisation":
        raise problem(args.config, f"a study of {study.probe}", "one of reionisation", "give another")
    information = read_csv(args.information, "a table of what posteriors lose (exact/<test>.csv)")
    if missing := sorted({"posterior", *COLUMNS[4:]} - set(information)):
        raise problem(
            args.information, f"no column {missing[0]}", "a table of what posteriors lose", "give exact/<test>.csv"
        )
    rows = noise_rows(study, information)
    if not any(row["noises"] != "fresh" for row in rows):
        found = "no posterior of the study that learnt from a bank of noises"
        raise problem(
            args.information, found, "one at least, beside one of fresh noise", "give the table of another test"
        )
    write_csv(args.output, rows, 4, COLUMNS)
    save(noises_figure(rows), args.output)
    print(f"{args.output}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
