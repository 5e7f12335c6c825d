"""Rows of datasets: maps and the universes that they are of."""

from dataclasses import replace

import numpy as np

from limelight.cosmology import Cosmology
from limelight.probes.weak_lensing.config import Maps
from limelight.probes.weak_lensing.fields import Square, draw_maps
from limelight.probes.weak_lensing.files import read_realisation
from limelight.probes.weak_lensing.raytracing import nearest, slabs_of, trace_maps
from limelight.probes.weak_lensing.spectra import PARAMETERS, cosmology
from limelight.seeds import generator


def limits(data: Maps) -> np.ndarray:
    """Of the even prior of PARAMETERS, (2, 2)."""
    return np.array([getattr(data, name) for name in PARAMETERS])


def square_of(data: Maps) -> Square:
    """What lognormal and Gaussian maps are drawn on."""
    shift = data.shift if data.kind == "lognormal" else None
    return Square(data.pixels, data.pixel_arcmin, data.source_redshift, shift)


def simulate_maps(data: Maps, seed: int, dataset: str, realisation: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (m, n, n) float32 without noise and their θ (m, 2) of PARAMETERS; m = count but for files."""
    rng = generator(seed, f"maps of {dataset}", realisation)
    if data.kind == "files":
        return read_realisation(data, realisation)
    if data.kind == "ray_traced":
        return ray_traced(data, seed, dataset, realisation, count, rng)
    theta = rng.uniform(*limits(data).T, (count, len(PARAMETERS)))
    return draw_maps(theta, square_of(data), rng), theta


def design(data: Maps, seed: int, realisation: int) -> np.ndarray:
    """θ (2,) of a realisation: a point of a scrambled Sobol sequence over the prior."""
    from scipy.stats import qmc

    number = realisation // data.boxes.realisations_per_cosmology
    sequence = qmc.Sobol(len(PARAMETERS), rng=generator(seed, "design of cosmologies"))
    if number:
        sequence.fast_forward(number)
    low, high = limits(data).T
    return low + (high - low) * sequence.random(1)[0]


def universe_of(data: Maps, seed: int, realisation: int) -> Cosmology:
    """The universe of a realisation, its other parameters drawn or fixed."""
    number = realisation // data.boxes.realisations_per_cosmology
    rng, wanted = generator(seed, "other parameters of cosmologies", number), data.boxes.drawn or {}
    others = {name: float(rng.uniform(*wanted[name])) for name in sorted(wanted)}
    return cosmology(*design(data, seed, realisation), **others)


def ray_traced(
    data: Maps, seed: int, dataset: str, realisation: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Maps through the boxes of one realisation; boxes hang on (seed, dataset, realisation), so that splits share none."""
    from limelight.matter.projected import projected_boxes  # torch, which other maps are drawn without

    theta, boxes = design(data, seed, realisation), data.boxes
    universe = universe_of(data, seed, realisation)
    redshifts = boxes.sources or [[data.source_redshift, 1.0]]
    total = sum(weight for _, weight in redshifts)
    slabs = slabs_of(universe, boxes.side_mpc, max(z for z, _ in redshifts))
    times = np.linspace(1 / (1 + max(z for z, _ in redshifts)), 1.0, boxes.times)
    kept = times[nearest(times, slabs.time)]
    grown, had = universe.growth(1 / slabs.time - 1), universe.growth(1 / kept - 1)
    weights, each = np.zeros_like(slabs.weight), []
    for z, weight in redshifts:
        one = slabs_of(universe, boxes.side_mpc, z)
        one = replace(one, weight=one.weight * grown[: len(one.weight)] / had[: len(one.weight)])
        weights[: len(one.weight)] += one.weight * weight / total
        each.append((weight / total, one))
    drawn = int(generator(seed, f"boxes of {dataset}", realisation).integers(2**62))
    options = {"cosmology": universe, "seed": drawn, "fixed": boxes.pair, "sharpen": boxes.sharpen}
    planes = [
        projected_boxes(boxes.side_mpc, boxes.particles, boxes.mesh, boxes.plane, times, sign=sign, **options)
        for sign in ((1, -1) if boxes.pair else (1,))
    ]
    field = data.pixels * data.pixel_arcmin / 60
    slabs, bent_to = replace(slabs, weight=weights), each if boxes.bent else ()
    maps = trace_maps(planes, times, boxes.side_mpc, slabs, count, field, data.pixels, rng, bent_to)
    return maps, np.tile(theta, (count, 1))
