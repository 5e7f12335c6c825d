#!/usr/bin/env python3
"""Draw the page of an audit, or the confusion matrix of a classifier, as PDF and as PNG beside it.

example: python scripts/make_page.py --file audit/limelight.h5 --output audit.pdf
"""

import argparse
import sys
from pathlib import Path

from limelight.evaluation.classify import read_classification

from limelight.describe import provenance_of
from limelight.errors import plain_errors, problem
from limelight.evaluation.audit_file import read_audit
from limelight.figures.audit import audit_page
from limelight.figures.confusion import confusion_matrix
from limelight.figures.style import save

PAGES = {"audit": (read_audit, audit_page), "classification": (read_classification, confusion_matrix)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, metavar="F.h5", help="audit or classification file")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="F.pdf", help="the PDF; a PNG is written beside it"
    )
    args = parser.parse_args()
    if args.output.suffix != ".pdf":
        raise problem("--output", f"'{args.output}'", "a name that ends in .pdf", "the PNG is written beside it")
    kind = provenance_of(args.file)["limelight_kind"]
    if kind not in PAGES:
        raise problem(args.file, f"a file of kind '{kind}'", f"one of {', '.join(PAGES)}", "choose another file")
    read, page = PAGES[kind]
    save(page(read(args.file)), args.output, [args.file])
    print(f"{args.output} and .png: {kind}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
