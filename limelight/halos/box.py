"""The generator in box mode: a periodic cube at one redshift, where clustering is measured against theory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.halos.cone import Cone, Slab
from limelight.halos.config import Lightcones
from limelight.halos.draw import LagrangianHalos, calibrate_bands, draw_lightcone
from limelight.halos.generator import interpolate
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import PLANES, Box, LinearField, displacements, periodic_field, resampled
from limelight.matter.lagrangian import lpt_factors


@dataclass
class HaloBox:
    """Halos of a periodic cube; positions in [0, side). matter: the displaced cells, equal shares of all mass."""

    side_mpc: float
    redshift: float
    position_mpc: np.ndarray  # (n, 3) comoving, float32
    velocity_kms: np.ndarray  # (n, 3)
    mass_msun: np.ndarray  # (n,)
    matter_mpc: np.ndarray  # (cells, 3)
    matter_kms: np.ndarray  # (cells, 3)


def generate_box(
    lightcones: Lightcones, side_mpc: float, redshift: float, cosmology: Cosmology, seed: int, device: str = "cpu",
    modes: torch.Tensor | None = None
) -> HaloBox:  # fmt: skip
    """Halos of a periodic cube of side_mpc (rounded to an even number of cells) at one redshift.

    lightcones: the config section, as for generate_lightcone. modes: those of an earlier run (rfftn of its density) to be
    used instead of drawing the density: the same universe on another grid.
    """
    cone, slabs = periodic_slabs(side_mpc, lightcones.cell_mpc, redshift)
    box = cone.box
    bands = calibrate_bands(lightcones, box, np.full(len(slabs), redshift), cosmology, periodic=True)
    with chunk_runner() as run:
        field = box_field(box, cosmology, seed, device, run, modes)
        halos = draw_lightcone(field, cone, slabs, bands, cosmology, seed, run)
        psi = displacements(field, run)
    moved = [move_in_box(slab, halos[slab.index], psi, box.cell_mpc, redshift, cosmology) for slab in slabs]
    masses = torch.cat([torch.cat(slab.mass) for slab in halos]).cpu().numpy()
    return box_of([*zip(*moved, strict=True)], masses, psi, box, redshift, cosmology)


def periodic_slabs(side_mpc: float, cell_mpc: float, redshift: float) -> tuple[Cone, list[Slab]]:
    """A cube of an even number of cells at one redshift in the guise of a light-cone, and the slabs of all its cells."""
    cells = 2 * round(side_mpc / cell_mpc / 2)
    cone = Cone(Box((cells,) * 3, cell_mpc), (0.0, 0.0, 0.0), 0.0, 0.0, (0.0, 0.0), (redshift, redshift))
    return cone, [
        Slab(i, (z, min(z + PLANES, cells)), (0, cells), (0, cells), 0.0) for i, z in enumerate(range(0, cells, PLANES))
    ]


def box_field(
    box: Box, cosmology: Cosmology, seed: int, device: str, run: Callable, modes: torch.Tensor | None
) -> LinearField:
    """The density of a periodic cube: drawn, or of modes of an earlier run."""
    if modes is None:
        return periodic_field(box, cosmology, seed, device, run)
    return LinearField(box, resampled(modes, box.shape[0]).to(device))


def box_of(
    moved: list[tuple[np.ndarray, ...]], masses: np.ndarray, psi: torch.Tensor, box: Box, redshift: float,
    cosmology: Cosmology
) -> HaloBox:  # fmt: skip
    """The box that halos make, with the matter of its displacements. moved: positions of all slabs, and velocities."""
    first, second, first_speed, second_speed = lpt_factors(redshift, cosmology)
    cells, cell = box.shape[0], box.cell_mpc
    grid = torch.stack(torch.meshgrid(*[torch.arange(cells, dtype=torch.float32) * cell] * 3, indexing="ij")[::-1], -1)
    psi = psi.cpu().permute(1, 2, 3, 0)
    matter = (grid + psi[..., :3] * float(first) + psi[..., 3:] * float(second)).reshape(-1, 3).numpy()
    matter_kms = (psi[..., :3] * float(first_speed) + psi[..., 3:] * float(second_speed)).reshape(-1, 3).numpy()
    side = cells * cell
    return HaloBox(
        side_mpc=side,
        redshift=redshift,
        position_mpc=_wrapped(np.concatenate(moved[0]), side),
        velocity_kms=np.concatenate(moved[1]),
        mass_msun=masses,
        matter_mpc=_wrapped(matter, side),
        matter_kms=matter_kms,
    )


def move_in_box(
    slab: Slab, halos: LagrangianHalos, psi: torch.Tensor, cell: float, redshift: float, cosmology: Cosmology
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of a slab's halos after they moved, not yet brought back into the cube."""
    place = torch.cat(halos.place)
    block = psi[:, torch.arange(slab.z[0] - 1, slab.z[1] + 1, device=psi.device) % psi.shape[1]]
    around = torch.arange(-1, psi.shape[2] + 1, device=psi.device) % psi.shape[2]
    fields = interpolate(block[:, :, around][..., around].permute(1, 2, 3, 0).contiguous().cpu(), place)
    first, second, first_speed, second_speed = (float(f) for f in lpt_factors(redshift, cosmology))
    start = torch.tensor([0.0, 0.0, slab.z[0] * cell])
    position = place * cell + start + fields[:, :3] * first + fields[:, 3:] * second
    velocity = fields[:, :3] * first_speed + fields[:, 3:] * second_speed
    return position.cpu().numpy(), velocity.cpu().numpy()


def _wrapped(position: np.ndarray, side: float) -> np.ndarray:
    inside = np.mod(position, np.float32(side))
    inside[inside >= side] = 0  # a hair below 0 rounds up to the side itself
    return inside
