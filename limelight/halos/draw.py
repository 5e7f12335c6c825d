"""Where halos are born: Poisson halos in Lagrangian cells, band by band and slab by slab."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from limelight import seeds
from limelight.compiled import compiled_exactly
from limelight.cosmology import COLLAPSE_THRESHOLD, SPEED_OF_LIGHT_KMS, Cosmology
from limelight.halos.conditional import (
    Rate,
    calibrate_contrast,
    calibrated_rate,
    contrast_curvature,
    contrast_variance,
    density_nodes,
)
from limelight.halos.cone import Cone, Slab
from limelight.halos.config import Lightcones
from limelight.halos.exclusion import (
    APART_FROM_MSUN,
    BINS,
    LARGE_SCALE_MPC,
    REDRAWS,
    colliding,
    free_share_sums,
    lagrangian_radius,
    mean_free_share,
    response_change,
    response_sums,
    take_mass,
)
from limelight.halos.kernels import cell_rates, cell_slopes, find_cells, look_up, sum_rows
from limelight.halos.massfunction import band_abundance, band_masses
from limelight.matter.chunks import together
from limelight.matter.initial import (
    Box,
    LinearField,
    field_variances,
    smoothing_radii,
    unresolved_variances,
)
from limelight.matter.smoothing import SmoothedField, smoothed

VARIANCE_SHARE = {"contrast": 0.4, "barrier": 0.4, "exclusion": 0.8}  # κ: a smoothed field has the variance κ σ²(M)
STEEPEST, TINY = 8.0, 1e-12  # slope of the log rate across a cell; a share of a rate that is none
FLATTEST = 1e-3  # slope that stands for the limit of no slope, which is smooth
CHUNK = 1 << 15  # halos placed or moved at a time: what a core's cache holds


@dataclass(frozen=True)
class Bands:
    """Mass bands b at the redshifts of the slabs g."""

    masses: np.ndarray  # (b, t) Msun, at which each band is tabulated, edges included
    cumulative: np.ndarray  # (g, b, t) abundance between a band's lower edge and each of its masses, 1/Mpc³
    s: np.ndarray  # (b,) σ²(M) today
    variance: np.ndarray  # (b,) of the smoothed density on the grid, today
    growth: np.ndarray  # (g,)
    bias: np.ndarray  # (g, b) wanted
    rate: Rate  # (g, b)
    radii: np.ndarray  # (b,) smoothing of the density, Mpc
    curvature: np.ndarray  # (b,) c of the filter 1 − c∇², Mpc²
    evolution: np.ndarray  # (g, b) change of ln abundance per Mpc of distance
    exclusion: bool


@dataclass
class LagrangianHalos:
    """Halos of one slab before they move: places in cells of the slab, (n, 3) as x, y, z, and masses in Msun."""

    place: list[torch.Tensor]
    mass: list[torch.Tensor]


@dataclass(frozen=True)
class CellRates:
    """Rates of cells in rows along x, (m, n) float32, and their sums up to the end of each row, (m,) float64."""

    rates: torch.Tensor
    sums: torch.Tensor


def prepare_bands(lightcones: Lightcones, cone: Cone, slabs: list[Slab], cosmology: Cosmology) -> Bands:
    """Mass bands and their calibrated rates at every slab's redshift."""
    redshifts = cosmology.redshift_at(np.array([slab.distance_mpc for slab in slabs]))
    bands = calibrate_bands(lightcones, cone.box, redshifts, cosmology)
    step, model = 0.02, lightcones.mass_function
    below, above = (band_abundance(bands.masses, redshifts + dz, cosmology, model)[0][..., -1] for dz in (-step, step))
    per_redshift = np.log(above / below) / (2 * step)
    per_mpc = per_redshift * (cosmology.hubble(redshifts) / SPEED_OF_LIGHT_KMS)[:, None]
    return replace(bands, evolution=per_mpc)


def calibrate_bands(
    lightcones: Lightcones, box: Box, redshifts: np.ndarray, cosmology: Cosmology, periodic: bool = False
) -> Bands:
    """Mass bands and rates at given redshifts, without evolution inside a slab."""
    model = lightcones.mass_function
    masses = band_masses(lightcones.mass_min_msun, box.volume, redshifts.min(), cosmology, model)
    cumulative, bias = band_abundance(masses, redshifts, cosmology, model)
    s = cosmology.sigma(np.exp(np.log(masses).mean(axis=1))) ** 2
    method = lightcones.method
    growth = cosmology.growth(redshifts)
    on_grid = field_variances(box, cosmology, periodic)
    if method == "contrast":
        too_short = unresolved_variances(box, cosmology)
        all_waves = tuple(np.concatenate(pair) for pair in zip(on_grid, too_short, strict=True))
        radii, _ = smoothing_radii(VARIANCE_SHARE[method] * s, *all_waves)
        curvature = contrast_curvature(COLLAPSE_THRESHOLD / (np.sqrt(s) * growth.mean()), radii, *all_waves)
        variance = contrast_variance(radii, curvature, *all_waves)
        rate = calibrate_contrast(variance, growth, bias, contrast_variance(radii, curvature, *too_short) / variance)
    else:
        radii, variance = smoothing_radii(VARIANCE_SHARE[method] * s, *on_grid)
        curvature = np.zeros_like(radii)
        rate = calibrated_rate(s, variance, growth, bias)
    still = np.zeros_like(bias)
    return Bands(masses, cumulative, s, variance, growth, bias, rate, radii, curvature, still, method == "exclusion")


