"""A painter of halos: a trained network that answers how many halos of each mass band stand in each cell of a 2LPT density.

What it is bound to (cells, redshifts, mass bands, cosmology) is checked against light-cones, and its expected numbers are
scaled to the mass function, band by band.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Lightcones
from limelight.halos.massfunction import MASS_MAX, band_abundance
from limelight.matter.cells import log_density, lpt_overdensity
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, displacements, periodic_field
from limelight.matter.lagrangian import lpt_factors

SAME = 1e-4  # relative: cells, cosmologies
EDGE = 0.05  # of redshift: halos just outside the band may be seen in it
OPEN_MSUN = 1e15  # the last band reaches so far, for no other halos are heavier
TABLE_POINTS = 64  # masses at which a band's abundance is tabulated
COUNTED_CELLS = 96  # along each side of the periodic box in which a painter's halos are counted
NODES = 3  # redshifts at which they are
THICK = 32  # planes that the network is shown at once there


@dataclass(frozen=True)
class Painter:
    """A network and what it is bound to."""

    path: str
    # What it is shown (channels, z, y, x) → ln of numbers expected and dispersions (bands, z, y, x), None of Poisson's
    numbers: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    told_redshift: bool
    reach: int  # cells that an answer sees on each side
    cell_mpc: float
    edges_msun: tuple[float, ...]  # of the bands
    redshifts: tuple[float, float]  # that it learnt from, lowest and highest
    cosmology: Cosmology

    @torch.no_grad()
    def log_numbers(self, density: Tensor, redshift: Tensor | float) -> tuple[Tensor, Tensor | None]:
        """ln of expected numbers and dispersions (bands, z, y, x) of cells.

        density: overdensity (z, y, x) with `reach` more cells on every side; redshift: of its cells, to be broadcast.
        """
        shown = [log_density(density)]
        if self.told_redshift:
            shown.append(torch.as_tensor(redshift, dtype=density.dtype).expand(density.shape))
        inner = (slice(None), *(slice(self.reach, size - self.reach) for size in density.shape))
        mean, dispersion = self.numbers(torch.stack(shown))
        return mean[inner], None if dispersion is None else dispersion[inner]

    def card(self) -> dict:
        """What a light-cone's file says of it."""
        return {
            "painter": self.path,
            "painted_msun": list(self.edges_msun),
            "painter_redshifts": list(self.redshifts),
            "painter_cell_mpc": self.cell_mpc,
        }


def check_painter(painter: Painter, cones: Lightcones, band: tuple[float, float], cosmology: Cosmology) -> None:
    """Refuse a painter of other cells, redshifts, masses or another cosmology than the light-cones'."""
    path, cell = painter.path, painter.cell_mpc
    if abs(cell / cones.cell_mpc - 1) > SAME:
        fix = f"set lightcones.cell_mpc: {cell:g}, or train a painter on such cells"
        raise problem(path, f"a painter on cells of {cell:g} Mpc", f"{cones.cell_mpc:g} Mpc (lightcones.cell_mpc)", fix)
    low, high = painter.redshifts
    if band[0] < low - EDGE or band[1] > high + EDGE:
        found, expected = f"a painter of redshifts {low:.3g} to {high:.3g}", f"{band[0]:.3f} to {band[1]:.3f}, the band"
        raise problem(path, found, expected, "train it on datasets on either side of the band")
    if painter.edges_msun[-1] < OPEN_MSUN:
        found = f"mass bands up to {painter.edges_msun[-1]:.3g} Msun"
        raise problem(path, found, f"{OPEN_MSUN:.0e} or more: no halo is left out", "train it with such a last edge")
    if cones.mass_min_msun >= painter.edges_msun[-2]:
        found = f"a last mass band from {painter.edges_msun[-2]:.3g} Msun"
        expected = f"several bands above {cones.mass_min_msun:.3g} Msun (lightcones.mass_min_msun)"
        raise problem(path, found, expected, "lower mass_min_msun, or train a painter of heavier bands")
    theirs, ours = asdict(painter.cosmology), asdict(cosmology)
    if others := [name for name, value in ours.items() if abs(theirs[name] - value) > SAME * abs(value)]:
        found = ", ".join(f"{name} {theirs[name]:g}" for name in others)
        expected = ", ".join(f"{name} {ours[name]:g}" for name in others)
        raise problem(path, f"a painter of {found}", f"{expected}, the study's cosmology", "train one, or change it")


