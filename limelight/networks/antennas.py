"""`antennas`: a direction from an array of antennas, each with its own trace and clock.

Data (b, 5, antennas, samples): voltage; the time of each sample in µs; where the antenna stands, in µs of light's travel.
Each trace goes through the same convolutions, which say when the pulse came (a weighted mean of the samples' times) and how
it looked. A spherical wave is fitted to these times within the network; what the times lack of it, with all that is known of
each antenna, goes through layers over the array, which say how far from the wave's direction the source is.
The answer is a unit vector, so it wants `target: {standardise: false}`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import one_of, vector, whole

CHANNELS = 5
FAR_US = 0.03  # what a time lacks of a wave, in these units: of the order of one
MOST_CURVED = 0.3  # 1/R per µs of light's travel: a kilometre
STEPS = 4


def antennas(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 16,
    over: str = "attention",
    width: int = 32,
    layers: int = 2,
) -> nn.Module:
    """filters: of the convolutions over time; over: the layers over the array; width, layers: of these.

    over: "attention" (any layout), "grid" (two-dimensional convolutions over a square grid), "recurrent" (a GRU that meets
    the antennas in the order of their pulses), or "none" (their mean).
    """
    whole("filters", filters, 1, 256)
    one_of("over", over, ("attention", "grid", "recurrent", "none"))
    whole("width", width, 4, 1024)
    whole("layers", layers, 1, 8)
    if width % 4:
        raise problem("networks.options.width", width, "a multiple of four, for as many heads", "change it")
    if len(input_shape) != 3 or input_shape[0] != CHANNELS or vector(output_shape) != 3:
        found = f"data of shape {tuple(input_shape)} and answers of {output_shape} for antennas"
        expected = f"({CHANNELS}, antennas, samples) and directions (3,)"
        raise problem("networks.architecture", found, expected, "choose another architecture")
    if over == "grid" and round(input_shape[1] ** 0.5) ** 2 != input_shape[1]:
        raise problem(
            "networks.options.over", f"grid of {input_shape[1]} antennas", "a square number", "take attention"
        )
    return Antennas(filters, over, width, layers)


class Antennas(nn.Module):
    """Convolutions of each trace; a wave; layers over the array; output."""

    def __init__(self, filters: int, over: str, width: int, layers: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(1, filters, 9, padding=4), nn.Conv1d(filters, filters, 9, padding=4)]
        )
        self.when = nn.Conv1d(filters, 1, 9, padding=4)
        self.over, known = over, filters + 5
        if over == "attention":
            layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            self.array = nn.Sequential(
                nn.Linear(known, width), nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            )
        elif over == "grid":
            sizes = [known] + [width] * layers
            pairs = [[nn.Conv2d(a, b, 3, padding=1), nn.SiLU()] for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
            self.array = nn.Sequential(*sum(pairs, []))
        elif over == "recurrent":
            self.array = nn.GRU(known, width, layers, batch_first=True)
        self.dense = nn.Linear(width if over != "none" else known, width)
        self.output = nn.Linear(width, 2)
        nn.init.zeros_(self.output.weight)  # at first the wave's direction
        nn.init.zeros_(self.output.bias)

    def per_antenna(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """When each pulse came, (b, antennas) µs, and what else its trace shows, (b, antennas, filters)."""
        b, _, count, samples = x.shape
        shown = x[:, 0].reshape(b * count, 1, samples)
        for convolution in self.convolutions:
            shown = F.silu(convolution(shown))
        weight = self.when(shown)[:, 0].softmax(dim=1).view(b, count, samples)
        return (weight * x[:, 1]).sum(dim=2), shown.amax(dim=2).view(b, count, -1)

    def wave_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The wave's direction (b, 3), and (b, width) numbers that the step away from it is made of."""
        when, shape = self.per_antenna(x)
        place = x[:, 2:, :, 0].transpose(1, 2)  # (b, antennas, 3)
        direction, lack = spherical_wave(when, place)
        known = torch.cat(
            [shape, lack[..., None] / FAR_US, place, direction[:, 2:, None].expand(-1, when.shape[1], 1)], 2
        )
        if self.over == "attention":
            pooled = self.array(known).mean(dim=1)
        elif self.over == "grid":
            side = round(known.shape[1] ** 0.5)
            pooled = self.array(known.transpose(1, 2).unflatten(2, (side, side))).mean(dim=(2, 3))
        elif self.over == "recurrent":
            order = when.argsort(dim=1)[..., None].expand(-1, -1, known.shape[2])
            pooled = self.array(known.gather(1, order))[0][:, -1]
        else:
            pooled = known.mean(dim=1)
        return direction, F.silu(self.dense(pooled))

    def features(self, x: Tensor) -> Tensor:
        """(b, width) numbers that the step away from the wave's direction is made of."""
        return self.wave_and_features(x)[1]

    def forward(self, x: Tensor) -> Tensor:
        direction, features = self.wave_and_features(x)
        horizontal = direction[:, :2] + FAR_US * self.output(features)
        return above_horizon(horizontal)


def spherical_wave(when: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """The direction (b, 3) of the spherical wave that fits times (b, antennas), and what they lack of it (b, antennas).

    A plane wave on a flat array has a closed form; steps of Gauss and Newton then take in heights and the curvature 1/R,
    with slopes as if it were small; what is lacking is exact.
    """
    t, r = when - when.mean(dim=1, keepdim=True), place - place.mean(dim=1, keepdim=True)
    horizontal = -torch.linalg.solve(normal(r[..., :2]), torch.einsum("bak,ba->bk", r[..., :2], t))
    direction, curvature = above_horizon(horizontal), t.new_zeros(len(t), 1)
    for _ in range(STEPS):
        across = (r.square().sum(2) - torch.einsum("bak,bk->ba", r, direction).square()) / 2
        tilt = r[..., 2:] * (direction[:, None, :2] / direction[:, None, 2:]) - r[..., :2]
        slope = torch.cat([tilt, across[..., None]], 2)
        slope = slope - slope.mean(dim=1, keepdim=True)
        lack = lacking(t, r, direction, curvature)
        step = torch.linalg.solve(normal(slope), torch.einsum("bak,ba->bk", slope, lack))
        direction = above_horizon(direction[:, :2] + step[:, :2])
        curvature = (curvature + step[:, 2:]).clamp(0, MOST_CURVED)
    return direction, lacking(t, r, direction, curvature)


def lacking(t: Tensor, r: Tensor, direction: Tensor, curvature: Tensor) -> Tensor:
    """Times (b, antennas) minus those of a spherical wave, mean zero; exact also as the curvature (b, 1) goes to zero."""
    along, square = torch.einsum("bak,bk->ba", r, direction), r.square().sum(2)
    root = (1 - 2 * curvature * along + curvature**2 * square).clamp(min=1e-6).sqrt()
    found = t - (curvature * square - 2 * along) / (root + 1)
    return found - found.mean(dim=1, keepdim=True)


def normal(slope: Tensor) -> Tensor:
    """The normal matrix (b, k, k) of slopes (b, antennas, k), kept from being singular."""
    return slope.transpose(1, 2) @ slope + 1e-4 * torch.eye(slope.shape[2], device=slope.device)


def above_horizon(horizontal: Tensor) -> Tensor:
    """Unit vectors (b, 3) of horizontal parts (b, 2); those too long are shortened to five degrees above the horizon."""
    size = horizontal.norm(dim=1, keepdim=True).clamp(min=1e-9)
    flat = horizontal * (0.996 / size).clamp(max=1.0)
    return torch.cat([flat, (1 - flat.square().sum(1, keepdim=True)).sqrt()], dim=1)
