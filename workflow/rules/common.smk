# Helpers of the rules: paths, what a stage depends on, and what it asks of a scheduler.
import functools
import json
import shlex

import yaml

from limelight.study import cost as estimate
from limelight.codehash import code_hash
from limelight.figures import FIGURES as KINDS, check_figures
from limelight.files import settings_hash, write_text
from limelight.halos.inputs import input_files
from limelight.networks import REGISTRY as ARCHITECTURES
from limelight.probes.line_intensity.lines.models import MODELS
from snakemake_interface_executor_plugins.settings import DeploymentMethod

RESULTS = f"results/{STUDY['study']}"

# Every stage reads the resolved study from this file. It is named by its content and never changes, so no run can pull it
# from under another; and it is no input: a stage reruns when the part of the study that it uses changes, which is its
# `settings` parameter. (Were it written by a job, Snakemake would overlook those reasons: it ignores them below a job that runs.)
CONFIG = f"{RESULTS}/config/{settings_hash(STUDY)}.yaml"
if not Path(CONFIG).exists():
    write_text(CONFIG, yaml.safe_dump(plain(STUDY), sort_keys=False))

# What every job's shell knows: the study's file; `python` as the interpreter that runs Snakemake, whatever the node's PATH says,
# unless Snakemake itself was asked to deploy conda environments; and that idle threads should sleep: spinning ones slow a
# training with two threads tenfold as soon as anything else wants the cores.
ENVIRONMENT = f"export OMP_WAIT_POLICY=passive STUDY={shlex.quote(CONFIG)}"
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    ENVIRONMENT += f" PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
shell.prefix(f"{ENVIRONMENT}; ")

# Figures of each network, and the chapter of the report each stands in.
FIGURES = {
    "map_slices": "Maps",
    "luminosity_function": "Predictions",
    "error_bands": "Error bars",
    "spread_ratio": "Does it read the map?",
    "blank_map": "Does it read the map?",
    "loss_history": "Training",
    "training_spread": "Training",
}
LAYER_FIGURES = ("filters", "feature_maps")  # of the networks that the study names in figures.layers
with plain_errors():
    check_figures(STUDY, FIGURES)

# Networks to train: the study's, and the controls of those that it audits.
TRAINED = trained_networks(STUDY)
AUDITED = audited_networks(STUDY)
CLASSIFIERS = classifiers(STUDY)


wildcard_constraints:
    lightcone=r"\d+",
    line_model="|".join(STUDY["line_models"]),
    network="|".join(TRAINED),
    test="|".join(STUDY["tests"]),
    comparison="|".join(STUDY["comparisons"]) or "none",
    posterior="|".join(STUDY["posteriors"]) or "none",
    rival="|".join(STUDY["rival"]) or "none",


localrules:
    all,
    audit,
    calibration,
    money_plot,
    notes_bench,
    provenance,


# Code behind each stage. Intermediate files may be gone, so what made them counts for the file that stays.
HALO_CODE = [f"scripts/{'generate' if STUDY['lightcones']['source'] == 'generate' else 'import'}_lightcone.py"]
FIELD_CODE = [*HALO_CODE, "scripts/make_subfields.py"]
MAP_CODE = [*FIELD_CODE, "scripts/paint_maps.py", "resources/sfr_behroozi_release.dat"]
POOL_CODE = [*MAP_CODE, "scripts/pool_maps.py"]


def architecture(network):
    """The code of a network's architecture, as `chosen` code of a stage."""
    return (ARCHITECTURES.dotted(TRAINED[network]["architecture"]),)


def models_of(line_models):
    """The code of the models behind some line models, as `chosen` code of a stage. A user's own is in the settings."""
    models = dict.fromkeys(STUDY["line_models"][name]["model"] for name in line_models)
    return tuple(MODELS.dotted(model) for model in models if ":" not in model)


def posterior_code(posterior):
    """The architecture and the line models that a posterior's network stands for, as `chosen` code of a stage."""
    network = STUDY["posteriors"][posterior]["network"]
    return architecture(network) + models_of(TRAINED[network]["line_models"])


def rival_models(rival, *tests):
    """The code of the models that a rival paints with: those of its own line model and of some tests."""
    return models_of([STUDY["rival"][rival]["line_model"], *(STUDY["tests"][test]["line_model"] for test in tests)])


def keep(kind, path):
    """A large intermediate file is deleted once used, unless the study keeps its kind."""
    return path if kind in STUDY["keep"] else temp(path)


