"""The symmetries of the square, drawn at random for each map of a batch, and shifts around a periodic one."""

import torch
from torch import Tensor


def symmetry(maps: Tensor, transpose: Tensor, flip_x: Tensor, flip_y: Tensor, axes: tuple[int, int] = (1, 2)) -> Tensor:
    """Transpose and mirror each map (b, …) in the plane of two axes, as three (b,) booleans say.

    The eight combinations are the eight symmetries of the square. A quarter turn is a transposition and one reflection.
    """
    x, y = axes
    each = [-1] + [1] * (maps.ndim - 1)
    for chosen, turned in (
        (transpose, lambda m: m.transpose(x, y)),
        (flip_x, lambda m: m.flip(x)),
        (flip_y, lambda m: m.flip(y)),
    ):
        if chosen.any():
            maps = torch.where(chosen.view(each), turned(maps), maps)
    return maps


def draw_symmetry(
    count: int, flips: bool, quarter_turns: bool, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Three (count,) booleans for `symmetry`: all eight elements, the four rotations, the four reflections, or none."""
    bits = torch.randint(0, 2, (3, count), generator=random, device=random.device).bool()
    transpose, flip_x, flip_y = bits
    if not quarter_turns:
        transpose = torch.zeros_like(transpose)
    if quarter_turns and not flips:  # an even number of reflections in total (a transposition is one)
        flip_y = flip_x ^ transpose
    if not quarter_turns and not flips:
        flip_x = flip_y = transpose
    return transpose, flip_x, flip_y


def shifted(x: Tensor, random: torch.Generator) -> Tensor:
    """Fields (b, channels, n, n), all moved around a periodic square by the same random number of pixels."""
    steps = torch.randint(0, x.shape[-1], (2,), generator=random, device=random.device).tolist()
    return x.roll(steps, dims=(2, 3))
