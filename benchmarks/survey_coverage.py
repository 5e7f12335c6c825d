#!/usr/bin/env python3
"""Do posteriors of surveys' maps cover what was planted? Mock COMAP files, read as a user's own, one after the other.

Each mock is made by benchmarks.mock_survey from halos that the study has not seen, in the four quarters of each light-cone,
with parameters of Li's prior, ripples of its own, and the σ and mask of one survey (--layout); then it is read, brought
onto the study's voxels and answered by posteriors and, with --rival, by an observed rival. A row a mock, method and
luminosity bin: planted counts, quantiles, the rank of the truth among the draws; nats gained over the prior by the log score
and the CRPS of log10(1 + N + u), as in tables of calibration. Rows that the output has already are not made again: a killed
run goes on. benchmarks.survey_ranks makes tables and a figure of it.

example: python -m benchmarks.survey_coverage --posterior results/mine/posteriors/mdn/posterior.pt \\
    --like config/mine.survey.h5 --lightcones other/lightcones/*.h5 --depths season2 future --layout 7 --mocks 44 \\
    --training results/mine/shards/li_full/*.h5 --config config/mine.yaml --rival li --test prior \\
    --emulator results/mine/rival/li/emulator.h5 --output rows.csv
"""

import argparse
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.mock_survey import DEPTH_UK, LOG10_LUM, record, sky_of, sources
from limelight.data.shard import read_shards
from limelight.errors import LimelightError, plain_errors, problem
from limelight.files import read_csv, write_csv, write_text
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, tangent_plane_deg
from limelight.inference.calibration import crps, information_gain
from limelight.inference.intervals import LEVELS
from limelight.inference.posteriors.draw import draw_answers
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.probes.line_intensity.apply import trained
from limelight.probes.line_intensity.apply_survey import prepare_survey, read_like
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_survey, save_survey
from limelight.probes.line_intensity.maps.survey_files.raw import Told
from limelight.probes.line_intensity.rival.observed import read_observed
from limelight.probes.line_intensity.rival.observed_stage import header_of, make_sampler, one_map
from limelight.probes.line_intensity.settings import rival_settings
from limelight.study.config import load_study

