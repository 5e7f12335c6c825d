# Helpers of the rules: paths, what a stage depends on, and what it asks of a scheduler. They name no probe.
import functools
import json
import shlex

import yaml

from limelight.codehash import code_hash
from limelight.device import device_for
from limelight.figures import check_figures, figures_of, places_of
from limelight.files import settings_hash
from limelight.probe import load_probe
from limelight.section import plain
from limelight.study import cost as estimate
from limelight.study import settings as stages
from limelight.study.code import network_code, stage_code
from limelight.study.selection import (
    audit_datasets,
    audited_networks,
    classifiers,
    comparison_pairs,
    control_name,
    posterior_tests,
    saliency_test,
    suitable_tests,
    stream_dataset,
    trained_networks,
    trained_posterior,
)
from snakemake_interface_executor_plugins.settings import DeploymentMethod

PROBE = load_probe(STUDY.probe)
RESULTS = f"results/{STUDY.study}"

# The report begins with the study's first page, once rule overview has written it.
OVERVIEW = Path(RESULTS, "overview.rst").resolve()
REPORT_TEXT = str(OVERVIEW) if OVERVIEW.exists() else "workflow/report/workflow.rst"

# Every stage reads the resolved study from this file, which a run writes when it starts. It is named by its content and never
# changes, so no run can pull it from under another; and it is no input: a stage reruns when the part of the study that it uses
# changes, which is its `settings` parameter. (Were it written by a job, Snakemake would overlook those reasons: it ignores them
# below a job that runs.)
CONFIG, RESOLVED = f"{RESULTS}/config/{settings_hash(STUDY)}.yaml", yaml.safe_dump(plain(STUDY), sort_keys=False)

# What every job's shell knows: the study's file; the device, which is a GPU only where the study asks for one, and where it does,
# of all stages that run networks; `python` as the interpreter that runs Snakemake, whatever the node's PATH says,
# unless Snakemake itself was asked to deploy conda environments; and that idle threads should sleep: spinning ones slow a
# training with two threads tenfold as soon as anything else wants the cores.
ENVIRONMENT = f"export OMP_WAIT_POLICY=passive STUDY={shlex.quote(CONFIG)} DEVICE={device_for(STUDY.resources.gpus)}"
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    ENVIRONMENT += f" PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
shell.prefix(f"{ENVIRONMENT}; ")

with plain_errors():
    check_figures(STUDY)
FIGURES = figures_of(STUDY.probe)
SALIENCY_FIGURES = ("saliency_maps", "saliency_shares", "saliency_checks")  # of each run of `saliency`
KINDS = places_of(
    STUDY.probe,
    [
        *PROBE.figures_of_each_network,
        *(comparison.figure for comparison in STUDY.comparisons.values()),
        *(STUDY.figures.each_network or []),
        "audit",
        "confusion_matrix",
        "filters",
        "feature_maps",
        *SALIENCY_FIGURES,
    ],
)

# Networks to train: the study's, and the controls of those that it audits.
TRAINED = trained_networks(STUDY)
AUDITED = audited_networks(STUDY)
CLASSIFIERS = classifiers(STUDY)
# Every network on every test that it takes; every posterior on every test that it draws intervals for.
JUDGED = [(network, test) for network in STUDY.networks for test in suitable_tests(STUDY, network)]
DRAWN = [(posterior, test) for posterior in STUDY.posteriors for test in posterior_tests(STUDY, posterior)]


# What the probe's own rules add to a finished study: each appends its files.
MORE = []


def either(names):
    """A pattern of names; of none, one that nothing matches."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    realisation=r"\d+",
    dataset=either(STUDY.datasets),
    network=either(TRAINED),
    test=either(STUDY.tests),
    comparison=either(STUDY.comparisons),
    posterior=either(STUDY.posteriors),
    saliency=either(STUDY.saliency),
    stream=either(STUDY.streams),
    part=r"\d+",


localrules:
    all,
    audit,
    calibration,
    stream_files,
    provenance,


def probe_rules():
    """The rules that make the probe's shards: its own, or the one that calls its simulator."""
    own = Path(workflow.basedir, "workflow", "rules", f"{STUDY.probe}.smk")
    return str(own) if own.exists() else "workflow/rules/simulate.smk"


