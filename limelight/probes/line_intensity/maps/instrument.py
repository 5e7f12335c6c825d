"""What the telescope does: white noise per voxel and a Gaussian beam.

A noise figure always belongs to a voxel. White noise averages down with the voxel's sky area times bandwidth, so a σ per
instrument voxel becomes σ √(V_instrument / V_map) per fine map voxel, and √n σ in the sum of n of those.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limelight.compiled import compiled_exactly
from limelight.errors import problem
from limelight.files import resource_path
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.study.yaml import read_yaml

if TYPE_CHECKING:  # instruments are read with every config, which torch and scipy would hold up
    import torch

INSTRUMENTS = resource_path("instruments")
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
ROW = 1024  # numbers of a convolution that are summed side by side: they stay in the innermost cache
NUMBERS = (
    "beam_fwhm_arcmin",
    "field_deg",
    "pixels",
    "channel_width_ghz",
    "system_temperature_k",
    "feeds",
    "hours",
)


def load_instrument(name_or_path: str) -> dict:
    """An instrument by its name in resources/instruments, or from a YAML file of the same keys."""
    name = str(name_or_path)
    path = Path(name) if name.endswith((".yaml", ".yml")) else INSTRUMENTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in INSTRUMENTS.glob("*.yaml")))
        raise problem("observation.instrument", f"'{name}'", f"one of {known}, or a path to a .yaml", "check the name")
    return dict(_read_instrument(path, path.stat().st_mtime_ns))


@functools.lru_cache(maxsize=8)  # a study asks for it at every dataset
def _read_instrument(path: Path, changed_ns: int) -> dict:
    instrument = read_yaml(path)
    if set(instrument) != {"name", *NUMBERS}:
        found = sorted(map(str, instrument))
        raise problem(path, f"keys {found}", f"exactly name, {', '.join(NUMBERS)}", "add or remove keys")
    for key in NUMBERS:
        value = instrument[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise problem(f"{path}: {key}", repr(value), "a number above 0", "mend it")
    return instrument


def radiometer_sigma_uk(instrument: dict) -> float:
    """Noise per instrument voxel, µK: T_sys / √(Δν t), t = feeds · hours / pixels² (radiometer equation).

    The field is covered evenly; 40 K, 19 feeds, 6000 h, 22² pixels and 15.6 MHz give COMAP's 11 µK (arXiv:1808.07487).
    """
    seconds = instrument["feeds"] * instrument["hours"] * 3600 / instrument["pixels"] ** 2
    return 1e6 * instrument["system_temperature_k"] / math.sqrt(1e9 * instrument["channel_width_ghz"] * seconds)


def noise_sigma(setting: Noise, instrument: dict, grid: Grid, survey_sigma_uk: float = 1.0) -> tuple[float, float]:
    """(low, high) of the white-noise σ in µK per fine voxel of the map; equal when the setting is one number.

    setting: an entry of observation.noise. Pixels are squares of the tangent plane, both of the map and of the instrument.
    survey_sigma_uk: of a setting with a survey, the σ of white noise of the same observing time.
    """
    if setting.survey:
        low, high = setting.sigma_range
        return float(low * survey_sigma_uk), float(high * survey_sigma_uk)
    if setting.radiometer:
        low = high = radiometer_sigma_uk(instrument)
    else:
        low, high = setting.sigma_range
    if setting.radiometer or setting.per_voxel_of == "instrument":
        instrument_voxel = (instrument["field_deg"] / instrument["pixels"]) ** 2 * instrument["channel_width_ghz"]
        ratio = math.sqrt(instrument_voxel / (grid.pixel_deg**2 * grid.channel_ghz))
        low, high = low * ratio, high * ratio
    return float(low), float(high)


def noise_pattern(setting: Noise, grid: Grid) -> np.ndarray | None:
    """How the σ of each pooled pixel compares with white noise of the same observing time: (x, y) float64; None if flat.

    With edge_ratio R, σ grows from the field's centre as R^(r²), r in units of half a side: pixels near the edge are seen
    for shorter, as the scan of a telescope sweeps them, t ∝ R^(-2 r²), a Gaussian. The time in all is that of flat noise,
    so that the mean of 1/σ² over the fine pixels is 1.
    """
    ratio = setting.edge_ratio or 1
    if ratio == 1:
        return None
    r2 = ((np.arange(grid.pixels) + 0.5) / grid.pixels * 2 - 1) ** 2
    variance = ratio ** (2 * (r2[:, None] + r2))
    variance *= np.mean(1 / variance)
    block = grid.pool_pixels
    return np.sqrt(variance.reshape(grid.pixels // block, block, -1, block).mean((1, 3)))


def pooled_sigma(grid: Grid) -> np.ndarray:
    """Noise of each pooled channel, in the map's unit, for 1 µK of noise per fine voxel: float64 (pooled channels,).

    √n in µK, n the fine voxels of a pooled one; in Jy/sr each fine channel's µK weigh 2 k ν²/c² first.
    """
    weight = np.ones(grid.channels)
    if grid.unit == "Jy/sr":
        from limelight.probes.line_intensity.maps.units import intensity_per_kelvin  # astropy

        weight = 1e-6 * intensity_per_kelvin(grid.channel_freq_ghz)
    return grid.pool_pixels * np.sqrt((weight**2).reshape(-1, grid.pool_channels).sum(1))


def draw_setting(
    ranges: list[tuple[float, float]], n: int, generator: "torch.Generator", in_log: tuple[bool, ...] = ()
) -> "tuple[torch.Tensor, torch.Tensor]":
    """A σ for each of n presentations, and the setting that it comes from.

    ranges: (low, high) of each setting, µK per fine voxel. One is picked at random, then σ is uniform within it, or its
    logarithm is where in_log says so. Returns σ float32 (n,) and the index of its range int64 (n,), on the generator's
    device.
    """
    import torch

    device = generator.device
    low, high = torch.tensor(ranges, dtype=torch.float32, device=device).unbind(1)
    pick = torch.randint(len(ranges), (n,), generator=generator, device=device)
    share = torch.rand(n, generator=generator, device=device)
    sigma = low[pick] + (high - low)[pick] * share
    if any(in_log):
        ratio = (high / low.clamp(min=1e-30))[pick]
        sigma = torch.where(torch.tensor(in_log, device=device)[pick], low[pick] * ratio**share, sigma)
    return sigma, pick


def add_noise(
    maps: "torch.Tensor", sigma: "torch.Tensor", generator: "torch.Generator", shaped: Callable | None = None
) -> "torch.Tensor":
    """Maps (b, x, y, f) plus fresh noise, on their device; sigma in their unit per voxel: (b,), (b, f) or (b, x, y, f).

    shaped: what is made of the white noise of unit variance first.
    """
    import torch

    noise = torch.randn(maps.shape, generator=generator, device=maps.device, dtype=maps.dtype)
    noise = noise if shaped is None else shaped(noise)
    if sigma.ndim < 4:
        sigma = sigma[:, None, None, None] if sigma.ndim == 1 else sigma[:, None, None, :]
    return maps + noise * sigma


def beam_kernel(fwhm_arcmin: float, pixel_deg: float) -> np.ndarray:
    """The beam along one axis, integrated over pixels, float64 (2r+1,), sum 1; it reaches 5 σ.

    The Gaussian of a source at a pixel's middle: its variance on the grid is σ² plus the pixel's own 1/12.
    """
    from scipy.special import erf

    sigma = fwhm_arcmin / 60 / FWHM_PER_SIGMA / pixel_deg
    reach = math.ceil(5 * sigma)
    edges = np.arange(-reach - 0.5, reach + 1)
    kernel = np.diff(erf(edges / (math.sqrt(2) * sigma)))
    return kernel / kernel.sum()


def smooth(cube: np.ndarray, fwhm_arcmin: float, pixel_deg: float, wraps: bool = False) -> np.ndarray:
    """Smooth a map (x, y, f) by a Gaussian beam on the sky, every channel alike; same dtype.

    Beyond its edges the map is taken as empty: nothing wraps around, and the light that the beam carries across an edge is
    lost. Inside, the flux is conserved. The beam is round on the tangent plane. wraps: the map goes on at its opposite edge,
    whose light stands for that of neighbours, and all flux is conserved.
    """
    if fwhm_arcmin <= 0:
        return cube
    kernel = beam_kernel(fwhm_arcmin, pixel_deg)
    reach, (x, y, freq) = len(kernel) // 2, cube.shape
    mode = "wrap" if wraps else "constant"
    across = np.pad(cube, ((reach, reach), (0, 0), (0, 0)), mode).reshape(1, x + 2 * reach, y * freq)
    cube = _convolved(across, kernel).reshape(x, y, freq)
    return _convolved(np.pad(cube, ((0, 0), (reach, reach), (0, 0)), mode), kernel)


def _convolved(padded: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution along the middle axis of (a, n + 2 r, m) with an even kernel (2 r + 1,): (a, n, m), summed in float64.

    The numbers of scipy.ndimage.convolve1d, rounded alike, four times faster: that goes line by line, this over rows of m.
    """
    found = np.empty((padded.shape[0], padded.shape[1] - len(kernel) + 1, padded.shape[2]), padded.dtype)
    compiled_exactly(_convolve)(np.ascontiguousarray(padded), kernel, np.empty(ROW), found)
    return found


def _convolve(padded, kernel, sums, found):
    """Fill `found` as _convolved says; sums: room for a part of a row."""
    reach = len(kernel) // 2
    for a in range(found.shape[0]):
        for i in range(found.shape[1]):
            for start in range(0, found.shape[2], len(sums)):
                width = min(len(sums), found.shape[2] - start)
                middle = padded[a, i + reach, start : start + width]
                for k in range(width):
                    sums[k] = np.float64(middle[k]) * kernel[reach]
                for j in range(reach):
                    before = padded[a, i + j, start : start + width]
                    after = padded[a, i + 2 * reach - j, start : start + width]
                    for k in range(width):
                        sums[k] += (np.float64(before[k]) + np.float64(after[k])) * kernel[j]
                row = found[a, i, start : start + width]
                for k in range(width):
                    row[k] = sums[k]
