#!/usr/bin/env python3
"""Answer your own rows of any probe with a trained network or posterior: images of lenses, convergence maps, traces.

The rows stand in a .npy array (rows, channels, *axes), in the unit that `describe.py model.pt` shows, as they were recorded:
nothing is added to them. The table has a line for each row: one column for each output; with --posterior its median, the
ends of the 68 and 95 % intervals, and the p-value of the row among those of training. What is off about the rows beside
training's is said on stderr.

examples: python scripts/answer.py --network results/strong_lens/networks/find/model.pt --data images.npy --output lenses.csv
  python scripts/answer.py --posterior results/strong_lens/posteriors/flow/posterior.pt --data images.npy --output radii.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors, problem

ENDS = ("q025", "q16", "", "q84", "q975")


def main() -> None:
    parser = Arguments(__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", type=Path, metavar="model.pt", help="trained network")
    which.add_argument("--posterior", type=Path, metavar="posterior.pt", help="trained posterior: adds intervals")
    parser.add_argument("--data", type=Path, required=True, metavar="X.npy", help="rows (n, channels, *axes)")
    parser.add_argument("--seed", type=whole(0), help="of a posterior's draws (default: 0)")
    parser.add_output("--output", metavar="A.csv", help="table to write")
    args = parser.parse_args()
    if args.network and args.seed is not None:
        raise problem("--seed", "a network, which draws nothing", "a posterior", "leave it out")
    from limelight.files import write_csv
    from limelight.inference.posteriors.misspecification import UNLIKE
    from limelight.stages.answer import answer, read_rows

    found = answer(read_rows(args.data), args.network, args.posterior, args.seed or 0)
    names = found.axis.names or tuple(f"{found.axis.label} {value:.4g}" for value in found.axis.centers)
    table: dict = {"row": range(len(found.values))}
    for column, name in enumerate(names):
        if found.quantiles is None:
            table[name] = found.values[:, column]
        else:
            ends = found.quantiles[:, column].T
            table |= {f"{name} {end}".strip(): values for end, values in zip(ENDS, ends, strict=True)}
    if found.p_values is not None:
        table["p_value"] = found.p_values
        if unlike := int((found.p_values < UNLIKE).sum()):
            words = f"{unlike} of {len(found.p_values)} rows are unlike anything in training (p < {UNLIKE})"
            print(f"limelight: warning: {words}: do not trust their answers", file=sys.stderr)
    for warning in found.warnings:
        print(f"limelight: warning: {args.data}: {warning}", file=sys.stderr)
    write_csv(args.output, table, digits=8)
    print(f"{args.output}: {len(found.values)} rows, {len(names)} outputs", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
