"""Convolutions that are safe on axes shorter than their kernel."""

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


class Conv2d(nn.Conv2d):
    """nn.Conv2d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        wide = padded(x, self.kernel_size, self.padding)
        return super().forward(x) if wide is None else F.conv2d(wide, self.weight, self.bias, self.stride)


class Conv3d(nn.Conv3d):
    """nn.Conv3d with that care."""

    def forward(self, x: Tensor) -> Tensor:
        wide = padded(x, self.kernel_size, self.padding)
        return super().forward(x) if wide is None else F.conv3d(wide, self.weight, self.bias, self.stride)