def foreign_files(wildcards):
    """The catalogues that a foreign light-cone is read from; none for a generated one."""
    cones = STUDY["lightcones"]
    with plain_errors():
        return (
            []
            if cones["source"] == "generate"
            else [str(path) for path in input_files(cones, int(wildcards.lightcone))]
        )


def everything():
    """Every figure of every network, the comparisons, the table of all errors, and the page of what made the files."""
    return [
        f"{RESULTS}/provenance.html",
        f"{RESULTS}/summary.csv",
        *expand(
            f"{RESULTS}/figures/{{network}}/{{figure}}.pdf",
            network=[name for name in STUDY["networks"] if name not in CLASSIFIERS],
            figure=STUDY["figures"].get("each_network", FIGURES),
        ),
        *expand(f"{RESULTS}/figures/comparisons/{{comparison}}.pdf", comparison=STUDY["comparisons"]),
        *expand(
            f"{RESULTS}/figures/{{network}}/{{figure}}.pdf", network=STUDY["figures"]["layers"], figure=LAYER_FIGURES
        ),
        *audits(),
        *expand(f"{RESULTS}/figures/{{network}}/confusion_matrix.pdf", network=CLASSIFIERS),
    ]


def begins_with(wildcards):
    """The trained network that one begins with, where the study says so."""
    other = TRAINED[wildcards.network].get("initialise_from")
    return {"start": f"{RESULTS}/networks/{other}/model.pt"} if other else {}


def audits():
    """The page of every audited network."""
    return expand(f"{RESULTS}/figures/{{network}}/audit.pdf", network=AUDITED)


def reading(figure):
    """How to read a figure: the words that stand in the report below every one of its kind."""
    return Path(workflow.basedir, "workflow", "report", KINDS[figure].caption).read_text(encoding="utf-8")


def evaluations(pairs):
    """The evaluation files of (network, test) pairs."""
    return [f"{RESULTS}/evaluation/{network}/{test}.h5" for network, test in pairs]


def posterior_maps(split):
    """The pooled maps of one split that a posterior's network trains on or is chosen by."""
    return lambda wildcards: pooled(
        STUDY["networks"][STUDY["posteriors"][wildcards.posterior]["network"]]["line_models"], split
    )


def posterior_subfields(wildcards):
    """The halos that an IMNN paints about the prior's mean: those of the training light-cones; none for other kinds."""
    wanted = STUDY["posteriors"][wildcards.posterior]["kind"] == "imnn"
    return [f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY["lightcones"]["train"] if wanted]


def simulated_subfields(wildcards):
    """The halos that a posterior of abc: smc paints for every test map: those of the training light-cones; else none."""
    wanted = STUDY["posteriors"][wildcards.posterior]["abc"] == "smc"
    return [f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY["lightcones"]["train"] if wanted]


# Every posterior on every test that it draws intervals for.
DRAWN = [(posterior, test) for posterior in STUDY["posteriors"] for test in posterior_tests(STUDY, posterior)]

# Every network on every test that it takes.
JUDGED = [(network, test) for network in STUDY["networks"] for test in suitable_tests(STUDY, network)]
JUDGED = [(network, test) for network, test in JUDGED if network not in CLASSIFIERS]  # TRANSITION: they are judged otherwise


@functools.cache
def settings(stage, *names):
    """The part of the study that decides a stage's output, as text: a change reruns the stage."""
    return json.dumps(stage_settings(STUDY, stage, *names), sort_keys=True)


def pooled(line_models, split):
    """The pooled shards of some line models on the light-cones of one split."""
    return [f"{RESULTS}/pooled/{model}/{cone}.h5" for model in line_models for cone in STUDY["lightcones"][split]]


# Line models and the splits whose pooled maps the study's networks and tests use.
POOLED_USED = {
    (model, split)
    for network in STUDY["networks"].values()
    for model in network["line_models"]
    for split in ("train", "validation")
} | {(STUDY["tests"][test]["line_model"], "test") for _, test in JUDGED}
POOLED_USED |= {(model, "test") for name in CLASSIFIERS for model in STUDY["networks"][name]["line_models"]}


def memory(stage):
    """mem_mb of a stage, doubled with every retry."""
    needed = functools.cache(lambda: estimate.memory_mb(STUDY, stage))  # once, not once a job: it sizes every network
    return lambda wildcards, attempt: int(needed() * 2 ** (attempt - 1))


def runtime(stage):
    """runtime (minutes) of a stage, doubled with every retry."""
    needed = functools.cache(lambda: estimate.runtime_min(STUDY, stage))
    return lambda wildcards, attempt: int(needed() * 2 ** (attempt - 1))
