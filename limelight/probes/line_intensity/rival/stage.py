"""The rival's two stages: its emulator from the training light-cones, and its posteriors of a test's maps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.files import settings_hash
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import Intervals, evenly, quantiles_of
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.instrument import noise_sigma, smooth
from limelight.probes.line_intensity.maps.paint import PaintedMap, paint_subfields
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.rival.emulator import Emulator, make_emulator
from limelight.probes.line_intensity.rival.fields import Measure, make_measure, noisy_summaries, prepare_fields
from limelight.probes.line_intensity.rival.rival import (
    LIKELIHOOD,
    Rival,
    emulator_error,
    luminosity_functions,
    make_rival,
    sample_posterior,
)
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.probes.line_intensity.settings import EmulatorSettings, RivalSettings
from limelight.probes.line_intensity.targets import line_axis
from limelight.progress import progress
from limelight.section import plain, without
from limelight.seeds import generator

UNDERLYING = (0.025, 0.5, 0.975)  # quantiles stored of the mean luminosity function
EMULATOR_ERROR = (0.5, 0.95)  # and of the emulator's error over the prior


def rival_measure(settings: EmulatorSettings, cosmology: Cosmology) -> Measure:
    """The rival's summaries on the study's maps; cosmology: of the halos, which may have their own."""
    return make_measure(settings.options, settings.grid, cosmology, settings.beam_fwhm_arcmin)


def rival_sigma(noise: Noise, settings: EmulatorSettings) -> float:
    """White noise in µK per rival voxel: less than per fine voxel by √(voxels averaged)."""
    low, _ = noise_sigma(noise, settings.instrument, settings.grid)
    if not noise.uniform:
        expected, fix = "one σ for the whole map", "leave that test out of rival tests"
        raise problem("rival: noise", f"{plain(noise)}", expected, fix)
    return low / np.sqrt(settings.options.pool_pixels**2 * settings.options.pool_channels)


def emulator_stage(settings: EmulatorSettings, paths: Sequence[str | Path]) -> Emulator:
    """A rival's emulator from subfields files of training light-cones."""
    dataset = settings.dataset
    model, shape = get_model(dataset.model, dataset.parameters), get_shape(dataset.model)
    fields = []
    for path in progress(paths, "read light-cones"):
        subfields = read_subfields(path)
        if subfields.lightcone not in settings.train:
            expected = f"training light-cones {settings.train}"
            raise problem(path, f"light-cone {subfields.lightcone}", expected, "give those: the test must stay unseen")
        measure = rival_measure(settings, subfields.cosmology)
        fields += prepare_fields(subfields, read_subfield_halos(path), shape, measure.grid)
    noise = {name: rival_sigma(each, settings) for name, each in settings.noise.items()}
    seed = settings.subfields.lightcone.seed
    return make_emulator(
        fields, model, shape, dataset, settings.options, measure, noise, seed, lambda items: progress(items, "paint")
    )


def chosen_rows(settings: RivalSettings, counts: dict[int, int]) -> list[tuple[int, int, int, int]]:
    """(row, light-cone, subfield, draw) of the maps to sample: rival.maps of the test's, evenly spread; 0: all of them.

    counts: {light-cone: subfields}, in the order of the test's files; the rows are those of the test's shards.
    """
    draws = range(settings.maps.dataset.draws)
    every = [(cone, subfield, draw) for cone, n in counts.items() for subfield in range(n) for draw in draws]
    return [(int(row), *every[row]) for row in evenly(len(every), settings.options.maps)]


def repaint(settings: RivalSettings, paths: Sequence[str | Path]) -> Iterator[tuple[int, int, PaintedMap]]:
    """(row of the test, light-cone, map) of the chosen test maps: the study's own maps, averaged over the rival's voxels.

    The cube is in mean µK, float32, without noise, and smoothed by the beam.
    """
    tables = {path: read_subfields(path) for path in paths}
    strange = sorted({table.lightcone for table in tables.values()} ^ set(settings.lightcones))
    if strange:
        expected = f"the test light-cones {settings.lightcones}, each once"
        raise problem("--subfields", f"{strange} missing or not of them", expected, "give those")
    order = sorted(paths, key=lambda path: settings.lightcones.index(tables[path].lightcone))
    chosen = chosen_rows(settings, {tables[path].lightcone: len(tables[path]) for path in order})
    maps, blocks = settings.maps, (settings.options.pool_pixels, settings.options.pool_channels)
    for path in order:
        table = tables[path]
        measure = rival_measure(settings.emulator, table.cosmology)
        rows = {(subfield, draw): row for row, cone, subfield, draw in chosen if cone == table.lightcone}
        halos, labels = read_subfield_halos(path), maps.labels
        for painted in paint_subfields(table, halos, maps.name, maps.dataset, labels, maps.grid, maps.seed, rows):
            cube = pool(painted.cube, *blocks)
            cube /= blocks[0] ** 2 * blocks[1]
            cube = smooth(cube, measure.beam_fwhm_arcmin, measure.grid.pixel_deg)
            yield rows[painted.subfield, painted.draw], table.lightcone, replace(painted, cube=cube)


