"""Where a light-cone lies in its box of cells, and the slabs in which it is worked through."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem

if TYPE_CHECKING:  # configs are checked against MAX_FIELD_DEG, which torch would hold up
    from limelight.matter.initial import Box

SLAB_MPC = 20.0  # thickness of a slab; abundances evolve log-linearly with distance inside one
MARGIN_SIGMAS = 4.5  # displacements and velocities provided for beyond the edges, in σ of linear theory
MIN_WIDTH_MPC = 200.0  # of the box: a narrower one would need many more coarse cells for its long waves
MAX_FIELD_DEG = 20.0  # beyond, distances inside one slab differ too much for one set of rates


@dataclass(frozen=True)
class Cone:
    """Where the light-cone lies in its box. Distances in comoving Mpc."""

    box: "Box"
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

    @property
    def cells(self) -> tuple[slice, slice, slice]:
        return slice(*self.z), slice(*self.y), slice(*self.x)


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
    from limelight.matter.initial import Box, good_size

    nearest, farthest = cosmology.comoving_distance(np.array([low, high]))
    front = nearest / np.sqrt(1 + 2 * half_width**2) - margin
    depth = good_size((farthest + margin - front) / cell_mpc + 4)
    width = good_size(max(2 * (half_width * farthest + margin), MIN_WIDTH_MPC) / cell_mpc + 4)
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
