"""What a stage asks of a scheduler and what a study costs, estimated from the config: memory, time, disk and how they scale.

Times and memory of the CPU stages are measured on one core of a 2025 server (constants below, rounded up). Times on a GPU
are estimated from the networks' multiplications and a rate that a 2023 GPU should reach; they are not measured. The config's
resources.memory_factor and runtime_factor adjust all of them to a site. A retry doubles what is asked.
"""

import contextlib
import functools
import json
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from limelight.errors import LimelightError
from limelight.halos.inputs import input_files
from limelight.networks import build
from limelight.probes.line_intensity.selection import rival_tests
from limelight.study.legacy import grid_section
from limelight.study.selection import (
    audited_networks,
    classifiers,
    header_of,
    posterior_tests,
    suitable_tests,
    trained_networks,
    trained_posterior,
)

STAGES = ("lightcone", "subfields", "maps", "pooled", "network", "evaluation", "audit", "figure")  # of every study
FIGURES_PER_NETWORK = 7
HALOS_PER_DEG2 = 4.9e5  # above 2.5e10 Msun in 26-34 GHz of CO(1-0), from the Tinker08 mass function
BASE_MB = 1400  # before any data: Python with its libraries (400), the two Snakemakes around it in a SLURM job
START_S = 4.0  # to import them
FOREIGN_MEMORY = 8.0  # bytes held for a byte of foreign catalogues: group catalogues take 4, compressed ones more
FOREIGN_S_PER_MB = 0.05  # to read, check and place them: 0.01 measured, for disks slower than ours
MARGIN = 3  # jobs are given this much longer than expected: one past its limit is killed
CPU_FLOPS = 5e10  # a core in float32: the default network, 40 maps of 64 × 64 × 10, takes 0.3 s a step
GPU_FLOPS = {"bf16": 1.1e14, "float32": 2.5e13}  # estimate: the notes' CNN at 7 ms a step of 40 maps in bf16
GPU_STEP_S = 0.01  # estimate: presentation, launches and update of a step, whatever the network
RIVAL_STEP_S = 0.007  # of one ensemble of emcee with 32 walkers
PER_POSTERIOR_S = 0.2  # to draw 500 samples of one map's posterior, of the slowest kind, and to check it
SMC_TRIES = 12  # simulations that population Monte Carlo needs for a particle in a round
SMC_S_PER_HALO = 28e-9  # of one simulated map
HEAD_S = 1e-4  # a step of a head, per presentation
SHARED = 0.9  # estimate: the share of a GPU's speed that is left when several train one network


def halos_per_lightcone(study: dict) -> float:
    """Halos in one light-cone, to a factor of two, for any field and mass floor."""
    cones = study["lightcones"]
    return HALOS_PER_DEG2 * cones["field_deg"] ** 2 * (2.5e10 / cones["mass_min_msun"]) ** 1.05


def cells_per_lightcone(study: dict) -> float:
    """Cells of the box around one light-cone (120 Mpc a degree at z = 3), margins included."""
    cones = study["lightcones"]
    side = 120 * cones["field_deg"] + 45
    return side**2 * max(1200, side) / cones["cell_mpc"] ** 3


def foreign_mb(study: dict) -> float:
    """Size of the foreign files of the light-cone that has most; 0 where halos are generated or the files are not here."""
    cones = study["lightcones"]
    if cones["source"] == "generate":
        return 0.0
    own = "{lightcone" in str(cones["files"])
    numbers = [n for split in ("train", "validation", "test") for n in cones[split]]
    sizes = [0]
    for number in numbers if own else numbers[:1]:
        with contextlib.suppress(LimelightError):
            sizes.append(sum(path.stat().st_size for path in input_files(cones, number)))
    return max(sizes) / 1e6


def covers(study: dict) -> int:
    """How often the subfields cover a light-cone."""
    return len(study["subfields"]["rotations_deg"]) * (1 + study["subfields"]["reflections"])


