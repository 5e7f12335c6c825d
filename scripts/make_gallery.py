#!/usr/bin/env python3
"""Make the docs' gallery from a finished study: its comparisons as small pictures, and the page that shows them.

Writes <docs>/results/<study>/*.png, 3 MB at most in all, and <docs>/gallery.md.

example: python scripts/make_gallery.py --config config/bench.yaml --network limelight \\
    --machine "a virtual machine with 2 cores of an AMD EPYC, CPU only"
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.config import load_study  # noqa: E402
from limelight.describe import provenance_of  # noqa: E402
from limelight.errors import plain_errors, problem  # noqa: E402
from limelight.figures.gallery import entries, page, small_pictures  # noqa: E402
from limelight.files import atomic_path, write_text  # noqa: E402

LIMIT_BYTES = 3_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, help="its results (default: results/<study>)")
    parser.add_argument("--machine", required=True, help="what it ran on, in words: the files do not say")
    parser.add_argument("--time", default="", help="how long the run took, in words")
    parser.add_argument("--network", nargs="*", default=[], help="networks whose own figures are shown too")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the page goes (default: docs)")
    args = parser.parse_args()
    study = load_study(args.config)
    results = args.results or Path("results") / study["study"]
    evaluations = sorted((results / "evaluation").glob("*/*.h5"))
    if not evaluations:
        raise problem(results, "no evaluation files", "the results of a finished study", "run the study first")
    found = entries(study, results, args.network)
    if not found:
        raise problem(args.config, "no comparisons", "a study with `comparisons`, or --network", "add some")
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
    facts["evaluations"] = f"{len(made)}, of {len({path.parent.name for path in evaluations})} networks"
    folder = args.docs / "results" / study["study"]
    folder.mkdir(parents=True, exist_ok=True)
    for entry, picture in zip(found, pictures, strict=True):
        with atomic_path(folder / f"{entry.name}.png") as part:
            part.write_bytes(picture)
    write_text(args.docs / "gallery.md", page(found, study, str(args.config), f"results/{study['study']}", facts))
    size = sum(map(len, pictures)) / 1e6
    print(f"{args.docs / 'gallery.md'}: {len(found)} figures, {size:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
