"""A part of a network's answer, made into one number: which outputs it is the sum of, and where in an image it is."""

from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.errors import problem

if TYPE_CHECKING:
    from limelight.study.saliency import Answer


def answer_weights(answer: "Answer", shape: tuple[int, ...], axis: OutputAxis, where: str) -> np.ndarray:
    """The weight of every output, (*shape,) float32; see Answer.

    Raises LimelightError, one line that begins with `where`, for outputs that there are not and keys that do not fit.
    """
    if len(shape) == 1:
        if answer.channel is not None or answer.pixel or answer.region:
            raise problem(where, "a part of an image", f"outputs of {axis.label or 'a vector'}", "give `outputs`")
        chosen = _numbers(answer, shape[0], axis, where)
        weights = answer.weights or [1.0] * len(chosen)
        if len(weights) != len(chosen):
            raise problem(f"{where}.weights", f"{len(weights)} numbers", f"{len(chosen)}, one per output", "mend them")
        found = np.zeros(shape, np.float32)
        found[chosen] = weights
        return found
    if answer.outputs is not None or answer.weights:
        raise problem(where, "outputs or weights", "channel, pixel or region: it answers an image", "mend it")
    return _of_image(answer, shape, where)


def _numbers(answer: "Answer", count: int, axis: OutputAxis, where: str) -> list[int]:
    """Outputs of a vector by number."""
    chosen = list(range(count)) if answer.outputs is None else list(answer.outputs)
    if isinstance(chosen[0], str):
        if unknown := [name for name in chosen if name not in axis.names]:
            known = ", ".join(axis.names) or f"numbers from 0 to {count - 1}: they have no names"
            raise problem(f"{where}.outputs", f"'{unknown[0]}'", known, "choose others")
        chosen = [axis.names.index(name) for name in chosen]
    if wrong := [number for number in chosen if number >= count]:
        raise problem(f"{where}.outputs", wrong[0], f"numbers from 0 to {count - 1}", "choose others")
    return chosen


def _of_image(answer: "Answer", shape: tuple[int, ...], where: str) -> np.ndarray:
    channels, *sides = shape
    if answer.channel is not None and answer.channel >= channels:
        raise problem(f"{where}.channel", answer.channel, f"a number from 0 to {channels - 1}", "choose another")
    if answer.pixel and answer.region:
        raise problem(where, "pixel and region", "one of them", "leave one out")
    blocks = answer.region or [[place, place] for place in answer.pixel or []] or [[0, n - 1] for n in sides]
    if len(blocks) != len(sides):
        raise problem(where, f"a place of {len(blocks)} axes", f"{len(sides)}, as the image has", "mend it")
    for (first, last), n in zip(blocks, sides, strict=True):
        if not first <= last < n:
            raise problem(where, f"pixels {first} to {last}", f"first ≤ last, below {n}", "mend it")
    found = np.zeros(shape, np.float32)
    picked = slice(None) if answer.channel is None else answer.channel
    found[(picked, *(slice(first, last + 1) for first, last in blocks))] = 1
    return found


def place_of(answer: "Answer") -> np.ndarray | None:
    """The middle of an answer's pixel or region, (axes,); None where it is none."""
    if answer.pixel:
        return np.array(answer.pixel, np.float64)
    return np.mean(answer.region, axis=1) if answer.region else None