def draw_lightcone(
    field: LinearField, cone: Cone, slabs: list[Slab], bands: Bands, cosmology: Cosmology, seed: int, run: Callable
) -> list[LagrangianHalos]:
    """The halos of every slab where they are born, band by band, the heaviest first."""
    halos = [LagrangianHalos([], []) for _ in slabs]
    used = torch.zeros(cone.box.shape) if bands.exclusion else None
    if bands.exclusion:
        large, works = smoothed(field, LARGE_SCALE_MPC)
        together(run, *works)
    memory = [torch.empty_like(field.modes) for _ in range(2)]  # of this band's field and of the next one's

    def smooth(band: int) -> tuple[SmoothedField, list[Callable[[], None]]]:
        return smoothed(field, bands.radii[band], bands.curvature[band], memory[band % 2])

    density, works = smooth(len(bands.radii) - 1)
    together(run, *works)
    for band in reversed(range(len(bands.radii))):
        if bands.exclusion:
            bands = _recalibrate(density, large, used, cone, slabs, bands, band, run)

        def draw(slab: Slab, band: int = band, density: SmoothedField = density, bands: Bands = bands) -> None:
            key = slab.index, band
            log_number = float(np.log(bands.cumulative[key][-1] * cone.box.cell_mpc**3))
            block = density.block(slab.z, slab.y, slab.x).cpu()
            log_rates = log_cell_rates(slab, cone, block, bands, key, log_number)
            if used is not None:
                log_rates += (1 - used[slab.cells]).clamp_(min=TINY).log_()
            rng = seeds.generator(seed, "halos", band, slab.index)
            place, mass, cells = draw_halos(log_rates, bands.masses[band], bands.cumulative[key], rng)
            if used is not None and bands.masses[band][-1] > APART_FROM_MSUN:
                keep_apart(halos[slab.index], place, mass, cells, log_rates, cone.box.cell_mpc, cosmology, rng)
            halos[slab.index].place.append(place)
            halos[slab.index].mass.append(mass)

        def take(slab: Slab) -> None:
            place, mass = halos[slab.index].place[-1], halos[slab.index].mass[-1]
            corner = (slab.x[0], slab.y[0], slab.z[0])
            take_mass(used, corner, place, mass, cone.box.cell_mpc, cosmology, field.long_modes is None)

        works = [partial(draw, slab) for slab in slabs]
        if band > 0:  # the next band's transforms go beside this one's halos
            density, more = smooth(band - 1)
            works += more
        together(run, *works)
        if used is not None and band > 0:
            # Spheres reach into the next slab, never to the one after it: every other slab, then the rest.
            run(take, slabs[::2])
            run(take, slabs[1::2])
    return halos


def keep_apart(
    heavier: LagrangianHalos, place: torch.Tensor, mass: torch.Tensor, cells: CellRates, log_rates: torch.Tensor,
    cell_mpc: float, cosmology: Cosmology, rng: np.random.Generator
) -> None:  # fmt: skip
    """Redraw, in place, halos whose centre lies inside a heavier one's Lagrangian sphere; after some tries they stay."""
    sizes = [lagrangian_radius(m, cosmology) / cell_mpc for m in heavier.mass]
    own = lagrangian_radius(mass, cosmology) / cell_mpc
    for _ in range(REDRAWS):
        bad = colliding(place, own, heavier.place, sizes)
        if not len(bad):
            break
        place[bad] = draw_places(log_rates, cells, rng.random(len(bad)), rng)


def _recalibrate(
    smooth: SmoothedField, large: SmoothedField, used: torch.Tensor, cone: Cone, slabs: list[Slab], bands: Bands,
    band: int, run: Callable
) -> Bands:  # fmt: skip
    """Bands with one band's rate calibrated for what the heavier ones have taken.

    The mean free share at each density restores the abundance. The bias is lowered by the mask in a way that depends on
    more than the local density: it is measured as the change of the rate's response to large-scale density, and α is
    solved for the wanted bias less that change.
    """
    spread = float(np.sqrt(bands.variance[band]))
    shares = np.zeros((len(slabs), 2, len(BINS) - 1))
    responses = np.zeros((len(slabs), 6))

    def measure(slab: Slab) -> None:
        density, around = (one.block(slab.z, slab.y, slab.x).cpu() for one in (smooth, large))
        free = (1 - used[slab.cells]).clamp_(min=0)
        shares[slab.index] = free_share_sums(density, free, spread)
        covariance = (density * around).mean(dtype=torch.float64)
        rates = log_cell_rates(slab, cone, density, bands, (slab.index, band)).exp_()
        responses[slab.index] = response_sums(rates, free, around, covariance)

    run(measure, slabs)
    change = response_change(responses)
    distance = np.array([slab.distance_mpc for slab in slabs])
    free = mean_free_share(shares, distance, density_nodes())
    one = slice(band, band + 1)
    bias = bands.bias[:, one] - change / bands.growth[:, None]
    rate = calibrated_rate(bands.s[one], bands.variance[one], bands.growth, bias, free[:, None])
    columns = {}
    for name in ("factor", "turn", "tilt", "barrier", "slope", "width", "bias_error"):
        values = getattr(bands.rate, name).copy()
        values[:, one] = getattr(rate, name)
        columns[name] = values
    return replace(bands, rate=Rate(**columns))


