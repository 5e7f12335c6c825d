"""The rival's two stages: its emulator from the training light-cones, and its posteriors of a test's maps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.files import settings_hash
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import Intervals, evenly, quantiles_of
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid, make_grid
from limelight.probes.line_intensity.maps.instrument import noise_sigma, smooth
from limelight.probes.line_intensity.maps.paint import PaintedMap, paint_subfields
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.rival.emulator import Emulator, make_emulator
from limelight.probes.line_intensity.rival.fields import Measure, make_measure, observe, prepare_fields
from limelight.probes.line_intensity.rival.rival import (
    Rival,
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


def study_grid(settings: dict) -> Grid:
    """The study's fine grid, of stage settings."""
    section = {**settings["grid"], **settings["band"], "pool_pixels": 1, "pool_channels": 1}
    return make_grid(section, settings["subfields"]["size_deg"])


def study_geometry(settings: dict, cosmology) -> tuple[Grid, Measure]:
    """(fine grid, the rival's measure) of stage settings."""
    grid = study_grid(settings)
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


def repaint(settings: dict, paths: Sequence[str | Path]) -> Iterator[tuple[int, int, PaintedMap]]:
    """(row of the test, light-cone, map) of the chosen test maps: the study's own maps, averaged over the rival's voxels.

    The cube is in mean µK, float32, without noise, and smoothed by the beam.
    """
    line_model = settings["test"]["line_model"]
    tables = {path: read_subfields(path) for path in paths}
    strange = sorted({table.lightcone for table in tables.values()} ^ set(settings["splits"]["test"]))
    if strange:
        expected = f"the test light-cones {settings['splits']['test']}, each once"
        raise problem("--subfields", f"{strange} missing or not of them", expected, "give those")
    order = sorted(paths, key=lambda path: settings["splits"]["test"].index(tables[path].lightcone))
    chosen = chosen_rows(settings, {tables[path].lightcone: len(tables[path]) for path in order})
    blocks = settings["rival"]["pool_pixels"], settings["rival"]["pool_channels"]
    for path in order:
        table = tables[path]
        grid, measure = study_geometry(settings, table.cosmology)
        rows = {(subfield, draw): row for row, cone, subfield, draw in chosen if cone == table.lightcone}
        for painted in paint_subfields(
            table,
            read_subfield_halos(path),
            line_model["name"],
            line_model,
            settings["labels"],
            grid,
            settings["seed"],
            rows,
        ):
            cube = pool(painted.cube, *blocks)
            cube /= blocks[0] ** 2 * blocks[1]
            cube = smooth(cube, measure.beam_fwhm_arcmin, measure.grid.pixel_deg)
            yield rows[painted.subfield, painted.draw], table.lightcone, replace(painted, cube=cube)


def rival_intervals(
    settings: dict, emulator: Emulator, paths: Sequence[str | Path], chains: str | Path, timed: bool = False
) -> Intervals:
    """Sample the posterior of the chosen maps of one test; chains in a folder of their own below `chains`, resumed.

    The chains' folder is keyed by the settings and the emulator's numbers: no chain of another posterior is taken up. How
    many maps are asked for changes none of them, so more can be asked for later.

    Parameters
    ----------
    settings : stage_settings(study, "rival", name, test)
    emulator : of the same rival
    paths : subfields of the test light-cones
    chains : folder
    timed : whether to keep the seconds
    """
    numbers = [float(emulator.outputs.sum()), float(sum(rows.sum() for rows in emulator.data.values()))]
    each = {name: value for name, value in settings["rival"].items() if name != "maps"}
    key = settings_hash([{**settings, "rival": each}, numbers])
    rival = _rival_of_test(settings, emulator, read_subfields(paths[0]).cosmology)
    found: dict[str, list] = {}
    for row, lightcone, painted in progress(repaint(settings, paths), "rival", settings["rival"]["maps"] or None):
        index = (lightcone, painted.subfield, painted.draw)
        start = time.perf_counter()
        one = _map_posterior(settings, rival, painted, index, Path(chains) / key, key)
        one |= {"seconds": time.perf_counter() - start, "row": row, "index": index}
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return _as_intervals(settings, rival, {name: np.array(values) for name, values in found.items()}, timed)


def _rival_of_test(settings: dict, emulator: Emulator, cosmology) -> Rival:
    """The rival under the noise of its test."""
    line_model, test = settings["line_model"], settings["test"]
    model, shape = get_model(line_model["model"], line_model["parameters"]), get_shape(line_model["model"])
    grid, measure = study_geometry(settings, cosmology)
    sigma = rival_sigma(test["noise"], settings["instrument"], grid, settings["rival"])
    return make_rival(emulator, model, shape, line_model, settings["rival"], measure, test["noise_name"], sigma)


def _map_posterior(
    settings: dict, rival: Rival, painted: PaintedMap, index: tuple[int, int, int], folder: Path, key: str
) -> dict[str, np.ndarray]:
    """The posterior of one map: its counts, mean counts, parameters and diagnostics, beside the truth.

    Parameters
    ----------
    settings : as for `rival_intervals`
    rival : under the test's noise
    painted : of `repaint`
    index : light-cone, subfield and draw, which key the random streams
    folder, key : of the chains
    """
    seed, name, edges = settings["seed"], settings["test"]["name"], log10_lum_edges(settings["labels"])
    data = observe(painted.cube, rival.sigma_uk, rival.measure, seed, f"noise of rival test {name}", *index)
    samples, checks = sample_posterior(rival, data, settings["rival"], folder, key, seed, *index)
    rng = generator(seed, "rival luminosity functions", *index)
    counts, means = luminosity_functions(rival, samples, edges, painted.volume_mpc3, rng)
    return {
        "counts": counts,
        "underlying": np.quantile(means, UNDERLYING, axis=0).T,
        "samples": samples,
        "truth": quantity(painted.n_above[: len(edges)], edges, painted.volume_mpc3, "dn"),
        "parameters": list(painted.parameters.values()),
        **{f"check {name}": value for name, value in checks.items()},
    }


def _as_intervals(settings: dict, rival: Rival, found: dict[str, np.ndarray], timed: bool) -> Intervals:
    """The intervals file's content from the posteriors of m maps; found: (m, ...) each."""
    line_model, test = settings["line_model"], settings["test"]
    low, _ = noise_sigma(test["noise"], settings["instrument"], study_grid(settings))
    checks = {name.removeprefix("check "): value for name, value in found.items() if name.startswith("check ")}
    return Intervals(
        method=f"rival {settings['name']}: P(k) + VID",
        test=test["name"],
        settings={
            "line_model": test["line_model"],
            "noise": test["noise"],
            "noise_sigma_uk": low,
            "noise_sigma_uk_rival_voxel": rival.sigma_uk,
            "foregrounds": "none",
            "rival": settings["name"],
            "prior": line_model["prior"],
            "emulator_error_sigma": np.quantile(emulator_error(rival), EMULATOR_ERROR).tolist(),
        },
        log10_lum_edges=log10_lum_edges(settings["labels"]),
        truth=found["truth"],
        quantiles=quantiles_of(found["counts"]),
        rows=dict(zip(("lightcone", "subfield", "draw"), found["index"].T, strict=True)),
        seconds=found["seconds"] * timed,
        samples=found["counts"],
        parameter_samples=found["samples"],
        parameters=found["parameters"] if test["line_model"]["model"] == line_model["model"] else None,
        parameter_names=list(get_model(line_model["model"], line_model["parameters"]).parameters),
        extra={**checks, "row": found["row"], "underlying": found["underlying"]},
    )
