"""`traces`: for a pulse that may stand anywhere in a trace, built like the statistic that is best in Gaussian noise.

There the likelihood ratio of a pulse of unknown shape, arrival, amplitude and sign is a sum of exponentials over a bank of
matched filters; where amplitudes are even over a wide range, each exponent is half the square of a filter's output. So here:
linear filters over time, learnt from random ones; their squares, with a bias for each filter and one for each place; and the
logarithm of the sum of the exponentials over filters and time. Interference is not Gaussian. Convolutions over the squares,
averaged over POOL samples, see what surrounds a pulse: they move its exponents, and their mean and largest values go to the
output, too.

There is no normalisation: the size of a pulse over the noise is what tells it from noise.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import vector, whole

POOL = 4  # samples that the surroundings are averaged over
WIDTH = 9  # of the convolutions over the surroundings, in POOL samples
KNOTS = 17  # of the places' biases, straight between them
PACE = 8.0  # of these biases, which have to reach several nats, over that of the other weights
FIRST = 0.4  # norm of a first filter: a matched filter's is 0.7 where the noise is white


def traces(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 16,
    kernel: int = 32,
    context: int = 16,
    dense: int = 16,
) -> nn.Module:
    """filters: over time, each of `kernel` samples; context: channels of the surroundings; dense: numbers made of them."""
    whole("filters", filters, 1, 1024)
    whole("kernel", kernel, 2, 256)
    whole("context", context, 1, 1024)
    whole("dense", dense, 1, 8192)
    if len(input_shape) != 2:
        found = f"data of {len(input_shape) - 1} axes for traces"
        raise problem("networks.architecture", found, "one axis, time", "choose another architecture")
    return Traces(*input_shape, vector(output_shape), filters, kernel, context, dense)


class Traces(nn.Module):
    """Squares of linear filters, their surroundings, log-sum-exp over filters and time, output."""

    def __init__(self, channels: int, samples: int, outputs: int, filters: int, kernel: int, context: int, dense: int):
        super().__init__()
        self.kernel, self.steps = kernel, -(-samples // POOL)
        self.filters = nn.Linear(channels * kernel, filters, bias=False)
        nn.init.normal_(self.filters.weight, std=FIRST / math.sqrt(channels * kernel))
        self.bias = nn.Parameter(torch.full((filters,), -math.log(filters * samples)))
        self.place = nn.Parameter(torch.zeros(1, 1, KNOTS))
        self.context = nn.Sequential(
            nn.Conv1d(filters, context, WIDTH, padding="same"),
            nn.SiLU(),
            nn.Conv1d(context, context, WIDTH, padding="same"),
            nn.SiLU(),
        )
        self.moved = nn.Linear(context, filters)
        self.dense = nn.Linear(2 * context, dense)
        self.output = nn.Linear(1 + dense, outputs)
        for weight in (self.moved.weight, self.moved.bias, self.output.weight, self.output.bias):
            nn.init.zeros_(weight)
        with torch.no_grad():
            self.output.weight[-1, 0] = 1.0  # at first the exponents alone speak, for the last class: a pulse

    def squares(self, x: Tensor) -> Tensor:
        """(b, steps, POOL, filters) of the filters' outputs, of traces (b, channels, samples)."""
        more = self.steps * POOL - x.shape[2]
        ends = (self.kernel - 1) // 2, self.kernel // 2 + more
        windows = F.pad(x, ends).unfold(2, self.kernel, 1).transpose(1, 2).flatten(2)
        found = self.filters(windows)
        return (found * found).view(len(x), self.steps, POOL, -1)

    def features(self, x: Tensor) -> Tensor:
        """(b, 1 + dense): the log-sum-exp, and numbers made of the surroundings."""
        squares = self.squares(x)
        around = self.context(squares.mean(dim=2).log1p().transpose(1, 2))
        place = F.interpolate(PACE * self.place, size=self.steps, mode="linear", align_corners=True)[0, 0]
        moved = self.moved(around.transpose(1, 2)) + self.bias + place[:, None]
        evidence = (squares + moved[:, :, None]).flatten(1).logsumexp(dim=1, keepdim=True)
        busy = F.silu(self.dense(torch.cat([around.amax(dim=2), around.mean(dim=2)], dim=1)))
        return torch.cat([evidence, busy], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
