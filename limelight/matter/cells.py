"""The density of second-order perturbation theory on the cells of the linear density itself, as networks are shown it.

One particle starts from the middle of each cell and is shared between the eight cells around where it ends. Periodic boxes
and light-cones have their density from here, so that a network that learnt from one can be shown the other.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from limelight.matter.initial import PLANES

FLOOR = 0.05  # of 1 + δ under the logarithm: emptier cells hold no halo


def log_density(density: Tensor) -> Tensor:
    """ln(1 + δ + FLOOR), of order one."""
    return torch.log((1 + density).clamp(min=0) + FLOOR)


def lpt_overdensity(psi: Tensor, cell_mpc: float, growth: Callable[[slice], tuple]) -> Tensor:
    """Overdensity (z, y, x) float32 about the middles of the cells that the particles start from; opposite sides touch.

    Parameters
    ----------
    psi
        Of matter.initial.displacements, (6, z, y, x) in Mpc.
    cell_mpc
        Side of a cell.
    growth
        Of some planes of cells: the factors of both displacements there, numbers or tensors (z, y, x).
    """
    shape = psi.shape[1:]
    number = torch.zeros(shape.numel(), dtype=torch.float32, device=psi.device)
    for low in range(0, shape[0], PLANES):
        planes = slice(low, min(low + PLANES, shape[0]))
        first, second = growth(planes)
        place = (psi[:3, planes] * first + psi[3:, planes] * second) / cell_mpc
        for axis, (start, size) in enumerate(zip((0, 0, low), place.shape[:0:-1], strict=True)):
            along = torch.arange(start, start + size, dtype=torch.float32, device=psi.device)
            place[axis] += along.view([-1 if axis == 2 - i else 1 for i in range(3)])
        _share(number, place.flatten(1), shape)
    return number.view(shape) - 1


def _share(number: Tensor, place: Tensor, shape: torch.Size) -> None:
    """Add particles at places (3, n) as x, y, z in cells to the flat numbers of cells (z, y, x), in clouds of one cell."""
    low = place.floor()
    part = place - low
    low = low.long()
    near = [low[axis] % size for axis, size in enumerate(reversed(shape))]
    far = [(low[axis] + 1) % size for axis, size in enumerate(reversed(shape))]
    for corner in range(8):
        x, y, z = ((far if corner >> axis & 1 else near)[axis] for axis in range(3))
        wx, wy, wz = (part[axis] if corner >> axis & 1 else 1 - part[axis] for axis in range(3))
        number.index_add_(0, (z * shape[1] + y) * shape[2] + x, wx * wy * wz)
