"""What a lens sees of a particle mesh (matter.mesh): projected slabs of a box at several times.

What forces, steps and clouds blur is put back where planes are kept: potential
gradient descent (Dai, Feng & Seljak 2018, arXiv:1804.00671) moves the particles of a copy by −α ∇φ, with φ the potential of
the density between two scales (SHARPEN).

Two boxes with the amplitude of every wave fixed at its mean and opposite phases have a mean power that is almost free of
sample variance (Angulo & Pontzen 2016, arXiv:1603.05253).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from limelight.compiled import compiled
from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
from limelight.matter.fourier import irfftn, rfftn
from limelight.matter.initial import Box, LinearField, periodic_field
from limelight.matter.mesh import (
    BROADCAST,
    Growth,
    density_modes,
    inverse_laplacian,
    move,
    poisson,
    push,
    started,
)
from limelight.progress import progress

FIRST = 0.1  # scale factor at which the particles start
BEFORE = 12  # steps from there to the first time asked for
# α today, its power of 1/a, and k from and to in units of one over the particles' spacing
SHARPEN = (0.0025, 1.5, 1.0, 5.0)
# Mpc between particles that α is for; it grows as the square of theirs, as does what the blur takes off k
SPACING = 1.5
LEAST_WINDOW = 0.8  # planes are not raised by more than this window's inverse


def projected_boxes(
    side_mpc: float,
    particles: int,
    cells: int,
    plane_cells: int,
    times: Sequence[float],
    cosmology: Cosmology,
    seed: int,
    sign: int = 1,
    fixed: bool = True,
    sharpen: bool = True,
) -> np.ndarray:
    """Surface overdensity of the halves of a periodic box along each axis, (times, 3, 2, plane_cells, plane_cells) float32.

    Parameters
    ----------
    side_mpc, particles, cells
        Of the cube: its side, particles along it, and cells of the mesh.
    plane_cells
        Cells along each side of the projected planes.
    times
        Rising scale factors at which planes are kept.
    sign
        1 or −1: of all initial waves. The two make a pair.
    fixed
        Whether waves have their mean amplitude; otherwise it is drawn.
    sharpen
        Whether the blur of forces and steps is undone as far as SHARPEN does it.

    A plane is ∫ δ dx over half of the box, in Mpc. The halves are those below and above side/2. Values are such that, taken
    between nodes on straight lines, they have the right power (`_unblurred`).
    """
    box = Box((particles,) * 3, side_mpc / particles)
    with chunk_runner() as run:
        modes = periodic_field(box, cosmology, seed, "cpu", run).modes
    if fixed:
        modes = fixed_amplitude(modes, box, cosmology)
    position, momentum = started(LinearField(box, modes * sign), 1 / FIRST - 1, cosmology)
    inverse = inverse_laplacian(side_mpc, cells)
    sharper = _between_scales(inverse, side_mpc / particles) if sharpen else None
    steps = np.concatenate([np.linspace(FIRST, times[0], BEFORE + 1)[:-1], times])
    grow = Growth(cosmology)
    planes = np.zeros((len(times), 3, 2, plane_cells, plane_cells), np.float32)
    middles = (steps[1:] + steps[:-1]) / 2
    for i in progress(range(len(steps)), "particle mesh", total=len(steps)):
        if i:
            drift = grow.drift(middles[i - 1], steps[i - 1], steps[i])
            move(position, momentum, np.float32(drift), np.float32(side_mpc))
        modes = density_modes(position, side_mpc, cells)
        if i >= BEFORE:
            seen = position if sharper is None else _sharpened(position, side_mpc, modes * sharper, steps[i])
            _project(seen, np.float32(side_mpc), planes[i - BEFORE])
        if i + 1 < len(steps):
            modes *= inverse
            kick = grow.kick(steps[i], middles[i - 1] if i else steps[0], middles[i])
            push(position, momentum, side_mpc, modes, poisson(cosmology) * kick)
    mean = particles**3 / 2 / plane_cells**2
    planes -= mean
    planes *= side_mpc / 2 / mean
    return _unblurred(planes)


def fixed_amplitude(modes: torch.Tensor, box: Box, cosmology: Cosmology) -> torch.Tensor:
    """Modes (rfftn) with the phases of these, each with the root of its mean power, N² P/V for N cells."""
    k = [torch.from_numpy(v).reshape(s) for v, s in zip(box.wavenumbers(), BROADCAST, strict=True)]
    size = (k[0] ** 2 + k[1] ** 2 + k[2] ** 2).sqrt()
    table = np.geomspace(0.5 * float(size[0, 0, 1]), 1.01 * float(size.max()), 2000)
    power = np.interp(np.log(size.clamp(min=table[0]).numpy()), np.log(table), np.log(cosmology.linear_power(table)))
    wanted = torch.from_numpy(np.exp(power / 2) * math.prod(box.shape) / math.sqrt(box.volume)).float()
    found = modes * (wanted / modes.abs().clamp(min=1e-30))
    found[0, 0, 0] = 0
    return found


def _between_scales(inverse: torch.Tensor, spacing_mpc: float) -> torch.Tensor:
    """1/k² exp(−k_from²/k² − (k/k_to)⁴)."""
    low, high = (value / spacing_mpc for value in SHARPEN[2:])
    return inverse * torch.exp(-(low**2) * inverse - (high**2 * inverse) ** -2)


def _sharpened(position: np.ndarray, side_mpc: float, modes: torch.Tensor, time: float) -> np.ndarray:
    """Positions moved towards matter, by −α ∇φ; modes: of −φ."""
    alpha, power, *_ = SHARPEN
    alpha *= (side_mpc / SPACING) ** 2 / len(position) ** (2 / 3)
    moved = position.copy()
    push(position, moved, side_mpc, modes, alpha * time**-power)
    move(moved, np.zeros_like(moved), np.float32(0), np.float32(side_mpc))  # back into the box
    return moved


def _unblurred(planes: np.ndarray) -> np.ndarray:
    """Planes (…, m, m) over the windows of their clouds and of straight lines between nodes, each sinc² along an axis."""
    m = planes.shape[-1]
    window = [np.maximum(np.sinc(f), LEAST_WINDOW) ** 4 for f in (np.fft.fftfreq(m), np.fft.rfftfreq(m))]
    window = torch.from_numpy((window[0][:, None] * window[1][None]).astype(np.float32))
    for plane in planes.reshape(-1, m, m):
        plane[:] = irfftn(rfftn(torch.from_numpy(plane)).div_(window), s=(m, m)).numpy()
    return planes


@compiled
def _project(position, side, planes):
    """Add particles to planes (3, 2, m, m): seen along axis c, their clouds lie over the two axes that follow it."""
    m = planes.shape[2]
    scale = m / side
    for p in range(len(position)):
        for c in range(3):
            half = 0 if position[p, c] < side / 2 else 1
            x, y = position[p, (c + 1) % 3] * scale, position[p, (c + 2) % 3] * scale
            i, j = int(x), int(y)
            u, v = x - i, y - j
            i, j = i % m, j % m
            i1, j1 = (i + 1) % m, (j + 1) % m
            plane = planes[c, half]
            plane[i, j] += (1 - u) * (1 - v)
            plane[i, j1] += (1 - u) * v
            plane[i1, j] += u * (1 - v)
            plane[i1, j1] += u * v
