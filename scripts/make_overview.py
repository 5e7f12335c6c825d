#!/usr/bin/env python3
"""Write the first page of a finished study: its results, the audit's verdicts, and what to look at first.

Writes index.html, and beside it overview.rst, the same for the first page of Snakemake's report.

example: python scripts/make_overview.py --config config/demo.yaml --evaluation results/demo/evaluation/*/*.h5 \\
    --audit results/demo/audit/*.h5 --headline results/demo/figures/limelight/error_bands.png \\
    --output results/demo/index.html
"""

from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="E.h5", help="evaluation files")
    parser.add_argument("--audit", type=Path, nargs="*", default=[], metavar="A.h5", help="audit files")
    parser.add_argument("--headline", type=Path, metavar="F.png", help="figure to show, in a folder beside the output")
    parser.add_output("--output", metavar="index.html", help="page to write; overview.rst stands beside it")
    args = parser.parse_args()
    from limelight.ancestry import check_together
    from limelight.describe.overview import make_overview, page, report_text
    from limelight.evaluation.audit_file import read_audit
    from limelight.evaluation.evaluation_file import read_evaluation
    from limelight.files import write_text
    from limelight.probe import load_probe
    from limelight.study.config import load_study

    check_together(args.evaluation)
    study = load_study(args.config)
    evaluations, audits = [read_evaluation(path) for path in args.evaluation], [read_audit(path) for path in args.audit]
    found = make_overview(study.study, load_probe(study.probe), evaluations, audits, args.headline)
    folder = args.output.parent
    links = {
        "All figures, with what each shows and how it was made (Snakemake's report, written last)": "report.html",
        "Every error: a row for each network, test and output": "summary.csv",
        "What made the files": "provenance.html",
    }
    write_text(folder / "overview.rst", report_text(found))
    write_text(args.output, page(found, folder, links))


if __name__ == "__main__":
    with plain_errors():
        main()