def log_cell_rates(
    slab: Slab, cone: Cone, density: torch.Tensor, bands: Bands, key: tuple[int, int], log_number: float = 0.0
) -> torch.Tensor:
    """Log of the rates (z, y, x) of one band, exp(log_number) on average at the slab's distance; in the place of density.

    Cells nearer or farther than that follow the abundance's own slope with distance.
    """
    rate, evolution = bands.rate, float(bands.evolution[key])
    z, y, x = (
        torch.arange(*span, dtype=torch.float64) * cone.box.cell_mpc + start
        for span, start in zip((slab.z, slab.y, slab.x), cone.origin_mpc[::-1], strict=True)
    )
    lateral = (evolution * (y[:, None] ** 2 + x**2) / (2 * z.mean())).float()
    depth = (evolution * (z - slab.distance_mpc)).float()
    terms = rate.turn[key], rate.tilt[key], TINY, rate.slope[key], rate.barrier[key], rate.width[key]
    terms = *terms, np.log(rate.factor[key]) + log_number
    compiled_exactly(cell_rates)(density.numpy(), *map(np.float32, terms), lateral.numpy(), depth.numpy())
    return density


def draw_halos(
    log_rates: torch.Tensor, masses: np.ndarray, cumulative: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, CellRates]:
    """Poisson halos of one band in one slab: places in cells (n, 3) as x, y, z, masses (n,) in Msun, and the cells' rates.

    log_rates (z, y, x): of the expected numbers; cumulative (t,): abundance between the band's lower edge and each of
    masses (t,).
    """
    cells = sum_rates(log_rates)
    number = int(rng.poisson(float(cells.sums[-1])))
    gaps = np.cumsum(rng.standard_exponential(number + 1))  # over the last, the order statistics of uniform numbers
    place = draw_places(log_rates, cells, gaps[:-1] / gaps[-1], rng)
    log_mass = np.empty(number)
    compiled_exactly(look_up)(rng.random(number) * cumulative[-1], cumulative, np.log(masses), log_mass)
    return place, torch.from_numpy(np.exp(log_mass).astype(np.float32)), cells


def sum_rates(log_rates: torch.Tensor) -> CellRates:
    """The rates of cells (z, y, x) and their sums, plane by plane: a plane stays in the cache."""
    rates, sums, total = torch.empty_like(log_rates), torch.empty(log_rates.shape[:2], dtype=torch.float64), 0.0
    for z in range(len(log_rates)):
        torch.exp(log_rates[z], out=rates[z])
        compiled_exactly(sum_rows)(rates[z].numpy(), total, sums[z].numpy())
        total = float(sums[z, -1])
    return CellRates(rates.flatten(0, 1), sums.flatten())


def draw_places(
    log_rates: torch.Tensor, cells: CellRates, uniform: np.ndarray, rng: np.random.Generator
) -> torch.Tensor:
    """Places (n, 3) as x, y, z in cells, drawn by the sums of the rates at uniform numbers (n,).

    Inside its cell a halo follows the slope of the log rate there (an exponential between the neighbours, by inverse
    CDF): places uniform in cells would blur the clustering below two cells.
    """
    wanted = uniform * float(cells.sums[-1])
    inside = torch.from_numpy(rng.random((3, len(uniform)), dtype=np.float32))
    place = torch.empty((len(uniform), 3))
    for start in range(0, len(uniform), CHUNK):
        part = slice(start, start + CHUNK)
        chosen = torch.empty(len(wanted[part]), dtype=torch.int64)
        compiled_exactly(find_cells)(cells.rates.numpy(), cells.sums.numpy(), wanted[part], chosen.numpy())
        place_in_cells(inside[:, part], chosen, log_rates)
        place[part] = inside[:, part].T
    return place


def place_in_cells(place: torch.Tensor, chosen: torch.Tensor, log_rates: torch.Tensor) -> None:
    """Turn uniform numbers (3, n) into places x, y, z, in place; chosen (n,): the flat indices of their cells."""
    slope, cell = torch.empty((2, *place.shape))
    bounds = np.float32(STEEPEST), np.float32(FLATTEST)
    compiled_exactly(cell_slopes)(log_rates.numpy(), chosen.numpy(), *bounds, slope.numpy(), cell.numpy())
    place.mul_(torch.expm1(slope)).log1p_().div_(slope).sub_(0.5).add_(cell)
