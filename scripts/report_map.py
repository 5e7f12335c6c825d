#!/usr/bin/env python3
"""Write one page on one real map: its luminosity function, and all that must hold before it is believed.

The page has the map; whether it is like the training maps, statistic by statistic; the luminosity function with 68 and 95 %
intervals; what the posterior answers for maps without light (random signs, the difference of two splits); halos that were
added to this very map, and how many were found again; and the network's audit if it is given. It begins with what failed.

example: python scripts/report_map.py co2_map.h5 --efficiency 0.72 --like config/co2.survey.h5 --splits half \\
    --posterior results/co2/posteriors/mdn/posterior.pt --injections results/co2/shards/li_prior/41.h5 \\
    --audit results/co2/audit/survey.h5 --output co2.html
"""

import sys
from dataclasses import replace
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors
from limelight.probes.line_intensity.survey_options import BESIDE, add_survey_options, told


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("map", type=Path, help="the survey's map, or NAME.survey.h5 of scripts/plan.py")
    parser.add_argument("--posterior", type=Path, required=True, metavar="posterior.pt")
    parser.add_argument(
        "--injections", type=Path, required=True, metavar="shard.h5", help="clean maps of test light-cones"
    )
    parser.add_argument("--like", type=Path, metavar="S.survey.h5", help="bring the map onto these voxels")
    parser.add_argument("--splits", metavar="NAME", help="of COMAP: a split in two parts, for the null test")
    parser.add_argument("--audit", type=Path, metavar="A.h5", help="the network's audit")
    parser.add_argument(
        "--rival", type=Path, nargs="+", default=[], metavar="R.csv", help="the same map by run_rival.py --survey"
    )
    parser.add_output("--output", "the page; its table and figures stand beside it", metavar="PAGE.html", beside=BESIDE)
    add_survey_options(parser)
    args = parser.parse_args()
    from limelight.inference.posteriors.posterior import load_posterior
    from limelight.probes.line_intensity.apply_survey import read_like
    from limelight.probes.line_intensity.survey_page import write_page
    from limelight.probes.line_intensity.survey_report import make_report
    from limelight.training.checkpoint import load_torch

    if load_torch(args.posterior, "posterior")["kind"] == "npe":
        import nflows.flows  # noqa: F401 - npe's flows
    said, halves = told(args), None
    posterior = load_posterior(args.posterior)
    survey = read_like(args.map, said, args.like)
    if args.splits:
        halves = tuple(read_like(args.map, replace(said, split=f"{args.splits}:{i}"), args.like) for i in (0, 1))
    rivals = {f"rival {path.stem}": path for path in args.rival}
    report = make_report(posterior, survey, args.injections, halves, args.audit, args.map, rivals)
    made = {name: str(value) for name, value in vars(args).items() if isinstance(value, Path) and name != "output"}
    write_page(args.output, report, args.map.name, made)
    for fault in report.faults:
        print(f"limelight: warning: {fault}", file=sys.stderr)
    print(f"{args.output}: {'passed' if not report.faults else f'{len(report.faults)} faults, at its top'}")


if __name__ == "__main__":
    with plain_errors():
        main()
