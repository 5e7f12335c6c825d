"""Halo light-cones from a seed: a Poisson process in the linear density, moved by second-order perturbation theory.

1. Linear density of a box around the cone, and its LPT displacements (initial.py, cone.py).
2. Per mass band and slab of planes: rate per cell from the conditional mass function (conditional.py, massfunction.py),
   a Poisson number of halos, their cells, places and masses (draw.py, exclusion.py).
3. Per slab: displacement, velocity and redshifts of its halos at their own distance; what leaves the footprint is dropped.

Random numbers come from streams keyed by (seed, band, slab), drawn on the CPU: a seed gives the same halos whatever the
number of threads. Memory: about 40 bytes a cell and 20 bytes a halo.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from limelight.compiled import compiled_exactly
from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.halos.catalogue import COLUMNS, HaloCatalogue
from limelight.halos.cone import Cone, Slab, cut_slabs, place_cone
from limelight.halos.config import Lightcones
from limelight.halos.draw import CHUNK, LagrangianHalos, draw_lightcone, prepare_bands
from limelight.halos.kernels import interpolate_linearly, keep_inside
from limelight.halos.massfunction import mass_definition
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import displacements, linear_field
from limelight.matter.lagrangian import lpt_factors

SHAPES = {"position_mpc": (3,), "velocity_kms": (3,), "mass_msun": (), "redshift": (), "redshift_observed": ()}


def generate_lightcone(
    lightcones: Lightcones,
    redshift_min: float,
    redshift_max: float,
    cosmology: Cosmology,
    seed: int,
    device: str = "cpu",
) -> HaloCatalogue:
    """Make the halos of one light-cone (docs/halos.md says how, and what they match).

    Parameters
    ----------
    lightcones
        The config's section: field_deg (side of the field, degrees), mass_min_msun (Msun, no h), mass_function, cell_mpc
        (comoving Mpc).
    redshift_min, redshift_max
        Observed redshifts between which the catalogue is complete, on the square |x|, |y| ≤ field_deg/2 of the tangent
        plane. It also holds the halos just outside, which painting leaves out.
    cosmology
        Flat ΛCDM.
    seed
        The same seed gives the same halos, on any number of threads.
    device
        cpu or cuda: where fields are transformed.

    Returns
    -------
    HaloCatalogue: position_mpc and velocity_kms (n, 3), comoving Mpc and peculiar km/s, mass_msun, redshift and
    redshift_observed (n,); float32.

    Raises LimelightError for settings that cannot be met.
    """
    mass_definition(lightcones.mass_function)  # refuses an unknown name before any work is done
    cone = place_cone(lightcones.field_deg, redshift_min, redshift_max, cosmology, lightcones.cell_mpc)
    slabs = cut_slabs(cone)
    bands = prepare_bands(lightcones, cone, slabs, cosmology)
    with chunk_runner() as run:
        field = linear_field(cone.box, cosmology, seed, device, run)
        halos = draw_lightcone(field, cone, slabs, bands, cosmology, seed, run)
        psi = displacements(field, run)
        del field
        pieces = move_lightcone(halos, psi, cone, slabs, cosmology, run)
        del psi
        return catalogue_of(pieces, run, lightcones, cone, cosmology)


def catalogue_of(
    pieces: list[dict[str, np.ndarray]], run: Callable, lightcones: Lightcones, cone: Cone, cosmology: Cosmology
) -> HaloCatalogue:
    """The catalogue that the columns of all pieces make together; empties pieces on the way."""
    columns = {}

    def join(name: str) -> None:
        columns[name] = np.concatenate([piece.pop(name) for piece in pieces])

    run(join, COLUMNS)
    if not len(columns["mass_msun"]):
        raise problem(
            "lightcones", "a light-cone without halos", "at least one", "lower mass_min_msun or widen the field"
        )
    redshift_min, redshift_max = cone.redshift_range
    geometry = {
        "field_deg": float(lightcones.field_deg),
        "redshift_min": float(redshift_min),
        "redshift_max": float(redshift_max),
        "mass_min_msun": float(lightcones.mass_min_msun),
        "mass_definition": mass_definition(lightcones.mass_function),
        "cell_mpc": float(cone.box.cell_mpc),
        "box_cells": list(cone.box.shape),
    }
    return HaloCatalogue(**columns, cosmology=cosmology, geometry=geometry)


@dataclass(frozen=True)
class Curves:
    """Smooth functions of distance as quintics over a range: exact to 1e-9 over a slab, and cheap for millions."""

    middle: float
    half: float
    coefficients: np.ndarray  # (functions, 6), the constants first

    def at(self, distance: torch.Tensor) -> list[torch.Tensor]:
        """The values of every function, in the precision of distance (n,)."""
        x = (distance - self.middle) * (1 / self.half)
        values = []
        for row in self.coefficients.tolist():
            total = torch.full_like(x, row[-1])
            for c in row[-2::-1]:
                total.mul_(x).add_(c)
            values.append(total)
        return values


def fit_curves(low: float, high: float, functions: Callable) -> Curves:
    """Quintics through functions(distances (6,)) → (functions, 6) between two distances."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    nodes = np.cos(np.pi * (np.arange(6) + 0.5) / 6)
    return Curves(middle, half, np.polynomial.polynomial.polyfit(nodes, functions(middle + half * nodes).T, 5).T)


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
    place, mass = torch.cat(halos.place), torch.cat(halos.mass)
    (z0, z1), (y0, y1), (x0, x1) = slab.z, slab.y, slab.x
    block = psi[:, z0 - 1 : z1 + 1, y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].permute(1, 2, 3, 0).contiguous().cpu()
    corner, growth, redshift_of = slab_frame(slab, cone, cosmology)
    pieces = [
        move_chunk(place[i : i + CHUNK], mass[i : i + CHUNK], block, corner, growth, redshift_of, cone)
        for i in range(0, max(len(place), 1), CHUNK)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def slab_frame(slab: Slab, cone: Cone, cosmology: Cosmology) -> tuple[torch.Tensor, Curves, Curves]:
    """Position of a slab's place 0 (x, y, z) in Mpc; the growth factors and the redshift in it, by distance."""
    corner = [
        start + span[0] * cone.box.cell_mpc
        for start, span in zip(cone.origin_mpc, (slab.x, slab.y, slab.z), strict=True)
    ]
    corner = torch.tensor(corner, dtype=torch.float32)
    near = corner[2].item() - cone.margin_mpc
    far = corner[2].item() + (slab.z[1] - slab.z[0]) * cone.box.cell_mpc + cone.margin_mpc
    reach = near, float(np.hypot(far, np.sqrt(2) * (cone.half_width * far + cone.margin_mpc)))
    growth = fit_curves(*reach, lambda chi: lpt_factors(cosmology.redshift_at(chi), cosmology))
    return corner, growth, fit_curves(*reach, lambda chi: cosmology.redshift_at(chi)[None])


def move_chunk(
    place: torch.Tensor, mass: torch.Tensor, block: torch.Tensor, corner: torch.Tensor, growth: Curves,
    redshift_of: Curves, cone: Cone
) -> dict[str, np.ndarray]:  # fmt: skip
    """The columns of some halos of a slab. block: displacements around it; corner: position of its place 0, Mpc."""
    fields = interpolate(block, place)
    psi1, psi2 = fields[:, :3], fields[:, 3:]
    position = place * cone.box.cell_mpc + corner
    factors = growth.at(position.square().sum(1).sqrt_())
    position.addcmul_(psi1, factors[0][:, None]).addcmul_(psi2, factors[1][:, None])
    return kept_columns(position, mass, (psi1, psi2), factors[2:], redshift_of, cone)


def kept_columns(
    position: torch.Tensor, mass: torch.Tensor, psi: tuple[torch.Tensor, torch.Tensor], speeds: list[torch.Tensor],
    redshift_of: Curves, cone: Cone
) -> dict[str, np.ndarray]:  # fmt: skip
    """The columns of those halos that stand inside the light-cone. psi: their displacements; speeds: of each, km/s/Mpc."""
    columns = {name: np.empty((len(mass), *shape), np.float32) for name, shape in SHAPES.items()}
    number = compiled_exactly(keep_inside)(
        *(one.numpy() for one in (position, mass, *psi, *speeds)),
        redshift_of.coefficients[0],
        redshift_of.middle,
        1 / redshift_of.half,
        cone.half_width,
        *cone.distance_range,
        SPEED_OF_LIGHT_KMS,
        *columns.values(),
    )
    return {name: values[:number] for name, values in columns.items()}


def interpolate(block: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Six displacement components at places (n, 3) in cells as x, y, z, trilinear between cell centres; (n, 6).

    block (z, y, x, 6), on the CPU, begins one cell before place 0 on every axis.
    """
    found = torch.empty((len(place), block.shape[-1]))
    compiled_exactly(interpolate_linearly)(block.numpy(), place.numpy(), found.numpy())
    return found
