"""How networks and estimators are shown cubes: lines laid over one another, continuum, noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, symmetry

SLOPE, SLOPE_SPREAD = -2.7, 0.2  # of the continuum's temperature with frequency, and from pixel to pixel
SKY_SLOPE = -2.4  # of its power on the sky


@dataclass(frozen=True)
class Seen:
    """A map or a catalogue that is shown."""

    name: str
    channels: tuple[int, ...]  # of the data, added up; none of a map in which no line shines
    noise: float = 0.0  # over the common level; of a catalogue 0
    is_map: bool = True
    spread: float = 0.0  # (ν_high − ν_low) / ν_middle of what is shown


@dataclass(frozen=True)
class MixturePresentation(PlainPresentation):
    """Cubes (b, lines and catalogues, x, y, f): µK of each line, galaxies of each catalogue."""

    sees: tuple[Seen, ...] = ()
    lines: tuple[str, ...] = ()  # of the data, in the order of its channels
    sources: tuple[tuple[int, ...], ...] = ()  # channels of each light-cone
    noise_uk: tuple[float, float] = (0.0, 0.0)
    continuum_uk: float = 0.0
    transforms: tuple[str, ...] = ("none",)
    scale_uk: float = 1.0
    exchange: bool = False

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        """Turned and mirrored on the sky, each light-cone by itself; light-cones of other rows laid over the first one's.

        They are independent, and so this leaves the distribution of the data as it is; only rows of the same part of the
        band change places.
        """
        x, y = x.clone(), dict(y)
        for number, channels in enumerate(self.sources):
            mine = x[:, list(channels)]
            if number and self.exchange:
                other = partners(y["part"], random)
                mine = mine[other]
                for line in (self.lines[i] for i in channels if i < len(self.lines)):
                    for name in (f"n_above_{line}", f"volume_{line}"):
                        y[name] = y[name][other]
            turns = draw_symmetry(len(x), flips=True, quarter_turns=True, random=random)
            x[:, list(channels)] = symmetry(mine, *turns, axes=(2, 3))
        y |= {name: x[:, i : i + 1] for i, name in enumerate(self.lines) if name in y}
        return x, y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Network inputs (b, …, x, y, f): each map with its transforms, then catalogues, in the order of `sees`."""
        shown = []
        low, high = self.noise_uk
        level = low + (high - low) * torch.rand((len(x), 1, 1, 1), generator=random, device=x.device)
        for seen in self.sees:
            cube = x[:, list(seen.channels)].sum(dim=1)
            if not seen.is_map:
                shown.append(cube)
                continue
            if self.continuum_uk:
                cube = cube + self.continuum_uk * continuum(cube.shape, seen.spread, random)
            if high and seen.noise:
                cube = cube + seen.noise * level * torch.randn(cube.shape, generator=random, device=x.device)
            cube = cube / self.scale_uk
            shown += [torch.asinh(cube) if name == "asinh" else cube for name in self.transforms]
        return torch.stack(shown, dim=1)

    def unaltered(self) -> "MixturePresentation":
        return self

    def silent(self) -> "MixturePresentation":
        return replace(self, noise_uk=(0.0, 0.0), continuum_uk=0.0)

    def bare(self) -> "MixturePresentation":
        return replace(self, transforms=("none",), scale_uk=1.0)

    def with_noise(self, level: float) -> "MixturePresentation":
        return replace(self, noise_uk=(level, level))


def partners(part: Tensor, random: torch.Generator) -> Tensor:
    """A permutation of the rows (b,) among those of the same part, at random."""
    order = torch.arange(len(part), device=part.device)
    for one in part.unique():
        mine = torch.nonzero(part == one)[:, 0]
        order[mine] = mine[torch.randperm(len(mine), generator=random, device=random.device)]
    return order


def continuum(shape: tuple[int, ...], spread: float, random: torch.Generator) -> Tensor:
    """(b, x, y, f) of an RMS of 1 on the sky in the middle of the band: smooth along the line of sight in each pixel."""
    b, nx, ny, nf = shape
    device = random.device
    white = torch.randn((2, b, nx, ny), generator=random, device=device)
    k = torch.hypot(torch.fft.fftfreq(nx, device=device)[:, None], torch.fft.rfftfreq(ny, device=device)[None])
    filtered = torch.where(k > 0, k.clamp(min=1e-9) ** (SKY_SLOPE / 2), 0.0)
    sky = torch.fft.irfft2(torch.fft.rfft2(white) * filtered, s=(nx, ny))
    sky = sky / sky.std(dim=(2, 3), keepdim=True)
    frequency = 1 + spread * ((torch.arange(nf, device=device) + 0.5) / nf - 0.5)
    return sky[0][..., None] * frequency ** (SLOPE + SLOPE_SPREAD * sky[1])[..., None]


def things_seen(geometry: Mapping, channels: tuple[str, ...], sees: list[str] | None, lines: list[str] | None):
    """The maps and catalogues that are shown, in order (by default all maps), of data of a geometry; lines: that shine."""
    found = []
    for name in sees or list(geometry["maps"]):
        if name in geometry["catalogues"]:
            found.append(Seen(name, (channels.index(name),), is_map=False))
            continue
        band = geometry["maps"][name]
        mine = [line for line, one in geometry["lines"].items() if one["map"] == name and line in (lines or channels)]
        low, high = band["freq_min_ghz"], band["freq_max_ghz"]
        spread = geometry["part"] * 2 * (high - low) / (high + low)
        numbers = tuple(channels.index(line) for line in mine)
        found.append(Seen(name, numbers, noise=band["noise_factor"], spread=spread))
    return tuple(found)


def by_source(geometry: Mapping, channels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """The channels of each light-cone, that of the first line first."""
    source = {name: one["source"] for name, one in geometry["lines"].items()} | dict(geometry["catalogues"])
    every = dict.fromkeys(source[name] for name in channels)
    return tuple(tuple(i for i, name in enumerate(channels) if source[name] == one) for one in every)
