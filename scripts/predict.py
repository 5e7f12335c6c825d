#!/usr/bin/env python3
"""Read the luminosity function off your own cube with a trained network: a CSV table, and a figure beside it.

The cube is FITS (axes RA, Dec, frequency; BUNIT uK, K, Jy/sr …) or a limelight maps file or shard. Field, pixels,
channels, frequencies and unit must be those the network was trained on (`python scripts/describe.py model.pt` shows them);
a fine cube is summed in blocks as the training maps were. Nothing is added to the cube: its noise should be of a kind that
the network knows.

With --posterior instead of --network the answer has 68 and 95 % intervals, and a verdict whether the cube is like the
maps of training at all.

columns:
{columns}
with --posterior, dn and n_above are medians, and there are:
{quantiles}

examples: python scripts/predict.py --network results/demo/networks/limelight/model.pt --cube my_map.fits --output lf.csv
  python scripts/predict.py --posterior results/money/posteriors/mdn_comap/posterior.pt --cube my_map.fits --output lf.csv
"""

import argparse
import sys
import time
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.evaluation.audit import warning
from limelight.evaluation.audit_file import read_audit
from limelight.figures.style import save
from limelight.files import write_csv
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probes.line_intensity.apply import (
    COLUMNS,
    QUANTILE_COLUMNS,
    bins_outside_training,
    in_lines,
    luminosity_function,
    posterior_table,
    prepare_cube,
)
from limelight.probes.line_intensity.figures.predictions import posterior_figure, prediction
from limelight.probes.line_intensity.maps.fits import read_cube
from limelight.training import load_model
from limelight.training.checkpoint import load_torch


def main() -> None:
    columns, quantiles = (
        "\n".join(f"  {name:16} {words}" for name, words in table.items()) for table in (COLUMNS, QUANTILE_COLUMNS)
    )
    about = __doc__.format(columns=columns, quantiles=quantiles)
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", type=Path, metavar="model.pt", help="trained network")
    which.add_argument("--posterior", type=Path, metavar="posterior.pt", help="trained posterior: adds intervals")
    parser.add_argument("--cube", type=Path, required=True, metavar="C.fits|C.h5", help="the map to read")
    parser.add_argument("--map", type=int, default=0, help="which map of a limelight file (default: 0)")
    parser.add_argument("--audit", type=Path, metavar="A.h5", help="the network's audit: warns of bins it condemns")
    parser.add_argument("--output", type=Path, required=True, metavar="LF.csv", help="table; figures stand beside it")
    args = parser.parse_args()
    if args.output.suffix != ".csv":
        raise problem("--output", f"'{args.output}'", "a name that ends in .csv", "the figure is written beside it")
    if args.posterior:
        predict_posterior(args)
        return
    module, info = load_model(args.network)
    condemned = warning(read_audit(args.audit), info, args.audit) if args.audit else ""
    if condemned:
        print(f"limelight: warning: {condemned}", file=sys.stderr)
    cube, geometry = read_cube(args.cube, args.map)
    table = luminosity_function(module, info, prepare_cube(cube, geometry, info, args.cube))
    outside, bins = bins_outside_training(table, info), len(table["dn"])
    if outside > bins / 5:
        print(
            f"limelight: warning: in {outside} of {bins} bins the prediction lies outside the middle 95 % of the training"
            " maps: the network extrapolates, do not trust it",
            file=sys.stderr,
        )
    percentiles = info["label_statistics"]["percentiles"].numpy()
    quantity = info["entry"]["target"]["quantity"]
    save(prediction(table, quantity, percentiles, args.cube.name), args.output)
    write_csv(args.output, table, digits=8)
    print(f"{args.output}: {bins} bins; figure {args.output.with_suffix('.png')} (and .pdf)", file=sys.stderr)


def predict_posterior(args: argparse.Namespace) -> None:
    """The answer with intervals: printed, as a table, and as a figure."""
    if args.audit:
        raise problem("--audit", "an audit beside a posterior", "one beside --network", "leave it out")
    if load_torch(args.posterior, "posterior")["kind"] == "npe":
        import sbi.neural_nets.net_builders  # noqa: F401 - seconds of Python's time, not of the posterior's
    start = time.perf_counter()
    posterior = load_posterior(args.posterior)
    cube, geometry = read_cube(args.cube, args.map)
    table, p = posterior_table(posterior, prepare_cube(cube, geometry, posterior.info, args.cube))
    seconds = time.perf_counter() - start
    print(in_lines(table))
    print(f"limelight: {'warning: ' if p < UNLIKE else ''}this cube is {how_unlike(p)}", file=sys.stderr)
    if posterior.content["recalibration"] is not None:
        print("limelight: intervals recalibrated on the validation light-cones", file=sys.stderr)
    warning_words = how_unlike(p) if p < UNLIKE else ""
    save(posterior_figure(table, args.cube.name, warning_words.split(":")[0]), args.output)
    write_csv(args.output, table, digits=8)
    figure = args.output.with_suffix(".png")
    print(f"{args.output}: {len(table['dn'])} bins in {seconds:.2f} s; figure {figure} (and .pdf)", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
