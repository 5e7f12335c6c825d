# Helpers of the rules: paths, what a stage depends on, and what it asks of a scheduler.
import json
import shlex

from limelight import resources as estimate
from limelight.codehash import code_hash

RESULTS = f"results/{STUDY['study']}"
PYTHON = shlex.quote(sys.executable)
CONFIG = f"{RESULTS}/study.yaml"
LIGHTCONES = sorted(set(sum((STUDY["lightcones"][split] for split in ("train", "validation", "test")), [])))


wildcard_constraints:
    lightcone=r"\d+",
    line_model="|".join(STUDY["line_models"]),
    network="|".join(STUDY["networks"]),
    test="|".join(STUDY["tests"]),


localrules:
    all,
    study,


# The resolved study, read by every stage. It is `ancient` to all of them: a stage reruns when the part of the study that
# it uses changes (its `settings` parameter), not when this file is written again.
rule study:
    output:
        CONFIG,
    log:
        f"{RESULTS}/logs/study.log",
    params:
        study=json.dumps(STUDY),
    shell:
        "{PYTHON} -c 'import sys; from pathlib import Path; from limelight.files import write_text;"
        " write_text(Path(sys.argv[2]), sys.argv[1])' {params.study:q} {output:q} > {log:q} 2>&1"


def keep(kind, path):
    """A large intermediate file is deleted once used, unless the study keeps its kind."""
    return path if kind in STUDY["keep"] else temp(path)


def settings(stage, *names):
    """The part of the study that decides a stage's output, as text: a change reruns the stage."""
    return json.dumps(stage_settings(STUDY, stage, *names), sort_keys=True)


def pooled(line_models, split):
    """The pooled shards of some line models on the light-cones of one split."""
    return [f"{RESULTS}/pooled/{model}/{cone}.h5" for model in line_models for cone in STUDY["lightcones"][split]]


def memory(stage):
    """mem_mb of a stage, doubled with every retry."""
    return lambda wildcards, attempt: int(estimate.memory_mb(STUDY, stage) * 2 ** (attempt - 1))


def runtime(stage):
    """runtime (minutes) of a stage, doubled with every retry."""
    return lambda wildcards, attempt: int(estimate.runtime_min(STUDY, stage) * 2 ** (attempt - 1))
