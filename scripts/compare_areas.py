#!/usr/bin/env python3
"""Compare what posteriors of Ωm and σ8 leave unknown: areas, scores, coverage.

example: python scripts/compare_areas.py --config config/weak_lensing.yaml --intervals posteriors/*/clean.h5 \\
    --exact exact/clean.h5 --output areas/areas.csv
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem

if TYPE_CHECKING:
    from limelight.probes.weak_lensing.config import LensingStudy


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
    from limelight.ancestry import check_file
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.exact import DENSITY
    from limelight.inference.intervals import read_intervals
    from limelight.probe import load_probe
    from limelight.probes.weak_lensing.areas import COLUMNS, area_rows, areas_figure
    from limelight.study.config import load_study
    from limelight.study.settings import estimates_settings, intervals_settings

    study = load_study(args.config)
    if study.probe != "weak_lensing":
        raise problem(args.config, f"a study of {study.probe}", "one of weak_lensing", "give another")
    probe, groups = load_probe(study.probe), {}
    for path in (*args.exact, *args.intervals):
        found = read_intervals(path)
        if found.test not in study.tests:
            raise problem(path, f"test {found.test}", f"one of {', '.join(study.tests)}", "give others")
        name = found.settings.get("posterior")
        if path not in args.exact and name not in study.posteriors:
            known = ", ".join(study.posteriors) or "none"
            raise problem(path, f"posterior {name}", f"one of the study's: {known}", "give others")
        exact = path in args.exact
        check_file(
            path, estimates_settings(study, found.test) if exact else intervals_settings(study, name, found.test)
        )
        if DENSITY not in found.extra:
            raise problem(path, "no densities on a grid", "posteriors of kind mdn or npe, or exact", "leave it out")
        groups.setdefault(whole_test(study, found.test), []).append(found)
    rows, grids = {}, {}
    for test, found in groups.items():
        grid = probe.grid(probe.header(probe.dataset_settings(study, study.tests[test].data)))
        grids[test] = grid
        reference = next((one for one in found if one.test == test), found[0])
        rows[test] = area_rows(
            [reference, *(one for one in found if one is not reference)], grid, reference, study.seed
        )
    write_csv(args.output, [row for test in rows for row in rows[test]], 4, COLUMNS)
    save(areas_figure(rows, groups, grids), args.output)
    print(f"{args.output}: {sum(map(len, rows.values()))} rows", file=sys.stderr)


def whole_test(study: "LensingStudy", name: str) -> str:
    """The test of the same maps, observed alike, of which nothing was removed; the test itself where there is none."""
    test = study.tests[name]
    whole = test.survey.model_copy(update={"removed": None})
    alike = (key for key, one in study.tests.items() if (one.data, one.survey) == (test.data, whole))
    return next(alike, name)


if __name__ == "__main__":
    with plain_errors():
        main()
