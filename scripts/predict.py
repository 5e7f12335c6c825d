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

import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS
from limelight.probes.line_intensity.survey_options import add_survey_options, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from limelight.probes.line_intensity.answer import Answer


def main() -> None:
    gc.disable()  # one map and out: looking for garbage among what is imported took a fifth of the time
    columns, quantiles = (
        "\n".join(f"  {name:16} {words}" for name, words in table.items()) for table in (COLUMNS, QUANTILE_COLUMNS)
    )
    about = __doc__.format(columns=columns, quantiles=quantiles)
    parser = Arguments(about)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", type=Path, metavar="model.pt", help="trained network")
    which.add_argument("--posterior", type=Path, metavar="posterior.pt", help="trained posterior: adds intervals")
    parser.add_argument("--cube", type=Path, required=True, metavar="C.fits|C.h5", help="the map to read")
    parser.add_argument("--map", type=whole(0), default=0, help="which map of a limelight file (default: 0)")
    parser.add_argument("--reproject", action="store_true", help="bring a FITS cube onto the network's grid")
    parser.add_argument("--like", type=Path, metavar="S.survey.h5", help="bring a survey's map onto these voxels")
    parser.add_argument("--audit", type=Path, metavar="A.h5", help="the network's audit: warns of bins it condemns")
    parser.add_output("--output", metavar="LF.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    add_survey_options(parser)
    args = parser.parse_args()
    from limelight.files import write_csv
    from limelight.probes.line_intensity.answer import Options, predict
    from limelight.probes.line_intensity.apply import in_lines
    from limelight.training.checkpoint import load_torch

    if args.posterior and load_torch(args.posterior, "posterior")["kind"] == "npe":
        import nflows.flows  # noqa: F401 - a second of Python's time, not of the posterior's
    start = time.perf_counter()
    options = Options(args.map, args.reproject, args.like, told(args))
    answer = predict(args.cube, args.network, args.posterior, options, args.audit)
    seconds = f" in {time.perf_counter() - start:.2f} s" if args.posterior else ""
    if args.posterior:
        print(in_lines(answer.table), flush=True)
    for note in answer.notes:
        print(f"limelight: {note}", file=sys.stderr)
    for warning in answer.warnings:
        print(f"limelight: warning: {warning}", file=sys.stderr)
    write_csv(args.output, answer.table, digits=8)
    from limelight.figures.style import save  # a second to import: the table is not to wait for it

    save(figure(answer, args.cube.name), args.output)
    bins, image = len(answer.table["dn"]), args.output.with_suffix(".png")
    print(f"{args.output}: {bins} bins{seconds}; figure {image} (and .pdf)", file=sys.stderr)


def figure(answer: "Answer", name: str) -> "Figure":
    """The luminosity function beside the training maps', or with its intervals."""
    from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
    from limelight.probes.line_intensity.figures.predictions import posterior_figure, prediction

    if answer.p_value is None:
        percentiles = answer.info["label_statistics"]["percentiles"].numpy()
        return prediction(answer.table, answer.info["entry"]["target"]["quantity"], percentiles, name)
    warning = how_unlike(answer.p_value) if answer.p_value < UNLIKE else ""
    return posterior_figure(answer.table, name, warning.split(":")[0])


if __name__ == "__main__":
    with plain_errors():
        main()