def maps_per_lightcone(study: dict, line_model: str = "") -> int:
    """Maps that one light-cone gives (at most) for one line model, or for the one with most draws."""
    models = study["line_models"]
    draws = models[line_model]["draws"] if line_model else max(model["draws"] for model in models.values())
    return study["subfields"]["per_side"] ** 2 * covers(study) * draws


def most_test_maps(study: dict) -> int:
    """Maps (at most) of the test, or of the classifier's line model, that has most."""
    models = [test["line_model"] for test in study["tests"].values()]
    models += [model for name in classifiers(study) for model in study["networks"][name]["line_models"]]
    return max(maps_per_lightcone(study, model) for model in models) * len(study["lightcones"]["test"])


def map_mb(study: dict, pooled: bool = False) -> float:
    """Size of one float32 map in MB, at full resolution, or pooled by the dataset that pools least."""
    grids = [grid_section(study, name) for name in study["line_models"]]
    block = min(grid["pool_pixels"] ** 2 * grid["pool_channels"] for grid in grids) if pooled else 1
    return 4e-6 * grids[0]["pixels"] ** 2 * grids[0]["channels"] / block


def network_maps(study: dict, network: str, split: str) -> int:
    """Maps of one split that a network is trained on or chosen by."""
    per_cone = sum(maps_per_lightcone(study, model) for model in study["networks"][network]["line_models"])
    count = per_cone * len(study["lightcones"][split])
    return min(count, study["networks"][network]["training"]["max_maps"] or count) if split == "train" else count


def training_steps(study: dict, network: str) -> int:
    """Steps of a network's whole training."""
    training = study["networks"][network]["training"]
    per_epoch = training["steps_per_epoch"] or math.ceil(network_maps(study, network, "train") / training["batch_size"])
    return training["epochs"] * per_epoch


def network_size(study: dict, network: str) -> tuple[float, int]:
    """(floating-point operations of one map's forward pass, weights) of a network."""
    what = study["networks"][network]
    shape = header_of(study, what.datasets[0]).shape[1:]
    return _network_size(what["architecture"], json.dumps(what["options"]), shape, study["labels"]["bins"])


@functools.cache
def _network_size(architecture: str, options: str, shape: tuple[int, int, int], outputs: int) -> tuple[float, int]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:  # shapes alone: no time
        module = build(architecture, json.loads(options), shape, outputs).eval()
        module(torch.zeros(1, 1, *shape))
    return float(counter.get_total_flops()), sum(weight.numel() for weight in module.parameters())


def training_seconds(study: dict, network: str) -> float:
    """Expected time of a training with the study's GPUs, or cores where it has none. A step costs three forward passes."""
    training, resources = study["networks"][network]["training"], study["resources"]
    steps, flops = training_steps(study, network), network_size(study, network)[0]
    shown = 3 * steps * training["batch_size"] + training["epochs"] * network_maps(study, network, "validation")
    gpus = resources["gpus"]
    if not gpus:
        return 2 * START_S + shown * flops / (CPU_FLOPS * resources["training_threads"])
    rate = GPU_FLOPS[training["precision"]] * gpus * (SHARED if gpus > 1 else 1)
    return 60 + steps * GPU_STEP_S + shown * flops / rate


def seconds(study: dict, stage: str) -> float:
    """Expected time of one job of a stage (the longest, where they differ), without a margin."""
    halos, maps = halos_per_lightcone(study), maps_per_lightcone(study)
    if stage == "network":
        return max(training_seconds(study, name) for name in study["networks"])
    if stage == "posterior":
        return START_S + max((posterior_seconds(study, name) for name in study["posteriors"]), default=0)
    per_stage = {
        "lightcone": 10 + 4e-6 * halos + 0.3e-6 * cells_per_lightcone(study) + FOREIGN_S_PER_MB * foreign_mb(study),
        "subfields": 0.5e-6 * halos * covers(study),
        "maps": maps * (0.1e-6 * halos / study["subfields"]["per_side"] ** 2 + 0.01 * map_mb(study)),
        "pooled": maps * 0.01 * map_mb(study),
        "evaluation": most_test_maps(study) * _per_prediction_s(study),
        "intervals": max((intervals_seconds(study, name) for name in study["posteriors"]), default=0),
        "audit": audit_predictions(study) * _per_prediction_s(study),
        "rival_emulator": max((_rival_s(study, name)[0] for name in study["rival"]), default=0),
        "rival": max((_rival_s(study, name)[1] for name in study["rival"]), default=0),
        "figure": 10,
    }
    return START_S + per_stage[stage]