def as_text(settings):
    """What decides a stage's output, as text: a change reruns the stage."""
    return json.dumps(plain(settings), sort_keys=True)


def code(script, *hooks, networks=(), datasets=(), more=(), tables=()):
    """The hash of the code of a stage: its script, what the study chose, and what it calls of the probe."""
    chosen = stage_code(STUDY, *hooks, networks=networks, datasets=datasets)
    return code_hash(script, *(f"resources/{table}" for table in tables), chosen=(*chosen, *more))


def shards(datasets, split):
    """The shards of some datasets on the realisations of one split."""
    return [f"{RESULTS}/shards/{dataset}/{number}.h5" for dataset in datasets for number in STUDY.splits[split]]


def evaluations(pairs):
    """The evaluation files of (network, test) pairs."""
    return [f"{RESULTS}/evaluation/{network}/{test}.h5" for network, test in pairs]


# Datasets and the splits whose shards the study's networks and tests use.
SHARDS_USED = {
    (dataset, split)
    for network in STUDY.networks.values()
    for dataset in network.datasets
    for split in ("train", "validation")
} | {(STUDY.tests[test].dataset, "test") for _, test in JUDGED}


def everything():
    """All that a finished study keeps, whoever deleted it: its data, networks, evaluations and audits; every figure of every
    network, the comparisons, the table of all errors, and the page of what made the files."""
    each = STUDY.figures.each_network or PROBE.figures_of_each_network
    readers = [name for name in STUDY.networks if name not in CLASSIFIERS]
    return [
        *kept(),
        f"{RESULTS}/index.html",
        f"{RESULTS}/provenance.html",
        f"{RESULTS}/summary.csv",
        *expand(f"{RESULTS}/figures/{{network}}/{{figure}}.pdf", network=readers, figure=each),
        *expand(f"{RESULTS}/figures/{{network}}/confusion_matrix.pdf", network=CLASSIFIERS),
        *expand(f"{RESULTS}/figures/comparisons/{{comparison}}.pdf", comparison=STUDY.comparisons),
        *expand(
            f"{RESULTS}/figures/{{network}}/{{figure}}.pdf",
            network=STUDY.figures.layers,
            figure=("filters", "feature_maps"),
        ),
        *audits(),
        *saliencies(),
        *informations(),
        *MORE,
    ]


def headline():
    """The figure of the study's first page: the probe's headline, if the study draws it, of the first network."""
    each = STUDY.figures.each_network or PROBE.figures_of_each_network
    readers = [name for name in STUDY.networks if name not in CLASSIFIERS]
    if not readers:
        return [f"{RESULTS}/figures/{CLASSIFIERS[0]}/confusion_matrix.png"]
    return [f"{RESULTS}/figures/{readers[0]}/{PROBE.headline if PROBE.headline in each else each[0]}.png"]


def kept():
    """The data, networks, evaluations, audits and saliency runs behind the figures."""
    return [
        *sorted({path for dataset, split in SHARDS_USED for path in shards([dataset], split)}),
        *expand(f"{RESULTS}/networks/{{network}}/model.pt", network=TRAINED),
        *evaluations(JUDGED),
        *expand(f"{RESULTS}/audit/{{network}}.h5", network=AUDITED),
        *expand(f"{RESULTS}/saliency/{{saliency}}.h5", saliency=STUDY.saliency),
    ]


def informations():
    """The table of what posteriors lose, of every test whose exact posterior is known."""
    known = [test for test, entry in STUDY.tests.items() if PROBE.has_exact_posterior(STUDY, entry)]
    return [f"{RESULTS}/exact/{test}.csv" for test in known if any(test == drawn for _, drawn in DRAWN)]


def audits():
    """The page of every audited network."""
    return expand(f"{RESULTS}/figures/{{network}}/audit.pdf", network=AUDITED)


def saliencies():
    """The figures of every run of `saliency`."""
    return expand(
        f"{RESULTS}/figures/saliency/{{saliency}}/{{figure}}.pdf", saliency=STUDY.saliency, figure=SALIENCY_FIGURES
    )