def band_tables(painter: Painter, redshifts: np.ndarray, cosmology: Cosmology, model: str) -> tuple[np.ndarray, ...]:
    """Masses (bands, t) in Msun, and the abundance (g, bands, t) in 1/Mpc³ between a band's lower edge and each of them."""
    edges = np.minimum(painter.edges_msun, MASS_MAX)
    masses = np.geomspace(edges[:-1], edges[1:], TABLE_POINTS, axis=1)
    return masses, band_abundance(masses, redshifts, cosmology, model)[0]


def abundance_factors(
    painter: Painter, redshift_range: tuple[float, float], cosmology: Cosmology, model: str
) -> Callable[[Tensor | float], Tensor]:
    """ln of what the painter's expected numbers are multiplied by, (bands, …) at redshifts (…).

    The mass function's abundance over the painter's in a periodic box that is nobody's light-cone; a parabola in redshift.
    Small halos of a particle mesh are trusted for where they stand, not for how many there are.
    """
    low, high = redshift_range
    nodes = np.linspace(low, high, NODES) if high > low else np.array([low])
    box = Box((COUNTED_CELLS,) * 3, painter.cell_mpc)
    with chunk_runner() as run:
        psi = displacements(periodic_field(box, cosmology, 0, "cpu", run), run)
        found = [_mean_numbers(painter, psi, float(z), cosmology, run) for z in nodes]
    wanted = band_tables(painter, nodes, cosmology, model)[1][..., -1] * painter.cell_mpc**3
    middle = float(nodes.mean())
    powers = np.polynomial.polynomial.polyfit(nodes - middle, np.log(wanted / np.array(found)), len(nodes) - 1)

    def factors(redshift: Tensor | float) -> Tensor:
        x = torch.as_tensor(redshift, dtype=torch.float32) - middle
        total = torch.zeros((powers.shape[1], *x.shape))
        for row in torch.from_numpy(powers[::-1].copy()).float():
            total = total * x + row.view(-1, *[1] * x.ndim)
        return total

    return factors


def _mean_numbers(painter: Painter, psi: Tensor, redshift: float, cosmology: Cosmology, run: Callable) -> np.ndarray:
    """The mean of the expected numbers over a periodic box, (bands,)."""
    first, second = (float(f) for f in lpt_factors(redshift, cosmology)[:2])
    density = lpt_overdensity(psi, painter.cell_mpc, lambda planes: (first, second))
    size = density.shape[0]
    sums = np.zeros((-(-size // THICK), len(painter.edges_msun) - 1))

    def count(part: int) -> None:
        planes = part * THICK, min((part + 1) * THICK, size)
        block = surrounded(density, (planes, (0, size), (0, size)), painter.reach, periodic=True)
        sums[part] = painter.log_numbers(block, redshift)[0].double().exp().sum(dim=(1, 2, 3)).numpy()

    run(count, range(len(sums)))
    return sums.sum(axis=0) / size**3


def surrounded(values: Tensor, spans: tuple[tuple[int, int], ...], more: int, periodic: bool) -> Tensor:
    """Cells [low, high) of the last three axes (z, y, x) with so many more on every side.

    Beyond the edges lies the opposite side of a periodic box, of others the nearest cell.
    """
    for axis, (low, high) in enumerate(spans, start=values.ndim - 3):
        size = values.shape[axis]
        if low - more >= 0 and high + more <= size:
            values = values.narrow(axis, low - more, high - low + 2 * more)
            continue
        index = torch.arange(low - more, high + more, device=values.device)
        values = values.index_select(axis, index % size if periodic else index.clamp(0, size - 1))
    return values
