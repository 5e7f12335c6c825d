"""Halo light-cones from a seed: a Poisson process in the linear density, moved by second-order perturbation theory.

1. Linear density of a box around the cone, and its LPT displacements (initial.py, cone.py).
2. Per mass band and slab of planes: rate per cell from the conditional mass function (conditional.py, massfunction.py),
   a Poisson number of halos, their cells, places and masses (draw.py, exclusion.py).
3. Per slab: displacement, velocity and redshifts of its halos at their own distance; what leaves the footprint is dropped.

Random numbers come from streams keyed by (seed, band, slab), drawn on the CPU: a seed gives the same halos whatever the
number of threads. Memory: about 45 bytes a cell and 40 bytes a halo.
"""

from collections.abc import Callable

import numpy as np
import torch

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.chunks import chunk_runner
from limelight.halos.cone import Cone, Slab, cut_slabs, place_cone
from limelight.halos.draw import LagrangianHalos, draw_lightcone, prepare_bands
from limelight.halos.initial import displacements, linear_field
from limelight.halos.massfunction import mass_definition


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
        halos = draw_lightcone(field, cone, slabs, bands, cosmology, seed, run)
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


def move_halos(
    slab: Slab, cone: Cone, halos: LagrangianHalos, psi: torch.Tensor, cosmology: Cosmology
) -> dict[str, np.ndarray]:
    """Displace one slab's halos, give them velocities and redshifts, and keep those inside the light-cone."""
    place = torch.cat(halos.place)
    mass = torch.cat(halos.mass).cpu().numpy()
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
