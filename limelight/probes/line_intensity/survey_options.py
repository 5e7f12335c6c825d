"""The options by which a user says what a survey's file does not."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments

if TYPE_CHECKING:
    from limelight.probes.line_intensity.maps.survey_files.raw import Told

FIGURES = (".map.png", ".luminosity_function.png", ".nulls.png", ".injections.png")  # beside a report's page
BESIDE = (".csv", *FIGURES)


def add_survey_options(parser: Arguments) -> None:
    """The options of maps.survey_files.raw.Told."""
    group = parser.add_argument_group("what a survey's file does not say")
    group.add_argument(
        "--efficiency", type=float, metavar="E", help="main-beam efficiency to divide by; 1: done already"
    )
    group.add_argument("--feed", type=int, metavar="N", help="of COMAP: one feed, from 1 (default: all coadded)")
    group.add_argument("--split", metavar="NAME[:N]", help="of COMAP: a split, and which part of it")
    group.add_argument("--hdu", metavar="NAME|N", help="of FITS: the map's HDU (default: its only map)")
    group.add_argument("--noise", type=Path, metavar="F.fits", help="of FITS: σ, variance or weights in another file")
    group.add_argument("--mask", type=Path, metavar="F.fits", help="of FITS: not 0 where there are no data")
    group.add_argument("--sigma", type=float, metavar="UK", help="σ of every voxel, µK, for a file that has none")
    group.add_argument("--beam", type=float, metavar="ARCMIN", help="FWHM of the map's beam (COMAP: 4.5)")
    group.add_argument("--modes", type=int, metavar="N", help="PCA modes that the pipeline removed")
    group.add_argument(
        "--means", choices=("removed", "kept"), help="whether the pipeline removed the mean of each channel"
    )
    group.add_argument("--max-sigma", type=float, metavar="UK", help="mask voxels with a larger σ")
    group.add_argument("--min-hits", type=int, metavar="N", help="mask voxels with fewer samples")


def told(args: argparse.Namespace) -> "Told":
    """What the user says on the command line."""
    from limelight.probes.line_intensity.maps.survey_files.raw import Told

    return Told(
        feed=args.feed,
        split=args.split,
        hdu=args.hdu,
        noise=args.noise,
        mask=args.mask,
        sigma_uk=args.sigma,
        beam_arcmin=args.beam,
        efficiency=args.efficiency,
        modes=args.modes,
        means_removed=None if args.means is None else args.means == "removed",
        max_sigma_uk=args.max_sigma,
        min_hits=args.min_hits,
    )
