"""Light-cones and boxes with halos that a network paints: the generator's density, and halos put on it cell by cell.

1. The linear density of the generator's box and its displacements, with the generator's random numbers (generator.py).
2. The 2LPT overdensity about the middles of the box's cells, each particle moved as at its own distance (matter/cells.py).
3. The network's expected number of halos of each mass band in each cell, scaled to the mass function (painter.py).
4. Whole halos: negative binomial numbers; inside its cell a halo follows the slope of the log number, as the generator's do.
   Its mass follows the mass function within the band, its velocity is 2LPT's where its matter came from.
5. Halos that stand within a heavier one are placed again (apart.py).
6. Lighter halos than the painter knows are the generator's own, the same to the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from limelight import seeds
from limelight.cosmology import Cosmology
from limelight.halos.apart import keep_apart
from limelight.halos.box import HaloBox, box_field, box_of, move_in_box, periodic_slabs
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.conditional import Rate
from limelight.halos.cone import MARGIN_SIGMAS, Cone, Slab, cut_slabs, place_cone
from limelight.halos.config import Lightcones
from limelight.halos.draw import (
    CHUNK,
    Bands,
    LagrangianHalos,
    calibrate_bands,
    draw_lightcone,
    place_in_cells,
    prepare_bands,
)
from limelight.halos.generator import (
    Curves,
    catalogue_of,
    fit_curves,
    interpolate,
    kept_columns,
    move_lightcone,
    slab_frame,
)
from limelight.halos.painter import Painter, abundance_factors, band_tables, check_painter, surrounded
from limelight.matter.cells import lpt_overdensity
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import displacements, linear_field
from limelight.matter.lagrangian import lpt_factors

TOGETHER = 4  # slabs that the network is shown at once: what it sees beyond their edges is computed twice
TRIES, STEP = 8, 0.8  # of finding where a halo's matter came from; the share of the way that each goes
AROUND = 16  # cells around a box whose redshift may be asked for: painters see no farther
LEAST_SHARE = 1e-9  # of the logarithmic distribution: below it groups are single halos


@dataclass(frozen=True)
class Brush:
    """What all slabs are painted with."""

    painter: Painter
    cone: Cone
    slabs: list[Slab]
    curves: Curves | None  # growth factors of both displacements, and redshift, by distance; of a periodic box None
    seed: int
    masses: np.ndarray  # (bands, t) Msun
    cumulative: np.ndarray  # (slabs, bands, t) abundance below each of them within the band
    factors: Callable[[Tensor | float], Tensor]  # of painter.abundance_factors
    mass_min_msun: float

    def redshift(self, spans: tuple[tuple[int, int], ...]) -> Tensor:
        """Of cells [low, high) along z, y, x; of a periodic box one for all."""
        if self.curves is None:
            return torch.full((1, 1, 1), self.cone.redshift_range[0])
        return self.curves.at(cell_distances(self.cone, spans))[2]


def paint_lightcone(
    lightcones: Lightcones,
    painter: Painter,
    redshift_min: float,
    redshift_max: float,
    cosmology: Cosmology,
    seed: int,
    device: str = "cpu",
) -> HaloCatalogue:
    """Make the halos of one light-cone with a painter; all else is as in generator.generate_lightcone.

    Raises LimelightError for a painter that does not fit.
    """
    check_painter(painter, lightcones, (redshift_min, redshift_max), cosmology)
    cone = place_cone(lightcones.field_deg, redshift_min, redshift_max, cosmology, lightcones.cell_mpc)
    slabs = cut_slabs(cone)
    brush = make_brush(painter, lightcones, cone, slabs, cosmology, seed, cone_curves(cone, cosmology))
    bands = lighter_bands(lambda: prepare_bands(lightcones, cone, slabs, cosmology), lightcones, painter)
    with chunk_runner() as run:
        field = linear_field(cone.box, cosmology, seed, device, run)
        light = draw_lightcone(field, cone, slabs, bands, cosmology, seed, run) if bands else []
        psi = displacements(field, run)
        del field
        keep_lighter(light, painter)
        pieces = move_lightcone(light, psi, cone, slabs, cosmology, run) if bands else []
        heavy = paint_slabs(brush, box_density(brush, psi, cosmology), run)
        pieces += settle_slabs(brush, heavy, psi, cosmology, run)
        del psi
        halos = catalogue_of(pieces, run, lightcones, cone, cosmology)
    halos.geometry["painted_from_msun"] = max(painter.edges_msun[0], lightcones.mass_min_msun)
    return halos


def paint_box(
    lightcones: Lightcones, painter: Painter, side_mpc: float, redshift: float, cosmology: Cosmology, seed: int,
    device: str = "cpu", modes: Tensor | None = None
) -> HaloBox:  # fmt: skip
    """Painted halos of a periodic cube at one redshift; all else is as in box.generate_box."""
    check_painter(painter, lightcones, (redshift, redshift), cosmology)
    cone, slabs = periodic_slabs(side_mpc, lightcones.cell_mpc, redshift)
    margin = MARGIN_SIGMAS * float(cosmology.growth(redshift)) * cosmology.displacement_rms
    cone = replace(cone, margin_mpc=margin)
    brush = make_brush(painter, lightcones, cone, slabs, cosmology, seed, None)
    redshifts = np.full(len(slabs), redshift)
    bands = lighter_bands(
        lambda: calibrate_bands(lightcones, cone.box, redshifts, cosmology, periodic=True), lightcones, painter
    )
    with chunk_runner() as run:
        field = box_field(cone.box, cosmology, seed, device, run, modes)
        light = draw_lightcone(field, cone, slabs, bands, cosmology, seed, run) if bands else []
        psi = displacements(field, run)
        keep_lighter(light, painter)
        heavy = paint_slabs(brush, box_density(brush, psi, cosmology), run)
    cell, factors = cone.box.cell_mpc, [float(f) for f in lpt_factors(redshift, cosmology)]
    moved = [move_in_box(slab, light[slab.index], psi, cell, redshift, cosmology) for slab in slabs if bands]
    for slab in slabs:
        place = torch.cat(heavy[slab.index].place)
        psi1, psi2 = born_displacements(cone, slab, place, psi, factors[:2], periodic=True)
        corner = torch.tensor([0.0, 0.0, slab.z[0]])
        velocity = psi1 * factors[2] + psi2 * factors[3]
        moved.append((((place + corner) * cell).cpu().numpy(), velocity.cpu().numpy()))
    masses = torch.cat([mass for slab in (*light, *heavy) for mass in slab.mass]).cpu().numpy()
    return box_of([*zip(*moved, strict=True)], masses, psi, cone.box, redshift, cosmology)


def make_brush(
    painter: Painter, lightcones: Lightcones, cone: Cone, slabs: list[Slab], cosmology: Cosmology, seed: int,
    curves: Curves | None
) -> Brush:  # fmt: skip
    """The mass function at the slabs' redshifts, and the factors that make the painter's abundance its own."""
    if curves is None:
        redshifts = np.full(len(slabs), cone.redshift_range[0])
    else:
        redshifts = cosmology.redshift_at(np.array([slab.distance_mpc for slab in slabs]))
    masses, cumulative = band_tables(painter, redshifts, cosmology, lightcones.mass_function)
    factors = abundance_factors(painter, cone.redshift_range, cosmology, lightcones.mass_function)
    return Brush(painter, cone, slabs, curves, seed, masses, cumulative, factors, lightcones.mass_min_msun)


def cell_distances(cone: Cone, spans: tuple[tuple[int, int], ...]) -> Tensor:
    """Comoving distance of the middles of cells [low, high) along z, y, x, (z, y, x) float32 in Mpc."""
    z, y, x = (
        torch.arange(*span, dtype=torch.float64) * cone.box.cell_mpc + start
        for span, start in zip(spans, cone.origin_mpc[::-1], strict=True)
    )
    return (z[:, None, None] ** 2 + (y**2)[:, None] + x**2).sqrt().float()


def cone_curves(cone: Cone, cosmology: Cosmology) -> Curves:
    """Both growth factors and the redshift as functions of distance, over all the box and what a painter sees around it."""
    near = cone.origin_mpc[2] - AROUND * cone.box.cell_mpc
    far = float(cell_distances(cone, tuple((size + AROUND, size + AROUND + 1) for size in cone.box.shape)))

    def functions(distance: np.ndarray) -> np.ndarray:
        redshift = cosmology.redshift_at(distance)
        return np.stack([*lpt_factors(redshift, cosmology)[:2], redshift])

    return fit_curves(max(near, 1.0), far, functions)


def box_density(brush: Brush, psi: Tensor, cosmology: Cosmology) -> Tensor:
    """The 2LPT overdensity of all cells of the box, (z, y, x)."""
    _, ny, nx = brush.cone.box.shape
    single = [float(f) for f in lpt_factors(brush.cone.redshift_range[0], cosmology)[:2]]

    def growth(planes: slice) -> list:
        if brush.curves is None:
            return single
        return brush.curves.at(cell_distances(brush.cone, ((planes.start, planes.stop), (0, ny), (0, nx))))[:2]

    return lpt_overdensity(psi, brush.cone.box.cell_mpc, growth)


def paint_slabs(brush: Brush, density: Tensor, run: Callable) -> list[LagrangianHalos]:
    """The painted halos of every slab where they stand: places in cells of the slab, and masses."""
    halos = [LagrangianHalos([], []) for _ in brush.slabs]
    used = [band for band, high in enumerate(brush.painter.edges_msun[1:]) if high > brush.mass_min_msun]

    def paint(some: list[Slab]) -> None:
        spans = (some[0].z[0], some[-1].z[1]), some[-1].y, some[-1].x  # the farthest is the widest
        more, periodic = brush.painter.reach, brush.curves is None
        shown = brush.redshift(tuple((low - more, high + more) for low, high in spans))
        mean, dispersion = brush.painter.log_numbers(surrounded(density, spans, more, periodic), shown)
        mean = mean + brush.factors(brush.redshift(spans))
        for slab in some:
            own = zip((slab.z, slab.y, slab.x), spans, strict=True)
            inner = tuple(slice(low - start, high - start) for (low, high), (start, _) in own)
            places, masses, means = [], [], [mean[band][inner].contiguous() for band in used]
            for band, one in zip(used, means, strict=True):
                rng = seeds.generator(brush.seed, "painted halos", band, slab.index)
                wide = None if dispersion is None else dispersion[band][inner].contiguous()
                place = draw_painted(one, wide, rng)
                table = brush.cumulative[slab.index, band]
                mass = np.exp(np.interp(rng.random(len(place)) * table[-1], table, np.log(brush.masses[band])))
                heavy = mass >= brush.mass_min_msun
                places.append(place[torch.from_numpy(heavy)])
                masses.append(mass[heavy])
            rng = seeds.generator(brush.seed, "painted halos apart", slab.index)
            keep_apart(places, masses, means, brush.cone.box.cell_mpc, brush.painter.cosmology, rng)
            halos[slab.index].place += places
            halos[slab.index].mass += [torch.from_numpy(mass.astype(np.float32)) for mass in masses]

    run(paint, [brush.slabs[i : i + TOGETHER] for i in range(0, len(brush.slabs), TOGETHER)])
    return halos


def draw_painted(log_mean: Tensor, log_dispersion: Tensor | None, rng: np.random.Generator) -> Tensor:
    """Places (n, 3) as x, y, z in cells of whole halos: each cell's number is negative binomial, or Poisson.

    With mean μ and variance μ + φ μ² the number is that of Poisson groups, ln(1 + φμ)/φ of them expected, each of a
    logarithmic number of halos with the share φμ/(1 + φμ) (Quenouille 1949): the work grows with the halos alone.
    """
    log_groups = log_mean
    if log_dispersion is not None:
        product = (log_mean + log_dispersion).double().exp()
        log_groups = (torch.log1p(product).log() - log_dispersion).to(log_mean.dtype)
    running = torch.cumsum(log_groups.exp().flatten(), 0, dtype=torch.float64)
    number = int(rng.poisson(float(running[-1])))
    gaps = np.cumsum(rng.standard_exponential(number + 1))  # over the last, the order statistics of uniform numbers
    wanted = torch.from_numpy(gaps[:-1] / gaps[-1]).to(running.device) * running[-1]
    cells = torch.searchsorted(running, wanted, right=True).clamp_(max=len(running) - 1)
    if log_dispersion is not None:
        share = (product / (1 + product)).flatten()[cells].clamp(min=LEAST_SHARE, max=1 - LEAST_SHARE)
        cells = cells.repeat_interleave(torch.from_numpy(rng.logseries(share.cpu().numpy())).to(cells.device))
    place = torch.from_numpy(rng.random((3, len(cells)), dtype=np.float32)).to(running.device)
    for start in range(0, len(cells), CHUNK):
        part = slice(start, start + CHUNK)
        place_in_cells(place[:, part], cells[part], log_mean)
    return place.T.contiguous()


def settle_slabs(
    brush: Brush, halos: list[LagrangianHalos], psi: Tensor, cosmology: Cosmology, run: Callable
) -> list[dict[str, np.ndarray]]:
    """The columns of the painted halos of every slab."""
    pieces: list[dict[str, np.ndarray]] = [{} for _ in brush.slabs]

    def settle(slab: Slab) -> None:
        pieces[slab.index] = settle_slab(brush, slab, halos[slab.index], psi, cosmology)

    run(settle, brush.slabs)
    return pieces


def settle_slab(
    brush: Brush, slab: Slab, halos: LagrangianHalos, psi: Tensor, cosmology: Cosmology
) -> dict[str, np.ndarray]:
    """The columns of a slab's painted halos: velocities, redshifts, and only what stands inside the light-cone."""
    place, mass = torch.cat(halos.place), torch.cat(halos.mass)
    corner, growth, redshift_of = slab_frame(slab, brush.cone, cosmology)
    position = place * brush.cone.box.cell_mpc + corner
    factors = growth.at(position.square().sum(1).sqrt())
    columns = [one[:, None] for one in factors[:2]]
    moved = born_displacements(brush.cone, slab, place, psi, columns, periodic=False)
    return kept_columns(position, mass, moved, factors[2:], redshift_of, brush.cone)


