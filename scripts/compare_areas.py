#!/usr/bin/env python3
"""Hold the posteriors of (Ωm, σ8) of a weak-lensing study beside one another: areas, scores, coverage.

example: python scripts/compare_areas.py --config config/weak_lensing.yaml --intervals posteriors/*/clean.h5 \\
    --exact exact/clean.h5 --output areas/areas.csv
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--intervals",
        type=Path,
        nargs="+",
        required=True,
        metavar="I.h5",
        help="intervals of its posteriors on its tests",
    )
    parser.add_argument(
        "--exact", type=Path, nargs="*", default=[], metavar="E.h5", help="the exact posteriors of some of these tests"
    )
    parser.add_output("--output", metavar="A.csv", help="table; a figure stands beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.exact import DENSITY
    from limelight.inference.intervals import read_intervals
    from limelight.probe import load_probe
    from limelight.probes.weak_lensing.areas import COLUMNS, area_rows, areas_figure
    from limelight.study.config import load_study

    study = load_study(args.config)
    if study.probe != "weak_lensing":
        raise problem(args.config, f"a study of {study.probe}", "one of weak_lensing", "give another")
    probe, by_test = load_probe(study.probe), {}
    for path in (*args.exact, *args.intervals):
        found = read_intervals(path)
        if found.test not in study.tests:
            raise problem(path, f"test {found.test}", f"one of {', '.join(study.tests)}", "give others")
        if DENSITY not in found.extra:
            raise problem(path, "no densities on a grid", "posteriors of kind mdn or npe, or exact", "leave it out")
        by_test.setdefault(found.test, []).append(found)
    rows = []
    for test, found in by_test.items():
        data = study.tests[test].data
        grid = probe.grid(probe.header(probe.dataset_settings(study, data)))
        rows += area_rows(found, grid, found[0], study.seed)
    write_csv(args.output, rows, 4, COLUMNS)
    save(areas_figure(rows, by_test, grid), args.output)
    print(f"{args.output}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
