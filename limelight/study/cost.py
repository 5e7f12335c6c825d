"""What a stage asks of a scheduler and what a study costs, estimated from the config: memory, time and disk.

Times and memory of the CPU stages are measured on one core of a 2025 server (constants below, rounded up). Times on a GPU
are estimated from the networks' multiplications and a rate that a 2023 GPU should reach; they are not measured. The config's
resources.memory_factor and runtime_factor adjust all of them to a site. A retry doubles what is asked.

Here stand the engine's stages. Those of a probe stand with the probe (`Probe.stage_costs`).
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from limelight.kept import kept
from limelight.networks import build
from limelight.probe import load_probe
from limelight.study.sections import Study
from limelight.study.selection import (
    audit_datasets,
    audited_networks,
    header_of,
    input_shape,
    output_shape,
    posterior_target,
    stream_dataset,
    trained_networks,
)

BASE_MB = 1400  # before any data: Python with its libraries (400), the two Snakemakes around it in a SLURM job
START_S = 4.0  # to import them
MARGIN = 3  # jobs are given this much longer than expected: one past its limit is killed
CPU_FLOPS = 5e10  # a core in float32: the default network, 40 maps of 64 × 64 × 10, takes 0.3 s per step
GPU_FLOPS = {"bf16": 1.1e14, "float32": 2.5e13}  # estimate: the notes' CNN at 7 ms per step of 40 maps in bf16
GPU_STEP_S = 0.01  # estimate: presentation, launches and update of a step, whatever the network
PER_POSTERIOR_S = 0.2  # to draw 500 samples of one row's posterior, of the slowest kind, and to check it
HEAD_S = 1e-4  # a step of a head, per presentation
SHOWN_S_PER_MB = 0.05  # of a row, to draw its noise and to take its plain statistics
STREAM_NUMBERS = 700  # kept of a row: features, statistics and truths
SHARED = 0.9  # estimate: the share of a GPU's speed that is left when several train one network
SALIENCY_TRIALS = 9  # the trained network, its control, the shifted one and six stages of randomisation
SALIENCY_COPIES = 30  # of a row of data that a derivative keeps, in the default network
LEARNING = (
    "network",
    "evaluation",
    "audit_network",
    "saliency",
    "stream",
    "posterior",
    "intervals",
)  # stages that run networks


@dataclass(frozen=True)
class StageCost:
    """One job of a stage, the largest where they differ; without the margin, and without Python itself."""

    seconds: float
    memory_mb: float
    file_mb: float  # what it writes, checkpoints included
    kept: bool = True  # whether the study keeps what it writes


Costs = Mapping[str, StageCost]  # by the name of its rule


@dataclass(frozen=True)
class SimulationCost:
    """What a posterior simulates beside looking at data; all zero for kinds that do not."""

    training_s: float = 0.0
    reading_s: float = 0.0  # once per job that draws intervals
    each_row_s: float = 0.0
    memory_mb: float = 0.0


def network_rows(study: Study, network: str, split: str) -> int:
    """Rows of one split that a network is trained on or chosen by."""
    probe, entry = load_probe(study.probe), trained_networks(study)[network]
    count = sum(probe.rows_per_realisation(study, name) for name in entry.datasets) * len(study.splits[split])
    return min(count, entry.training.max_maps or count) if split == "train" else count


def most_test_rows(study: Study) -> int:
    """Rows (at most) of the test that has most."""
    probe = load_probe(study.probe)
    rows = max(probe.rows_per_realisation(study, test.dataset) for test in study.tests.values())
    return rows * len(study.splits["test"])


def row_mb(study: Study) -> float:
    """Size of one float32 row of data, of the dataset whose rows are largest."""
    return max(4e-6 * math.prod(header_of(study, name).shape) for name in study.datasets)


def training_steps(study: Study, network: str) -> int:
    """Steps of a network's whole training."""
    training = study.networks[network].training
    per_epoch = training.steps_per_epoch or math.ceil(network_rows(study, network, "train") / training.batch_size)
    return training.epochs * per_epoch