def posterior_seconds(study: dict, name: str) -> float:
    """Expected time of training a posterior: its table, its fine tuning, the head's epochs, and the maps an IMNN paints."""
    entry = study["posteriors"][name]
    network = entry["network"]
    shown = entry["presentations"] * sum(network_maps(study, network, split) for split in ("train", "validation"))
    per_epoch = training_seconds(study, network) / study["networks"][network]["training"]["epochs"]
    total = shown * (_per_prediction_s(study) + HEAD_S * entry["training"]["epochs"]) + entry["fine_tune"] * per_epoch
    if entry["kind"] == "imnn":
        maps = entry["imnn"]["simulations"] + 10 * entry["imnn"]["derivatives"]  # of five parameters
        total += maps * seconds(study, "maps") / maps_per_lightcone(study)
    return total


def intervals_seconds(study: dict, name: str) -> float:
    """Expected time of drawing a posterior for the maps of one test; of abc: smc, of its simulations."""
    entry, maps = study["posteriors"][name], most_test_maps(study)
    each_s = _per_prediction_s(study) + PER_POSTERIOR_S
    if entry["abc"] != "smc":
        return maps * each_s
    options, halos = entry["smc"], halos_per_lightcone(study) / study["subfields"]["per_side"] ** 2
    simulations = options["particles"] * options["rounds"] * SMC_TRIES
    one_s = SMC_S_PER_HALO * halos + _per_prediction_s(study) + 0.01 * map_mb(study, pooled=True)
    read_s = 0.5e-6 * halos * (options["fields"] or _rival_fields(study))
    return read_s + min(maps, options["maps"] or maps) * (simulations * one_s + each_s)


def _simulated_mb(study: dict) -> float:
    """Memory of the halos that the greediest posterior of abc: smc holds."""
    halos, every = halos_per_lightcone(study) / study["subfields"]["per_side"] ** 2, _rival_fields(study)
    used = [e["smc"]["fields"] or every for e in study["posteriors"].values() if e["abc"] == "smc"]
    return (250e-6 + 17e-6 * min(max(used), every)) * halos if used else 0.0


def audit_predictions(study: dict) -> int:
    """Predictions that the longest audit asks of its network: of all datasets, of the noise sweep, of changed maps."""
    options, tested = study["audit"], maps_per_lightcone(study) * len(study["lightcones"]["test"])
    maps = min(tested, options["maps"] or tested) * len(study["line_models"])
    changed = options["response_maps"] * (2 + study["labels"]["bins"] + len(options["dim_bins"]))
    return maps * (2 + len(options["noise_sigma_uk"])) + changed


def _rival_s(study: dict, name: str) -> tuple[float, float]:
    """Seconds of a rival's emulator and of its MCMC over the maps of one test."""
    entry, halos = study["rival"][name], halos_per_lightcone(study) / study["subfields"]["per_side"] ** 2
    fields = _rival_fields(study)
    one_s = 0.02e-6 * halos + 0.02 * map_mb(study) / (entry["pool_pixels"] ** 2 * entry["pool_channels"])
    noises = len(study["observation"]["noise"])
    further = entry["simulations"] + fields * entry["covariance_draws"]
    painted = 1.2 * entry["nodes"] * entry["realisations"] * one_s + further * one_s * (1 + 1.5 * noises)
    maps = min(most_test_maps(study), entry["maps"] or most_test_maps(study))
    mcmc_s = RIVAL_STEP_S * entry["walkers"] / 32 * entry["steps"] * entry["ensembles"]
    return fields * 1e-6 * halos + painted, maps * (mcmc_s + 2 + 0.01 * map_mb(study))


