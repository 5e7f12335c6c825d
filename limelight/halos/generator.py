"""Halo light-cones from a seed: a Poisson process in the linear density, moved by second-order perturbation theory.

1. Linear density of a periodic box around the cone, and its LPT displacements (initial.py).
2. Per mass band and slab of planes: rate per cell from the conditional mass function (conditional.py, massfunction.py),
   a Poisson number of halos, their cells, places and masses.
3. Per slab: displacement, velocity and redshifts of its halos at their own distance; what leaves the footprint is dropped.

Random numbers come from streams keyed by (seed, band, slab), drawn on the CPU: a seed gives the same halos whatever the
number of threads. Memory: about 45 bytes a cell and 90 bytes a halo.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from limelight import seeds
from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.chunks import chunk_runner
from limelight.halos.conditional import Rate, calibrate
from limelight.halos.initial import (
    Box,
    LinearField,
    displacements,
    field_variances,
    good_size,
    linear_field,
    long_block,
    smoothed,
    smoothing_radii,
)
from limelight.halos.massfunction import band_abundance, band_masses, mass_definition

SLAB_MPC = 20.0  # thickness of a slab; abundances evolve log-linearly with distance inside one
VARIANCE_SHARE = 0.4  # κ: a band's density field has the variance κ σ²(M)
MARGIN_SIGMAS = 4.5  # displacements and velocities provided for beyond the edges, in σ of linear theory
MAX_FIELD_DEG = 20.0  # beyond, distances inside one slab differ too much for one set of rates


@dataclass(frozen=True)
class Cone:
    """Where the light-cone lies in its box. Distances in comoving Mpc."""

    box: Box
    origin_mpc: tuple[float, float, float]  # (x, y, z) of the centre of cell 0
    half_width: float  # tan of the half field: |X|, |Y| ≤ half_width · Z
    margin_mpc: float
    distance_range: tuple[float, float]  # of the halos kept
    redshift_range: tuple[float, float]  # complete in observed redshift


@dataclass(frozen=True)
class Slab:
    """Cells [z0, z1) × [y0, y1) × [x0, x1) of the box, and the distance at which its rates are evaluated."""

    index: int
    z: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]
    distance_mpc: float


@dataclass(frozen=True)
class Bands:
    """Mass bands b at the redshifts of the slabs g."""

    masses: np.ndarray  # (b, t) Msun, at which each band is tabulated, edges included
    cumulative: np.ndarray  # (g, b, t) abundance between a band's lower edge and each of its masses, 1/Mpc³
    rate: Rate  # (g, b)
    radii: np.ndarray  # (b,) smoothing of the density, Mpc
    evolution: np.ndarray  # (g, b) change of ln abundance per Mpc of distance


@dataclass
class LagrangianHalos:
    """Halos of one slab before they move: places in cells of the slab, (n, 3) as x, y, z, and masses in Msun."""

    place: list[torch.Tensor]
    mass: list[torch.Tensor]


def generate_lightcone(
    lightcones: dict,
    redshift_min: float,
    redshift_max: float,
    cosmology: Cosmology,
    seed: int,
    device: str = "cpu",
) -> HaloCatalogue:
    """Make the halos of one light-cone.

    lightcones: the config section (field_deg, mass_min_msun, mass_function, cell_mpc). The catalogue is complete for
    observed redshifts in [redshift_min, redshift_max] on the square |x|, |y| ≤ field_deg/2 of the tangent plane; it also
    holds the halos just outside that range, which painting leaves out.
    Raises LimelightError for settings that cannot be met.
    """
    mass_definition(lightcones["mass_function"])  # refuses an unknown name before any work is done
    cone = place_cone(lightcones["field_deg"], redshift_min, redshift_max, cosmology, lightcones["cell_mpc"])
    slabs = cut_slabs(cone)
    bands = prepare_bands(lightcones, cone, slabs, cosmology)
    with chunk_runner(device) as run:
        field = linear_field(cone.box, cosmology, seed, device, run)
        halos = draw_lightcone(field, cone, slabs, bands, seed, run)
        psi = displacements(field, run)
        del field
        pieces = move_lightcone(halos, psi, cone, slabs, cosmology, run)
        del psi
    columns = {}
    for name in ("position_mpc", "velocity_kms", "mass_msun", "redshift", "redshift_observed"):
        columns[name] = np.concatenate([piece.pop(name) for piece in pieces])
    if not len(columns["mass_msun"]):
        raise problem(
            "lightcones", "a light-cone without halos", "at least one", "lower mass_min_msun or widen the field"
        )
    geometry = {
        "field_deg": float(lightcones["field_deg"]),
        "redshift_min": float(redshift_min),
        "redshift_max": float(redshift_max),
        "mass_min_msun": float(lightcones["mass_min_msun"]),
        "mass_definition": mass_definition(lightcones["mass_function"]),
        "cell_mpc": float(cone.box.cell_mpc),
        "box_cells": list(cone.box.shape),
    }
    return HaloCatalogue(**columns, cosmology=cosmology, geometry=geometry)


def place_cone(
    field_deg: float, redshift_min: float, redshift_max: float, cosmology: Cosmology, cell_mpc: float
) -> Cone:
    """The box around the cone: its footprint at the far edge and margins for displacements and velocities on all sides."""
    if not 0 < field_deg <= MAX_FIELD_DEG:
        raise problem(
            "lightcones: field_deg", f"{field_deg:g}", f"at most {MAX_FIELD_DEG:g} degrees", "make narrower light-cones"
        )
    if not 0 < redshift_min < redshift_max <= 20:
        raise problem(
            "grid: freq_min_ghz, freq_max_ghz, rest_freq_ghz",
            f"redshifts {redshift_min:.4g} to {redshift_max:.4g}",
            "0 < lowest < highest ≤ 20",
            "mend the band or the rest frequency",
        )
    ends = np.array([redshift_min, redshift_max])
    scatter = MARGIN_SIGMAS * (1 + ends) * cosmology.velocity_rms(ends) / SPEED_OF_LIGHT_KMS
    low, high = ends + scatter * [-1, 1]
    margin = MARGIN_SIGMAS * float(cosmology.growth(redshift_min)) * cosmology.displacement_rms
    half_width = float(np.radians(field_deg / 2))
    if low <= 0 or cosmology.comoving_distance(low) < 2 * margin:
        raise problem(
            "grid: freq_max_ghz",
            f"lowest redshift {redshift_min:.4g}",
            "a light-cone that begins well beyond the observer",
            "lower freq_max_ghz",
        )
    nearest, farthest = cosmology.comoving_distance(np.array([low, high]))
    front = nearest / np.sqrt(1 + 2 * half_width**2) - margin
    depth = good_size((farthest + margin - front) / cell_mpc + 4)
    width = good_size(2 * (half_width * farthest + margin) / cell_mpc + 4)
    lateral = -0.5 * (width - 1) * cell_mpc
    return Cone(
        box=Box((depth, width, width), cell_mpc),
        origin_mpc=(lateral, lateral, front - 2 * cell_mpc),
        half_width=half_width,
        margin_mpc=margin,
        distance_range=(float(nearest), float(farthest)),
        redshift_range=(redshift_min, redshift_max),
    )


def cut_slabs(cone: Cone) -> list[Slab]:
    """Slabs of planes along the line of sight, each as wide as the cone and its margin need there."""
    cell = cone.box.cell_mpc
    planes = max(1, round(SLAB_MPC / cell))
    depth, width, _ = cone.box.shape
    last = min(depth - 2, int(np.ceil((cone.distance_range[1] + cone.margin_mpc - cone.origin_mpc[2]) / cell)) + 1)
    slabs = []
    for index, z0 in enumerate(range(1, last, planes)):
        z1 = min(z0 + planes, last)
        far = cone.origin_mpc[2] + z1 * cell
        half_cells = (cone.half_width * (far + cone.margin_mpc) + cone.margin_mpc) / cell
        low = max(1, int(np.floor(0.5 * (width - 1) - half_cells)))
        middle = cone.origin_mpc[2] + 0.5 * (z0 + z1 - 1) * cell
        distance = middle * np.sqrt(1 + 2 / 3 * cone.half_width**2)
        slabs.append(Slab(index, (z0, z1), (low, width - low), (low, width - low), distance))
    return slabs


def prepare_bands(lightcones: dict, cone: Cone, slabs: list[Slab], cosmology: Cosmology) -> Bands:
    """Mass bands and their calibrated rates at every slab's redshift."""
    redshifts = cosmology.redshift_at(np.array([slab.distance_mpc for slab in slabs]))
    variances = field_variances(cone.box, cosmology)
    bands = calibrate_bands(lightcones, cone.box.volume, redshifts, variances, cosmology)
    step, model = 0.02, lightcones["mass_function"]
    below, above = (band_abundance(bands.masses, redshifts + dz, cosmology, model)[0][..., -1] for dz in (-step, step))
    per_redshift = np.log(above / below) / (2 * step)
    per_mpc = per_redshift * (cosmology.hubble(redshifts) / SPEED_OF_LIGHT_KMS)[:, None]
    return replace(bands, evolution=per_mpc)


