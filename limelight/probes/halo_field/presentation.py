"""How painters are shown boxes: turned, mirrored and moved around, with what they are told beside the density.

A box is periodic and no direction is special, so all 48 symmetries of the cube and all shifts by whole cells are exact.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.matter.cells import log_density
from limelight.probes.halo_field.layout import CHANNELS
from limelight.training.presentation import PlainPresentation, Truths

AXES = (2, 3, 4)


@dataclass(frozen=True)
class BoxPresentation(PlainPresentation):
    """Boxes (b, channels, z, y, x) of CHANNELS, shown as ln(1 + δ) and what else a painter asks for."""

    density: str = "lpt"
    shear: bool = False
    redshift: bool = False
    noise_channels: int = 0
    preprocessed: bool = True

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        where = {"generator": random, "device": random.device}
        order = [AXES[i] for i in torch.randperm(3, **where).tolist()]
        flips = [axis for axis, turned in zip(AXES, torch.randint(0, 2, (3,), **where).tolist(), strict=True) if turned]
        steps = torch.randint(0, x.shape[-1], (3,), **where).tolist()

        def moved(fields: Tensor) -> Tensor:
            return fields.permute(0, 1, *order).flip(flips).roll(steps, AXES)

        return moved(x), {**y, **{name: moved(y[name]) for name in self.target.names}}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        chosen = x[:, CHANNELS.index(self.density)]
        if not self.preprocessed:
            return x
        shown = [log_density(chosen)]
        if self.shear:
            shown.append(tidal_shear(chosen))
        if self.redshift:
            shown.append(x[:, CHANNELS.index("redshift")])
        shape = (len(x), self.noise_channels, *x.shape[2:])
        noise = torch.randn(shape, generator=random, device=x.device)
        return torch.cat([torch.stack(shown, dim=1), noise], dim=1)

    def silent(self) -> "BoxPresentation":
        """A box is recorded without noise; a painter's noise channels are its own."""
        return self

    def bare(self) -> "BoxPresentation":
        return replace(self, preprocessed=False)

    def with_noise(self, level: float) -> "BoxPresentation":
        return self


def tidal_shear(density: Tensor) -> Tensor:
    """ln(1 + s) of boxes (b, z, y, x), s² = Σ s_ij² with s_ij = (k_i k_j/k² − δ_ij/3) δ in Fourier space: no units."""
    n = density.shape[-1]
    modes = torch.fft.rfftn(density, dim=(1, 2, 3))
    full = torch.fft.fftfreq(n, device=density.device)
    half = torch.fft.rfftfreq(n, device=density.device)
    k = [full.view(-1, 1, 1), full.view(1, -1, 1), half.view(1, 1, -1)]
    squared = sum(one**2 for one in k)
    squared[0, 0, 0] = 1
    total = torch.zeros_like(density)
    for i in range(3):
        for j in range(i, 3):
            kernel = k[i] * k[j] / squared - (1 / 3 if i == j else 0)
            kernel[0, 0, 0] = 0
            s = torch.fft.irfftn(modes * kernel, s=(n,) * 3, dim=(1, 2, 3))
            total = total + (1 if i == j else 2) * s.square()
    return torch.log1p(total.sqrt())
