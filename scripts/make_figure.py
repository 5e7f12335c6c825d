#!/usr/bin/env python3
"""Draw one figure of a study, as PDF and as PNG beside it, from files alone: evaluations, an audit, layers or saliency.

A probe has figures of its own; an unknown name lists all that there are for the probe of the files.

example: python scripts/make_figure.py --figure error_bands --files evaluation/limelight/*.h5 --output error_bands.pdf
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors, problem
from limelight.registry import Registry

# Each loaded when a file of its kind comes: most figures are of evaluations, and need no torch
READERS = Registry(
    "kind",
    {
        "evaluation": "limelight.evaluation.evaluation_file:read_evaluation",
        "audit": "limelight.evaluation.audit_file:read_audit",
        "layers": "limelight.evaluation.layers_file:read_layers",
        "saliency": "limelight.saliency.saliency_file:read_saliency",
    },
)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--figure", required=True, metavar="NAME", help="which figure")
    parser.add_argument("--files", type=Path, nargs="+", required=True, metavar="F.h5", help="what it is drawn from")
    parser.add_argument("--shown", type=whole(0), nargs="+", help="rows shown one by one (default: the study's choice)")
    parser.add_output("--output", metavar="F.pdf", help="the PDF; a PNG is written beside it", beside=(".png",))
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.figures import draw_figure
    from limelight.figures.style import save

    check_together(args.files)

    save(draw_figure(args.figure, [_read(path) for path in args.files], args.shown), args.output, args.files)
    print(f"{args.output} and .png: {args.figure} of {len(args.files)} files", file=sys.stderr)


def _read(path: Path) -> object:
    from limelight.describe import provenance_of

    kind = provenance_of(path)["limelight_kind"]
    if kind not in READERS:
        raise problem(path, f"a file of kind '{kind}'", f"one of {', '.join(READERS)}", "choose another file")
    return READERS.load(kind)(path)


if __name__ == "__main__":
    with plain_errors():
        main()
