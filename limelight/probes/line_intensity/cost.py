"""What the stages that only line-intensity maps have cost: halos, fields, maps, and the rival."""

import contextlib

from limelight.errors import LimelightError
from limelight.halos.inputs import input_files
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.selection import observed_as, rival_tests
from limelight.probes.line_intensity.settings import pooled_grid
from limelight.study.cost import SimulationCost, StageCost, most_test_rows, prediction_s
from limelight.study.sections import SPLITS

HALOS_PER_DEG2 = 4.9e5  # above 2.5e10 Msun in 26-34 GHz of CO(1-0), from the Tinker08 mass function
FOREIGN_MEMORY = 8.0  # bytes held for a byte of foreign catalogues: group catalogues take 4, compressed ones more
FOREIGN_S_PER_MB = 0.05  # to read, check and place them: 0.01 measured, for disks slower than ours
PAINTED_S_PER_CELL = 5e-6  # what a painter takes beyond the generator
RIVAL_STEP_S = 0.007  # of one ensemble of emcee with 32 walkers
OBSERVE_S, OBSERVE_S_PER_MB = 1e-3, 0.2  # of one map that an observed rival records and measures
SMC_TRIES = 12  # simulations that population Monte Carlo needs for a particle in a round
SMC_S_PER_HALO = 28e-9  # of one simulated map


def halos_per_lightcone(study: LineStudy) -> float:
    """Halos in one light-cone, to a factor of two, for any field and mass floor."""
    cones = study.lightcones
    return HALOS_PER_DEG2 * cones.field_deg**2 * (2.5e10 / cones.mass_min_msun) ** 1.05


def cells_per_lightcone(study: LineStudy) -> float:
    """Cells of the box around one light-cone (120 Mpc per degree at z = 3), margins included."""
    side = 120 * study.lightcones.field_deg + 45
    return side**2 * max(1200, side) / study.lightcones.cell_mpc**3


def foreign_mb(study: LineStudy) -> float:
    """Size of the foreign files of the light-cone that has most; 0 where halos are generated or the files are not here."""
    cones = study.lightcones
    if cones.source in ("generate", "painted"):
        return 0.0
    own = "{lightcone" in str(cones.files)
    numbers = [number for split in SPLITS for number in study.splits[split]]
    sizes = [0]
    for number in numbers if own else numbers[:1]:
        with contextlib.suppress(LimelightError):
            sizes.append(sum(path.stat().st_size for path in input_files(cones, number)))
    return max(sizes) / 1e6


def covers(study: LineStudy) -> int:
    """How often the subfields cover a light-cone."""
    return len(study.subfields.rotations_deg) * (1 + study.subfields.reflections)


def fields_per_lightcone(study: LineStudy) -> int:
    """Subfields (at most) of one light-cone."""
    return study.subfields.per_side**2 * covers(study)


def maps_per_lightcone(study: LineStudy, line_model: str) -> int:
    """Maps that one light-cone gives (at most) for one line model."""
    return fields_per_lightcone(study) * study.line_models[line_model].draws


def map_mb(study: LineStudy) -> float:
    """Size of one float32 map at full resolution."""
    return 4e-6 * study.grid.pixels**2 * study.grid.channels


def pooled_mb(study: LineStudy) -> float:
    """Size of one float32 map of the dataset that pools least."""
    grids = [pooled_grid(study, name) for name in study.line_models]
    return map_mb(study) / min(grid.pool_pixels**2 * grid.pool_channels for grid in grids)


def stage_costs(study: LineStudy) -> dict[str, StageCost]:
    """The stages from halos to shards, and those of the rival, by the names of their rules."""
    halos, fine, pooled = halos_per_lightcone(study), map_mb(study), pooled_mb(study)
    field_halos = halos / study.subfields.per_side**2
    maps = max(maps_per_lightcone(study, name) for name in study.line_models)
    foreign, cells, keep = foreign_mb(study), cells_per_lightcone(study), study.keep
    painted_s = PAINTED_S_PER_CELL * cells if study.lightcones.source == "painted" else 0.0
    return {
        "lightcone": StageCost(
            10 + 4e-6 * halos + 0.3e-6 * cells + painted_s + FOREIGN_S_PER_MB * foreign,
            600 + 80e-6 * halos + 40e-6 * cells + FOREIGN_MEMORY * foreign,
            27e-6 * halos,
            "lightcones" in keep,
        ),
        "subfields": StageCost(
            0.5e-6 * halos * covers(study),
            (60e-6 + 28e-6 * covers(study)) * halos,
            28e-6 * halos * covers(study),
            "subfields" in keep,
        ),
        "maps": StageCost(
            maps * (0.1e-6 * field_halos + 0.01 * fine), 250e-6 * field_halos + 6 * fine, maps * fine, "maps" in keep
        ),
        "pooled": StageCost(maps * 0.01 * fine, 6 * fine + maps * pooled, maps * pooled * 1.02),
        **rival_costs(study),
    }


