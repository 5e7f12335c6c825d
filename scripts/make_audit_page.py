#!/usr/bin/env python3
"""Draw the page of an audit, as PDF and as PNG beside it.

example: python scripts/make_audit_page.py --audit audit/limelight.h5 --output audit.pdf
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.errors import plain_errors, problem  # noqa: E402
from limelight.evaluation.audit_file import read_audit  # noqa: E402
from limelight.figures.audit import audit_page  # noqa: E402
from limelight.figures.style import save  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", type=Path, required=True, metavar="A.h5", help="audit file")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="F.pdf", help="the PDF; a PNG is written beside it"
    )
    args = parser.parse_args()
    if args.output.suffix != ".pdf":
        raise problem("--output", f"'{args.output}'", "a name that ends in .pdf", "the PNG is written beside it")
    save(audit_page(read_audit(args.audit)), args.output)
    print(f"{args.output} and .png: audit", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
