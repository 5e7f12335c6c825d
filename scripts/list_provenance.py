#!/usr/bin/env python3
"""List what made the files of a study (version, commit, libraries, config hash, seed) as a page of its report.

example: python scripts/list_provenance.py --output provenance.html results/demo/networks/*/model.pt
"""

from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="HDF5 files of limelight and model.pt files"
    )
    parser.add_output("--output", help="HTML page to write")
    parser.add_argument("--title", default="What made the files of this study", help="heading of the page")
    args = parser.parse_args()
    from limelight.describe import provenance_table
    from limelight.files import write_text

    write_text(args.output, provenance_table(args.files, args.title))


if __name__ == "__main__":
    with plain_errors():
        main()
