"""What halos must match: abundance, clustering, velocities, redshift-space distortion, counts in cells.

Every measurement returns plain arrays; `rows` turns them into lines of one table (quantity, case, measured, expected,
error), where error is the statistical 1 σ of the measured value.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import spherical_jn

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.files import csv_text
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.massfunction import halo_bias, mass_function

COLUMNS = ("quantity", "case", "at", "measured", "expected", "error", "ratio", "lightcone")


class Row(NamedTuple):
    """One line of the validation table: a quantity, which sample it is of, where (mass, k, size), and the numbers.

    lightcone: the file it was measured in; empty for what is the generator's.
    """

    quantity: str
    case: str
    at: float
    measured: float
    expected: float
    error: float
    lightcone: str = ""


def table_text(rows: list[Row]) -> str:
    """The table as CSV, with the ratio to what is expected; an empty field where nothing is expected."""
    numbers = ("at", "measured", "expected", "error")
    table = []
    for row in rows:
        ratio = f"{row.measured / row.expected:.4f}" if row.expected else None
        table.append({**row._asdict(), **{name: float(getattr(row, name)) for name in numbers}, "ratio": ratio})
    return csv_text(table, 6, COLUMNS)


def square_solid_angle(field_deg: float) -> float:
    """Solid angle in sr of the square |x|, |y| ≤ field_deg/2 on the tangent plane."""
    half = np.radians(field_deg / 2)
    return float(4 * np.arctan(half**2 / np.sqrt(1 + 2 * half**2)))


def expected_number(
    mass_low: float, mass_high: float, redshift: np.ndarray, solid_angle: float, cosmology: Cosmology, model: str
) -> float:
    """Halos that the mass function puts on a light-cone between two masses and the ends of a redshift grid."""
    mass = np.geomspace(mass_low, mass_high, 41)
    shell = cosmology.comoving_distance(redshift) ** 2 * SPEED_OF_LIGHT_KMS / cosmology.hubble(redshift)
    density = [np.trapezoid(mass_function(mass, z, cosmology, model), np.log(mass)) for z in redshift]
    return float(solid_angle * np.trapezoid(shell * density, redshift))


def abundance_rows(halos: HaloCatalogue, model: str, slices: int = 3, dex: float = 0.5) -> list[Row]:
    """Numbers per redshift slice and mass band against the mass function; the error is Poisson's alone."""
    geometry = halos.geometry
    solid_angle = square_solid_angle(geometry["field_deg"])
    edges = np.linspace(geometry["redshift_min"], geometry["redshift_max"], slices + 1)
    rows = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (halos.redshift >= low) & (halos.redshift < high)
        log_mass = np.log10(halos.mass_msun[inside])
        grid = np.linspace(low, high, 13)
        for first in np.arange(np.log10(geometry["mass_min_msun"]), 13.9, dex):
            found = int(np.count_nonzero((log_mass >= first) & (log_mass < first + dex)))
            expected = expected_number(10**first, 10 ** (first + dex), grid, solid_angle, halos.cosmology, model)
            if expected < 10:
                break
            case = f"z {low:.2f}-{high:.2f}"
            rows.append(Row("mass function", case, first + dex / 2, found, expected, np.sqrt(expected)))
    return rows


