#!/usr/bin/env python3
"""Hold the posteriors of one test against the exact one: a table of what each loses, and a figure (docs/inference.md).

example: python scripts/compare_posteriors.py --exact exact/masked.h5 --intervals posteriors/*/masked.h5 \\
    --output exact/masked.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--exact", type=Path, required=True, metavar="E.h5", help="the exact posterior of the test")
    parser.add_argument(
        "--intervals", type=Path, nargs="+", required=True, metavar="I.h5", help="what posteriors say of the same test"
    )
    parser.add_output("--output", metavar="C.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.figures.information import information_figure
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.exact import COLUMNS, DENSITY, information_row
    from limelight.inference.intervals import read_intervals

    check_together([args.exact, *args.intervals])
    exact = read_intervals(args.exact)
    if DENSITY not in exact.extra or "grid" not in exact.settings:
        raise problem(args.exact, exact.method, "the file of an exact posterior", "give the one of exact_posterior.py")
    found = {"exact": exact}
    for path in args.intervals:
        result = read_intervals(path)
        name = str(result.settings.get("posterior", path.parent.name))
        if name in found:
            raise problem(path, f"another '{name}'", "one file of each posterior", "leave one out")
        found[name] = result
    rows = [information_row(exact, result, name) for name, result in found.items()]
    write_csv(args.output, rows, 5, COLUMNS)
    save(information_figure(found, rows), args.output, [args.exact, *args.intervals])
    lost = ", ".join(f"{row['posterior']} {row['nats_lost']:.3f}" for row in rows[1:])
    print(f"{args.output}: nats lost: {lost}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
