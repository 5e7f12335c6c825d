#!/usr/bin/env python3
"""Read the luminosity function off your own cube with a trained network: a CSV table, and a figure beside it.

A survey's map (COMAP level 3, FITS with σ, limelight's survey file) is read with its σ and mask by networks of a study made
for it (scripts/plan.py); --like brings it onto the study's voxels.

The cube is FITS (axes RA, Dec and FREQ, VRAD, VOPT, VELO or WAVE; BUNIT uK, K, Jy/sr …; .gz, .bz2 and .fz too) or a
limelight maps file or shard. Field, band, beam and unit must be those the network was trained on (`python
scripts/describe.py model.pt` shows them). A fine cube is summed in blocks as the training maps were; one on the network's
own pooled grid is taken as temperatures and turned into such sums. --reproject brings other projections, fields and
channels onto the network's grid. Nothing is added to the cube: its noise should be of a kind that the network knows.

Most networks use the absolute zero level of the map, and this program says so. A cube whose mean was removed, in each
channel, each spectrum or as a whole, as most pipelines do, gets no answer worth anything from them. Networks that were
trained with preprocessing.remove_means need no zero level.

The cube's values are held against those that the network was trained on (means, spread, noise, zeros, one-point function and
power). What is off is named on stderr. With --posterior instead of --network the answer has 68 and 95 % intervals, and a
verdict whether the cube is like the maps of training at all.

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
from typing import TYPE_CHECKING

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS
from limelight.probes.line_intensity.survey_options import add_survey_options, told

if TYPE_CHECKING:
    import numpy as np

    from limelight.probes.line_intensity.inputs import CubeNoise


ZERO_LEVEL = "the network uses the absolute zero level of the map: no mean or baseline may have been removed from it"
NO_ZERO_LEVEL = "the network needs no zero level: it takes the mean of every channel off first"


def main() -> None:
    columns, quantiles = (
        "\n".join(f"  {name:16} {words}" for name, words in table.items()) for table in (COLUMNS, QUANTILE_COLUMNS)
    )
    about = __doc__.format(columns=columns, quantiles=quantiles)
    parser = Arguments(about)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", type=Path, metavar="model.pt", help="trained network")
    which.add_argument("--posterior", type=Path, metavar="posterior.pt", help="trained posterior: adds intervals")
    parser.add_argument("--cube", type=Path, required=True, metavar="C.fits|C.h5", help="the map to read")
    parser.add_argument("--map", type=int, default=0, help="which map of a limelight file (default: 0)")
    parser.add_argument("--reproject", action="store_true", help="bring a FITS cube onto the network's grid")
    parser.add_argument("--like", type=Path, metavar="S.survey.h5", help="bring a survey's map onto these voxels")
    parser.add_argument("--audit", type=Path, metavar="A.h5", help="the network's audit: warns of bins it condemns")
    parser.add_output("--output", metavar="LF.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    add_survey_options(parser)
    args = parser.parse_args()
    from limelight.evaluation.audit import warning
    from limelight.evaluation.audit_file import read_audit
    from limelight.files import write_csv
    from limelight.probes.line_intensity.apply import (
        bins_outside_training,
        luminosity_function,
    )
    from limelight.training import load_model

    if args.posterior:
        predict_posterior(args)
        return
    module, info = load_model(args.network)
    condemned = warning(read_audit(args.audit), info, args.audit) if args.audit else ""
    if condemned:
        print(f"limelight: warning: {condemned}", file=sys.stderr)
    cube, noise = prepared_cube(args, info)
    table = luminosity_function(module, info, cube, noise=noise)
    outside, bins = bins_outside_training(table, info), len(table["dn"])
    if outside > bins / 5:
        print(
            f"limelight: warning: in {outside} of {bins} bins the prediction lies outside the middle 95 % of the training"
            " maps: the network extrapolates, do not trust it",
            file=sys.stderr,
        )
    from limelight.figures.style import save
    from limelight.probes.line_intensity.figures.predictions import prediction

    percentiles = info["label_statistics"]["percentiles"].numpy()
    quantity = info["entry"]["target"]["quantity"]
    save(prediction(table, quantity, percentiles, args.cube.name), args.output)
    write_csv(args.output, table, digits=8)
    print(f"{args.output}: {bins} bins; figure {args.output.with_suffix('.png')} (and .pdf)", file=sys.stderr)


def prepared_cube(args: argparse.Namespace, info: dict) -> "tuple[np.ndarray, CubeNoise | None]":
    """(cube as the network is to see it (x, y, f), its σ and mask); what was done, and what is off about it, on stderr."""
    from limelight.probes.line_intensity.apply import prepare_cube, trained
    from limelight.probes.line_intensity.apply_survey import is_survey_for
    from limelight.probes.line_intensity.doubts import doubts, unseen
    from limelight.probes.line_intensity.maps.fits import read_cube
    from limelight.probes.line_intensity.maps.read_fits import is_fits, read_fits
    from limelight.probes.line_intensity.maps.regrid import regrid

    if is_survey_for(args.cube, info):
        return prepared_survey(args, info)
    if args.like or any(told(args).said(but="hdu")):
        fix = "leave them out, or use a network of a study made for a survey (scripts/plan.py)"
        raise problem(args.cube, "options of a survey's map", "none for this file and network", fix)
    notes = []
    if args.reproject and not is_fits(args.cube):
        raise problem("--reproject", f"{args.cube}, which is no FITS", "a FITS cube", "leave it out")
    if args.reproject:
        cube, done = regrid(read_fits(args.cube, args.hdu), trained(info).header.geometry, args.cube)
        notes.append(done)
    else:
        cube = read_cube(args.cube, args.map, args.hdu)
    prepared, done = prepare_cube(cube, info, args.cube)
    report(args.cube, [cube.source, *notes, done, unseen(prepared, info)], info, doubts(cube, prepared, info))
    return prepared, None


def prepared_survey(args: argparse.Namespace, info: dict) -> "tuple[np.ndarray, CubeNoise]":
    """The same of a survey's map."""
    from limelight.probes.line_intensity.apply_survey import as_cube, prepare_survey, read_like
    from limelight.probes.line_intensity.doubts import doubts, unseen

    if args.reproject or args.map:
        raise problem("--reproject, --map", "a survey's map", "--like for surveys", "leave them out")
    survey = read_like(args.cube, told(args), args.like)
    prepared, noise = prepare_survey(survey, info, args.cube)
    found = doubts(as_cube(survey), prepared, info, noise)
    report(args.cube, [survey.source, unseen(prepared, info)], info, found)
    return prepared, noise


