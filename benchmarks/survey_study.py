#!/usr/bin/env python3
"""From two mock survey files to pages, coverage and slopes, by one command: season 2, and a survey ten times deeper.

Light-cones that no network sees; a mock file in COMAP's format of each depth (benchmarks.mock_survey); a plan for each
(scripts/plan.py); one study of both, whose networks, posteriors, rivals, audits and pages are those of one depth each, on
the same simulations; mocks of other skies, read and answered one after the other (benchmarks.survey_coverage), and halos
added to some of them (benchmarks.survey_slopes). What is there already is not made again: a killed run goes on.

example: python -m benchmarks.survey_study --folder results/survey_run --mocks 40 --cores 1
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

from limelight.errors import plain_errors
from limelight.files import write_text

DEPTHS = ("season2", "future")
SIZE_DEG, LAYOUT = 1.4, 11
MOCK_CONES = 10  # four fields in each: mocks share none
MOCKS_SEED = 20261201
TRAIN, VALIDATION, TEST = range(1, 7), range(7, 9), [9]
DRAWS = 20  # of each field: maps that are stored
STREAMED = 80  # of each field: simulations in each file of a stream, that heads learn from
FILES = {"season2": 4, "future": 2}  # of the streams
EPOCHS = 60  # of heads: there is more to learn from than a plan's 5000 simulations
RIVAL = {"simulations": 2048, "maps": 8, "steps": 160, "walkers": 20, "validation_maps": 32}
MODELS = {"prior": "li_full", "fiducial": "li_fiducial"}  # of the tests
SEED = 20190524


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of files, configs and tables")
    parser.add_argument("--mocks", type=int, nargs=2, default=(40, 24), help="files of season 2 and of the deep survey")
    parser.add_argument("--slopes", type=int, default=8, help="mocks of each depth that halos are added to")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--until", choices=("simulations", *DEPTHS), help="stop there (default: all)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    mocks, study = args.folder / "mocks.yaml", args.folder / "survey.yaml"
    write_text(mocks, yaml.safe_dump(mocks_study(), sort_keys=False))
    *cones, own = (f"results/survey_mocks/lightcones/{i}.h5" for i in range(MOCK_CONES + 1))
    snakemake(mocks, args.cores, *cones, own)
    for depth in DEPTHS:
        plan(args.folder, depth, own)
    write_text(study, yaml.safe_dump(merged(args.folder), sort_keys=False, allow_unicode=True))
    if args.until == "simulations":
        fiducial = f"results/survey/shards/li_fiducial/{TEST[0]}.h5"
        snakemake(study, args.cores, *shards(*TRAIN, *VALIDATION, *TEST), fiducial)
        return
    for depth, count in zip(DEPTHS, args.mocks, strict=True):
        snakemake(study, args.cores, *results_of(depth))
        coverage(args.folder, depth, cones, count)
        slopes(args.folder, depth, args.slopes)
        gain(args.folder, depth)
        if args.until == depth:
            return
    ranks(args.folder)


def run(*words: object) -> None:
    """A program of this checkout."""
    done = subprocess.run([str(word) for word in words], env={**os.environ, "PYTHONPATH": os.getcwd()})
    if done.returncode:
        sys.exit(done.returncode)


def python(*words: object) -> None:
    run(sys.executable, *words)


def snakemake(config: Path, cores: int, *targets: str) -> None:
    run(
        "snakemake",
        "--configfile",
        config,
        "--cores",
        cores,
        "--quiet",
        "progress",
        "--rerun-incomplete",
        "--",
        *targets,
    )


def mocks_study() -> dict:
    """The light-cones of the mocks: those of a study with a seed of its own."""
    return {
        "study": "survey_mocks",
        "seed": MOCKS_SEED,
        "lightcones": {
            "field_deg": 2 * SIZE_DEG,
            "train": f"0-{MOCK_CONES - 1}",
            "validation": [MOCK_CONES],  # of the files that the study is made for
            "test": [MOCK_CONES + 1],
        },
        "subfields": {"size_deg": SIZE_DEG, "per_side": 2},
        "grid": {
            "pixels": 84,
            "channels": 16,
            "freq_min_ghz": 26,
            "freq_max_ghz": 34,
            "pool_pixels": 2,
            "pool_channels": 1,
        },
        "line_models": {"li": {"model": "li", "prior": "full", "draws": 1}},
        "networks": {"none": {"architecture": "limelight", "line_models": ["li"]}},
        "tests": {"none": {"line_model": "li"}},
    }


def plan(folder: Path, depth: str, cone: str) -> None:
    """A mock file of fiducial Li, and the plan that scripts/plan.py makes of it."""
    file, config = folder / f"{depth}.h5", folder / f"{depth}.yaml"
    if not file.is_file():
        made = ("--output", file, "--truth", folder / f"{depth}.csv", "--transfer", folder / "transfer.csv")
        how = ("--lightcone", cone, "--depth", depth, "--layout", LAYOUT, "--field-deg", SIZE_DEG)
        python("-m", "benchmarks.mock_survey", *how, *made)
    if not config.is_file():
        how = ("--efficiency", 1, "--size-deg", SIZE_DEG, "--hours", 6, "--cores", 1)
        python("scripts/plan.py", file, *how, "--transfer", folder / "transfer.csv", "--output", config)


def merged(folder: Path) -> dict:
    """One study of both plans: their simulations are the same, and are made once, for networks, stream and rivals.

    One survey's map says what light counts for in both: their σ have one pattern and one mask (LAYOUT).
    """
    plans = {depth: yaml.safe_load((folder / f"{depth}.yaml").read_text(encoding="utf-8")) for depth in DEPTHS}
    study = dict(plans["season2"]) | {"study": "survey", "seed": SEED}
    study["lightcones"] = {**study["lightcones"], "train": list(TRAIN), "validation": list(VALIDATION), "test": TEST}
    study["line_models"] = {name: study["line_models"][name] for name in ("li_full", "li_fiducial")}
    study["line_models"]["li_full"]["draws"] = DRAWS
    study["observation"] = study["observation"] | {"noise": {}, "filters": {}}
    study |= {"networks": {}, "streams": {}, "posteriors": {}, "rival": {}, "tests": {}, "keep": ["subfields"]}
    for depth, own in plans.items():
        add_depth(study, depth, own)
    return study | {"audit": {"networks": list(DEPTHS), "maps": 64}}


def add_depth(study: dict, depth: str, own: dict) -> None:
    """What a study has of one depth, from the plan that was made for its file."""
    noise, network, tests = (
        own["observation"]["noise"],
        own["networks"]["survey"],
        [f"{depth}_{name}" for name in MODELS],
    )
    study["observation"]["noise"] |= {depth: noise["survey"], f"{depth}_splits": noise["splits"]}
    study["observation"]["filters"][depth] = own["observation"]["filters"]["survey"]
    named = {"noise": [depth, f"{depth}_splits"], "filter": depth, "tests": tests}
    study["networks"][depth] = network | named
    study["streams"][depth] = own["streams"]["prior"] | {"networks": [depth], "draws": STREAMED, "files": FILES[depth]}
    posterior = own["posteriors"]["mdn"] | {"network": depth, "stream": depth}
    study["posteriors"][depth] = posterior | {"training": posterior["training"] | {"epochs": EPOCHS}}
    study["rival"][depth] = own["rival"]["li"] | RIVAL | {"tests": tests}
    for name, model in MODELS.items():
        study["tests"][f"{depth}_{name}"] = {"line_model": model, "noise": depth, "filter": depth}


def results_of(depth: str) -> list[str]:
    """The page of the map of a depth, and what network and rival say of maps of fiducial Li."""
    page = f"results/survey/your_map/{depth}_{depth}_prior.html"
    return [page, *(f"results/survey/{kind}/{depth}/{depth}_fiducial.h5" for kind in ("rival", "posteriors"))]


def shards(*lightcones: int) -> list[str]:
    """Of the prior."""
    return [f"results/survey/shards/li_full/{i}.h5" for i in lightcones]


def coverage(folder: Path, depth: str, cones: list[str], count: int) -> None:
    """Mock files of other skies, and what network and rival answer."""
    network = (
        "--posterior",
        f"results/survey/posteriors/{depth}/posterior.pt",
        "--like",
        folder / f"{depth}.survey.h5",
    )
    rival = ("--rival", depth, "--test", f"{depth}_prior", "--emulator", f"results/survey/rival/{depth}/emulator.h5")
    rival += ("--calibration", f"results/survey/rival/{depth}/validation/{depth}_prior.h5")
    mocks = ("--lightcones", *cones, "--depths", depth, "--layout", LAYOUT, "--mocks", count, "--seed", MOCKS_SEED)
    kept = ("--kept", folder / "kept", "--output", folder / f"rows_{depth}.csv")
    prior = ("--training", *shards(*TRAIN), "--config", folder / "survey.yaml")
    python("-m", "benchmarks.survey_coverage", *network, *mocks, *prior, *rival, *kept)


def slopes(folder: Path, depth: str, count: int) -> None:
    """Halos added to some of these maps and found again, beside the audit."""
    of = (
        "--posterior",
        f"results/survey/posteriors/{depth}/posterior.pt",
        "--audit",
        f"results/survey/audit/{depth}.h5",
    )
    maps = sorted((folder / "kept").glob(f"{depth}_*.survey.h5"))[:count]
    added = ("--injections", *shards(*TEST), "--maps", *maps)
    python("-m", "benchmarks.survey_slopes", *of, *added, "--output", folder / f"slopes_{depth}.csv")


def gain(folder: Path, depth: str) -> None:
    """What a depth says of fiducial Li beside the prior: nats, widths, k P(k)."""
    tests = [f"results/survey/{kind}/{depth}/{depth}_fiducial.h5" for kind in ("rival", "posteriors")]
    power = ("--emulator", f"results/survey/rival/{depth}/emulator.h5", "--rival", tests[0])
    power += ("--validation", f"results/survey/rival/{depth}/validation/{depth}_prior.h5")
    made = ("--output", folder / f"gain_{depth}.csv", "--power", folder / f"power_{depth}.csv")
    python("-m", "benchmarks.survey_gain", "--training", *shards(*TRAIN), "--intervals", *tests, *power, *made)


def ranks(folder: Path) -> None:
    """Table and figure of all mocks."""
    rows = [folder / f"rows_{depth}.csv" for depth in DEPTHS]
    made = ("--output", folder / "survey_ranks.csv", "--figure", folder / "survey_ranks.png")
    python("-m", "benchmarks.survey_ranks", "--rows", *rows, "--training", *shards(*TRAIN), *made)


if __name__ == "__main__":
    with plain_errors():
        main()
