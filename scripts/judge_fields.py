#!/usr/bin/env python3
"""Hold the posteriors of one test of galaxy fields beside what a perfect catalogue allows: a table and a figure.

example: python scripts/judge_fields.py --config config/galaxy_field.yaml --intervals posteriors/*/same_noise.h5 \\
    --output beside/same_noise.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--intervals", type=Path, nargs="+", required=True, metavar="I.h5", help="its posteriors, drawn for one test"
    )
    parser.add_output("--output", metavar="B.csv", help="table; a figure stands beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    import numpy as np

    from limelight.ancestry import check_file
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.intervals import read_intervals
    from limelight.probes.galaxy_field.beside import COLUMNS, beside_figure, beside_rows
    from limelight.study.config import load_study
    from limelight.study.settings import intervals_settings

    study = load_study(args.config)
    if study.probe != "galaxy_field":
        raise problem(args.config, f"a study of {study.probe}", "one of galaxy_field", "give another")
    found = {}
    for path in args.intervals:
        one = read_intervals(path)
        first = next(iter(found.values()), one)
        name = str(one.settings.get("posterior"))
        if name not in study.posteriors or one.test not in study.tests:
            known = f"a posterior of the study: {', '.join(study.posteriors) or 'none'}"
            raise problem(path, f"posterior {name} on {one.test}", known, "give others")
        check_file(path, intervals_settings(study, name, one.test))
        if one.test != first.test or not np.array_equal(one.truth, first.truth):
            expected = "one test and its rows, as of the first file"
            raise problem(path, f"{len(one.truth)} other rows of test {one.test}", expected, "give others")
        if one.samples is None:
            raise problem(path, "no draws", "a posterior of kind mdn, npe or imnn", "leave it out")
        found[name] = one
    data = study.data[study.tests[first.test].data]
    rows = [row for name, one in found.items() for row in beside_rows(name, one, data)]
    write_csv(args.output, rows, 4, COLUMNS)
    save(beside_figure(found, data), args.output, args.intervals)
    print(f"{args.output}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