def report(path: Path, notes: list[str], info: dict, found: list[str]) -> None:
    """Notes and doubts about a cube, on stderr."""
    from limelight.probes.line_intensity.apply import trained

    zero_level = ZERO_LEVEL if trained(info).uses_zero_level else NO_ZERO_LEVEL
    for note in filter(None, [f"{path}: {notes[0]}", zero_level, *notes[1:]]):
        print(f"limelight: {note}", file=sys.stderr)
    if "input_ranges" not in info:
        fix = "train it again with this limelight"
        print(f"limelight: the model file holds no ranges to judge the cube's values by; {fix}", file=sys.stderr)
    for doubt in found:
        print(f"limelight: warning: {path}: {doubt}", file=sys.stderr)


def predict_posterior(args: argparse.Namespace) -> None:
    """The answer with intervals: printed, as a table, and as a figure."""
    from limelight.files import write_csv
    from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
    from limelight.inference.posteriors.posterior import load_posterior
    from limelight.probes.line_intensity.apply import in_lines, posterior_table
    from limelight.training.checkpoint import load_torch

    if args.audit:
        raise problem("--audit", "an audit beside a posterior", "one beside --network", "leave it out")
    if load_torch(args.posterior, "posterior")["kind"] == "npe":
        import sbi.neural_nets.net_builders  # noqa: F401 - seconds of Python's time, not of the posterior's
    start = time.perf_counter()
    posterior = load_posterior(args.posterior)
    cube, noise = prepared_cube(args, posterior.info)
    table, p = posterior_table(posterior, cube, noise=noise)
    seconds = time.perf_counter() - start
    print(in_lines(table), flush=True)
    print(f"limelight: {'warning: ' if p < UNLIKE else ''}this cube is {how_unlike(p)}", file=sys.stderr)
    if posterior.content["recalibration"] is not None:
        print("limelight: intervals recalibrated on the validation light-cones", file=sys.stderr)
    from limelight.figures.style import save  # a second to import: the table is not to wait for it
    from limelight.probes.line_intensity.figures.predictions import posterior_figure

    warning_words = how_unlike(p) if p < UNLIKE else ""
    save(posterior_figure(table, args.cube.name, warning_words.split(":")[0]), args.output)
    write_csv(args.output, table, digits=8)
    figure = args.output.with_suffix(".png")
    print(f"{args.output}: {len(table['dn'])} bins in {seconds:.2f} s; figure {figure} (and .pdf)", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
