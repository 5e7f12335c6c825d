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
from functools import partial

import numpy as np
import torch

from limelight import seeds
from limelight.cosmology import Cosmology
from limelight.matter.chunks import together
from limelight.matter.fourier import irfftn, planes_of, rows_of

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
    nz, ny, nx = box.shape
    modes = torch.empty((nz, ny, nx // 2 + 1), dtype=torch.complex64, device=device)
    kz, ky, kx = (torch.from_numpy(k).to(device) for k in box.wavenumbers())
    low = np.log(2 * np.pi / (max(box.shape) * box.cell_mpc)) - 0.01
    high = np.log(np.sqrt(3) * np.pi / box.cell_mpc) + 0.01
    table_k = np.exp(np.arange(low, high + 0.01, 1 / TABLE_PER_E_FOLD))
    amplitude = np.sqrt(power(table_k) / box.cell_mpc**3)
    table = torch.from_numpy(amplitude.astype(np.float32)).to(device)

    def draw(plane: int) -> None:
        noise = seeds.generator(seed, stage, plane).standard_normal((ny, nx), dtype=np.float32)
        modes[plane] = torch.fft.rfft2(torch.from_numpy(noise).to(device))

    def scale(rows: slice) -> None:
        k2 = (kz[:, None, None] ** 2 + (ky[rows, None] ** 2 + kx**2)).clamp_(min=np.exp(2 * low))
        place = k2.log_().mul_(0.5).sub_(low).mul_(TABLE_PER_E_FOLD)
        index = place.long()
        scales = torch.lerp(table[index], table[index + 1], (place - index).float())
        torch.mul(torch.fft.fft(modes[:, rows], dim=0), scales, out=modes[:, rows])

    run(draw, range(nz))
    run(scale, rows_of(modes))
    modes[0, 0, 0] = 0
    return modes


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


def add_long_waves(
    values: torch.Tensor, field: LinearField, coarse: torch.Tensor,
    z: tuple[int, int], y: tuple[int, int], x: tuple[int, int]
) -> None:  # fmt: skip
    """Add a field of the coarse grid, interpolated, to values in cells [z) × [y) × [x) of the box."""
    along_z, along_y, along_x = (w[lo:hi] for w, (lo, hi) in zip(field.weights, (z, y, x), strict=True))
    planes = torch.tensordot(along_z, coarse[field.spans], dims=1) @ along_x.T  # (z, coarse y, x)
    for one, plane in zip(values, planes, strict=True):
        one.addmm_(along_y, plane)


def displacements(field: LinearField, run: Callable) -> torch.Tensor:
    """First- and second-order displacement fields in Mpc, (6, nz, ny, nx) as ψ1 (x, y, z), ψ2 (x, y, z).

    A particle moves by D ψ1 + (3/7) D² Ωm^(−1/143) ψ2 (Bouchet et al. 1995): ∇·ψ1 = −δ and
    ∇·ψ2 = −Σ_{i<j} (φ,ii φ,jj − φ,ij²) with ∇²φ = δ. The field's modes are overwritten; run(work, items) runs chunks.

    All derivatives come from three transforms along z: of −φ, of its slope and of its bend. Those along y and x are taken
    plane by plane, and so is the source of ψ2. The Nyquist mode has no odd derivative and is dropped from it.
    """
    box, flat = field.box, field.modes
    kz, ky, kx = waves = [tensor_like(k, flat) for k in box.wavenumbers()]
    to_z, to_y, to_x = (1j * _odd(k) for k in (kz[:, None, None], ky[:, None], kx))  # derivatives
    slope, bend = torch.empty_like(flat), torch.empty_like(flat)
    psi = torch.empty((6, *box.shape), dtype=torch.float32, device=flat.device)
    long = {} if field.long_modes is None else _long_derivatives(field, run)

    def fill(potential: torch.Tensor, rows: slice) -> None:
        slope[:, rows] = torch.fft.ifft(potential * to_z, dim=0)
        flat[:, rows] = torch.fft.ifft(potential, dim=0)

    def first_rows(rows: slice) -> None:
        potential = _over_k2(flat[:, rows], waves, rows)
        bend[:, rows] = torch.fft.ifft(potential * kz[:, None, None] ** 2, dim=0)
        fill(potential, rows)

    def second_rows(rows: slice) -> None:
        fill(_over_k2(torch.fft.fft(bend[:, rows], dim=0), waves, rows), rows)

    def real(modes: torch.Tensor, planes: slice, axes: str = "") -> torch.Tensor:
        """Modes (planes, y, kx) transformed along x, with the long waves' share of that derivative."""
        values = torch.fft.irfft(modes, n=box.shape[2])
        if axes in long:
            add_long_waves(values, field, long[axes], (planes.start, planes.stop), (0, box.shape[1]), (0, box.shape[2]))
        return values

    def gradient(planes: slice, order: int = 2) -> tuple[torch.Tensor, ...]:
        here = flat[planes]
        value, along_y, along_z = (torch.fft.ifft(modes, dim=1) for modes in (here, here * to_y, slope[planes]))
        for i, (axis, modes) in enumerate({"x": value * to_x, "y": along_y, "z": along_z}.items()):
            psi[3 * (order - 1) + i, planes] = real(modes, planes, axis if order == 1 else "")
        return value, along_y, along_z

    def first_planes(planes: slice) -> None:
        value, along_y, along_z = gradient(planes, 1)
        xx, zz = real(value * kx**2, planes, "xx"), real(torch.fft.ifft(bend[planes], dim=1), planes, "zz")
        yy = real(torch.fft.ifft(flat[planes] * ky[:, None] ** 2, dim=1), planes, "yy")
        xy, xz = real(along_y * -to_x, planes, "xy"), real(along_z * -to_x, planes, "xz")
        yz = real(torch.fft.ifft(slope[planes] * -to_y, dim=1), planes, "yz")
        source = (xx + yy).mul_(zz).addcmul_(xx, yy)
        for cross in (xy, xz, yz):
            source.addcmul_(cross, cross, value=-1)
        bend[planes] = torch.fft.rfft2(source)

    rows, planes = rows_of(flat), planes_of(flat)
    run(first_rows, rows)
    run(first_planes, planes)
    run(second_rows, rows)
    run(gradient, planes)
    return psi


def _over_k2(modes: torch.Tensor, waves: list[torch.Tensor], rows: slice) -> torch.Tensor:
    """Some rows along y of modes (nz, rows, kx) over k², the mean as it is: −φ of ∇²φ = δ. waves: kz, ky, kx."""
    kz, ky, kx = waves
    k2 = kz[:, None, None] ** 2 + (ky[rows, None] ** 2 + kx**2)
    if rows.start == 0:
        k2[0, 0, 0] = 1
    return modes * k2.reciprocal_()


def _long_derivatives(field: LinearField, run: Callable) -> dict[str, torch.Tensor]:
    """Of the long waves on their grid: ψ1 along x, y and z, and the second derivatives of φ (xx, xy, …)."""
    box, modes = field.long_box, field.long_modes
    shapes = {"z": (-1, 1, 1), "y": (1, -1, 1), "x": (1, 1, -1)}
    k = {
        axis: tensor_like(values, modes).reshape(shape)
        for (axis, shape), values in zip(shapes.items(), box.wavenumbers(), strict=True)
    }
    k2 = k["z"] ** 2 + k["y"] ** 2 + k["x"] ** 2
    k2[0, 0, 0] = 1
    potential = modes / k2
    factors = {axis: 1j * _odd(values) for axis, values in k.items()}
    factors |= {one + two: k[one] * k[two] for one, two in ("xx", "yy", "zz", "xy", "xz", "yz")}
    works = [partial(irfftn, potential * factor, box.shape) for factor in factors.values()]
    return dict(zip(factors, together(run, *works), strict=True))


def _odd(k: torch.Tensor) -> torch.Tensor:
    """Wavenumbers of rfftn along one axis for odd derivatives: none of the Nyquist mode."""
    odd = k.clone()
    odd.view(-1)[odd.abs().argmax()] = 0
    return odd


def tensor_like(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Values as float32, where another array is."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device)