def explained(wildcards):
    """The run that a file is of."""
    return STUDY.saliency[wildcards.saliency]


def explained_dataset(wildcards):
    """The dataset whose test rows a run shows."""
    return STUDY.tests[saliency_test(STUDY, wildcards.saliency)].dataset


def explained_control(wildcards):
    """The network on permuted labels that a run is held against, where it asks for one."""
    run = explained(wildcards)
    return {"control": f"{RESULTS}/networks/{control_name(run.network)}/model.pt"} if run.control else {}


@functools.cache  # once, not once a job: it sizes every network
def costs():
    """What each stage costs."""
    return estimate.stage_costs(STUDY)


def memory(stage):
    """mem_mb of a stage, doubled with every retry."""
    return lambda wildcards, attempt: estimate.memory_mb(STUDY, stage, costs()) * 2 ** (attempt - 1)


def runtime(stage):
    """runtime (minutes) of a stage, doubled with every retry."""
    return lambda wildcards, attempt: estimate.runtime_min(STUDY, stage, costs()) * 2 ** (attempt - 1)


def begins_with(wildcards):
    """The trained network that one begins with, where the study says so."""
    other = TRAINED[wildcards.network].initialise_from
    return {"start": f"{RESULTS}/networks/{other}/model.pt"} if other else {}


def fresh_files(wildcards):
    """What the rows simulated for each epoch of a network are made from, of each training realisation in turn."""
    if not TRAINED[wildcards.network].training.fresh_draws:
        return []
    return [file for number in STUDY.splits["train"] for file in PROBE.stream_files(STUDY, RESULTS, number)]


def posterior_data(split):
    """What a posterior learns from or is chosen by: shards of its network, or the files of its stream."""

    def files(wildcards):
        entry = STUDY.posteriors[wildcards.posterior]
        if entry.stream is None:
            return shards(STUDY.networks[entry.network].datasets, split)
        stream = STUDY.streams[entry.stream]
        parts = range(stream.files if split == "train" else stream.validation_files)
        return [f"{RESULTS}/streams/{entry.stream}/{n}-{part}.h5" for n in STUDY.splits[split] for part in parts]

    return files


def prior_data(wildcards):
    """The shards whose truths are draws of a posterior's prior."""
    return shards(STUDY.networks[STUDY.posteriors[wildcards.posterior].network].datasets, "train")


def stream_code(stream):
    """The code of a stream: the architectures of its networks, and what simulates their data."""
    networks = STUDY.streams[stream].networks
    return code("scripts/make_stream.py", *STREAM, networks=networks, datasets=[stream_dataset(STUDY, stream)])


def simulated_from(wanted):
    """What a posterior simulates from, where it does: the probe knows."""

    def files(wildcards):
        entry = STUDY.posteriors[wildcards.posterior]
        return PROBE.simulation_files(STUDY, RESULTS) if wanted(entry) else []

    return files


def posterior_code(script, hooks, posterior):
    """The code of a stage of a posterior: its network's architecture, and what simulates the network's data."""
    network = STUDY.posteriors[posterior].network
    return code(script, *hooks, networks=[network], datasets=STUDY.networks[network].datasets)


def figure_input(reads):
    """The files that a figure of one network is drawn from."""
    if reads == "evaluation":
        return lambda wildcards: evaluations(pair for pair in JUDGED if pair[0] == wildcards.network)
    return f"{RESULTS}/{reads}/{{network}}.h5"


def compared(comparison):
    """The files that a comparison is drawn from: runs of saliency, or evaluations."""
    if runs := STUDY.comparisons[comparison].runs:
        return [f"{RESULTS}/saliency/{run}.h5" for run in runs]
    return evaluations(comparison_pairs(STUDY, comparison))


def figure_code(figure):
    """The code of a figure: its own, and that of the script; with the published tables that it shows."""
    return code("scripts/make_figure.py", more=(FIGURES.dotted(figure),), tables=KINDS[figure].tables)


def reading(figure):
    """How to read a figure: the words that stand in the report below every one of its kind."""
    return Path(workflow.basedir, "workflow", "report", KINDS[figure].caption).read_text(encoding="utf-8")