def rival_costs(study: LineStudy) -> dict[str, StageCost]:
    """Of the rival's emulator, and of its MCMC over the maps of one test."""
    if not study.rival:
        return {}
    field_halos = halos_per_lightcone(study) / study.subfields.per_side**2
    fields, fine = training_fields(study), map_mb(study)
    each = [_rival_seconds(study, name) for name in study.rival]
    most = max(entry.realisations for entry in study.rival.values())
    samples = max(entry.samples for entry in study.rival.values())
    validating_s = max(_map_posterior_s(entry) * (entry.validation_maps or 0) for entry in study.rival.values())
    emulator_mb = 17e-6 * fields * field_halos + 1.2 * fine * most + 2000
    draws_mb = most_test_rows(study) * 4e-6 * study.labels.bins * samples
    return {
        "rival_emulator": StageCost(max(emulator for emulator, _ in each), emulator_mb, 20),
        "rival": StageCost(max(mcmc for _, mcmc in each), 250e-6 * field_halos + 6 * fine + 2000, draws_mb),
        "rival_validation": StageCost(validating_s, 250e-6 * field_halos + 6 * fine + 2000, draws_mb),
    }


def _map_posterior_s(entry: RivalOptions) -> float:
    """Seconds of a rival's MCMC of one map."""
    return RIVAL_STEP_S * entry.walkers / 32 * entry.steps * entry.ensembles + 2


def _rival_seconds(study: LineStudy, name: str) -> tuple[float, float]:
    """Seconds of a rival's emulator and of its MCMC over the maps of one test."""
    entry, field_halos = study.rival[name], halos_per_lightcone(study) / study.subfields.per_side**2
    fields, fine = training_fields(study), map_mb(study)
    maps = min(most_test_rows(study), entry.maps or most_test_rows(study))
    mcmc_s = _map_posterior_s(entry)
    if entry.observed:
        ways = len({observed_as(study, test) for test in rival_tests(study, name)})
        observing = entry.simulations * ways * (OBSERVE_S + OBSERVE_S_PER_MB * pooled_mb(study))
        return fields * 1e-6 * field_halos + observing, maps * mcmc_s
    one_s = 0.02e-6 * field_halos + 0.02 * fine / (entry.pool_pixels**2 * entry.pool_channels)
    noises = len(study.observation.noise)
    further = entry.simulations + fields * entry.covariance_draws
    painted = 1.2 * entry.nodes * entry.realisations * one_s + further * one_s * (1 + 1.5 * noises)
    return fields * 1e-6 * field_halos + painted, maps * (mcmc_s + 0.01 * fine)


def training_fields(study: LineStudy) -> int:
    """Training subfields, on which rivals and simulations paint."""
    return fields_per_lightcone(study) * len(study.lightcones.train)


def fresh_cost(study: LineStudy) -> SimulationCost:
    """Of a map of a stream; some draws of a prior are rejected for their mean temperature."""
    field_halos = halos_per_lightcone(study) / study.subfields.per_side**2
    each_row_s = 2 * SMC_S_PER_HALO * field_halos + 0.01 * pooled_mb(study)
    return SimulationCost(each_row_s=each_row_s, memory_mb=300e-6 * field_halos)


def simulation_cost(study: LineStudy, posterior: str) -> SimulationCost:
    """Of an IMNN's maps about the prior's mean, and of those that abc: smc paints for every test map."""
    entry = study.posteriors[posterior]
    if entry.kind != "imnn":
        return SimulationCost()
    field_halos = halos_per_lightcone(study) / study.subfields.per_side**2
    maps = entry.imnn.simulations + 10 * entry.imnn.derivatives  # of five parameters
    training_s = maps * (0.1e-6 * field_halos + 0.01 * map_mb(study))
    if entry.abc != "smc":
        return SimulationCost(training_s)
    options, fields = entry.smc, min(entry.smc.fields or training_fields(study), training_fields(study))
    one_s = SMC_S_PER_HALO * field_halos + prediction_s(study) + 0.01 * pooled_mb(study)
    return SimulationCost(
        training_s,
        reading_s=0.5e-6 * field_halos * fields,
        each_row_s=options.particles * options.rounds * SMC_TRIES * one_s,
        memory_mb=(250e-6 + 17e-6 * fields) * field_halos,
    )