def calibrate_bands(
    lightcones: dict, volume_mpc3: float, redshifts: np.ndarray, variances: tuple, cosmology: Cosmology
) -> Bands:
    """Mass bands and rates at given redshifts, without evolution inside a slab."""
    model = lightcones["mass_function"]
    masses = band_masses(lightcones["mass_min_msun"], volume_mpc3, redshifts.min(), cosmology, model)
    cumulative, bias = band_abundance(masses, redshifts, cosmology, model)
    s = cosmology.sigma(np.exp(np.log(masses).mean(axis=1))) ** 2
    radii, variance = smoothing_radii(VARIANCE_SHARE * s, *variances)
    rate = calibrate(s, variance, cosmology.growth(redshifts), bias)
    return Bands(masses, cumulative, rate, radii, np.zeros_like(bias))


def draw_lightcone(
    field: LinearField, cone: Cone, slabs: list[Slab], bands: Bands, seed: int, run: Callable
) -> list[LagrangianHalos]:
    """The halos of every slab where they are born, band by band."""
    halos = [LagrangianHalos([], []) for _ in slabs]
    for band, radius in enumerate(bands.radii):
        short, coarse = smoothed(field, radius)

        def draw(slab: Slab, band: int = band, short: torch.Tensor = short, coarse: torch.Tensor = coarse) -> None:
            key = slab.index, band
            density = short[slice(*slab.z), slice(*slab.y), slice(*slab.x)].clone()
            if coarse is not None:
                density += long_block(field, coarse, slab.z, slab.y, slab.x)
            rates = cell_rates(slab, cone, density, bands, key)
            rates *= float(bands.cumulative[key][-1]) * cone.box.cell_mpc**3
            rng = seeds.generator(seed, "halos", band, slab.index)
            place, mass = draw_halos(rates, bands.masses[band], bands.cumulative[key], rng)
            halos[slab.index].place.append(place)
            halos[slab.index].mass.append(mass)

        run(draw, slabs)
    return halos


