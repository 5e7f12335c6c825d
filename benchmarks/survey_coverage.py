#!/usr/bin/env python3
"""Do posteriors of surveys' maps cover what was planted? Mock COMAP files, read as a user's own, one after the other.

Each mock is made by benchmarks.mock_survey from halos that the study has not seen, in the four quarters of each light-cone,
with parameters of Li's prior; then read, brought onto the study's voxels and answered. A row a mock and luminosity bin:
planted and median counts, whether the 68 and 95 % intervals hold the truth, and p of the check against training.

example: python -m benchmarks.survey_coverage --posterior results/mine/posteriors/mdn/posterior.pt \\
    --like config/mine.survey.h5 --lightcones other/lightcones/*.h5 --depth future --mocks 40 --output coverage.csv
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.mock_survey import mock, sources
from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.halos.catalogue import read_catalogue
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probes.line_intensity.apply import posterior_table
from limelight.probes.line_intensity.apply_survey import prepare_survey, read_like
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.survey_files.raw import Told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posterior", type=Path, required=True)
    parser.add_argument("--like", type=Path, required=True)
    parser.add_argument("--lightcones", type=Path, nargs="+", required=True)
    parser.add_argument("--depth", choices=("season2", "future"), default="future")
    parser.add_argument("--mocks", type=int, default=40)
    parser.add_argument("--prior", default="full", help="of the Li model, or fiducial")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    posterior, rows = load_posterior(args.posterior), []
    size = posterior.info["header"]["geometry"]["size_deg"]
    order = [(path, i) for i in range(-(-args.mocks // len(args.lightcones))) for path in args.lightcones]
    for number, (path, i) in enumerate(sorted(order[: args.mocks], key=lambda one: one[0])):
        halos = read_catalogue(path)
        rng = np.random.default_rng((number, 8))
        place = [(0.5 * sx * size, 0.5 * sy * size) for sx in (-1, 1) for sy in (-1, 1)][i % 4]
        table, counts, p = one_mock(posterior, args.like, halos, args.depth, args.prior, rng, size, place)
        for j, n in enumerate(counts):
            inside = {k: table[f"dn_q{a}"][j] <= n <= table[f"dn_q{b}"][j] for k, a, b in INTERVALS}
            log10_lum = (table["log10_lum_lower"][j] + table["log10_lum_upper"][j]) / 2
            rows.append({"mock": number, "lightcone": path.stem, "log10_lum": log10_lum, "planted": n})
            rows[-1] |= {"median": table["dn"][j], "p": p} | {k: int(v) for k, v in inside.items()}
        write_csv(args.output, rows, digits=5)
        told = [np.mean([row[k] for row in rows if row["planted"] >= 10]) for k in ("in68", "in95")]
        print(
            f"{number + 1} mocks: {100 * told[0]:.0f} and {100 * told[1]:.0f} % in the 68 and 95 % intervals",
            flush=True,
        )


MEAN_UK = 0.05, 20.0  # of a map, as scripts/plan.py has it
INTERVALS = (("in68", "16", "84"), ("in95", "2.5", "97.5"))


def one_mock(posterior, like, halos, depth, prior, rng, size, place) -> tuple[dict, np.ndarray, float]:
    """(table of the posterior, planted counts, p) of one mock file, of a brightness that the study allows."""
    model = get_model("li")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mock.h5"
        parameters, mean_uk = {}, 0.0
        while not MEAN_UK[0] <= mean_uk <= MEAN_UK[1]:
            parameters = draw_parameters(model, prior, {}, rng)
            x, y, _, _, light = sources(halos, parameters, place, rng)
            mean_uk = light[np.maximum(np.abs(x), np.abs(y)) < size / 2].sum() / ((60 * size) ** 2 * 256)
        counts = mock(path, halos, parameters, depth, rng, size, place)
        survey = read_like(path, Told(efficiency=1.0), like)
    cube, noise = prepare_survey(survey, posterior.info, "mock")
    table, p = posterior_table(posterior, cube, noise=noise)
    return table, counts, p


if __name__ == "__main__":
    with plain_errors():
        main()
