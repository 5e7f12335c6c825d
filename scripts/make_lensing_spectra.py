#!/usr/bin/env python3
"""Make the table of spectra of the convergence, resources/weak_lensing_spectra.csv, with CAMB: minutes, needed once.

example: OMP_NUM_THREADS=1 python scripts/make_lensing_spectra.py
"""

import sys

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_output("--output", required=False, help="CSV to write (default: its place in resources/)")
    args = parser.parse_args()
    from limelight.files import resource_path, write_csv
    from limelight.probes.weak_lensing.spectra import TABLE, table_rows

    output, rows = args.output or resource_path(TABLE), table_rows()
    write_csv(output, rows, 6)
    print(f"{output}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
