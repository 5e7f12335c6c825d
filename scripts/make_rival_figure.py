#!/usr/bin/env python3
"""Draw the rival's 95 % intervals per luminosity beside the published ones, and write them as a table.

example: python scripts/make_rival_figure.py --intervals rival/li/fiducial_comap.h5 --table rival.csv --output rival.pdf
"""

from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument(
        "--intervals", type=Path, nargs="+", required=True, metavar="R.h5", help="of run_rival.py, one a test"
    )
    parser.add_output("--table", metavar="T.csv", help="table to write")
    parser.add_output("--output", metavar="F.pdf", help="figure; a PNG is written as well", beside=(".png",))
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.intervals import read_intervals
    from limelight.probes.line_intensity.figures.rival import rival_figure, rival_table

    check_together(args.intervals)
    results = [read_intervals(path) for path in args.intervals]
    rows = [
        {"rival": result.settings["rival"], "test": result.test, **row}
        for result in results
        for row in rival_table(result)
    ]
    write_csv(args.table, rows, digits=5)
    save(rival_figure(results), args.output)


if __name__ == "__main__":
    with plain_errors():
        main()
