"""Linear density of a box of cubic cells, and the displacements of second-order Lagrangian perturbation theory.

The box is as narrow as the light-cone allows, but waves are not: long ones come from a coarse, much larger box (longer than
any side), short ones from the fine box itself, with the power split smoothly between them. A narrow periodic box alone
would double the velocities along its long axis and miss the field-to-field variance. The long waves stay on their coarse
grid and are spline-interpolated where they are needed.

Fields are torch tensors (nz, ny, nx) of today's linear amplitude. The white noise is drawn plane by plane on the CPU,
each plane from its own stream, so that a seed gives the same universe on any device and any number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from limelight import seeds
from limelight.cosmology import Cosmology
from limelight.matter.chunks import together
from limelight.matter.fourier import irfftn, rfftn

TABLE_PER_E_FOLD = 200  # of the power-spectrum table; linear interpolation in it is good to 1e-5
K_MAX = 20.0  # 1/Mpc; of the shortest waves that the rates of the lightest halos know of
LONG_BOX_MPC = 1600.0  # least side of the box of long waves; beyond it lies 0.4 % of the rms displacement
LONG_BOX_FACTOR = 1.4  # and at least so many times the longest side of the fine box
LONG_CELLS_PER_RADIUS = 1.5  # coarse cells per smoothing radius of the long waves
PLANES = 8  # a chunk of work


@dataclass(frozen=True)
class Box:
    """A periodic box of shape (nz, ny, nx) cubic cells."""

    shape: tuple[int, int, int]
    cell_mpc: float

    @property
    def volume(self) -> float:
        """Mpc³."""
        return float(np.prod(self.shape)) * self.cell_mpc**3

    def wavenumbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wavenumbers (kz, ky, kx) of rfftn's axes in 1/Mpc, float64."""
        nz, ny, nx = self.shape
        step = 2 * np.pi / self.cell_mpc
        return np.fft.fftfreq(nz) * step, np.fft.fftfreq(ny) * step, np.fft.rfftfreq(nx) * step


@dataclass(frozen=True)
class LinearField:
    """Fourier modes of the short waves in the box and of the long waves in theirs, and how long ones reach the box.

    A periodic field has no long waves: long_modes is None and all its waves fit the box.
    weights: (cells of the box, coarse cells) interpolation matrices along z, y, x; spans: the coarse cells they use.
    """

    box: Box
    modes: torch.Tensor
    long_box: Box | None = None
    long_modes: torch.Tensor | None = None
    weights: tuple[torch.Tensor, ...] = ()
    spans: tuple[slice, ...] = ()


def periodic_field(box: Box, cosmology: Cosmology, seed: int, device: str, run: Callable) -> LinearField:
    """Draw the linear density of a periodic box that stands for itself. run: of chunks.chunk_runner."""
    return LinearField(box, _gaussian_modes(box, cosmology.linear_power, seed, "short waves", device, run))


def resampled(modes: torch.Tensor, cells: int) -> torch.Tensor:
    """Modes (rfftn) of a cubic grid cut down to a coarser grid of cells³; waves beyond its Nyquist are dropped."""
    old, half = modes.shape[0], cells // 2
    if cells > old:
        raise ValueError("a grid can only be resampled to a coarser one")
    keep = torch.cat([torch.arange(half), torch.arange(old - half, old)])
    coarse = modes[keep][:, keep][:, :, : half + 1] * (cells / old) ** 3
    coarse[half], coarse[:, half], coarse[:, :, half] = 0, 0, 0  # the Nyquist planes would have to be made real
    return coarse


