"""Convolutions that are safe on axes shorter than their kernel, and quick on periodic maps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def padded(x: Tensor, kernel: tuple[int, ...], padding: tuple[int, ...]) -> Tensor | None:
    """x (b, channels, axes...) with its 0-padding written out if an axis is shorter than the kernel; otherwise None.

    A part of the kernel may then meet nothing but padding. Its gradient is zero, but in bfloat16 on a CPU torch 2.13
    (oneDNN) leaves it uninitialised: now garbage, now NaN. Padding that is written out is data like any other.
    """
    if all(n >= k for n, k in zip(x.shape[2:], kernel, strict=True)):
        return None
    return F.pad(x, [side for pad in reversed(padding) for side in (pad, pad)])


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


class Conv2d(nn.Conv2d):
    """nn.Conv2d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        if self.padding_mode == "circular":
            margin = self.padding[0]
            if margin != self.padding[1] or min(x.shape[2:]) < 2 * margin:
                return super().forward(x)
            wide = Wrapped.apply(x, margin)
            return F.conv2d(wide, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        wide = padded(x, self.kernel_size, self.padding)
        return super().forward(x) if wide is None else F.conv2d(wide, self.weight, self.bias, self.stride)


class Conv3d(nn.Conv3d):
    """nn.Conv3d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        wide = padded(x, self.kernel_size, self.padding)
        return super().forward(x) if wide is None else F.conv3d(wide, self.weight, self.bias, self.stride)