def move_lightcone(
    halos: list[LagrangianHalos], psi: torch.Tensor, cone: Cone, slabs: list[Slab], cosmology: Cosmology, run: Callable
) -> list[dict[str, np.ndarray]]:
    """The columns of every slab's halos after they moved; empties halos on the way."""
    pieces: list[dict[str, np.ndarray]] = [{} for _ in slabs]

    def move(slab: Slab) -> None:
        pieces[slab.index] = move_halos(slab, cone, halos[slab.index], psi, cosmology)
        halos[slab.index] = LagrangianHalos([], [])

    run(move, slabs)
    return pieces


def cell_rates(slab: Slab, cone: Cone, density: torch.Tensor, bands: Bands, key: tuple[int, int]) -> torch.Tensor:
    """Relative rates (z, y, x) of one band, 1 on average at the slab's distance; the density block is overwritten.

    Cells nearer or farther than that follow the abundance's own slope with distance.
    """
    rate, evolution = bands.rate, float(bands.evolution[key])
    density *= -float(rate.slope[key])
    exponent = (density + float(rate.barrier[key])).square_().mul_(-float(rate.width[key]))
    z, y, x = (
        torch.arange(*span, device=density.device, dtype=torch.float64) * cone.box.cell_mpc + start
        for span, start in zip((slab.z, slab.y, slab.x), cone.origin_mpc[::-1], strict=True)
    )
    exponent += (evolution * (y[:, None] ** 2 + x**2) / (2 * z.mean())).float()
    exponent += (evolution * (z - slab.distance_mpc)).float()[:, None, None]
    return density.add_(float(rate.turn[key])).clamp_(min=0).mul_(exponent.exp_()).mul_(float(rate.factor[key]))