def _rival_fields(study: dict) -> int:
    """Training subfields, on which rivals paint."""
    return study["subfields"]["per_side"] ** 2 * covers(study) * len(study["lightcones"]["train"])


def _per_prediction_s(study: dict) -> float:
    flops = max(network_size(study, name)[0] for name in study["networks"])
    if study["resources"]["gpus"]:
        return 0.002 + flops / GPU_FLOPS["float32"]
    return flops / (CPU_FLOPS * study["resources"]["training_threads"])


def memory_mb(study: dict, stage: str) -> int:
    """Memory of a stage in MB."""
    halos, pooled = halos_per_lightcone(study), map_mb(study, pooled=True)
    processes = max(1, study["resources"]["gpus"])
    weights_mb = 4e-6 * max(network_size(study, name)[1] for name in study["networks"])
    on_top = 4000 if study["resources"]["gpus"] else 2000  # CUDA's own; activations
    maps = max(sum(network_maps(study, name, split) for split in ("train", "validation")) for name in study["networks"])
    tested = maps_per_lightcone(study) * len(study["lightcones"]["test"])
    per_stage = {
        "lightcone": 600 + 80e-6 * halos + 40e-6 * cells_per_lightcone(study) + FOREIGN_MEMORY * foreign_mb(study),
        "subfields": (60e-6 + 28e-6 * covers(study)) * halos,
        "maps": 250e-6 * halos / study["subfields"]["per_side"] ** 2 + 6 * map_mb(study),
        "pooled": 6 * map_mb(study) + maps_per_lightcone(study) * pooled,
        "network": processes * (4 * maps * pooled + 6 * weights_mb + on_top),
        "evaluation": 3 * most_test_maps(study) * pooled + 2400,
        "audit": 4 * len(study["line_models"]) * tested * pooled + 2400,
        "posterior": 4 * maps * pooled + 6 * weights_mb + on_top + 1000,
        "intervals": 3 * most_test_maps(study) * (pooled + 4 * _draws_mb(study)) + 2400 + _simulated_mb(study),
        "rival_emulator": 17e-6 * _rival_fields(study) * halos / study["subfields"]["per_side"] ** 2
        + 1.2 * map_mb(study) * max((entry["realisations"] for entry in study["rival"].values()), default=0)
        + 2000,
        "rival": 250e-6 * halos / study["subfields"]["per_side"] ** 2 + 6 * map_mb(study) + 2000,
        "figure": 800,
    }
    return math.ceil((BASE_MB + per_stage[stage]) * study["resources"]["memory_factor"])


def _draws_mb(study: dict) -> float:
    """Size of the draws kept of one map's posterior, in MB."""
    return (
        4e-6
        * study["labels"]["bins"]
        * max((p["samples"] for key in ("posteriors", "rival") for p in study[key].values()), default=0)
    )


def runtime_min(study: dict, stage: str) -> int:
    """Time that a job of a stage is given, in minutes, with a generous margin."""
    return math.ceil((5 + MARGIN * seconds(study, stage) / 60) * study["resources"]["runtime_factor"])


def file_mb(study: dict, stage: str) -> float:
    """Size of what one job of a stage writes (the largest, where they differ), checkpoints included."""
    halos, maps = halos_per_lightcone(study), maps_per_lightcone(study)
    weights_mb = 4e-6 * max(network_size(study, name)[1] for name in study["networks"])
    return {
        "lightcone": 27e-6 * halos,
        "subfields": 28e-6 * halos * covers(study),
        "maps": maps * map_mb(study),
        "pooled": maps * map_mb(study, pooled=True) * 1.02,
        "network": weights_mb + 2 * 4 * weights_mb,  # two checkpoints: weights, best weights, Adam's two moments
        "evaluation": 2 * most_test_maps(study) * 8e-6 * study["labels"]["bins"] + 4 * map_mb(study),
        "posterior": weights_mb + 10,
        "intervals": most_test_maps(study) * _draws_mb(study),
        "audit": 8e-6 * study["labels"]["bins"] ** 2 + 0.1 + 16e-6 * study["labels"]["bins"] * audit_predictions(study),
        "rival_emulator": 20,
        "rival": most_test_maps(study) * _draws_mb(study),
        "figure": 0.5,
    }[stage]