def born_displacements(
    cone: Cone, slab: Slab, place: Tensor, psi: Tensor, growth: list, periodic: bool
) -> tuple[Tensor, Tensor]:
    """Both displacements (n, 3) of the matter that ends at places (n, 3) of a slab: q with q + ψ(q) = x, step by step.

    Where streams cross there are several such q, and one of them, or what lies between them, is found.
    """
    cell = cone.box.cell_mpc
    more = int(np.ceil(cone.margin_mpc / cell)) + 1
    block = surrounded(psi, (slab.z, slab.y, slab.x), more, periodic)
    block = block.permute(1, 2, 3, 0).contiguous().cpu()
    born = place
    for _ in range(TRIES):
        found = interpolate(block, born + (more - 1))
        born = torch.lerp(born, place - (found[:, :3] * growth[0] + found[:, 3:] * growth[1]) / cell, STEP)
    found = interpolate(block, born + (more - 1))
    return found[:, :3], found[:, 3:]


def lighter_bands(bands_of: Callable[[], Bands], lightcones: Lightcones, painter: Painter) -> Bands | None:
    """Those of the generator's mass bands that hold halos lighter than a painter's; None where the light-cones have none."""
    if lightcones.mass_min_msun >= painter.edges_msun[0]:
        return None
    bands = bands_of()
    count = int(np.count_nonzero(bands.masses[:, 0] < painter.edges_msun[0]))
    rate = Rate(**{one.name: getattr(bands.rate, one.name)[:, :count] for one in fields(Rate)})
    by_band = {name: getattr(bands, name)[:count] for name in ("masses", "s", "variance", "radii", "curvature")}
    by_both = {name: getattr(bands, name)[:, :count] for name in ("cumulative", "bias", "evolution")}
    return replace(bands, rate=rate, **by_band, **by_both)


def keep_lighter(halos: list[LagrangianHalos], painter: Painter) -> None:
    """Leave out, in place, what the painter paints itself: the last of the generator's bands may reach beyond its edge."""
    for slab in halos:
        for i, mass in enumerate(slab.mass):
            light = mass < painter.edges_msun[0]
            slab.place[i], slab.mass[i] = slab.place[i][light], mass[light]
