"""Make the docs' gallery from a finished study: its figures as small pictures, and the page that shows them.

Writes <docs>/results/<study>/*.png, 2.4 MB at most in all, and <docs>/gallery.md. Shown are comparisons, the pages of the
audits, filters and feature maps, and confusion matrices.

example: python -m tools.make_gallery --config config/bench.yaml --time "1 h 50 min" \\
    --machine "a virtual machine with 2 cores of an AMD EPYC, CPU only"
"""

import argparse
import sys
from pathlib import Path

from limelight.describe import provenance_of
from limelight.errors import plain_errors, problem
from limelight.files import atomic_path, write_text
from limelight.study.config import load_study
from tools.gallery import entries, page, processor_hours, small_pictures

LIMIT_BYTES = 2_400_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, help="its results (default: results/<study>)")
    parser.add_argument("--machine", required=True, help="what it ran on, in words: the files do not say")
    parser.add_argument("--time", default="", help="how long the run took, in words")
    parser.add_argument("--network", nargs="*", default=[], help="networks all of whose figures are shown")
    parser.add_argument("--partial", action="store_true", help="of an unfinished study, show what there is and say so")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the page goes (default: docs)")
    args = parser.parse_args()
    study = load_study(args.config)
    results = args.results or Path("results") / study.study
    evaluations = sorted((results / "evaluation").glob("*/*.h5"))
    if not evaluations:
        raise problem(results, "no evaluation files", "the results of a finished study", "run the study first")
    found = entries(study, results, args.network)
    if not found:
        raise problem(args.config, "no comparisons", "a study with `comparisons`, or --network", "add some")
    missing = [entry for entry in found if not entry.source.is_file()]
    if missing and not args.partial:
        expected = "a finished study"
        found = f"no such figure ({len(missing)} missing)"
        raise problem(missing[0].source, found, expected, "run it, or use --partial")
    found = [entry for entry in found if entry not in missing]
    pictures = small_pictures([entry.source for entry in found], LIMIT_BYTES)
    made = [provenance_of(path) for path in evaluations]
    commits, seeds = (sorted({one[key] for one in made}) for key in ("git_commit", "seed"))
    facts = {
        "config": f"`{args.config}`",
        "commit": ", ".join(commits),
        "seed": ", ".join(seeds),
        "machine": args.machine,
    }
    facts |= {"time": args.time} if args.time else {}
    hours, jobs = processor_hours(results)
    facts |= {"processor time": f"{hours:.2g} h in {jobs} jobs, as they measured it"} if jobs else {}
    facts["evaluations"] = f"{len(made)}, of {len({path.parent.name for path in evaluations})} networks"
    facts |= {"not made": ", ".join(f"`{entry.name}`" for entry in missing)} if missing else {}
    folder = args.docs / "results" / study.study
    folder.mkdir(parents=True, exist_ok=True)
    shown = {f"{entry.name}.png" for entry in found}
    for path in folder.glob("*.png"):
        if path.name not in shown:
            path.unlink()  # of an earlier gallery: the page does not show it
    for entry, picture in zip(found, pictures, strict=True):
        with atomic_path(folder / f"{entry.name}.png") as part:
            part.write_bytes(picture)
    write_text(args.docs / "gallery.md", page(found, study, str(args.config), f"results/{study.study}", facts))
    size = sum(map(len, pictures)) / 1e6
    print(f"{args.docs / 'gallery.md'}: {len(found)} figures, {size:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