def network_size(study: Study, network: str) -> tuple[float, int]:
    """(floating-point operations of one row's forward pass, weights) of a network."""
    entry = study.networks[network]
    options = json.dumps(entry.options)
    return _network_size(entry.architecture, options, input_shape(study, entry), output_shape(study, entry))


@functools.cache
def _network_size(
    architecture: str, options: str, shape: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[float, int]:
    def measured() -> list[float]:
        from limelight.networks.shapes import ShapesAlone, operations  # torch, which kept answers do without

        with ShapesAlone():
            module = build(architecture, json.loads(options), shape, outputs).eval()
            return [operations(module, shape), sum(weight.numel() for weight in module.parameters())]

    passes, weights = kept(("network_size", architecture, options, shape, outputs), measured)
    return passes, int(weights)


def training_seconds(study: Study, network: str) -> float:
    """Expected time of a training with the study's GPUs, or cores where it has none. A step costs three forward passes."""
    training, resources = study.networks[network].training, study.resources
    steps, flops = training_steps(study, network), network_size(study, network)[0]
    shown = 3 * steps * training.batch_size + training.epochs * network_rows(study, network, "validation")
    simulated = (training.epochs - 1) * fresh_cost(study, network)[1]
    if not resources.gpus:
        return 2 * START_S + simulated + shown * flops / (CPU_FLOPS * resources.training_threads)
    rate = GPU_FLOPS[training.precision] * resources.gpus * (SHARED if resources.gpus > 1 else 1)
    return 60 + simulated + steps * GPU_STEP_S + shown * flops / rate


def fresh_cost(study: Study, network: str) -> tuple[int, float, float]:
    """Rows simulated for one epoch (training.fresh_draws), their seconds, and the most memory (MB) beside the rows."""
    draws, probe = study.networks[network].training.fresh_draws, load_probe(study.probe)
    rows, seconds, most = 0, 0.0, 0.0
    for name in study.networks[network].datasets if draws else ():
        made = draws * probe.fields_per_realisation(study, name) * len(study.splits["train"])
        cost = probe.fresh_cost(study, name)
        rows, seconds, most = rows + made, seconds + made * cost.each_row_s, max(most, cost.memory_mb)
    return rows, seconds, most


def posterior_seconds(study: Study, name: str) -> float:
    """Expected time of training a posterior: its table, its fine tuning, the head's epochs, and what it simulates."""
    entry = study.posteriors[name]
    network = entry.network
    heads = getattr(getattr(entry, entry.kind), "members", 1)
    if entry.stream:
        return streamed_rows(study, name) * heads * HEAD_S * entry.training.epochs
    shown = entry.presentations * sum(network_rows(study, network, split) for split in ("train", "validation"))
    per_epoch = training_seconds(study, network) / study.networks[network].training.epochs
    learning = shown * (prediction_s(study) + heads * HEAD_S * entry.training.epochs)
    return learning + entry.fine_tune * per_epoch + load_probe(study.probe).simulation_cost(study, name).training_s


def streamed_rows(study: Study, name: str) -> int:
    """Simulations that a posterior of a stream learns from."""
    entry = study.posteriors[name]
    stream, dataset = study.streams[entry.stream], study.networks[entry.network].datasets[0]
    rows = stream.files * stream.draws * load_probe(study.probe).fields_per_realisation(study, dataset)
    return min(entry.stream_rows or math.inf, rows * len(study.splits["train"]))


def stream_cost(study: Study) -> StageCost:
    """One file of the largest stream: simulated by the probe, shown to all its networks."""
    probe, most = load_probe(study.probe), StageCost(0, 0, 0)
    for name, entry in study.streams.items():
        dataset = stream_dataset(study, name)
        rows = entry.draws * probe.fields_per_realisation(study, dataset)
        kept_mb = 4e-6 * STREAM_NUMBERS * rows * len(entry.networks)
        simulated = probe.fresh_cost(study, dataset)
        shown = len(entry.networks) * (prediction_s(study) + SHOWN_S_PER_MB * row_mb(study))
        cost = StageCost(rows * (simulated.each_row_s + shown), simulated.memory_mb + 60 * row_mb(study), kept_mb)
        most = max(most, cost, key=lambda one: one.seconds)
    return most


def intervals_seconds(study: Study, name: str) -> float:
    """Expected time of drawing a posterior for the rows of one test; of abc: smc, of its simulations."""
    entry, rows = study.posteriors[name], most_test_rows(study)
    simulated = load_probe(study.probe).simulation_cost(study, name)
    if entry.abc == "smc":
        rows = min(rows, entry.smc.maps or rows)
    return simulated.reading_s + rows * (prediction_s(study) + PER_POSTERIOR_S + simulated.each_row_s)


def audit_predictions(study: Study) -> int:
    """Predictions that the longest audit asks of its network: of all datasets, of the noise sweep, of changed data."""
    networks = audited_networks(study)
    if not networks:
        return 0
    tested = most_test_rows(study)
    rows = min(tested, study.audit.maps or tested) * max(len(audit_datasets(study, name)[1]) for name in networks)
    sweeps, changes = load_probe(study.probe).audit_questions(study)
    return rows * (2 + sweeps) + study.audit.response_maps * (2 + changes)


def saliency_pictures(study: Study, name: str) -> int:
    """Pictures that a run of `saliency` keeps."""
    run = study.saliency[name]
    return len(run.methods) * max(1, len(run.answers))


def saliency_passes(study: Study, name: str) -> int:
    """Passes of one row through the network that a run of `saliency` makes; a derivative costs three."""
    run = study.saliency[name]
    windows = math.prod(math.ceil(n / max(1, run.window)) if run.window else 8 for n in row_shape(study)[1:])
    each = {"smoothgrad": 3 * run.smooth_samples, "integrated_gradients": 3 * run.steps, "deeplift": 6}
    each |= {"occlusion": 2 ** (len(row_shape(study)) - 1) * windows, "ablation": windows}
    once = sum(each.get(method, 3) for method in run.methods)
    tried = run.checked_maps * (once * SALIENCY_TRIALS + 50 * len(run.methods))
    asked = 3 * audit_predictions(study) if run.interventions else 0
    return max(1, len(run.answers)) * (run.maps * once + tried) + asked


def row_shape(study: Study) -> tuple[int, ...]:
    """Shape of a row of data, of the dataset whose rows are largest."""
    return max((header_of(study, name).shape for name in study.datasets), key=math.prod)


def prediction_s(study: Study) -> float:
    """Expected time of one row's prediction by the largest network."""
    flops = max(network_size(study, name)[0] for name in study.networks)
    if study.resources.gpus:
        return 0.002 + flops / GPU_FLOPS["float32"]
    return flops / (CPU_FLOPS * study.resources.training_threads)


def _draws_mb(study: Study) -> float:
    """Size of the draws kept of one row's posterior."""
    drawn = study.posteriors.values()
    sizes = [entry.samples * math.prod(posterior_target(study, entry.network).shape) for entry in drawn]
    return 4e-6 * max(sizes, default=0)


def stage_costs(study: Study) -> dict[str, StageCost]:
    """Every stage of a study, the probe's own included, by the name of its rule."""
    row, rows = row_mb(study), most_test_rows(study)
    weights_mb = 4e-6 * max(network_size(study, name)[1] for name in study.networks)
    on_top = 4000 if study.resources.gpus else 2000  # CUDA's own; activations
    learnt = max(sum(network_rows(study, n, split) for split in ("train", "validation")) for n in study.networks)
    fresh_mb = max(3 * row * made + most for made, _, most in (fresh_cost(study, name) for name in study.networks))
    outputs = max(math.prod(output_shape(study, network)) for network in study.networks.values())
    predict_s, posteriors = prediction_s(study), list(study.posteriors)
    simulated_mb = max((load_probe(study.probe).simulation_cost(study, n).memory_mb for n in posteriors), default=0)
    training_s = max(training_seconds(study, name) for name in study.networks) - START_S
    own = load_probe(study.probe).stage_costs(study)
    return {
        **own,
        "estimates": own.get("estimates", StageCost(10, 3 * rows * row, 1)),
        "exact": own.get("exact", StageCost(10, 3 * rows * row, 1)),
        "network": StageCost(
            training_s,
            max(1, study.resources.gpus) * (4 * learnt * row + fresh_mb + 6 * weights_mb + on_top),
            9 * weights_mb,
        ),  # on disk two checkpoints beside it: weights, best weights, Adam's two moments
        "evaluation": StageCost(rows * predict_s, 3 * rows * row + 2400, 16e-6 * rows * outputs + 4 * row),
        "audit_network": StageCost(
            audit_predictions(study) * predict_s,
            4 * len(study.datasets) * rows * row + 2400,
            8e-6 * outputs**2 + 0.1 + 16e-6 * outputs * audit_predictions(study),
        ),
        "saliency": StageCost(
            max((saliency_passes(study, name) for name in study.saliency), default=0) * predict_s,
            4 * rows * row + 2400 + 40 * 8 * row * SALIENCY_COPIES,
            max((saliency_pictures(study, name) for name in study.saliency), default=0) * row + 1,
        ),
        "stream": stream_cost(study),
        "posterior": StageCost(
            max((posterior_seconds(study, name) for name in posteriors), default=0),
            4 * learnt * row + 6 * weights_mb + on_top + 1000,
            weights_mb + 10,
        ),
        "intervals": StageCost(
            max((intervals_seconds(study, name) for name in posteriors), default=0),
            3 * rows * (row + 4 * _draws_mb(study)) + 2400 + simulated_mb,
            rows * _draws_mb(study),
        ),
        "figure": StageCost(10, 800, 0.5),
    }


def seconds(study: Study, stage: str, known: Costs | None = None) -> float:
    """Expected time of one job of a stage (the longest, where they differ), without a margin; known: its `stage_costs`."""
    return START_S + (known or stage_costs(study))[stage].seconds


def memory_mb(study: Study, stage: str, known: Costs | None = None) -> int:
    """Memory that a job of a stage asks for."""
    return math.ceil((BASE_MB + (known or stage_costs(study))[stage].memory_mb) * study.resources.memory_factor)


def runtime_min(study: Study, stage: str, known: Costs | None = None) -> int:
    """Time that a job of a stage is given, in minutes, with a generous margin."""
    return math.ceil((5 + MARGIN * seconds(study, stage, known) / 60) * study.resources.runtime_factor)


def stage_of(rule: str, known: Mapping[str, StageCost]) -> str:
    """The stage whose cost a rule has: its own name's, or that of a figure."""
    return rule if rule in known else "figure"


def costs(study: Study, jobs: Mapping[str, int]) -> list[dict]:
    """One row per stage of what a study costs.

    jobs: number of jobs by rule (a dry run tells). Columns: jobs, cores, gpus, memory_gb, minutes (expected, longest job),
    limit_min, core_hours, gpu_hours, kept_gb (on disk when the study is done), temporary_gb (while one realisation is at
    work).
    """
    known = stage_costs(study)
    count: dict[str, int] = {}
    for rule, number in jobs.items():
        count[stage_of(rule, known)] = count.get(stage_of(rule, known), 0) + number
    realisations = sum(map(len, study.splits.values()))
    rows = []
    for stage in [name for name in known if name in count]:
        cost, number, learns = known[stage], count[stage], stage in LEARNING
        cores = study.resources.training_threads if learns else 1
        gpus = (study.resources.gpus if stage == "network" else min(1, study.resources.gpus)) * learns
        total_s = number * seconds(study, stage, known)
        if stage == "network":
            every = study.model_copy(update={"networks": trained_networks(study)})
            total_s = sum(training_seconds(every, name) for name in every.networks)
        written = cost.file_mb / 1000
        rows.append(
            {
                "stage": stage,
                "jobs": number,
                "cores": cores,
                "gpus": gpus,
                "memory_gb": memory_mb(study, stage, known) / 1000,
                "minutes": seconds(study, stage, known) / 60,
                "limit_min": runtime_min(study, stage, known),
                "core_hours": cores * total_s / 3600,
                "gpu_hours": gpus * total_s / 3600,
                "kept_gb": number * written * cost.kept,
                "temporary_gb": written * (number / realisations) * (not cost.kept),
            }
        )
    return rows
