#!/usr/bin/env python3
"""Make a study for your own map: field, voxels, band, beam, noise, mask and filter are the map's, its size the machine's.

Written are the config and, beside it, the map on the study's voxels (NAME.survey.h5) and the telescope
(NAME.instrument.yaml). The field is the square where σ is at most three times the deepest; voxels are pooled as far as the
hours ask for, by means weighted by 1/σ². Then `snakemake --configfile NAME.yaml` trains the study, and
scripts/report_map.py reads the map with it.

example: python scripts/plan.py co2_map.h5 --efficiency 0.72 --hours 6 --output config/co2.yaml
"""

import os
from pathlib import Path

from limelight.arguments import Arguments, above, whole
from limelight.errors import plain_errors
from limelight.probes.line_intensity.survey_options import add_survey_options, told

MEMORY_GB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("map", type=Path, help="COMAP level-3 map, FITS cube, limlam_mocker cube or survey file")
    parser.add_output("--output", "config to write", metavar="NAME.yaml", beside=(".survey.h5", ".instrument.yaml"))
    parser.add_argument("--hours", type=above(0), default=2.0, help="that the whole study may take (default: 2)")
    parser.add_argument("--cores", type=whole(1), default=os.cpu_count(), help="of the machine (default: this one's)")
    parser.add_argument("--gpus", type=whole(0), default=0, help="of the machine (default: 0)")
    parser.add_argument("--memory", type=above(0), default=MEMORY_GB, metavar="GB", help="(default: this machine's)")
    parser.add_argument("--size-deg", type=above(0), help="side of the field (default: where σ ≤ 3 times the deepest)")
    parser.add_argument("--rest-frequency", type=above(0), default=115.27, metavar="GHZ", help="of the line (CO(1-0))")
    parser.add_argument("--prior", default="full", help="of the Li model (default: full)")
    parser.add_argument(
        "--high-pass", type=above(0), nargs=2, metavar=("K", "WIDTH"), help="of the pipeline across the sky, 1/Mpc"
    )
    parser.add_argument(
        "--transfer",
        type=Path,
        metavar="T.csv",
        help="its transfer function (observation.filters in docs/config/line_intensity.md)",
    )
    add_survey_options(parser)
    args = parser.parse_args()
    from limelight.probes.line_intensity.maps.survey_files.read import read_survey
    from limelight.probes.line_intensity.survey_plan import Machine, Wanted, make_plan, write_plan
    from limelight.probes.line_intensity.survey_words import survey_words

    survey = read_survey(args.map, told(args))
    for line in survey_words(survey):
        print(line)
    files = {name: str(args.output.with_suffix(f".{ending}")) for name, ending in FILES.items()}
    transfer = None if args.transfer is None else str(args.transfer)
    wanted = Wanted(args.output.stem, args.size_deg, args.rest_frequency, args.prior, args.high_pass, transfer)
    plan = make_plan(survey, wanted, Machine(args.hours, args.cores, args.gpus, args.memory), files)
    write_plan(plan, args.output, files)
    print(*plan.words, sep="\n")
    print(
        f"{args.output}: a study of about {plan.hours:.2g} hours and {plan.memory_gb:.2g} GB; {files['survey']}: its map"
    )
    print(f"next: snakemake your_map --configfile {args.output} --cores {args.cores}")


FILES = {"survey": "survey.h5", "instrument": "instrument.yaml"}

if __name__ == "__main__":
    with plain_errors():
        main()