def cell_counts(position_mpc: np.ndarray, side_mpc: float, cells: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Numbers (or summed weights) in cells³ of a periodic cube, nearest grid point, axes (x, y, z)."""
    place = np.minimum((position_mpc.astype(np.float64) * (cells / side_mpc)).astype(np.int64), cells - 1)
    flat = (place[:, 0] * cells + place[:, 1]) * cells + place[:, 2]
    return np.bincount(flat, weights, minlength=cells**3).reshape((cells,) * 3)


def overdensity_modes(position_mpc: np.ndarray, side_mpc: float, cells: int) -> np.ndarray:
    """rfftn of the overdensity, each point in its nearest cell."""
    counts = cell_counts(position_mpc, side_mpc, cells)
    return np.fft.rfftn(counts / counts.mean() - 1)


@dataclass(frozen=True)
class Spectra:
    """Band powers in Mpc³ (k bins), shot noise subtracted from auto spectra, and the numbers of modes."""

    k: np.ndarray
    modes: np.ndarray
    monopole: np.ndarray
    quadrupole: np.ndarray


def power_spectrum(
    first: np.ndarray, second: np.ndarray, side_mpc: float, edges: np.ndarray, shot_noise: float = 0.0
) -> Spectra:
    """Monopole and quadrupole (about z) of two sets of overdensity_modes, (cells, cells, cells//2 + 1).

    The window of the cells is divided out after the shot noise: aliasing keeps that one white (Jing 2005).
    """
    cells = first.shape[0]
    step = 2 * np.pi / side_mpc
    axis, half = np.fft.fftfreq(cells) * cells * step, np.arange(cells // 2 + 1) * step
    k = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2)
    mu2 = np.divide(half**2, k**2, out=np.zeros_like(k), where=k > 0)
    full, last = np.sinc(np.fft.fftfreq(cells)), np.sinc(np.fft.rfftfreq(cells))
    power = (first * second.conj()).real * side_mpc**3 / cells**6 - shot_noise
    power /= (full[:, None, None] * full[:, None] * last) ** 2
    weight = np.broadcast_to(np.where((half == 0) | (half == half.max()), 1.0, 2.0), k.shape)
    index = np.digitize(k.ravel(), edges)
    number = np.bincount(index, weight.ravel(), len(edges) + 1)[1:-1]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, (values * weight).ravel(), len(edges) + 1)[1:-1] / np.maximum(number, 1)

    return Spectra(mean(k), number, mean(power), mean(power * 2.5 * (3 * mu2 - 1)))


def bias_rows(
    position: np.ndarray, mass: np.ndarray, matter: np.ndarray, side_mpc: float, redshift: float, cosmology: Cosmology,
    model: str, k_max: tuple[float, ...] = (0.1, 0.2), cells: int = 128
) -> list[Row]:  # fmt: skip
    """Large-scale bias per mass band from the halo-matter and halo-halo spectra against Tinker et al. 2010.

    For all waves up to each k_max. Halos and matter share their phases, which cancels most cosmic variance; the error is
    that of the shot noise.
    """
    matter_modes = overdensity_modes(matter, side_mpc, cells)
    matter_power = {k: power_spectrum(matter_modes, matter_modes, side_mpc, np.array([1e-6, k])) for k in k_max}
    rows = []
    for low in np.arange(np.log10(mass.min()), 13.4, 0.5):
        chosen = (mass >= 10**low) & (mass < 10 ** (low + 0.5))
        number = int(chosen.sum())
        if number < 200:
            break
        masses = np.logspace(low, low + 0.5, 41)
        weight = mass_function(masses, redshift, cosmology, model)
        expected = float(np.average(halo_bias(masses, redshift, cosmology), weights=weight))
        modes = overdensity_modes(position[chosen], side_mpc, cells)
        shot = side_mpc**3 / number
        for k in k_max:
            edges, power, waves = np.array([1e-6, k]), matter_power[k].monopole[0], matter_power[k].modes[0] / 2
            cross = power_spectrum(modes, matter_modes, side_mpc, edges).monopole[0] / power
            auto = power_spectrum(modes, modes, side_mpc, edges, shot).monopole[0] / power
            noise = np.sqrt(shot / power / waves)
            rows.append(Row("bias", f"halo-matter (k < {k:g})", low + 0.25, cross, expected, noise))
            auto_error = shot / power / np.sqrt(waves) / (2 * expected)
            rows.append(Row("bias", f"halo-halo (k < {k:g})", low + 0.25, auto**0.5 if auto > 0 else 0.0, expected,
                            auto_error + noise))  # fmt: skip
    return sorted(rows, key=lambda row: row.case)


def kaiser_rows(
    position: np.ndarray, velocity: np.ndarray, side_mpc: float, redshift: float, cosmology: Cosmology, bias: float,
    k_max: float = 0.15, cells: int = 64
) -> list[Row]:  # fmt: skip
    """Redshift-space quadrupole over monopole on large scales against Kaiser (1987) with the halos' real-space bias.

    The real-space quadrupole of the same modes is subtracted: in a small box it is the largest part of the noise.
    """
    beta = float(cosmology.growth_rate(redshift)) / bias
    edges = np.array([1e-6, k_max])
    shot = side_mpc**3 / len(position)
    shifted = position.astype(np.float64)
    shifted[:, 2] = np.mod(
        shifted[:, 2] + velocity[:, 2] * (1 + redshift) / float(cosmology.hubble(redshift)), side_mpc
    )
    real, seen = (overdensity_modes(p, side_mpc, cells) for p in (position, shifted))
    real, seen = (power_spectrum(m, m, side_mpc, edges, shot) for m in (real, seen))
    measured = (seen.quadrupole[0] - real.quadrupole[0] * (1 + beta) ** 2) / seen.monopole[0]
    expected = (4 / 3 * beta + 4 / 7 * beta**2) / (1 + 2 / 3 * beta + beta**2 / 5)
    error = np.sqrt(5 / (seen.modes[0] / 2)) * (1 + shot / seen.monopole[0]) * beta
    boost = 1 + 2 / 3 * beta + beta**2 / 5
    ratio = seen.monopole[0] / real.monopole[0]
    return [
        Row("redshift space", "quadrupole / monopole", k_max, measured, expected, error),
        Row("redshift space", "monopole / real monopole", k_max, ratio, boost, error / 2),
    ]


@dataclass(frozen=True)
class CellStatistics:
    """Counts in cubic cells: σ² and skewness ⟨δ³⟩/⟨δ²⟩² with Poisson's part removed, and the empty share."""

    variance: float
    skewness: float
    empty: float


def counts_in_cells(position: np.ndarray, side_mpc: float, cell_mpc: float) -> CellStatistics:
    """Statistics of the counts in cells of about cell_mpc (the side is cut into whole cells)."""
    return cell_statistics(cell_counts(position, side_mpc, max(1, round(side_mpc / cell_mpc))))


def cell_statistics(counts: np.ndarray) -> CellStatistics:
    """Statistics of the counts in cells, of any shape."""
    n = counts.ravel().astype(np.float64)
    mean = n.mean()
    factorial2, factorial3 = (n * (n - 1)).mean() / mean**2, (n * (n - 1) * (n - 2)).mean() / mean**3
    variance = factorial2 - 1
    third = factorial3 - 3 * factorial2 + 2
    return CellStatistics(variance, third / variance**2, float(np.mean(n == 0)))


def cone_velocity_row(halos: HaloCatalogue) -> Row:
    """RMS velocity along one axis, km/s, against linear theory; the error is a light-cone's cosmic variance."""
    rms = float(np.sqrt((halos.velocity_kms.astype(np.float64) ** 2).mean()))
    middle = float(np.median(halos.redshift))
    expected = float(halos.cosmology.velocity_rms(middle))
    error = expected * velocity_scatter(halos.position_mpc, halos.cosmology)
    band = 0.5 * (halos.geometry["redshift_min"] + halos.geometry["redshift_max"])
    return Row("rms velocity", "light-cone", band, rms, expected, error)


def velocity_scatter(position: np.ndarray, cosmology: Cosmology, pairs: int = 40_000) -> float:
    """Relative 1 σ scatter of the rms linear velocity of halos at these places, from one realisation to another.

    A Gaussian field's mean of v²/3 has variance (2/9) ⟨2 ψ⊥² + ψ∥²⟩ over pairs of places, ψ the velocity correlations across
    and along the pair (Gorski 1988, ApJ 332, L7). Waves longer than the cone carry most of it: its parts do not show it.
    """
    rng = np.random.default_rng(0)  # which pairs are looked at; not the field
    first, second = position[rng.integers(len(position), size=(2, pairs))].astype(np.float64)
    separation = np.linalg.norm(first - second, axis=1)
    k = np.geomspace(1e-5, 30, 4000)
    power = cosmology.linear_power(k) * k  # dk = k dlnk; the overall scale cancels
    distance = np.linspace(0, separation.max(), 400)
    x = np.outer(distance, k)
    across = (spherical_jn(1, x) / np.where(x > 0, x, 1) + (x == 0) / 3) @ power
    along = spherical_jn(0, x) @ power - 2 * across
    correlation = 2 * np.interp(separation, distance, across) ** 2 + np.interp(separation, distance, along) ** 2
    return float(0.5 * np.sqrt(2 / 9 * correlation.mean()) / across[0])


def box_velocity_row(velocity: np.ndarray, matter: np.ndarray, redshift: float) -> Row:
    """RMS velocity of halos over that of the matter of the same box, which cancels its few long waves."""
    ratio = np.sqrt((velocity.astype(np.float64) ** 2).mean(axis=0) / (matter.astype(np.float64) ** 2).mean(axis=0))
    return Row("rms velocity", "halos / matter", redshift, float(ratio.mean()), 1.0, float(ratio.std() / 2**0.5))


THRESHOLDS = (2e-3 * np.array([4.0, 1.25, 0.25])).tolist()  # halos per Mpc³: about 1e11, 3e11 and 1e12 Msun at z = 2.9
CELLS_MPC = (4.0, 8.0)
K_EDGES = np.array([0.1, 0.2, 0.5, 1.0, 2.0])
LIGHT_EDGES = np.array([0.01, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0])


def clustering_statistics(position: np.ndarray, mass: np.ndarray, side_mpc: float) -> dict[tuple, float]:
    """Statistics of the heaviest halos down to each number density: {(quantity, density, at): value}.

    Cells: variance, skewness and empty share of the counts. Power: the halo power spectrum in Mpc³. Light: one-point
    function of the box painted with light proportional to mass, as the share of 4 Mpc cells per bin of light over the mean;
    the masses are the ranks' (M ∝ rank^−0.8), so that catalogues with other mass definitions compare.
    """
    needed = number_of(THRESHOLDS[0], side_mpc)
    if len(mass) < needed:
        raise problem("halos", f"{len(mass)} in {side_mpc:g} Mpc", f"at least {needed}", "lower their mass floor")
    order = np.argsort(-mass, kind="stable")
    statistics = {}
    for density in THRESHOLDS:
        number = number_of(density, side_mpc)
        chosen = position[order[:number]]
        for cell in CELLS_MPC:
            cells = counts_in_cells(chosen, side_mpc, cell)
            statistics["cell variance", density, cell] = cells.variance
            statistics["cell skewness", density, cell] = cells.skewness
            statistics["empty cells", density, cell] = cells.empty
        modes = overdensity_modes(chosen, side_mpc, 160)
        power = power_spectrum(modes, modes, side_mpc, K_EDGES, side_mpc**3 / number)
        for k, value in zip(np.sqrt(K_EDGES[1:] * K_EDGES[:-1]), power.monopole, strict=True):
            statistics["halo power", density, float(k)] = float(value)
    light = np.arange(1, number_of(THRESHOLDS[0], side_mpc) + 1.0) ** -0.8
    painted = cell_counts(position[order[: len(light)]], side_mpc, round(side_mpc / CELLS_MPC[0]), light)
    share = np.histogram(painted / painted.mean(), LIGHT_EDGES)[0] / painted.size
    for at, value in zip(np.sqrt(LIGHT_EDGES[1:] * LIGHT_EDGES[:-1]), share, strict=True):
        statistics["one-point function of light", THRESHOLDS[0], float(at)] = float(value)
    return statistics


def number_of(density: float, side_mpc: float) -> int:
    """Halos of that density in the cube."""
    return round(density * side_mpc**3)


def reference_rows(found: dict[tuple, float], reference: dict[tuple, float], name: str) -> list[Row]:
    """Found statistics beside those of the N-body run of the same phases; no error is attached to one realisation."""
    return [
        Row(f"N-body: {quantity}", f"{density:.2g} per Mpc³ ({name})", at, found[quantity, density, at], expected, 0.0)
        for (quantity, density, at), expected in reference.items()
    ]
