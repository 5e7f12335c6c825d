"""What networks that answer images share: checks of shapes, resampling, dropout, branches, and corrections of an input.

Data and answers are images on the same pixels, (b, channels, x, y), any number of channels each; or, of networks that take
them, cubes (b, channels, x, y, z).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.summaries.power import wave_cells_of

BRANCHES = ("joint", "separate")
PADDING = ("zeros", "circular")  # what stands beyond the edge: nothing, or the opposite edge of a periodic map
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def check_images(
    architecture: str,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    step: int,
    least: int,
    axes: tuple[int, ...] = (2,),
):
    """Refuse all but images of as many axes, in and out alike, whose sides are multiples of `step`, at least `least`."""
    where = "networks.architecture"
    if len(input_shape) - 1 not in axes or len(output_shape) != len(input_shape):
        found = f"data of shape {input_shape} and answers of shape {output_shape} for {architecture}"
        cubes = ", or cubes: (channels, x, y, z)" if 3 in axes else ""
        raise problem(where, found, f"images: (channels, x, y) both{cubes}", "choose another architecture")
    sides = input_shape[1:]
    if sides != output_shape[1:]:
        found = f"answers of {output_shape[1:]} pixels from {sides} by {architecture}"
        raise problem(where, found, "as many pixels out as in", "choose another architecture")
    if any(side % step or side < least for side in sides):
        found = f"images of {' × '.join(map(str, sides))} pixels for {architecture} with these options"
        expected = f"sides that are multiples of {step} and at least {least} pixels"
        raise problem(where, found, expected, "change the maps, or the options")


def check_start(start_from: object, channels: int, outputs: int) -> list[int]:
    """The input channel that each answer starts from, −1 for none; an empty list is none for all."""
    if start_from == []:
        return [-1] * outputs
    right = isinstance(start_from, list) and len(start_from) == outputs
    if not right or any(type(i) is not int or not -1 <= i < channels for i in start_from):
        expected = f"an input channel from 0 to {channels - 1}, or -1 for none, for each of {outputs} answers"
        raise problem("networks.options.start_from", repr(start_from), expected, "mend the list")
    return start_from


class Dropout(nn.Module):
    """Dropout in training, and on request in tests as well, there with the same draw for every batch of the same shape.

    draw: number of the draw in tests. Answers of several draws differ by what the network is unsure of.
    """

    def __init__(self, share: float, in_tests: bool):
        super().__init__()
        self.share, self.in_tests, self.draw = share, in_tests, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.in_tests or not self.share:
            return F.dropout(x, self.share, self.training)
        random = torch.Generator(x.device).manual_seed(self.draw)
        kept = torch.rand(x.shape, generator=random, device=x.device) >= self.share
        return x * kept / (1 - self.share)


class Blur(nn.Module):
    """A binomial filter of 5 pixels, after which little is lost by keeping one pixel of `step`."""

    def __init__(self, step: int, padding: str, gain: float = 1.0, axes: int = 2):
        super().__init__()
        self.step, self.mode = step, "constant" if padding == "zeros" else padding
        self.convolve = F.conv2d if axes == 2 else F.conv3d
        line = torch.tensor(BINOMIAL) / sum(BINOMIAL)
        kernel = torch.outer(line, line)
        if axes == 3:
            kernel = kernel[..., None] * line
        # In the state, so that model files hold it: a network built from one has no other numbers.
        self.register_buffer("kernel", gain * kernel[None, None])

    def forward(self, x: Tensor) -> Tensor:
        axes = x.ndim - 2
        kernel = self.kernel.to(x.dtype).expand(x.shape[1], *[-1] * (axes + 1))
        return self.convolve(F.pad(x, [2] * 2 * axes, mode=self.mode), kernel, stride=self.step, groups=x.shape[1])


class Widen(nn.Module):
    """Twice as many pixels: zeros between them, then the binomial filter."""

    def __init__(self, padding: str, axes: int = 2):
        super().__init__()
        self.blur = Blur(1, padding, gain=2.0**axes, axes=axes)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.new_zeros(*x.shape[:2], *(2 * n for n in x.shape[2:]))
        wide[(..., *[slice(None, None, 2)] * (x.ndim - 2))] = x
        return self.blur(wide)


class WaveFilter(nn.Module):
    """A linear filter of waves, one gain for each pair of channels in each cell of `wave_cells_of`; it begins at zero.

    What a Wiener filter is, learnt: it has least squared error of all linear answers, and takes all scales at once.
    """

    RATE = 10.0  # gains are of order one, and Adam moves a weight by its learning rate each step

    def __init__(self, channels: int, outputs: int, shape: tuple[int, ...]):
        super().__init__()
        cells = wave_cells_of(shape)  # numpy: a network may be built on no device
        self.register_buffer("cells", torch.from_numpy(cells), persistent=False)
        self.weight = nn.Parameter(torch.zeros(outputs, channels, int(cells.max()) + 1))

    def forward(self, x: Tensor) -> Tensor:
        axes, shape = tuple(range(2, x.ndim)), x.shape[2:]
        waves = torch.fft.rfftn(x.float(), dim=axes)
        gain = (self.RATE * self.weight.float())[:, :, self.cells.to(x.device)]
        answer = (waves[:, None] * gain.view(*gain.shape[:2], *waves.shape[2:])).sum(dim=2)
        return torch.fft.irfftn(answer, s=shape, dim=axes)


class ImageNetwork(nn.Module):
    """One trunk for all answers, or one for each; an answer may be a correction of an input channel.

    Parameters
    ----------
    trunk
        (outputs) -> a module from inputs to that many channels, whose last layer is `output`.
    start_from
        Of each answer the input channel that it starts from, times a number that is learnt (from 1), or −1. Its trunk then
        begins with no correction at all.
    waves
        A filter of the inputs whose answer all answers correct.
    """

    def __init__(
        self,
        trunk: Callable[[int], nn.Module],
        outputs: int,
        branches: str,
        start_from: list[int],
        waves: WaveFilter | None = None,
    ):
        super().__init__()
        self.trunks = nn.ModuleList([trunk(outputs)] if branches == "joint" else [trunk(1) for _ in range(outputs)])
        self.answers = [i for i, channel in enumerate(start_from) if channel >= 0]
        self.channels = [start_from[i] for i in self.answers]
        self.gain = nn.Parameter(torch.ones(len(self.answers)))
        self.waves = waves
        for i in range(outputs) if waves is not None else self.answers:
            layer, row = (self.trunks[0].output, i) if branches == "joint" else (self.trunks[i].output, 0)
            per_answer = layer.out_channels // (outputs if branches == "joint" else 1)
            with torch.no_grad():
                for weight in (layer.weight, layer.bias):
                    weight[row * per_answer : (row + 1) * per_answer] = 0

    @property
    def output(self) -> nn.Module:
        return self.trunks[-1].output

    def forward(self, x: Tensor) -> Tensor:
        answer = torch.cat([trunk(x) for trunk in self.trunks], dim=1)
        if self.waves is not None:
            answer = answer + self.waves(x)
        if not self.answers:
            return answer
        start = answer.new_zeros(answer.shape)
        gain = self.gain.view(-1, *[1] * (x.ndim - 2))
        start[:, self.answers] = (gain * x[:, self.channels]).to(answer.dtype)
        return answer + start
