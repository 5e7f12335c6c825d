"""Put a finished study into tables for the docs: bands beside the published ones, audits, classifiers, errors.

Writes <docs>/results/<study>.md and <study>_bands.md, and the tables <study>_bands.csv, <study>_audit.csv and
<study>_summary.csv.

example: python -m tools.make_results --config config/bench.yaml --time "1 h 50 min" \\
    --machine "a virtual machine with 2 cores of an AMD EPYC, CPU only"
"""

import argparse
import sys
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.evaluation.summary import summary_rows
from limelight.files import csv_text, write_text
from limelight.study.config import load_study
from limelight.study.selection import audited_networks, suitable_tests
from tools.gallery import processor_hours
from tools.results import BAND_COLUMNS, SUMMARY, band_rows, bands_page, readers, results_page

DIGITS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, help="its results (default: results/<study>)")
    parser.add_argument("--machine", required=True, help="what it ran on, in words: the files do not say")
    parser.add_argument("--time", default="", help="how long the run took, in words")
    parser.add_argument("--partial", action="store_true", help="of an unfinished study, take what there is and say so")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the tables go (default: docs)")
    args = parser.parse_args()
    study = load_study(args.config)
    results = args.results or Path("results") / study.study
    pairs = [(network, test) for network in study.networks for test in suitable_tests(study, network)]
    asked = {
        "evaluation": [results / "evaluation" / network / f"{test}.h5" for network, test in pairs],
        "audit": [results / "audit" / f"{network}.h5" for network in audited_networks(study)],
    }
    missing = [path for paths in asked.values() for path in paths if not path.is_file()]
    if missing and not args.partial:
        expected = "a finished study"
        raise problem(missing[0], f"no such file ({len(missing)} missing)", expected, "run it, or use --partial")
    there = {kind: [path for path in paths if path.is_file()] for kind, paths in asked.items()}
    evaluations = [read_evaluation(path) for path in there["evaluation"]]
    if not evaluations:
        raise problem(results, "no evaluation files", "the results of a finished study", "run the study first")
    hours, jobs = processor_hours(results)
    commits, seeds = (", ".join(sorted({e.made_by[key] for e in evaluations})) for key in ("git_commit", "seed"))
    facts = {"config": f"`{args.config}`", "commit": commits, "seed": seeds, "machine": args.machine}
    facts |= {"time": args.time} if args.time else {}
    facts |= {"processor time": f"{hours:.2g} h in {jobs} jobs, as they measured it"} if jobs else {}
    facts |= {"not made": f"{len(missing)} of {sum(map(len, asked.values()))} files"} if missing else {}
    own = [name for name, network in study.networks.items() if network.architecture == "limelight"]
    evaluations.sort(key=lambda e: e.network not in own)  # limelight's own first: the page is about them
    bands = band_rows(evaluations)
    tables = [(results / "audit" / f"{path.stem}.csv").read_text(encoding="utf-8") for path in there["audit"]]
    summary = csv_text(summary_rows(readers(evaluations)), DIGITS, SUMMARY)
    written = {
        "bands": (
            csv_text(bands, DIGITS, BAND_COLUMNS),
            "bands of every network and test, bin by bin, next to the published ones",
        ),
        "summary": (summary, "errors of every network and test, bin by bin: of `summary.csv` what the bands lack"),
    }
    if tables:
        whole = tables[0] + "".join(text.partition("\n")[2] for text in tables[1:])
        written["audit"] = (whole, "what each audit measured, and its verdict, bin by bin")
    folder, name = args.docs / "results", study.study
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (text, _) in written.items():
        write_text(folder / f"{name}_{kind}.csv", text)
    write_text(
        folder / f"{name}_bands.md",
        bands_page(f"95 % bands of the study `{name}`, next to the published ones", bands, f"{name}_bands.csv"),
    )
    page = results_page(
        f"Results of the study `{name}`",
        facts,
        evaluations,
        [read_audit(path) for path in there["audit"]],
        {
            f"{name}_bands.md": "95 % bands at five luminosities, next to the published ones",
            **{f"{name}_{kind}.csv": what for kind, (_, what) in written.items()},
        },
    )
    write_text(folder / f"{name}.md", page)
    print(f"{folder / name}.md: {len(evaluations)} evaluations, {len(there['audit'])} audits", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