def rival_intervals(
    settings: RivalSettings,
    emulator: Emulator,
    paths: Sequence[str | Path],
    chains: str | Path,
    timed: bool = False,
) -> Intervals:
    """Sample the posterior of the chosen maps of one test; chains in a folder of their own below `chains`, resumed.

    The chains' folder is keyed by the settings and the emulator's numbers: no chain of another posterior is resumed. The
    number of maps does not affect a chain, so more maps can be requested later.

    Parameters
    ----------
    emulator
        Of the same rival.
    paths
        Subfields of the test light-cones.
    chains
        A folder.
    timed
        Whether to keep the seconds.
    """
    numbers = [float(emulator.outputs.sum()), float(sum(rows.sum() for rows in emulator.data.values()))]
    key = settings_hash([replace(settings, options=without(settings.options, "maps")), numbers, LIKELIHOOD])
    rival = _rival_of_test(settings, emulator, read_subfields(paths[0]).cosmology)
    found: dict[str, list] = {}
    for row, lightcone, painted in progress(repaint(settings, paths), "rival", settings.options.maps or None):
        index = (lightcone, painted.subfield, painted.draw)
        start = time.perf_counter()
        one = _map_posterior(settings, rival, painted, index, Path(chains) / key, key)
        one |= {"seconds": time.perf_counter() - start, "row": row, "index": index}
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return _as_intervals(settings, rival, {name: np.array(values) for name, values in found.items()}, timed)


def _rival_of_test(settings: RivalSettings, emulator: Emulator, cosmology: Cosmology) -> Rival:
    """The rival under the noise of its test."""
    dataset, name = settings.emulator.dataset, settings.noise_name
    model, shape = get_model(dataset.model, dataset.parameters), get_shape(dataset.model)
    sigma = rival_sigma(settings.emulator.noise[name], settings.emulator)
    measure = rival_measure(settings.emulator, cosmology)
    return make_rival(emulator, model, shape, dataset, settings.options, measure, name, sigma)


def _map_posterior(
    settings: RivalSettings, rival: Rival, painted: PaintedMap, index: tuple[int, int, int], folder: Path, key: str
) -> dict[str, np.ndarray]:
    """The posterior of one map: its counts, mean counts, parameters and diagnostics, beside the truth.

    Parameters
    ----------
    rival
        Under the test's noise.
    painted
        Of `repaint`.
    index
        Light-cone, subfield and draw, which key the random streams.
    folder, key
        Of the chains.
    """
    seed, edges = settings.maps.seed, log10_lum_edges(plain(settings.maps.labels))
    stage = f"noise of rival test {settings.test}"
    data = noisy_summaries(painted.cube, rival.sigma_uk, rival.measure, seed, stage, *index)
    samples, checks = sample_posterior(rival, data, settings.options, folder, key, seed, *index)
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


def _as_intervals(settings: RivalSettings, rival: Rival, found: dict[str, np.ndarray], timed: bool) -> Intervals:
    """The intervals file's content from the posteriors of m maps; found: (m, ...) each."""
    emulator, maps = settings.emulator, settings.maps
    noise = emulator.noise[settings.noise_name]
    low, _ = noise_sigma(noise, emulator.instrument, emulator.grid)
    checks = {name.removeprefix("check "): value for name, value in found.items() if name.startswith("check ")}
    lightcone, subfield, draw = found["index"].T
    return Intervals(
        method=f"rival {emulator.name}: P(k) + VID",
        test=settings.test,
        settings={
            "dataset": maps.name,
            "line_model": {"name": maps.name, **plain(maps.dataset)},
            "noise": plain(noise),
            "noise_sigma_uk": low,
            "noise_sigma_uk_rival_voxel": rival.sigma_uk,
            "foregrounds": "none",
            "rival": emulator.name,
            "prior": emulator.dataset.prior,
            "emulator_error_sigma": np.quantile(emulator_error(rival), EMULATOR_ERROR).tolist(),
        },
        axis=line_axis(log10_lum_edges(plain(maps.labels))),
        truth=found["truth"],
        quantiles=quantiles_of(found["counts"]),
        rows={"group": lightcone, "subfield": subfield, "draw": draw},
        seconds=found["seconds"] * timed,
        samples=found["counts"],
        parameter_samples=found["samples"],
        parameters=found["parameters"] if maps.dataset.model == emulator.dataset.model else None,
        parameter_names=list(get_model(emulator.dataset.model, emulator.dataset.parameters).parameters),
        extra={**checks, "row": found["row"], "underlying": found["underlying"]},
    )
