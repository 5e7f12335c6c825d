"""The linear density smoothed with a Gaussian, of which only those cells are finished that somebody asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from limelight.matter.fourier import irfftn, planes_of, rows_of
from limelight.matter.initial import Box, LinearField, add_long_waves, tensor_like

WAVES_LEFT = 7.0  # k R beyond which exp(-(k R)²/2) leaves none of a wave


@dataclass(frozen=True)
class SmoothedField:
    """A smoothed LinearField whose blocks of cells are finished when they are asked for.

    short: modes of its planes (nz, ny, kx), transformed along z, as far along kx as there are any; coarse: long waves on
    their grid.
    """

    field: LinearField
    short: torch.Tensor
    coarse: torch.Tensor | None

    def block(self, z: tuple[int, int], y: tuple[int, int], x: tuple[int, int]) -> torch.Tensor:
        """Its values in cells [z) × [y) × [x) of the box."""
        nx = self.field.box.shape[2]
        values = torch.empty([high - low for low, high in (z, y, x)], device=self.short.device)
        for planes in planes_of(self.short[slice(*z)]):
            part = torch.fft.ifft(self.short[slice(*z)][planes], dim=1)[:, slice(*y)]
            values[planes] = torch.fft.irfft(part, n=nx)[..., slice(*x)]
        if self.coarse is not None:
            add_long_waves(values, self.field, self.coarse, z, y, x)
        return values


def smoothed(
    field: LinearField, radius_mpc: float, curvature: float = 0.0, memory: torch.Tensor | None = None
) -> tuple[SmoothedField, list[Callable[[], None]]]:
    """(1 − curvature ∇²) of a field smoothed with a Gaussian, and the works that must be done, in any order, to fill it.

    memory: an array like the field's modes that becomes part of it.
    """
    modes, (kz, ky, kx) = field.modes, field.box.wavenumbers()
    longest = WAVES_LEFT / max(radius_mpc, 1e-9)
    width = int(np.count_nonzero(kx <= longest))
    short = (torch.empty_like(modes) if memory is None else memory)[..., :width]
    height = np.exp(-0.5 * (kz * radius_mpc) ** 2)[:, None, None]
    plain = tensor_like(height * (1 + curvature * kz[:, None, None] ** 2), modes)
    tilted = tensor_like(curvature * height, modes)

    def fill(rows: slice) -> None:
        lateral_k2 = ky[rows, None] ** 2 + kx[:width] ** 2
        if lateral_k2.min() > longest**2:
            short[:, rows] = 0
            return
        lateral = np.exp(-0.5 * lateral_k2 * radius_mpc**2)
        factor = plain * tensor_like(lateral, modes)
        factor.addcmul_(tilted, tensor_like(lateral_k2 * lateral, modes))
        short[:, rows] = torch.fft.ifft(modes[:, rows, :width] * factor, dim=0)

    works: list[Callable[[], None]] = [partial(fill, rows) for rows in rows_of(modes)]
    if field.long_modes is None:
        return SmoothedField(field, short, None), works
    coarse = torch.empty(field.long_box.shape, device=modes.device)

    def fill_coarse() -> None:
        waves = _filtered(field.long_modes, field.long_box, radius_mpc, curvature)
        coarse.copy_(irfftn(waves, s=field.long_box.shape))

    return SmoothedField(field, short, coarse), [fill_coarse, *works]


def _filtered(modes: torch.Tensor, box: Box, radius_mpc: float, curvature: float) -> torch.Tensor:
    """(1 + curvature k²) exp(−k² R²/2) modes."""
    kz, ky, kx = box.wavenumbers()
    k2 = kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2
    return modes * tensor_like((1 + curvature * k2) * np.exp(-0.5 * k2 * radius_mpc**2), modes)
