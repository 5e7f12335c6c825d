#!/usr/bin/env python3
"""Say what a file is: its kind, what made it, and what it holds (any HDF5 stage, model.pt, history.csv, figures).

A survey's map, be it a COMAP level-3 file, a FITS cube, a limlam_mocker .npz or limelight's own survey file, is described as
it was read: field, band, beam, what was observed, σ. --figure draws it: map, σ, mask, spectrum of σ.

examples: python scripts/describe.py results/demo/networks/limelight/model.pt
  python scripts/describe.py co2_map.h5 --efficiency 0.72 --figure co2_map.png
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem
from limelight.probes.line_intensity.survey_options import add_survey_options, told

if TYPE_CHECKING:
    from limelight.probes.line_intensity.maps.survey_files.raw import Told


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE", help="files to describe")
    parser.add_output("--figure", "draw a survey's map", metavar="F.png", beside=(".pdf",), required=False)
    add_survey_options(parser)
    args = parser.parse_args()
    from limelight.describe import describe
    from limelight.probes.line_intensity.maps.survey_files.read import is_survey_map

    said = told(args)
    if len(args.file) > 1 and (args.figure or said.said()):
        raise problem("--figure and what a survey's file does not say", "several files", "one", "give one file")
    for path in args.file:
        if is_survey_map(path):
            describe_survey(path, said, args.figure)
        elif args.figure or said.said():
            raise problem(path, "no survey's map", "one for these options", "leave them out")
        else:
            print(describe(path))


def describe_survey(path: Path, said: "Told", figure: Path | None) -> None:
    """Print what a survey's map is, and draw it if asked."""
    from limelight.probes.line_intensity.maps.survey_files.read import format_of, read_survey
    from limelight.probes.line_intensity.survey_words import survey_words

    untold = format_of(path) == "comap" and said.efficiency is None
    survey = read_survey(path, replace(said, efficiency=1.0) if untold else said)
    print(f"{path}: survey map, {' × '.join(map(str, survey.mask.shape))} voxels (x, y, channel)")
    for line in survey_words(survey):
        print(f"  {line}")
    if untold:
        print("  --efficiency was not given: temperatures and σ are as they stand in the file")
    if figure:
        from limelight.figures.style import save
        from limelight.probes.line_intensity.figures.survey import survey_figure

        save(survey_figure(survey, path.name), figure)
        print(f"figure {figure} (and {figure.with_suffix('.pdf').name})")


if __name__ == "__main__":
    with plain_errors():
        main()
