"""`crossing`: what a map holds by itself, what its companions hold, and what they have in common, as fixed summaries.

The first channel is the map; each further one is another map, or counts galaxies. A last linear layer makes the answer of
the summaries, a poor one: the network is there for posteriors, whose `features` choose among auto, other, cross, dde, stack.
"""

import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import cube, ratios, vector, whole
from limelight.summaries.counting import Counting
from limelight.summaries.crossing import Crossing

KINDS = ("auto", "other", "cross", "dde", "stack")
LOW, HIGH, BINS = -4.0, 60.0, 30  # of the one-point functions, in the data's unit


def crossing(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    across: int = 8,
    along: int = 4,
    limits: list[float] | tuple[float, ...] = (0.5, 1.5),
    u: list[float] | tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    reach: int = 2,
) -> nn.Module:
    """The network; its data are in units of the noise.

    across, along: logarithmic steps of the waves; limits: of the classes of the companions' voxels; u: where the deconvolved
    distribution is taken; reach: of the stacks, voxels.
    """
    shape = cube("crossing", input_shape)
    if input_shape[0] < 2:
        found = f"data of {input_shape[0]} channel for crossing"
        raise problem("networks.architecture", found, "two and more: a map and its companions", "show it more")
    rising = ratios("limits", limits)
    if rising != sorted(set(rising)):
        raise problem("networks.options.limits", list(limits), "rising numbers", "put them in order")
    whole("across", across, 1, 100)
    whole("along", along, 1, 100)
    whole("reach", reach, 0, min(shape) // 2 - 1)
    pairs = Crossing(shape, across, along, tuple(rising), tuple(ratios("u", u)), reach)
    return CrossingNetwork(input_shape[0] - 1, vector(output_shape), pairs)


class CrossingNetwork(nn.Module):
    """Standardised summaries and a linear layer."""

    def __init__(self, others: int, n_outputs: int, pairs: Crossing):
        super().__init__()
        self.others, self.pairs = others, pairs
        self.alone = Counting(pairs.shape, 1.0, LOW, HIGH, BINS, pairs.across, pairs.along)
        size = len(self.alone) * (1 + others) + len(pairs) * others
        self.output = nn.Linear(size, n_outputs)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of feature stands, that of all companions one after the other."""
        sizes = [len(self.alone), len(self.alone) * self.others]
        sizes += [(part.stop - part.start) * self.others for part in self.pairs.names.values()]
        ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(KINDS)}

    @torch.no_grad()
    def summaries(self, x: Tensor) -> Tensor:
        """Of (b, channels, x, y, f), (b, S) float32."""
        x = x.float()
        alone = [self.alone(x[:, i : i + 1]) for i in range(1 + self.others)]
        pairs = [self.pairs(x[:, 0], x[:, i]) for i in range(1, 1 + self.others)]
        common = [one[:, part] for part in self.pairs.names.values() for one in pairs]
        return torch.cat([*alone, *common], dim=1)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the summaries from a first batch of inputs."""
        found = self.summaries(x)
        self.mean.copy_(found.mean(dim=0))
        self.std.copy_(found.std(dim=0).clamp(min=1e-4))

    def features(self, x: Tensor) -> Tensor:
        """The standardised summaries, (b, S), within ± 10: what the first batch hardly varied in may vary far in others."""
        return ((self.summaries(x) - self.mean) / self.std).clamp(-10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
