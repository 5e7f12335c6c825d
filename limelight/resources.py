"""What a stage asks of a scheduler, estimated from the study: memory, minutes and how they scale.

The constants are round upper figures of runs on one core of a 2025 server (docs/cluster.md says how to adjust them with the
config's resources.memory_factor and runtime_factor). A retry doubles them.
"""

import math

HALOS_PER_DEG2 = 4.9e5  # above 2.5e10 Msun in 26-34 GHz of CO(1-0), from the Tinker08 mass function
BASE_MB = 800  # Python with torch, before any data


def halos_per_lightcone(study: dict) -> float:
    """Halos in one light-cone, to a factor of two, for any field and mass floor."""
    cones = study["lightcones"]
    return HALOS_PER_DEG2 * cones["field_deg"] ** 2 * (2.5e10 / cones["mass_min_msun"]) ** 1.05


def cells_per_lightcone(study: dict) -> float:
    """Cells of the box around one light-cone (120 Mpc a degree at z = 3), margins included."""
    cones = study["lightcones"]
    side = 120 * cones["field_deg"] + 45
    return side**2 * max(1200, side) / cones["cell_mpc"] ** 3


def maps_per_lightcone(study: dict, line_model: str = "") -> int:
    """Maps that one light-cone gives (at most) for one line model, or for the one with most draws."""
    cuts, models = study["subfields"], study["line_models"]
    draws = models[line_model]["draws"] if line_model else max(model["draws"] for model in models.values())
    return cuts["per_side"] ** 2 * len(cuts["rotations_deg"]) * (1 + cuts["reflections"]) * draws


def map_mb(study: dict, pooled: bool = False) -> float:
    """Size of one float32 map in MB, at full resolution or pooled."""
    grid = study["grid"]
    block = grid["pool_pixels"] ** 2 * grid["pool_channels"] if pooled else 1
    return 4e-6 * grid["pixels"] ** 2 * grid["channels"] / block


def training_maps(study: dict) -> int:
    """Training maps of the largest network of the study."""
    per_cone = max(
        sum(maps_per_lightcone(study, model) for model in network["line_models"])
        for network in study["networks"].values()
    )
    return per_cone * len(study["lightcones"]["train"])


def memory_mb(study: dict, stage: str) -> float:
    """Memory of a stage in MB."""
    halos = halos_per_lightcone(study)
    cuts = study["subfields"]
    covers = len(cuts["rotations_deg"]) * (1 + cuts["reflections"])
    per_stage = {
        "lightcone": 80e-6 * halos + 40e-6 * cells_per_lightcone(study),
        "subfields": (60e-6 + 28e-6 * covers) * halos,
        "maps": 150e-6 * halos / cuts["per_side"] ** 2 + 6 * map_mb(study),
        "pooled": 6 * map_mb(study) + maps_per_lightcone(study) * map_mb(study, pooled=True),
        "network": 4 * training_maps(study) * map_mb(study, pooled=True) + 4000,
        "evaluation": 3 * maps_per_lightcone(study) * len(study["lightcones"]["test"]) * map_mb(study, pooled=True)
        + 2000,
        "figure": 500,
    }
    return math.ceil((BASE_MB + per_stage[stage]) * study["resources"]["memory_factor"])


def runtime_min(study: dict, stage: str) -> float:
    """Runtime of a stage in minutes, with a generous margin: a job past its limit is killed."""
    halos, maps = halos_per_lightcone(study), maps_per_lightcone(study)
    cuts = study["subfields"]
    covers = len(cuts["rotations_deg"]) * (1 + cuts["reflections"])
    steps = max(_steps(study, network["training"]) for network in study["networks"].values())
    per_step_s = 0.5 if study["resources"]["gpus"] else 3.0
    seconds = {
        "lightcone": 10e-6 * halos,
        "subfields": 1e-6 * halos * covers,
        "maps": maps * (0.5e-6 * halos / cuts["per_side"] ** 2 + 0.02 * map_mb(study)),
        "pooled": maps * 0.05 * map_mb(study),
        "network": steps * per_step_s,
        "evaluation": 0.5 * maps * len(study["lightcones"]["test"]),
        "figure": 60,
    }
    return math.ceil((5 + 2 * seconds[stage] / 60) * study["resources"]["runtime_factor"])


def _steps(study: dict, training: dict) -> int:
    per_epoch = training["steps_per_epoch"] or math.ceil(training_maps(study) / training["batch_size"])
    return training["epochs"] * per_epoch
