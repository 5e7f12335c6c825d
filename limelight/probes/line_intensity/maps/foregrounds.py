"""Radio point sources in front of the line, drawn afresh for every presentation, on the device.

Counts of Muchovej et al. 2010 (arXiv:0912.2335) at 31 GHz: dN/dS = N0 (S/mJy)^-γ per deg² and mJy, N0 = 32.1 ± 3.0,
γ = 2.18 ± 0.12. That is their N(>S) = 27.2 (S/mJy)^-1.18 per deg²: 27.2 = 32.1 / 1.18. Flux goes as S ∝ ν^-α.
"""

import math

import torch
from torch import Tensor

from limelight.probes.line_intensity.maps.config import Foregrounds
from limelight.probes.line_intensity.maps.grid import DEGREE, Grid
from limelight.probes.line_intensity.maps.instrument import FWHM_PER_SIGMA
from limelight.probes.line_intensity.maps.units import intensity_per_kelvin

COUNTS_FREQ_GHZ = 31.0
SLOPE_MIN = 1.01  # of γ: a count that grows towards bright sources is no draw of a measured slope


def add_foregrounds(
    maps: Tensor, settings: Foregrounds, grid: Grid, generator: torch.Generator, beam_fwhm_arcmin: float = 0.0
) -> Tensor:
    """Pooled maps (b, x, y, f) plus their own radio sources each; on the maps' device, in the maps' unit."""
    return maps + draw_foregrounds(len(maps), settings, grid, generator, beam_fwhm_arcmin).to(maps.dtype)


def draw_foregrounds(
    count: int, settings: Foregrounds, grid: Grid, generator: torch.Generator, beam_fwhm_arcmin: float = 0.0
) -> Tensor:
    """Pooled maps of radio sources alone, float32 (count, x, y, f), on the generator's device.

    settings: an entry of observation.foregrounds. A source lies in one fine pixel, or is spread by the beam.
    """
    flux, index, place = draw_sources(count, settings, grid, generator)
    return source_maps(flux, index, place, grid, beam_fwhm_arcmin)


def draw_sources(
    count: int, settings: Foregrounds, grid: Grid, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Fluxes at 31 GHz in mJy (count, n), spectral indices (count, n) and places in pixels of the fine map (count, n, 2).

    n is the largest number of sources on one map; the fluxes of those that a map lacks are 0. N0 and γ are drawn per map
    (N0 ≥ 0, γ ≥ 1.01), the number is Poisson, fluxes follow the power law between flux_min_mjy and flux_max_mjy.
    """
    options = {"generator": generator, "device": generator.device}
    normal = torch.randn(2, count, **options)
    norm = (settings.sources_per_deg2 + settings.sources_per_deg2_sigma * normal[0]).clamp(min=0)
    power = 1 - (settings.slope + settings.slope_sigma * normal[1]).clamp(min=SLOPE_MIN)  # of N(>S), negative
    faint, bright = settings.flux_min_mjy**power, settings.flux_max_mjy**power
    number = torch.poisson(norm * (faint - bright) / -power * grid.size_deg**2, generator=generator)
    most = max(1, int(number.max()))
    uniform = torch.rand(3, count, most, **options)
    flux = (faint[:, None] + (bright - faint)[:, None] * uniform[0]) ** (1 / power)[:, None]  # inverse of N(>S)
    flux = flux * (torch.arange(most, device=generator.device) < number[:, None])
    index = settings.spectral_index + settings.spectral_index_sigma * torch.randn(count, most, **options)
    return flux, index, (uniform[1:] * grid.pixels).movedim(0, -1)


def source_maps(flux_mjy: Tensor, index: Tensor, place: Tensor, grid: Grid, beam_fwhm_arcmin: float = 0.0) -> Tensor:
    """Pooled maps (b, x, y, f) of sources: flux (b, n) at 31 GHz, spectral index (b, n), place (b, n, 2) in fine pixels.

    In a fine pixel of solid angle Ω a source has I = S/Ω, T = c² S / (2 k ν² Ω), with ν of each fine channel; a pooled voxel
    sums those. Ω is that of a pixel on the light-cone's axis (the true one differs by 1 % at 4.7° from it).
    """
    freq = torch.as_tensor(grid.channel_freq_ghz, dtype=torch.float32, device=flux_mjy.device)
    per_mjy = 1e-3 / (grid.pixel_deg * DEGREE) ** 2  # Jy/sr of 1 mJy in a fine pixel
    if grid.unit == "uK":
        per_mjy = (
            per_mjy
            * 1e6
            / torch.as_tensor(intensity_per_kelvin(grid.channel_freq_ghz), dtype=torch.float32, device=flux_mjy.device)
        )
    spectrum = flux_mjy[..., None] * (freq / COUNTS_FREQ_GHZ) ** -index[..., None] * per_mjy  # (b, n, fine channels)
    spectrum = spectrum.unflatten(-1, (-1, grid.pool_channels)).sum(-1)  # (b, n, f)
    share_x, share_y = (_shares(place[..., axis], grid, beam_fwhm_arcmin) for axis in (0, 1))  # (b, n, x)
    columns = (share_y[..., None] * spectrum[..., None, :]).flatten(2)  # (b, n, y f)
    return (share_x.transpose(1, 2) @ columns).unflatten(2, (share_y.shape[-1], -1))


def _shares(place: Tensor, grid: Grid, beam_fwhm_arcmin: float) -> Tensor:
    """What part of a source's light falls into each pooled pixel along one axis; (b, n) -> (b, n, pooled pixels)."""
    pixels = grid.pixels // grid.pool_pixels
    edges = torch.arange(pixels + 1, device=place.device) * grid.pool_pixels
    if beam_fwhm_arcmin <= 0:
        inside = (place[..., None] >= edges[:-1]) & (place[..., None] < edges[1:])
        return inside.to(place.dtype)
    sigma = beam_fwhm_arcmin / 60 / FWHM_PER_SIGMA / grid.pixel_deg
    return torch.erf((edges - place[..., None]) / (math.sqrt(2) * sigma)).diff(dim=-1) / 2
