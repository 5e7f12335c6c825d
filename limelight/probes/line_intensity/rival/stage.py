"""The rival's two stages: its emulator from the training light-cones, and its posteriors of a test's maps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.files import settings_hash
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import Intervals, evenly, quantiles_of
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid, make_grid
from limelight.probes.line_intensity.maps.instrument import noise_sigma, smooth
from limelight.probes.line_intensity.maps.paint import paint_draw, prepare_field
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.rival.emulator import Emulator, make_emulator
from limelight.probes.line_intensity.rival.fields import Measure, make_measure, observe, prepare_fields
from limelight.probes.line_intensity.rival.rival import (
    LIKELIHOOD,
    emulator_error,
    luminosity_functions,
    make_rival,
    sample_posterior,
)
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.progress import progress
from limelight.seeds import generator

UNDERLYING = (0.025, 0.5, 0.975)  # quantiles stored of the mean luminosity function
EMULATOR_ERROR = (0.5, 0.95)  # and of the emulator's error over the prior


@dataclass
class RivalMap:
    """One test map in the rival's voxels, without noise."""

    row: int  # among all maps of the test
    lightcone: int
    subfield: int
    draw: int
    cube: np.ndarray  # (x, y, f) float32, mean µK
    parameters: list[float]
    truth: np.ndarray  # (b,) sources per bin
    volume_mpc3: float


def study_geometry(settings: dict, cosmology) -> tuple[Grid, Measure]:
    """(fine grid, the rival's measure) of stage settings."""
    section = {**settings["grid"], **settings["band"], "pool_pixels": 1, "pool_channels": 1}
    grid = make_grid(section, settings["subfields"]["size_deg"])
    return grid, make_measure(settings["rival"], grid, cosmology, settings["beam_fwhm_arcmin"])


def rival_sigma(setting: dict, instrument: dict, grid: Grid, rival: dict) -> float:
    """White noise of an observation.noise entry in µK per rival voxel: less than per fine voxel by √(voxels averaged)."""
    low, high = noise_sigma(setting, instrument, grid)
    if low != high or setting.get("edge_ratio", 1) != 1:
        raise problem("rival: noise", f"{setting}", "one σ for the whole map", "leave that test out of rival tests")
    return low / np.sqrt(rival["pool_pixels"] ** 2 * rival["pool_channels"])


def emulator_stage(settings: dict, paths: Sequence[str | Path]) -> Emulator:
    """The emulator of stage_settings(study, "rival_emulator", name) from subfields files of training light-cones."""
    line_model = settings["line_model"]
    model, shape = get_model(line_model["model"], line_model["parameters"]), get_shape(line_model["model"])
    fields = []
    for path in progress(paths, "read light-cones"):
        subfields = read_subfields(path)
        if subfields.lightcone not in settings["splits"]["train"]:
            expected = f"training light-cones {settings['splits']['train']}"
            raise problem(path, f"light-cone {subfields.lightcone}", expected, "give those: the test must stay unseen")
        grid, measure = study_geometry(settings, subfields.cosmology)
        fields += prepare_fields(subfields, read_subfield_halos(path), shape, measure)
    noise = {
        name: rival_sigma(setting, settings["instrument"], grid, settings["rival"])
        for name, setting in settings["noise"].items()
    }
    return make_emulator(
        fields, model, shape, line_model, settings["rival"], measure, noise, settings["seed"],
        lambda items: progress(items, "paint"),
    )  # fmt: skip


def chosen_rows(settings: dict, counts: dict[int, int]) -> list[tuple[int, int, int, int]]:
    """(row, light-cone, subfield, draw) of the maps to sample: rival.maps of the test's, evenly spread; 0: all of them.

    counts: {light-cone: subfields}, in the order of the test's files; the rows are those of the test's pooled maps.
    """
    draws = settings["test"]["line_model"]["draws"]
    every = [(cone, subfield, draw) for cone, n in counts.items() for subfield in range(n) for draw in range(draws)]
    return [(int(row), *every[row]) for row in evenly(len(every), settings["rival"]["maps"])]


