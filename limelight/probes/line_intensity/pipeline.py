"""What a survey's pipeline does to maps, as a setting of observation.filters says, on the grid of training maps."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from limelight.cosmology import Cosmology
from limelight.data.shard import Header
from limelight.errors import problem
from limelight.probes.line_intensity.inputs import Recorded
from limelight.probes.line_intensity.maps.comoving import voxel_size_mpc
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.filters import (
    apply_transfer,
    correlated_on_sky,
    lost_modes,
    remove_means,
    remove_modes,
    sky_wave_numbers,
    standing_wave,
    transfer_on_modes,
)
from limelight.probes.line_intensity.maps.grid import Grid

FACTOR_MIN = 0.05  # of the drawn calibration: three σ of an error of 30 % stay above 0


@dataclass(frozen=True)
class Pipeline:
    """One setting of observation.filters, ready to be applied to batches on any device."""

    setting: Filter
    grid: Grid
    transfer: np.ndarray | None  # of maps.filters.transfer_on_modes
    k_perp: np.ndarray | None  # of maps.filters.sky_wave_numbers, for 1/f noise

    def before_noise(self, maps: Tensor, random: torch.Generator) -> Tensor:
        """Maps (b, x, y, f) of the sky, times what efficiency and calibration make of it, filtered, with the ripple."""
        setting, device = self.setting, maps.device
        low, high = setting.efficiency if isinstance(setting.efficiency, list) else [setting.efficiency] * 2
        factor = low + (high - low) * torch.rand(len(maps), generator=random, device=device)
        error = setting.calibration_error * torch.randn(len(maps), generator=random, device=device)
        maps = maps * (factor * (1 + error).clamp(min=FACTOR_MIN))[:, None, None, None]
        if self.transfer is not None:
            maps = apply_transfer(maps, torch.as_tensor(self.transfer, device=device))
        if setting.ripple_uk:
            block = self.grid.pool_channels
            freq = torch.as_tensor(self.grid.channel_freq_ghz.reshape(-1, block).mean(1), dtype=torch.float32)
            wave = standing_wave(len(maps), self.grid.pooled_shape, freq, setting.ripple_ghz, random)
            maps = maps + setting.ripple_uk * self.grid.pool_pixels**2 * block * wave
        return maps

    @property
    def shape_noise(self) -> Callable[[Tensor], Tensor] | None:
        """What is made of white noise of unit variance, or None: 1/f on the sky, and the filter if noise goes through it."""
        knee, slope = self.setting.knee_per_mpc, self.setting.knee_slope
        filtered = self.transfer is not None and self.setting.filters_noise
        if self.k_perp is None and not filtered:
            return None

        def shape(white: Tensor) -> Tensor:
            if self.k_perp is not None:
                white = correlated_on_sky(white, torch.as_tensor(self.k_perp, device=white.device), knee, slope)
            return apply_transfer(white, torch.as_tensor(self.transfer, device=white.device)) if filtered else white

        return shape

    def after_noise(self, found: Recorded, lost: Tensor | None = None) -> Tensor:
        """Noisy maps (b, x, y, f) without what the pipeline takes off: means of channels, then modes.

        lost: of maps that have lost modes before (lost_modes).
        """
        return remove_modes(self.without_means(found), found.weights, self.setting.pca_modes, lost)

    def without_means(self, found: Recorded) -> Tensor:
        """Noisy maps (b, x, y, f) without means of channels, where the pipeline takes them off."""
        if self.setting.means == "kept":
            return found.maps
        weights = found.weights
        even = weights if self.setting.means == "removed_weighted" else (weights > 0).to(found.maps.dtype)
        return remove_means(found.maps, even)

    def lost_before(self, found: Recorded, alike: Recorded) -> Tensor | None:
        """What modes that a map has lost would add to its matrix (lost_modes); alike: maps that have lost none."""
        if not self.setting.pca_modes:
            return None
        maps, others = self.without_means(found), self.without_means(alike)
        return lost_modes(maps, found.weights, self.setting.pca_modes, others)

    def silent(self) -> "Pipeline":
        """The same without ripple, which is noise, and with the middle of what it draws."""
        low, high = (
            self.setting.efficiency if isinstance(self.setting.efficiency, list) else [self.setting.efficiency] * 2
        )
        middle = {"efficiency": (low + high) / 2, "calibration_error": 0.0, "ripple_uk": 0.0}
        return replace(self, setting=self.setting.model_copy(update=middle))


def make_pipeline(setting: Filter, grid: Grid, header: Header) -> Pipeline:
    """A setting on the grid of a header's maps, with comoving lengths in their cosmology."""
    shape, transfer, k_perp = grid.pooled_shape, None, None
    if setting.pca_modes >= shape[2]:
        expected = f"fewer than the {shape[2]} pooled channels"
        raise problem("observation.filters: pca_modes", setting.pca_modes, expected, "remove fewer, or pool less")
    if setting.ripple_uk and grid.unit != "uK":
        raise problem("observation.filters: ripple_uk", f"a map in {grid.unit}", "one in uK", "leave the ripple out")
    if setting.filters_waves or setting.knee_per_mpc:
        voxel = voxel_size_mpc(grid, Cosmology(**header.simulation["cosmology"]))
        if setting.filters_waves:
            cuts = setting.high_pass_perp, setting.high_pass_par
            transfer = transfer_on_modes(shape, voxel, *cuts, setting.passed, setting.transfer)
        if setting.knee_per_mpc:
            k_perp = sky_wave_numbers(shape[:2], voxel[0]).astype(np.float32)
    return Pipeline(setting, grid, transfer, k_perp)