MEAN_UK = 0.05, 20.0  # of a map, as scripts/plan.py has it
DRAWS = 1000
PRIOR = 1000  # training maps, about, whose counts stand for the prior
COLUMNS = ("position_mpc", "velocity_kms", "mass_msun", "redshift", "redshift_observed")
Answer = Callable[[SurveyMap], np.ndarray]  # draws of counts (s, bins)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posterior", type=Path, nargs="*", default=[])
    parser.add_argument("--like", type=Path, required=True)
    parser.add_argument("--lightcones", type=Path, nargs="+", required=True)
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="shards of the prior")
    parser.add_argument("--depths", choices=tuple(DEPTH_UK), nargs="+", default=["future"])
    parser.add_argument("--layout", type=int, default=1, help="seed of the survey's σ and mask")
    parser.add_argument("--mocks", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1, help="of parameters, ripples and noise")
    parser.add_argument("--prior", default="full", help="of the Li model, or fiducial")
    parser.add_argument("--config", type=Path, help="of the rival's study")
    parser.add_argument("--rival", help="an observed rival of it, on maps as those of --test")
    parser.add_argument("--test")
    parser.add_argument("--emulator", type=Path)
    parser.add_argument(
        "--calibration", type=Path, help="its posteriors of validation maps, where it has validation_maps"
    )
    parser.add_argument(
        "--kept", type=Path, help="folder of the maps on the study's voxels, so that files are made once"
    )
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    prior = prior_counts(args.training)
    check_names(args.posterior)
    check_run(args)
    methods: dict[str, Answer] = {f"network {path.parent.name}": of_posterior(path) for path in args.posterior}
    with tempfile.TemporaryDirectory() as chains:
        if args.rival:
            methods[f"rival {args.rival}"] = of_rival(args, Path(chains))
        rows = old_rows(args.output)
        done = {(row["mock"], row["depth"], row["method"]) for row in rows}
        wanted = [(depth, name) for depth in args.depths for name in methods]
        cones = len(args.lightcones)
        order = [(4 * (i // 4 * cones + k) + i % 4, k, i) for i in range(-(-args.mocks // cones)) for k in range(cones)]
        for number, k, quarter in sorted(order[: args.mocks], key=lambda one: one[1]):  # of one light-cone together
            path = args.lightcones[k]
            left = [one for one in wanted if (number, *one) not in done]
            if left:
                rows += one_mock(number, path, quarter, left, methods, prior, args)
                write_csv(args.output, rows, digits=6)
                print(f"{number + 1} mocks", flush=True)


def check_names(posteriors: list[Path]) -> None:
    """Refuse posteriors that go by one name: one would answer for the other."""
    names = [path.parent.name for path in posteriors]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise problem("--posterior", f"several called {again}", "each in a folder of its own name", "rename one")


def check_run(args: argparse.Namespace) -> None:
    """Refuse to go on with rows or maps of other mocks or posteriors: what made them stands beside them."""
    mocks = {name: getattr(args, name) for name in ("layout", "seed", "prior")}
    mocks |= {"voxels": voxels_of(load_survey(args.like)), "lightcones": [path.name for path in args.lightcones]}
    methods = {f"network {path.parent.name}": hash_of(path) for path in args.posterior}
    methods |= {f"rival {args.rival}": hash_of(args.emulator)} if args.rival else {}
    beside = [(args.output.with_suffix(".made.json"), {"mocks": mocks, **methods})]
    beside += [(args.kept / "made.json", {"mocks": mocks})] if args.kept else []
    for path, mine in beside:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if other := [name for name in mine if known.get(name, mine[name]) != mine[name]]:
            raise problem(path, f"other {', '.join(other)}", "those of this run", "name another --output and --kept")
        write_text(path, json.dumps(known | mine, indent=1))


def voxels_of(like: SurveyMap) -> list[list[float]]:
    """First and last middle, and number, of the voxels along each axis: surveys of several depths may share them."""
    axes = like.x_deg, like.y_deg, like.frequency_ghz
    return [[round(float(axis[0]), 6), round(float(axis[-1]), 6), len(axis)] for axis in axes]


def hash_of(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def old_rows(path: Path) -> list[dict]:
    """The rows of an earlier run, none if there was none."""
    if not path.is_file():
        return []
    table = read_csv(path, "rows of benchmarks.survey_coverage")
    return [dict(zip(table, row, strict=True)) for row in zip(*(one.tolist() for one in table.values()), strict=True)]


def of_posterior(path: Path) -> Answer:
    """A posterior's draws for a survey's map on its voxels."""
    posterior = load_posterior(path)

    def answer(survey: SurveyMap) -> np.ndarray:
        cube, noise = prepare_survey(survey, posterior.info, "mock")
        seen = views(posterior, trained(posterior.info).inputs(cube, noise))
        return draw_answers(posterior, seen["features"], DRAWS, 0, "a user's cube")[0][0].double().numpy()

    return answer


def of_rival(args: argparse.Namespace, chains: Path) -> Answer:
    """A rival's draws for a survey's map on the study's voxels."""
    settings = rival_settings(load_study(args.config), args.rival, args.test)
    sampler = make_sampler(settings, read_observed(args.emulator), header_of(settings), chains, args.calibration)
    return lambda survey: one_map(sampler, survey, "mock")[1]["counts"]


def one_mock(
    number: int,
    path: Path,
    quarter: int,
    wanted: list[tuple[str, str]],
    methods: dict[str, Answer],
    prior: np.ndarray,
    args: argparse.Namespace,
) -> list[dict]:
    """The rows of one sky, of a brightness that the study allows, in one of the quarters about a light-cone's axis.

    wanted: depths of the files that are made of it, and names of the methods that answer each.
    """
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = args.kept or Path(folder)
        files = {depth: kept / f"{depth}_{number}.survey.h5" for depth in args.depths}
        if not all(file.is_file() for file in (*files.values(), kept / f"{number}.csv")):
            write_mock(number, path, quarter, files, kept / f"{number}.csv", args)
        planted = read_csv(kept / f"{number}.csv", "planted counts")["planted"]
        for depth, name in wanted:
            about = {"mock": number, "method": name, "depth": depth, "lightcone": path.stem, "quarter": quarter}
            try:
                drawn = methods[name](load_survey(files[depth]))
            except LimelightError as error:
                print(f"mock {number}, {depth}: {name} refuses it: {error}", flush=True)
                continue
            rows += [
                about | row for row in rows_of(drawn, planted, prior, np.random.default_rng((args.seed, number, 9)))
            ]
    return rows


def write_mock(
    number: int, path: Path, quarter: int, files: dict[str, Path], planted: Path, args: argparse.Namespace
) -> None:
    """Files of one sky at each depth, read and brought onto the study's voxels, and the table of what was planted."""
    like, halos, rng = load_survey(args.like), read_lightcone(path), np.random.default_rng((args.seed, number, 8))
    size, middle = like.pixel_deg[0] * len(like.x_deg), (float(like.x_deg.mean()), float(like.y_deg.mean()))
    place = [(0.5 * sx * size, 0.5 * sy * size) for sx in (-1, 1) for sy in (-1, 1)][quarter % 4]
    parameters = parameters_of(halos, args.prior, place, size, rng)
    # the study's field need not lie in the middle of the map; it is the quarter
    center = place[0] - middle[0], place[1] - middle[1]
    sky, counts = sky_of(halos, parameters, rng, size, center, middle)
    planted.parent.mkdir(parents=True, exist_ok=True)
    for depth, file in files.items():
        with tempfile.TemporaryDirectory() as folder:
            own = np.random.default_rng((args.seed, number, *depth.encode()))
            record(Path(folder) / "mock.h5", sky, depth, own, splits=False, layout=args.layout)
            save_survey(file, read_like(Path(folder) / "mock.h5", Told(efficiency=1.0), args.like))
    write_csv(planted, {"planted": counts}, digits=9)


read_lightcone = functools.lru_cache(maxsize=1)(read_catalogue)  # four quarters of one stand together


def prior_counts(training: list[Path]) -> np.ndarray:
    """Counts (n, bins) of some maps of the prior."""
    rows = read_shards(training)
    edges = log10_lum_edges(rows.header.truths["labels"])
    counts = quantity(rows.y["n_above"][:, : len(edges)], edges, 1.0, "dn")
    return counts[:: max(1, len(counts) // PRIOR)]


def rows_of(drawn: np.ndarray, planted: np.ndarray, prior: np.ndarray, rng: np.random.Generator) -> list[dict]:
    """A row a bin of draws (s, bins) of counts beside those that were planted (bins,) and those of the prior (n, bins)."""
    below, equal = (drawn < planted).sum(axis=0), (drawn == planted).sum(axis=0)
    rank = (below + rng.uniform(size=len(planted)) * (equal + 1)) / (len(drawn) + 1)
    quantiles = dict(zip((f"q{level:g}" for level in LEVELS), np.quantile(drawn, LEVELS, axis=0), strict=True))
    edges = np.linspace(*LOG10_LUM)
    spread, truth, known = (np.log10(1 + counts + rng.uniform(size=counts.shape)) for counts in (drawn, planted, prior))
    gain, score = information_gain(spread[None], truth[None], known)[0], crps(spread[None], truth[None])[0]
    of_prior = crps(known[None], truth[None])[0]
    return [
        {"log10_lum": (edges[j] + edges[j + 1]) / 2, "planted": planted[j], "rank": rank[j]}
        | {"gain_nats": gain[j], "crps": score[j], "prior_crps": of_prior[j]}
        | {name: values[j] for name, values in quantiles.items()}
        for j in range(len(planted))
    ]


def parameters_of(
    halos: HaloCatalogue, prior: str, place: tuple[float, float], size: float, rng: np.random.Generator
) -> dict[str, float]:
    """Parameters drawn of the prior until the field's mean temperature is one that the study allows."""
    model, mean_uk = get_model("li"), 0.0
    x, y = (one - middle for one, middle in zip(tangent_plane_deg(halos.position_mpc), place, strict=True))
    inside = np.maximum(np.abs(x), np.abs(y)) < size / 2
    field = replace(halos, **{name: getattr(halos, name)[inside] for name in COLUMNS})
    while not MEAN_UK[0] <= mean_uk <= MEAN_UK[1]:
        parameters = draw_parameters(model, prior, {}, rng)
        mean_uk = sources(field, parameters, place, rng)[-1].sum() / ((60 * size) ** 2 * 256)
    return parameters


if __name__ == "__main__":
    with plain_errors():
        main()