def draw_halos(
    rates: torch.Tensor, masses: np.ndarray, cumulative: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poisson halos of one band in one slab: places in cells (n, 3) as x, y, z and masses (n,) in Msun, sorted by cell.

    rates (z, y, x): expected numbers; cumulative (t,): abundance between the band's lower edge and each of masses (t,).
    """
    _, ny, nx = rates.shape
    running = torch.cumsum(rates.flatten(), 0, dtype=torch.float64)
    number = int(rng.poisson(float(running[-1])))
    gaps = np.cumsum(rng.standard_exponential(number + 1))  # over the last, the order statistics of uniform numbers
    wanted = torch.from_numpy(gaps[:-1] / gaps[-1]).to(rates.device) * running[-1]
    chosen = torch.searchsorted(running, wanted, right=True).clamp_(max=len(running) - 1)
    place = torch.from_numpy(rng.random((number, 3), dtype=np.float32)).to(rates.device) - 0.5
    row = torch.div(chosen, nx, rounding_mode="floor")
    place[:, 0] += chosen - row * nx
    place[:, 1] += row % ny
    place[:, 2] += torch.div(row, ny, rounding_mode="floor")
    mass = np.exp(np.interp(rng.random(number) * cumulative[-1], cumulative, np.log(masses)))
    return place, torch.from_numpy(mass.astype(np.float32))


def move_halos(
    slab: Slab, cone: Cone, halos: LagrangianHalos, psi: torch.Tensor, cosmology: Cosmology
) -> dict[str, np.ndarray]:
    """Displace one slab's halos, give them velocities and redshifts, and keep those inside the light-cone."""
    place = torch.cat(halos.place)
    mass = torch.cat(halos.mass).numpy()
    (z0, z1), (y0, y1), (x0, x1) = slab.z, slab.y, slab.x
    fields = interpolate(psi[z0 - 1 : z1 + 1, y0 - 1 : y1 + 1, x0 - 1 : x1 + 1], place)
    corner = [
        start + span[0] * cone.box.cell_mpc
        for start, span in zip(cone.origin_mpc, (slab.x, slab.y, slab.z), strict=True)
    ]
    position = (
        place.double().mul_(cone.box.cell_mpc).add_(torch.tensor(corner, dtype=torch.float64, device=place.device))
    )
    distance = position.square().sum(1).sqrt_()
    first, second, first_speed, second_speed = growth_coefficients(distance, cosmology)
    psi1, psi2 = fields[:, :3], fields[:, 3:]
    position.addcmul_(psi1, first[:, None]).addcmul_(psi2, second[:, None])
    velocity = (psi1 * first_speed[:, None]).addcmul_(psi2, second_speed[:, None]).float()
    position = position.float()
    exact = position.double()  # what a reader of the float32 file will compute with
    distance = exact.square().sum(1).sqrt_()
    edge = cone.half_width * exact[:, 2]
    inside = (exact[:, 0].abs() <= edge) & (exact[:, 1].abs() <= edge)
    inside &= (distance >= cone.distance_range[0]) & (distance <= cone.distance_range[1])
    exact, distance, velocity = exact[inside], distance[inside], velocity[inside]
    redshift = polynomial(distance, cosmology.redshift_at)
    along = (exact * velocity).sum(1) / distance
    observed = redshift + (1 + redshift) * along / SPEED_OF_LIGHT_KMS
    return {
        "position_mpc": position[inside].cpu().numpy(),
        "velocity_kms": velocity.cpu().numpy(),
        "mass_msun": mass[inside.cpu().numpy()],
        "redshift": redshift.float().cpu().numpy(),
        "redshift_observed": observed.float().cpu().numpy(),
    }


def interpolate(block: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Six displacement components at places (n, 3) in cells as x, y, z, trilinear between cell centres; (n, 6).

    block (z, y, x, 6) begins one cell before place 0 on every axis.
    """
    size = torch.tensor([block.shape[2], block.shape[1], block.shape[0]], device=place.device)
    where = (place + 1) * (2 / (size - 1)) - 1
    sampled = torch.nn.functional.grid_sample(
        block.permute(3, 0, 1, 2)[None],
        where[None, None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return sampled[0, :, 0, 0].T.contiguous()


def growth_coefficients(distance: torch.Tensor, cosmology: Cosmology) -> list[torch.Tensor]:
    """Factors of ψ1 and ψ2 in the displacement (Mpc) and in the velocity (km/s) at a comoving distance."""

    return list(polynomial(distance, lambda chi: lpt_factors(cosmology.redshift_at(chi), cosmology)))


def lpt_factors(z: np.ndarray | float, cosmology: Cosmology) -> np.ndarray:
    """Factors of ψ1 and ψ2 in the displacement, then in the velocity (km/s/Mpc), at redshift z; (4, ...)."""
    omega, first = cosmology.omega_m_at(z), cosmology.growth(z)
    second = 3 / 7 * first**2 * omega ** (-1 / 143)
    speed = cosmology.hubble(z) / (1 + z)
    return np.stack([first, second, speed * omega ** (5 / 9) * first, speed * 2 * omega ** (6 / 11) * second])


def polynomial(distance: torch.Tensor, function) -> torch.Tensor:
    """A smooth function of distance by a quintic through its range: exact to 1e-9 over a slab, and cheap for millions."""
    if not len(distance):
        return torch.from_numpy(np.atleast_1d(function(np.array([1.0])))[..., :0]).to(distance.device)
    low, high = float(distance.min()), float(distance.max()) + 1e-6
    nodes = np.cos(np.pi * (np.arange(6) + 0.5) / 6)
    values = function(0.5 * (low + high) + 0.5 * (high - low) * nodes)
    coefficients = np.polynomial.polynomial.polyfit(nodes, np.atleast_2d(values).T, 5)  # (6, functions)
    x = (distance - 0.5 * (low + high)) * (2 / (high - low))
    rows = []
    for column in coefficients.T:
        total = torch.full_like(x, column[-1])
        for c in column[-2::-1]:
            total.mul_(x).add_(c)
        rows.append(total)
    return torch.stack(rows) if values.ndim > 1 else rows[0]
