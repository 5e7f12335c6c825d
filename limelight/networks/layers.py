"""Convolutions that are safe on axes shorter than their kernel, and quick on periodic maps."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolved(layer: "Conv1d | Conv2d | Conv3d", convolve: Callable[..., Tensor], x: Tensor) -> Tensor | None:
    """What a layer makes of x (b, channels, axes...) where torch 2.13 cannot be trusted with it in bfloat16; otherwise None.

    Of an axis shorter than the kernel a part of the kernel may meet nothing but padding. Its gradient is zero, but on a CPU
    (oneDNN) it is left uninitialised: now garbage, now NaN. Padding that is written out is data like any other. And where
    a stride leaves one place of an axis, processors with AMX leave even the answer uninitialised: `written_out`.
    """
    kernel, padding = layer.kernel_size, [int(pad) for pad in layer.padding]
    long = all(n >= k for n, k in zip(x.shape[2:], kernel, strict=True))
    if layer.padding_mode != "zeros" or (long and not single_places(layer, x, padding)):
        return None
    return written_out(layer, convolve, F.pad(x, [side for pad in reversed(padding) for side in (pad, pad)]))


def single_places(layer: "Conv1d | Conv2d | Conv3d", x: Tensor, padding: Sequence[int]) -> list[int]:
    """The axes of x along which a stride leaves one place."""
    sizes = zip(x.shape[2:], padding, layer.kernel_size, layer.stride, strict=True)
    return [i for i, (n, pad, k, stride) in enumerate(sizes) if stride > 1 and (n + 2 * pad - k) // stride == 0]


def written_out(layer: "Conv1d | Conv2d | Conv3d", convolve: Callable[..., Tensor], wide: Tensor) -> Tensor:
    """What a layer makes of maps that hold its padding; where a stride leaves one place, that is taken without it."""
    strides = list(layer.stride)
    for i in single_places(layer, wide, [0] * len(strides)):
        wide, strides[i] = wide.narrow(2 + i, 0, layer.kernel_size[i]), 1
    return convolve(wide, layer.weight, layer.bias, strides, 0, layer.dilation, layer.groups)


class Wrapped(torch.autograd.Function):
    """Maps (b, c, y, x) with `margin` pixels of the opposite edge on every side.

    F.pad(mode="circular") gives up the memory layout (channels last), and its gradient is dear: a training step of `gated`
    took twice the time.
    """

    @staticmethod
    def forward(context, x: Tensor, margin: int) -> Tensor:
        context.margin = margin
        for axis in (2, 3):
            size = x.shape[axis]
            x = torch.cat([x.narrow(axis, size - margin, margin), x, x.narrow(axis, 0, margin)], dim=axis)
        return x

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        margin = context.margin
        for axis in (3, 2):
            size = gradient.shape[axis] - 2 * margin
            before, inner, after = gradient.split([margin, size, margin], dim=axis)
            first, middle, last = inner.split([margin, size - 2 * margin, margin], dim=axis)
            gradient = torch.cat([first + after, middle, last + before], dim=axis)
        return gradient, None


class Conv1d(nn.Conv1d):
    """nn.Conv1d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        found = convolved(self, F.conv1d, x)
        return super().forward(x) if found is None else found


class Conv2d(nn.Conv2d):
    """nn.Conv2d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        if self.padding_mode == "circular":
            margin = int(self.padding[0])
            if margin != self.padding[1] or min(x.shape[2:]) < 2 * margin:
                return super().forward(x)
            return written_out(self, F.conv2d, Wrapped.apply(x, margin))
        found = convolved(self, F.conv2d, x)
        return super().forward(x) if found is None else found


class Conv3d(nn.Conv3d):
    """nn.Conv3d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        found = convolved(self, F.conv3d, x)
        return super().forward(x) if found is None else found
