"""Clustering of a light-cone's own halos, generated or foreign: bias, redshift-space distortion, counts in cells, map.

Power is measured on a mesh of cubic cells, of which only those wholly inside the cone count, about a mean number n(χ). What
linear theory expects there is carried through the same window: ⟨|F(k)|²⟩ is the transform of ξ(r) times the correlation of
n b D of the cells, so that the cone's shape, its padding, its growth and the evolution of the bias are in the expectation
and not in the result. Feldman, Kaiser & Peacock 1994 (ApJ 426, 23) is the method and the source of the errors.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from limelight.cosmology import Cosmology
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.massfunction import halo_bias, mass_function
from limelight.halos.validation import CELLS_MPC, THRESHOLDS, CellStatistics, Row, cell_statistics

MESH_MPC = 5.0  # cells of the mesh: aliased power is below 1 % at k = 0.2 per Mpc
PADDING_MPC = 150.0  # of empty cells: no pair within this distance meets itself across the mesh's edge
BIAS_K = (0.1, 0.2)
KAISER_K = 0.15
LARGEST_ERROR = 0.25  # of a bias; with more, a row would say nothing
FEWEST_HALOS, FEWEST_CELLS = 200, 1000
SLAB_MPC = 300.0  # depth of the part of the cone in which cells are counted
PARTS = 3  # a side: the jackknife leaves out one of 27 blocks
BLOCK = 1 << 20  # halos whose cells are found at a time
LIGHTCONE = "light-cone"


@dataclass(frozen=True)
class Mesh:
    """Cubic cells around a cone, padded with empty ones; the line of sight is the last axis."""

    corner_mpc: np.ndarray  # (3,)
    cell_mpc: float
    inside: np.ndarray  # (x, y, z) bool: cells wholly inside the cone
    distance_mpc: np.ndarray  # (n,) of the centres of the cells inside
    widest_wave: float  # 1/Mpc: one wavelength across the near end; longer waves are left out
    cosmology: Cosmology

    def counts(self, position_mpc: np.ndarray) -> np.ndarray:
        """Halos in each cell inside, float64 (n,)."""
        numbers = count_cells(position_mpc, self.corner_mpc, self.cell_mpc, self.inside.shape)
        return numbers[self.inside].astype(np.float64)

    def modes(self, values: np.ndarray) -> np.ndarray:
        """rfftn of the mesh whose cells inside have these values (n,)."""
        filled = np.zeros(self.inside.shape)
        filled[self.inside] = values
        return fft.rfftn(filled)

    @cached_property
    def waves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """k (1/Mpc), μ² and how many waves each entry of an rfftn stands for."""
        step = 2 * np.pi / self.cell_mpc
        x, y = (fft.fftfreq(n) * step for n in self.inside.shape[:2])
        z = fft.rfftfreq(self.inside.shape[2]) * step
        squared = x[:, None, None] ** 2 + y[:, None] ** 2 + z**2
        mu2 = np.divide(z**2, squared, out=np.zeros_like(squared), where=squared > 0)
        return np.sqrt(squared), mu2, np.broadcast_to(np.where(z == 0, 1.0, 2.0), squared.shape)

    @cached_property
    def power(self) -> np.ndarray:
        """Linear power today of densities averaged over cells, Mpc³."""
        k = self.waves[0]
        nx, ny, nz = self.inside.shape
        window = np.sinc(fft.fftfreq(nx))[:, None, None] * np.sinc(fft.fftfreq(ny))[:, None] * np.sinc(fft.rfftfreq(nz))
        return np.where(k > 0, self.cosmology.linear_power(np.maximum(k, 1e-6)), 0) * window**2

    def correlation(self, mu_power: int) -> np.ndarray:
        """Linear correlation function today, of cells, its waves weighted by μ^mu_power."""
        return fft.irfftn(self.power * self.waves[1] ** (mu_power / 2), self.inside.shape) / self.cell_mpc**3

    def shell(self, k_max: float) -> np.ndarray:
        """The waves that the cone holds up to k_max."""
        return (self.waves[0] >= self.widest_wave) & (self.waves[0] < k_max)


def count_cells(position: np.ndarray, corner: np.ndarray, cell_mpc: float, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in shape cells of a corner onwards, int64; what lies beyond is dropped."""
    flat = []
    for block in np.array_split(position, len(position) // BLOCK + 1):  # float64 copies of all halos would be large
        index = np.floor((block.astype(np.float64) - corner) / cell_mpc).astype(np.int64)
        index = index[((index >= 0) & (index < shape)).all(axis=1)]
        flat.append(np.ravel_multi_index(index.T, shape))
    return np.bincount(np.concatenate(flat), minlength=np.prod(shape)).reshape(shape)


def cone_mesh(geometry: dict, cosmology: Cosmology, cell_mpc: float = MESH_MPC) -> Mesh:
    """The mesh of the cone |x|, |y| ≤ field_deg/2, redshift_min to redshift_max."""
    half = np.radians(geometry["field_deg"] / 2)
    near, far = (float(cosmology.comoving_distance(geometry[f"redshift_{end}"])) for end in ("min", "max"))
    front = near / np.sqrt(1 + 2 * half**2)
    across = 2 * int(np.ceil(half * far / cell_mpc))
    sizes = across, across, int(np.ceil((far - front) / cell_mpc))
    shape = [fft.next_fast_len(n + int(np.ceil(PADDING_MPC / cell_mpc)), real=True) for n in sizes]
    corner = np.array([-0.5 * across * cell_mpc, -0.5 * across * cell_mpc, front])
    lows = [corner[i] + np.arange(shape[i]) * cell_mpc for i in range(3)]
    x, y = (np.maximum(np.abs(low), np.abs(low + cell_mpc)) for low in lows[:2])
    x, y, z = x[:, None, None], y[:, None], lows[2]
    inside = (x <= half * z) & (y <= half * z) & (x**2 + y**2 + (z + cell_mpc) ** 2 <= far**2)
    x, y = ((low + 0.5 * cell_mpc) for low in lows[:2])
    nearest = np.maximum(np.abs(x)[:, None, None] - cell_mpc / 2, 0) ** 2 + (
        np.maximum(np.abs(y)[:, None] - cell_mpc / 2, 0) ** 2 + z**2
    )
    inside &= nearest >= near**2
    middle = np.sqrt(x[:, None, None] ** 2 + y[:, None] ** 2 + (z + 0.5 * cell_mpc) ** 2)
    return Mesh(corner, cell_mpc, inside, middle[inside], np.pi / (half * near), cosmology)


def mean_counts(counts: np.ndarray, profile: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """profile × exp(a + b χ) with the a and b of greatest Poisson likelihood: total and mean distance are the counts'.

    A catalogue's own mass function is no error of its clustering; a tilt takes only waves longer than the cone.
    """
    x = (distance - distance.mean()) / distance.std()
    basis = np.stack([np.ones_like(x), x])
    fit = np.array([np.log(counts.sum() / profile.sum()), 0.0])
    for _ in range(30):
        mean = profile * np.exp(fit @ basis)
        step = np.linalg.solve((basis * mean) @ basis.T, basis @ (counts - mean))
        fit = fit + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return profile * np.exp(fit @ basis)


@dataclass(frozen=True)
class Band:
    """Halos of a band of masses on a mesh, (n,) cells: what is expected of each at its own redshift."""

    counts: np.ndarray
    mean: np.ndarray
    bias: np.ndarray  # Tinker et al. 2010, averaged over the band's mass function
    growth: np.ndarray

    @property
    def expected_bias(self) -> float:
        """Mean bias of the cone's pairs."""
        weight = self.mean**2 * self.growth**2
        return float(np.sqrt(np.sum(weight * self.bias**2) / weight.sum()))


def make_band(mesh: Mesh, counts: np.ndarray, low: float, dex: float, model: str) -> Band:
    """The band of log10 masses low to low + dex from its counts."""
    grid = np.linspace(mesh.distance_mpc.min(), mesh.distance_mpc.max(), 13)
    masses = np.logspace(low, low + dex, 41)
    density, bias = np.empty((2, len(grid)))
    for i, z in enumerate(mesh.cosmology.redshift_at(grid)):
        weight = mass_function(masses, z, mesh.cosmology, model)
        density[i] = np.trapezoid(weight, np.log(masses))
        bias[i] = np.average(halo_bias(masses, z, mesh.cosmology), weights=weight)
    profile = np.exp(np.interp(mesh.distance_mpc, grid, np.log(density))) * mesh.cell_mpc**3
    growth = np.interp(mesh.distance_mpc, grid, mesh.cosmology.growth(mesh.cosmology.redshift_at(grid)))
    mean = mean_counts(counts, profile, mesh.distance_mpc)
    return Band(counts, mean, np.interp(mesh.distance_mpc, grid, bias), growth)


def measured_power(mesh: Mesh, counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """|F(k)|² of the counts about their mean, shot noise subtracted."""
    return np.abs(mesh.modes(counts - mean)) ** 2 - counts.sum()


def expected_power(mesh: Mesh, weight: np.ndarray, moving: np.ndarray | None = None) -> np.ndarray:
    """⟨|F(k)|²⟩ of linear theory for cells of weight n b D; moving: n f D adds Kaiser's distortion (about the last axis)."""
    modes, shape = mesh.modes(weight), mesh.inside.shape
    product = fft.irfftn(np.abs(modes) ** 2, shape) * mesh.correlation(0)
    if moving is not None:
        infall = mesh.modes(moving)
        product += 2 * fft.irfftn((modes * infall.conj()).real, shape) * mesh.correlation(2)
        product += fft.irfftn(np.abs(infall) ** 2, shape) * mesh.correlation(4)
    return fft.rfftn(product).real


def power_scatter(mesh: Mesh, band: Band, shell: np.ndarray) -> float:
    """Relative 1 σ of the power summed over a shell: waves counted, cosmic variance and shot noise (FKP 1994, Gaussian)."""
    power, number = mesh.power[shell] / mesh.cell_mpc**3, mesh.waves[2][shell]
    squared, mean = (band.mean * band.bias * band.growth) ** 2, band.mean
    variance = np.sum(number * power**2) * np.sum(squared**2) + np.sum(number) * np.sum(mean**2)
    variance += 2 * np.sum(number * power) * np.sum(squared * mean)
    return float(np.sqrt(2 * mesh.inside.size * variance) / (np.sum(number * power) * squared.sum()))


def power_jackknife(mesh: Mesh, band: Band, shells: list[np.ndarray]) -> np.ndarray:
    """Relative 1 σ of the power summed over each shell from leaving out each eighth of the cone: knows clustered halos too.

    Heavy halos are few and their power follows the density around them, which waves counted as Gaussian do not know.
    """
    x, y, _ = np.nonzero(mesh.inside)
    part = 4 * (mesh.distance_mpc >= np.median(mesh.distance_mpc)) + 2 * (x >= x.mean()) + (y >= y.mean())
    filled, left = np.zeros(mesh.inside.shape, np.float32), []
    for eighth in range(8):
        kept = part != eighth
        filled[mesh.inside] = (band.counts - band.mean) * kept
        power = np.abs(fft.rfftn(filled)) ** 2 - band.counts[kept].sum()
        pairs = np.sum((kept * band.mean * band.bias * band.growth) ** 2)
        left.append([shell_sum(mesh, power, shell) / pairs for shell in shells])
    return np.sqrt(7 * np.var(left, axis=0)) / np.maximum(np.abs(np.mean(left, axis=0)), 1e-30)


def shell_sum(mesh: Mesh, power: np.ndarray, shell: np.ndarray, quadrupole: bool = False) -> float:
    """Sum over a shell of the power, or of 5 L2(μ) times it."""
    weight = mesh.waves[2][shell]
    if quadrupole:
        weight = weight * 2.5 * (3 * mesh.waves[1][shell] - 1)
    return float(np.sum(power[shell] * weight))


def cone_clustering_rows(halos: HaloCatalogue, model: str, dex: float = 0.5) -> tuple[list[Row], list[str]]:
    """Halo-halo bias per mass band, and Kaiser's distortion of the lightest band; and what was left out, in words."""
    mesh = cone_mesh(halos.geometry, halos.cosmology)
    rows, kaiser, left_out = [], [], []
    if not mesh.inside.any():
        return rows, ["clustering: no cell of 5 Mpc lies inside the light-cone"]
    floor = np.log10(halos.geometry["mass_min_msun"])
    log_mass = np.log10(halos.mass_msun)
    for low in np.arange(floor, 13.4, dex):
        chosen = (log_mass >= low) & (log_mass < low + dex)
        counts = mesh.counts(halos.position_mpc[chosen])
        if counts.sum() < FEWEST_HALOS:
            left_out.append(f"bias from 10^{low:.2f} Msun up: {counts.sum():.0f} halos, {FEWEST_HALOS} needed")
            break
        band = make_band(mesh, counts, low, dex, model)
        weight = band.mean * band.bias * band.growth
        measured, expected = measured_power(mesh, counts, band.mean), expected_power(mesh, weight)
        shells = [mesh.shell(k_max) for k_max in BIAS_K]
        for k_max, shell, jackknife in zip(BIAS_K, shells, power_jackknife(mesh, band, shells), strict=True):
            error = max(power_scatter(mesh, band, shell), jackknife) / 2 if shell.any() else np.inf
            if error > LARGEST_ERROR:
                words = "no wave fits" if error == np.inf else f"it would be known to {error:.0%} only"
                left_out.append(
                    f"bias at 10^{low + dex / 2:.2f} Msun for k < {k_max:g}: the light-cone is small, {words}"
                )
                continue
            ratio = shell_sum(mesh, measured, shell) / shell_sum(mesh, expected, shell)
            bias = band.expected_bias
            found = bias * np.sqrt(max(ratio, 0.0))
            rows.append(Row("light-cone: bias", f"halo-halo (k < {k_max:g})", low + dex / 2, found, bias, bias * error))
        if low == floor:
            more, why = cone_kaiser_rows(halos, chosen, mesh, band, measured, expected)
            kaiser, left_out = more, left_out + why
    return [*sorted(rows, key=lambda row: row.case), *kaiser], left_out


def cone_kaiser_rows(
    halos: HaloCatalogue, chosen: np.ndarray, mesh: Mesh, band: Band, real: np.ndarray, expected_real: np.ndarray
) -> tuple[list[Row], list[str]]:
    """Quadrupole and monopole in redshift space over the monopole, against Kaiser (1987) with the cone's own bias.

    Places come from redshift_observed. The same waves' real-space quadrupole is subtracted, as much of it as makes the
    error least, from measurement and expectation alike.
    """
    shell = mesh.shell(KAISER_K)
    scatter = power_scatter(mesh, band, shell) if shell.any() else np.inf
    ratio = shell_sum(mesh, real, shell) / shell_sum(mesh, expected_real, shell) if shell.any() else 0.0
    if scatter > LARGEST_ERROR or ratio <= 0:
        return [], [f"redshift space: the light-cone is too small for waves of k < {KAISER_K:g} per Mpc"]
    own = np.sqrt(ratio)
    redshift = mesh.cosmology.redshift_at(mesh.distance_mpc)
    moving = band.mean * mesh.cosmology.growth_rate(redshift) * band.growth
    position = halos.position_mpc[chosen].astype(np.float64)
    seen_at = mesh.cosmology.comoving_distance(halos.redshift_observed[chosen].astype(np.float64))
    position *= (seen_at / np.sqrt(np.einsum("ij,ij->i", position, position)))[:, None]
    counts = mesh.counts(position)
    seen = measured_power(mesh, counts, mean_counts(counts, band.mean, mesh.distance_mpc))
    expected = expected_power(mesh, own * band.mean * band.bias * band.growth, moving)
    beta = float(np.average(mesh.cosmology.growth_rate(redshift), weights=band.mean**2)) / (own * band.expected_bias)
    mu2 = np.linspace(0.005, 0.995, 100) ** 2
    boost, legendre = (1 + beta * mu2) ** 2, 2.5 * (3 * mu2 - 1)
    kaiser = (legendre * boost).mean() / boost.mean()
    noise = (legendre - kaiser) * boost  # what a wave at μ of chance power adds to the ratio
    share = (noise * legendre).mean() / (legendre**2).mean()
    values = []
    for after, before, scale in ((seen, real, 1.0), (expected, expected_real, own**2)):
        monopole = shell_sum(mesh, after, shell)
        quadrupole = shell_sum(mesh, after, shell, True) - share * scale * shell_sum(mesh, before, shell, True)
        values.append((quadrupole / monopole, monopole / (scale * shell_sum(mesh, before, shell))))
    errors = (
        scatter * np.sqrt(((noise - share * legendre) ** 2).mean()) / boost.mean(),
        scatter * boost.std(),
    )
    names = (f"{LIGHTCONE}: quadrupole / monopole", f"{LIGHTCONE}: monopole / real monopole")
    found = zip(names, *values, errors, strict=True)
    return [Row("redshift space", name, KAISER_K, *(float(v) for v in numbers)) for name, *numbers in found], []


def inscribed_box(geometry: dict, cosmology: Cosmology, redshift: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Corner (Mpc) and shape, in the largest of CELLS_MPC, of a rectangular box inside the cone about a redshift."""
    half, cell = np.radians(geometry["field_deg"] / 2), max(CELLS_MPC)
    near, far = (float(cosmology.comoving_distance(geometry[f"redshift_{end}"])) for end in ("min", "max"))
    far = far / np.sqrt(1 + 2 * half**2)  # the corners of the sky are the first to leave
    middle = float(np.clip(cosmology.comoving_distance(redshift), near, far))
    depth = int(min(SLAB_MPC / 2, middle - near, far - middle) * 2 // cell)
    front = middle - depth * cell / 2
    across = int(2 * half * front // cell)
    return np.array([-across * cell / 2, -across * cell / 2, front]), (across, across, depth)


def jackknifed(counts: np.ndarray) -> tuple[CellStatistics, CellStatistics]:
    """Statistics of the counts in cells (x, y, z), and their 1 σ from leaving out each of PARTS³ blocks."""
    whole = cell_statistics(counts)
    labels = [np.arange(n) * PARTS // n for n in counts.shape]
    block = (labels[0][:, None, None] * PARTS + labels[1][:, None]) * PARTS + labels[2]
    left = np.array([_tuple(cell_statistics(counts[block != part])) for part in range(PARTS**3)])
    return whole, CellStatistics(*np.sqrt((PARTS**3 - 1) * left.var(axis=0)))


def _tuple(statistics: CellStatistics) -> tuple[float, float, float]:
    return statistics.variance, statistics.skewness, statistics.empty


@dataclass(frozen=True)
class Sample:
    """The halos of a rectangular box, heaviest first."""

    position_mpc: np.ndarray  # (n, 3)
    corner_mpc: np.ndarray  # (3,)
    shape: tuple[int, int, int]  # in the largest of CELLS_MPC

    def counts(self, density: float, cell_mpc: float) -> np.ndarray | None:
        """Counts in cells of the heaviest down to a number density (1/Mpc³); None where there are fewer."""
        fine = tuple(n * round(max(CELLS_MPC) / cell_mpc) for n in self.shape)
        number = round(density * np.prod(fine) * cell_mpc**3)
        if number > len(self.position_mpc):
            return None
        return count_cells(self.position_mpc[:number], self.corner_mpc, cell_mpc, fine)


def heaviest(position: np.ndarray, mass: np.ndarray, corner: np.ndarray, shape: tuple[int, int, int]) -> Sample:
    """The halos in the box of a corner and shape."""
    within = ((position >= corner) & (position < corner + np.array(shape) * max(CELLS_MPC))).all(axis=1)
    return Sample(position[within][np.argsort(-mass[within], kind="stable")], corner, shape)


def cone_cell_rows(
    halos: HaloCatalogue, yardstick: tuple[np.ndarray, np.ndarray, float], redshift: float
) -> tuple[list[Row], list[str]]:
    """Counts in cells of the cone about a redshift beside those of the generator's box of that redshift.

    yardstick: the box's positions, masses and side. Both samples are the heaviest halos down to the same number density, so
    that other mass definitions compare. Errors: jackknife over 27 blocks, of the cone and of the box together.
    """
    position, mass, side = yardstick
    corner, shape = inscribed_box(halos.geometry, halos.cosmology, redshift)
    if min(shape) < PARTS or np.prod(shape) < FEWEST_CELLS:
        size = " × ".join(f"{max(CELLS_MPC) * n:g}" for n in shape)
        found = f"counts in cells: {size} Mpc lie inside the light-cone around z = {redshift:.2f}"
        return [], [f"{found}, {FEWEST_CELLS} cells of 8 Mpc needed"]
    cone = heaviest(halos.position_mpc, halos.mass_msun, corner, shape)
    box = heaviest(position, mass, np.zeros(3), (int(side // max(CELLS_MPC)),) * 3)
    rows, left_out = [], []
    for density in THRESHOLDS:
        for cell in CELLS_MPC:
            samples = cone.counts(density, cell), box.counts(density, cell)
            if samples[0] is None or samples[1] is None:
                whose = LIGHTCONE if samples[0] is None else "generator's box"
                left_out.append(
                    f"counts in cells of {density:g} per Mpc³: the {whose} has fewer halos above its mass floor"
                )
                break
            (found, error), (expected, its_error) = (jackknifed(counts) for counts in samples)
            for name in ("variance", "skewness", "empty"):
                quantity = "light-cone: empty cells" if name == "empty" else f"light-cone: cell {name}"
                both = np.hypot(getattr(error, name), getattr(its_error, name))
                values = getattr(found, name), getattr(expected, name), float(both)
                rows.append(Row(quantity, f"{density:.2g} per Mpc³", cell, *values))
    quantities = list(dict.fromkeys(row.quantity for row in rows))
    return sorted(rows, key=lambda row: quantities.index(row.quantity)), left_out