def jobs(study: dict) -> dict[str, int]:
    """Jobs of a whole study by stage; a line model is painted on the light-cones that networks or tests need it for."""
    cones, networks = study["lightcones"], study["networks"].values()
    tests = [study["tests"][test] for name in study["networks"] for test in suitable_tests(study, name)]
    wanted = {(m, c) for n in networks for m in n["line_models"] for s in ("train", "validation") for c in cones[s]}
    wanted |= {(test["line_model"], cone) for test in tests for cone in cones["test"]}
    told = classifiers(study)
    wanted |= {(model, cone) for n in told for model in study["networks"][n]["line_models"] for cone in cones["test"]}
    lightcones = len({cone for _, cone in wanted})
    count = {"lightcone": lightcones, "subfields": lightcones, "maps": len(wanted), "pooled": len(wanted)}
    predictions = sum(len(suitable_tests(study, n)) for n in study["networks"] if n not in told) + len(told)
    each = len(study["figures"].get("each_network", range(FIGURES_PER_NETWORK)))
    figures = each * (len(networks) - len(told)) + len(told) + len(study["comparisons"]) + len(audited_networks(study))
    figures += 3 * len(study["figures"]["layers"])  # their file and two drawings of it
    figures += 2  # the page of provenance and the summary
    audits = len(audited_networks(study))
    count |= {"network": len(trained_networks(study)), "evaluation": predictions, "audit": audits}
    if study["posteriors"]:
        drawn = sum(len(posterior_tests(study, name)) for name in study["posteriors"])
        trained = {trained_posterior(study, name) for name in study["posteriors"]}
        count |= {"posterior": len(trained), "intervals": drawn}
    if study["rival"]:
        count |= {"rival_emulator": len(study["rival"])}
        count |= {"rival": sum(len(rival_tests(study, name)) for name in study["rival"])}
    return {**count, "figure": figures}


def costs(study: dict) -> list[dict]:
    """A row a stage: jobs, cores, gpus, memory_gb, minutes (expected, longest job), limit_min, core_hours, gpu_hours,
    kept_gb (disk when the study is done) and temporary_gb (of one light-cone at work, gone after).
    """
    kept = {"lightcone": "lightcones", "subfields": "subfields", "maps": "maps"}
    rows = []
    for stage, count in jobs(study).items():
        learns = stage in ("network", "evaluation", "audit", "posterior", "intervals")
        cores = study["resources"]["training_threads"] if learns else 1
        gpus = (study["resources"]["gpus"] if stage == "network" else min(1, study["resources"]["gpus"])) * learns
        total_s = count * seconds(study, stage)
        if stage == "network":
            trained = study.model_copy(update={"networks": trained_networks(study)})
            total_s = sum(training_seconds(trained, name) for name in trained["networks"])
        if stage == "intervals":
            drawn = ((name, len(posterior_tests(study, name))) for name in study["posteriors"])
            total_s = sum(tests * (START_S + intervals_seconds(study, name)) for name, tests in drawn)
        is_kept = stage not in kept or kept[stage] in study["keep"]
        written = file_mb(study, stage) / 1000
        rows.append(
            {
                "stage": stage,
                "jobs": count,
                "cores": cores,
                "gpus": gpus,
                "memory_gb": memory_mb(study, stage) / 1000,
                "minutes": seconds(study, stage) / 60,
                "limit_min": runtime_min(study, stage),
                "core_hours": cores * total_s / 3600,
                "gpu_hours": gpus * total_s / 3600,
                "kept_gb": count * written * is_kept,
                "temporary_gb": written * (count / jobs(study)["lightcone"]) * (not is_kept),
            }
        )
    return rows