def linear_field(box: Box, cosmology: Cosmology, seed: int, device: str, run: Callable) -> LinearField:
    """Draw the linear density of a box and of the long waves around it."""
    split, long_box = long_waves_of(box)

    def short_power(k: np.ndarray) -> np.ndarray:
        return cosmology.linear_power(k) * -np.expm1(-((k * split) ** 2))

    def long_power(k: np.ndarray) -> np.ndarray:
        return cosmology.linear_power(k) * np.exp(-((k * split) ** 2))

    weights, spans = [], []
    for cells, coarse_cells in zip(box.shape, long_box.shape, strict=True):
        matrix = _spline_matrix(cells, box.cell_mpc, coarse_cells, long_box.cell_mpc)
        used = np.flatnonzero(np.abs(matrix).max(axis=0) > 1e-5)
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
        weights.append(torch.from_numpy(matrix[:, spans[-1]].astype(np.float32)).to(device))
    return LinearField(
        box=box,
        modes=_gaussian_modes(box, short_power, seed, "short waves", device, run),
        long_box=long_box,
        long_modes=_gaussian_modes(long_box, long_power, seed, "long waves", device, run),
        weights=tuple(weights),
        spans=tuple(spans),
    )


def long_waves_of(box: Box) -> tuple[float, Box]:
    """The splitting radius (half the narrowest side's 1/k) and the coarse box of the long waves."""
    split = min(box.shape) * box.cell_mpc / (4 * np.pi)
    side = max(LONG_BOX_MPC, LONG_BOX_FACTOR * max(box.shape) * box.cell_mpc)
    cells = good_size(side / split * LONG_CELLS_PER_RADIUS)
    return split, Box((cells, cells, cells), side / cells)


def _spline_matrix(cells: int, cell_mpc: float, coarse_cells: int, coarse_mpc: float) -> np.ndarray:
    """Periodic cubic-spline weights (cells, coarse_cells) between two grids with a common centre."""
    from scipy.interpolate import CubicSpline

    nodes = (np.arange(coarse_cells + 1) - 0.5 * (coarse_cells - 1)) * coarse_mpc
    places = (np.arange(cells) - 0.5 * (cells - 1)) * cell_mpc
    unit = np.eye(coarse_cells)
    return CubicSpline(nodes, np.vstack([unit, unit[:1]]), bc_type="periodic")(places)


def good_size(n: float) -> int:
    """The smallest even number ≥ n without prime factors above 5: the FFT's favourites."""
    size = 2 * int(np.ceil(n / 2))
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def _gaussian_modes(box: Box, power: Callable, seed: int, stage: str, device: str, run: Callable) -> torch.Tensor:
    """Fourier modes (rfftn, complex64) of a Gaussian field: white noise times √(P / cell volume)."""
    modes = rfftn(_white_noise(box, seed, stage, run).to(device))
    kz, ky, kx = box.wavenumbers()
    low = np.log(2 * np.pi / (max(box.shape) * box.cell_mpc)) - 0.01
    high = np.log(np.sqrt(3) * np.pi / box.cell_mpc) + 0.01
    table_k = np.exp(np.arange(low, high + 0.01, 1 / TABLE_PER_E_FOLD))
    amplitude = np.sqrt(power(table_k) / box.cell_mpc**3)
    table = torch.from_numpy(amplitude.astype(np.float32)).to(device)
    lateral = torch.from_numpy(ky[:, None] ** 2 + kx**2).to(device)

    def scale(plane: int) -> None:
        k2 = (lateral + kz[plane] ** 2).clamp_(min=np.exp(2 * low))
        place = k2.log_().mul_(0.5).sub_(low).mul_(TABLE_PER_E_FOLD)
        index = place.long()
        modes[plane].mul_(torch.lerp(table[index], table[index + 1], (place - index).float()))

    run(scale, range(box.shape[0]))
    modes[0, 0, 0] = 0
    return modes


def _white_noise(box: Box, seed: int, stage: str, run: Callable) -> torch.Tensor:
    noise = torch.empty(box.shape, dtype=torch.float32)

    def draw(plane: int) -> None:
        seeds.generator(seed, stage, plane).standard_normal(out=noise[plane].numpy(), dtype=np.float32)

    run(draw, range(box.shape[0]))
    return noise