def repaint(settings: dict, paths: Sequence[str | Path]) -> Iterator[RivalMap]:
    """The chosen test maps, painted as maps.paint painted them (same halos, parameters, scatter), in the rival's voxels."""
    line_model = settings["test"]["line_model"]
    model = get_model(line_model["model"], line_model["parameters"])
    tables = {path: read_subfields(path) for path in paths}
    strange = sorted({table.lightcone for table in tables.values()} ^ set(settings["splits"]["test"]))
    if strange:
        expected = f"the test light-cones {settings['splits']['test']}, each once"
        raise problem("--subfields", f"{strange} missing or not of them", expected, "give those")
    order = sorted(paths, key=lambda path: settings["splits"]["test"].index(tables[path].lightcone))
    rows = chosen_rows(settings, {tables[path].lightcone: len(tables[path]) for path in order})
    extended = log10_lum_edges(settings["labels"], EXTENSION_BINS)
    edges = log10_lum_edges(settings["labels"])
    for path in order:
        table, cone = tables[path], tables[path].lightcone
        grid, measure = study_geometry(settings, table.cosmology)
        rival = settings["rival"]
        for subfield, halos in read_subfield_halos(path):
            mine = [row for row in rows if row[1:3] == (cone, subfield)]
            if not mine:
                continue
            center = table.center_deg[subfield]
            field, volume = (
                prepare_field(halos, grid, center, table.cosmology),
                grid.volume_mpc3(table.cosmology, center),
            )
            for row, _, _, draw in mine:
                rng = generator(settings["seed"], f"paint/{line_model['name']}", cone, subfield, draw)
                where = f"line_models.{line_model['name']} on light-cone {cone}, subfield {subfield}, draw {draw}"
                fine, parameters, n_above = paint_draw(field, model, line_model, grid, extended, rng, where)
                cube = pool(fine, rival["pool_pixels"], rival["pool_channels"])
                cube /= rival["pool_pixels"] ** 2 * rival["pool_channels"]
                cube = smooth(cube, measure.beam_fwhm_arcmin, measure.grid.pixel_deg)
                truth = quantity(n_above[: len(edges)], edges, volume, "dn")
                yield RivalMap(row, cone, subfield, draw, cube, list(parameters.values()), truth, volume)


def rival_intervals(
    settings: dict, emulator: Emulator, paths: Sequence[str | Path], chains: str | Path, timed: bool = False
) -> Intervals:
    """Sample the posterior of the chosen maps of one test; chains in a folder of their own below `chains`, resumed.

    settings: stage_settings(study, "rival", name, test); paths: subfields of the test light-cones; timed: keep the seconds.
    The chains' folder is keyed by the settings and the emulator's numbers: no chain of another posterior is taken up. How
    many maps are asked for changes none of them, so more can be asked for later.
    """
    rival_settings, line_model, test = settings["rival"], settings["line_model"], settings["test"]
    model, shape = get_model(line_model["model"], line_model["parameters"]), get_shape(line_model["model"])
    numbers = [float(emulator.outputs.sum()), float(sum(rows.sum() for rows in emulator.data.values()))]
    each = {name: value for name, value in rival_settings.items() if name != "maps"}
    key = settings_hash([{**settings, "rival": each}, numbers, LIKELIHOOD])
    edges, names = log10_lum_edges(settings["labels"]), list(model.parameters)
    same_model = test["line_model"]["model"] == line_model["model"]
    found = {name: [] for name in ("one", "underlying", "samples", "truth", "parameters", "seconds", "rows", "checks")}
    rival = None
    total = rival_settings["maps"] or None
    for one in progress(repaint(settings, paths), "rival", total):
        if rival is None:
            cosmology = read_subfields(paths[0]).cosmology
            grid, measure = study_geometry(settings, cosmology)
            sigma = rival_sigma(test["noise"], settings["instrument"], grid, rival_settings)
            rival = make_rival(emulator, model, shape, line_model, rival_settings, measure, test["noise_name"], sigma)
        start = time.perf_counter()
        index = (one.lightcone, one.subfield, one.draw)
        data = observe(one.cube, sigma, measure, settings["seed"], f"noise of rival test {test['name']}", *index)
        samples, checks = sample_posterior(
            rival, data, rival_settings, Path(chains) / key, key, settings["seed"], *index
        )
        rng = generator(settings["seed"], "rival luminosity functions", *index)
        counts, means = luminosity_functions(rival, samples, edges, one.volume_mpc3, rng)
        found["seconds"].append(time.perf_counter() - start)
        found["one"].append(counts)
        found["underlying"].append(np.quantile(means, UNDERLYING, axis=0).T)
        found["samples"].append(samples)
        found["truth"].append(one.truth)
        found["parameters"].append(one.parameters)
        found["rows"].append((*index, one.row))
        found["checks"].append(checks)
    rows = dict(zip(("lightcone", "subfield", "draw", "row"), np.array(found["rows"]).T, strict=True))
    extra = {name: np.array([checks[name] for checks in found["checks"]]) for name in found["checks"][0]}
    samples = np.array(found["one"])
    low, high = noise_sigma(test["noise"], settings["instrument"], grid)
    return Intervals(
        method=f"rival {settings['name']}: P(k) + VID",
        test=test["name"],
        settings={
            "line_model": test["line_model"],
            "noise": test["noise"],
            "noise_sigma_uk": low,
            "noise_sigma_uk_rival_voxel": sigma,
            "foregrounds": "none",
            "rival": settings["name"],
            "prior": line_model["prior"],
            "emulator_error_sigma": np.quantile(emulator_error(rival), EMULATOR_ERROR).tolist(),
        },
        log10_lum_edges=edges,
        truth=np.array(found["truth"]),
        quantiles=quantiles_of(samples),
        rows={name: rows[name] for name in ("lightcone", "subfield", "draw")},
        seconds=np.array(found["seconds"]) * timed,
        samples=samples,
        parameter_samples=np.array(found["samples"]),
        parameters=np.array(found["parameters"]) if same_model else None,
        parameter_names=names,
        extra={**extra, "row": rows["row"], "underlying": np.array(found["underlying"])},
    )