def field_variances(box: Box, cosmology: Cosmology, periodic: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Squared wavenumbers of all waves of a LinearField and their shares of the variance."""
    k2, variance = _mode_variances(box, cosmology)
    if periodic:
        return k2, variance
    split, long_box = long_waves_of(box)
    long_k2, long_variance = _mode_variances(long_box, cosmology)
    shares = variance * -np.expm1(-k2 * split**2), long_variance * np.exp(-long_k2 * split**2)
    return np.concatenate([k2, long_k2]), np.concatenate(shares)


def _mode_variances(box: Box, cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """Squared wavenumbers and their shares of the field's variance, the modes of the box binned in ln k (width 0.002)."""
    kz, ky, kx = (np.abs(k[: n // 2 + 1]) for k, n in zip(box.wavenumbers(), box.shape, strict=True))
    count = [np.where((k == 0) | (k == k.max()), 1.0, 2.0) for k in (kz, ky, kx)]
    low, width = np.log(2 * np.pi / (max(box.shape) * box.cell_mpc)) - 0.01, 0.002
    bins = int((np.log(np.sqrt(3) * np.pi / box.cell_mpc) + 0.02 - low) / width) + 1
    number, square = np.zeros(bins), np.zeros(bins)
    lateral = (ky[:, None] ** 2 + kx**2).ravel()
    lateral_count = (count[1][:, None] * count[2]).ravel()
    for k, n in zip(kz, count[0], strict=True):
        k2 = np.maximum(lateral + k**2, 1e-30)
        index = np.maximum((0.5 * np.log(k2) - low) / width, 0).astype(np.int64)
        keep = k2 > 1e-20
        number += np.bincount(index[keep], lateral_count[keep] * n, minlength=bins)
        square += np.bincount(index[keep], (lateral_count * k2)[keep] * n, minlength=bins)
    used = number > 0
    k2 = square[used] / number[used]
    return k2, number[used] * cosmology.linear_power(np.sqrt(k2)) / box.volume


def unresolved_variances(box: Box, cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """Squared wavenumbers of waves too short for the box's cells, up to K_MAX, and their shares of the variance."""
    nyquist = np.pi / box.cell_mpc
    k = np.exp(np.arange(np.log(nyquist), np.log(K_MAX), 0.01) + 0.005)
    n = np.arange(0.5, 4000)  # directions spread evenly over the sphere (a Fibonacci lattice)
    height, turn = 1 - n / 2000, n * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    largest = np.sort(np.abs([height, ring * np.cos(turn), ring * np.sin(turn)]).max(axis=0))
    outside = 1 - np.searchsorted(largest, nyquist / k) / len(n)  # of the grid's cube of wavenumbers
    return k**2, outside * cosmology.linear_power(k) * k**3 / (2 * np.pi**2) * 0.01


def smoothing_radii(wanted: np.ndarray, squared_k: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian radii R (Mpc) at which the field's variance is as wanted, and the variances they give.

    Where the grid holds less than the wanted variance, R is 0 and the grid's own variance is returned.
    """
    radii = np.zeros(len(wanted))
    for i, target in enumerate(wanted):
        low, high = 0.0, 1.0
        if target >= variances.sum():
            continue
        while np.sum(variances * np.exp(-squared_k * high**2)) > target:
            high *= 2
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = np.sum(variances * np.exp(-squared_k * middle**2)) > target
            low, high = (middle, high) if above else (low, middle)
        radii[i] = high
    return radii, np.array([np.sum(variances * np.exp(-squared_k * r**2)) for r in radii])


def smoothed(field: LinearField, radius_mpc: float, curvature: float = 0.0) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(1 − curvature ∇²) of the field smoothed with a Gaussian: short waves on the box, long waves on their coarse grid."""
    short = irfftn(_filtered(field.modes, field.box, radius_mpc, curvature), s=field.box.shape)
    if field.long_modes is None:
        return short, None
    coarse = _filtered(field.long_modes, field.long_box, radius_mpc, curvature)
    return short, irfftn(coarse, s=field.long_box.shape)


def _filtered(modes: torch.Tensor, box: Box, radius_mpc: float, curvature: float) -> torch.Tensor:
    """(1 + curvature k²) exp(−k² R²/2) modes, plane by plane: the factors stay in the cache."""
    kz, ky, kx = box.wavenumbers()
    lateral_k2 = ky[:, None] ** 2 + kx**2
    lateral = _tensor(np.exp(-0.5 * lateral_k2 * radius_mpc**2), modes)
    tilted = _tensor(curvature * lateral_k2 * np.exp(-0.5 * lateral_k2 * radius_mpc**2), modes)
    result = torch.empty_like(modes)
    for z, k in enumerate(kz):
        height = float(np.exp(-0.5 * (k * radius_mpc) ** 2))
        factor = torch.add(lateral * (height * (1 + curvature * k**2)), tilted, alpha=height)
        torch.mul(modes[z], factor, out=result[z])
    return result


def long_block(
    field: LinearField, coarse: torch.Tensor, z: tuple[int, int], y: tuple[int, int], x: tuple[int, int]
) -> torch.Tensor:
    """A field of the coarse grid interpolated to cells [z) × [y) × [x) of the box."""
    along_z, along_y, along_x = (w[lo:hi] for w, (lo, hi) in zip(field.weights, (z, y, x), strict=True))
    values = torch.tensordot(along_z, coarse[field.spans], dims=1)  # (z, coarse y, coarse x)
    return along_y @ (values @ along_x.T)


def displacements(field: LinearField, run: Callable) -> torch.Tensor:
    """First- and second-order displacement fields in Mpc, (6, nz, ny, nx) as ψ1 (x, y, z), ψ2 (x, y, z).

    A particle moves by D ψ1 + (3/7) D² Ωm^(−1/143) ψ2 (Bouchet et al. 1995): ∇·ψ1 = −δ and
    ∇·ψ2 = −Σ_{i<j} (φ,ii φ,jj − φ,ij²) with ∇²φ = δ. The field's modes are overwritten; run(work, items) runs chunks.
    """
    box = field.box
    potential, k, inverse = _potential(field.modes, box)
    periodic = field.long_modes is None
    long_potential, long_k, _ = (None, None, None) if periodic else _potential(field.long_modes, field.long_box)

    def complete(values: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Add the long waves to the short."""
        for z in range(0, box.shape[0], PLANES):
            planes = (z, min(z + PLANES, box.shape[0]))
            values[slice(*planes)] += long_block(field, coarse, planes, (0, box.shape[1]), (0, box.shape[2]))
        return values

    def tide(i: int, j: int) -> torch.Tensor:
        short = irfftn(potential * (k[i] * k[j]), s=box.shape)
        if periodic:
            return short
        return complete(short, irfftn(long_potential * (long_k[i] * long_k[j]), s=field.long_box.shape))

    def pull(axis: int) -> None:
        _gradient(potential, k, box, axis, psi[2 - axis])
        if not periodic:
            complete(psi[2 - axis], _gradient(long_potential, long_k, field.long_box, axis))

    # A transform runs on one thread, and two of them beside one another.
    source, other = together(run, lambda: tide(0, 0), lambda: tide(1, 1))
    trace = source + other
    source *= other
    other, cross = together(run, lambda: tide(2, 2), lambda: tide(0, 1))
    source.addcmul_(other, trace)
    del trace, other
    source.addcmul_(cross, cross, value=-1)
    for cross in together(run, lambda: tide(0, 2), lambda: tide(1, 2)):
        source.addcmul_(cross, cross, value=-1)
    del cross
    psi = torch.empty((6, *box.shape), dtype=torch.float32, device=potential.device)
    for axis in range(3):  # one after another: here memory is at its peak
        pull(axis)
    potential = rfftn(source).div_(inverse)
    del source, inverse
    for axis in range(3):
        _gradient(potential, k, box, axis, psi[5 - axis])
    return psi


def _potential(modes: torch.Tensor, box: Box) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """−φ in Fourier space (in the place of the modes of δ), the wavenumbers (z, y, x) ready to broadcast, and k²."""
    shapes = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    k = [_tensor(values, modes).reshape(shape) for values, shape in zip(box.wavenumbers(), shapes, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = 1
    return modes.div_(squared), k, squared


def _gradient(
    potential: torch.Tensor, k: list[torch.Tensor], box: Box, axis: int, out: torch.Tensor | None = None
) -> torch.Tensor:
    """The field whose modes are i k_axis potential; the Nyquist mode has no odd derivative and is dropped."""
    odd = k[axis].clone()
    odd.view(-1)[box.shape[axis] // 2] = 0
    return irfftn(potential * (1j * odd), s=box.shape, out=out)


def _tensor(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like.device)
