"""The methods of attribution, all through captum: one number per pixel of each row's input, the saliency.

A network is differentiated in float32 and evaluation mode. Guided backprop, deconvolution and DeepLIFT need a copy with
separate activations (limelight.saliency.separate); a network that has none cannot be explained by them, and they say so.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from limelight.evaluation.observe import BATCH
from limelight.saliency.answers import Explained
from limelight.saliency.separate import CannotSeparate, Elementwise, Separated
from limelight.study.saliency import SaliencyRun

COMPLETE = ("integrated_gradients", "deeplift")  # they promise to add up to the change of the answer
SEPARATE = ("deeplift", "guided_backprop", "deconvolution")


class CannotExplain(Exception):
    """Why a method cannot be had for a network, in a few words."""


@dataclass(frozen=True)
class Shown:
    """Rows as a network sees them, and what they are compared with."""

    inputs: Tensor  # (b, channels, *axes) float32
    baselines: Tensor  # (b, channels, *axes)

    def __getitem__(self, rows: slice) -> "Shown":
        return Shown(self.inputs[rows], self.baselines[rows])

    def __len__(self) -> int:
        return len(self.inputs)


class Method:
    """One method on one network."""

    def __init__(self, name: str, module: nn.Module, std: Tensor | None, options: SaliencyRun, sample: Tensor):
        """module: in evaluation mode; std: of its outputs (answers.scale_of); sample: rows of inputs that it is tried on.

        Raises CannotExplain where the method cannot be had for the network.
        """
        self.name, self.options = name, options
        if name in SEPARATE:
            try:
                module = Separated(module, sample)
            except CannotSeparate as error:
                raise CannotExplain(str(error)) from None
            if name != "deeplift" and not module.relus:
                raise CannotExplain("it has no ReLU, which the method is about")
        self.explained = Explained(module, std).to(sample.device).eval()

    def saliency(self, shown: Shown, weights: Tensor) -> Tensor:
        """Saliency (b, channels, *axes) of rows for the answers that weights (b, *shape) make.

        Raises CannotExplain where it is not finite, or captum fails on the network.
        """
        found = []
        for first in range(0, len(shown), BATCH):
            rows = slice(first, first + BATCH)
            inputs = shown.inputs[rows].clone().requires_grad_()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # captum tells of its hooks
                    one = RECIPES[self.name](self, inputs, shown.baselines[rows], weights[rows])
            except (RuntimeError, AssertionError) as error:
                words = (str(error) or type(error).__name__).splitlines()[0][:120]
                raise CannotExplain(f"captum fails on it ({words})") from None
            found.append(one.detach().float())
        whole = torch.cat(found)
        if not torch.isfinite(whole).all():
            raise CannotExplain("it gives numbers that are not finite")
        return whole

    @torch.no_grad()
    def value(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """The answers (b,) that are explained, float64."""
        parts = [
            self.explained(inputs[i : i + BATCH], weights[i : i + BATCH]).double() for i in range(0, len(inputs), BATCH)
        ]
        return torch.cat(parts)


def _captum() -> ModuleType:
    """captum.attr. It is an extra, so it is imported where a network is explained."""
    from captum import attr
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear

    SUPPORTED_NON_LINEAR[Elementwise] = nonlinear  # the rescale rule holds for any function of one number
    return attr


Recipe = Callable[[Method, Tensor, Tensor, Tensor], Tensor]


def _gradient(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return _captum().Saliency(method.explained).attribute(x, abs=False, additional_forward_args=weights)


def _smoothgrad(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    """The mean gradient over noisy copies; the noise is the same whenever it is asked."""
    options = method.options
    spread = x.detach().transpose(0, 1).flatten(1).std(dim=1)
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(0)
        return (
            _captum()
            .NoiseTunnel(_captum().Saliency(method.explained))
            .attribute(
                x,
                nt_type="smoothgrad",
                nt_samples=options.smooth_samples,
                nt_samples_batch_size=max(1, min(options.smooth_samples, BATCH // len(x))),
                stdevs=options.smooth_sigma * float(spread.mean()),
                abs=False,
                additional_forward_args=weights,
            )
        )


def _input_x_gradient(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return _captum().InputXGradient(method.explained).attribute(x, additional_forward_args=weights)


def _integrated(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return (
        _captum()
        .IntegratedGradients(method.explained)
        .attribute(
            x,
            baseline,
            additional_forward_args=weights,
            n_steps=method.options.steps,
            internal_batch_size=max(BATCH, len(x)),
        )
    )


def _deeplift(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return _captum().DeepLift(method.explained).attribute(x, baseline, additional_forward_args=weights)


def _guided(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return _captum().GuidedBackprop(method.explained).attribute(x, additional_forward_args=weights)


def _deconvolution(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    return _captum().Deconvolution(method.explained).attribute(x, additional_forward_args=weights)


def _occlusion(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    """Windows that overlap by half are replaced, one after the other; each pixel gets the mean change of its windows."""
    sides = window_sides(method.options, tuple(x.shape[2:]))
    with torch.no_grad():
        return (
            _captum()
            .Occlusion(method.explained)
            .attribute(
                x,
                sliding_window_shapes=(1, *sides),
                strides=(1, *(max(1, side // 2) for side in sides)),
                baselines=baseline,
                additional_forward_args=weights,
                perturbations_per_eval=max(1, BATCH // len(x)),
            )
        )


def _ablation(method: Method, x: Tensor, baseline: Tensor, weights: Tensor) -> Tensor:
    """Blocks are replaced, one after the other; a block's change is shared evenly by its pixels."""
    blocks = block_numbers(method.options, tuple(x.shape[1:])).to(x.device)
    with torch.no_grad():
        change = (
            _captum()
            .FeatureAblation(method.explained)
            .attribute(
                x,
                baselines=baseline,
                additional_forward_args=weights,
                feature_mask=blocks[None],
                perturbations_per_eval=max(1, BATCH // len(x)),
            )
        )
    return change / torch.bincount(blocks.flatten())[blocks]


RECIPES: dict[str, Recipe] = {
    "gradient": _gradient,
    "smoothgrad": _smoothgrad,
    "input_x_gradient": _input_x_gradient,
    "integrated_gradients": _integrated,
    "deeplift": _deeplift,
    "guided_backprop": _guided,
    "deconvolution": _deconvolution,
    "occlusion": _occlusion,
    "ablation": _ablation,
}


def window_sides(options: SaliencyRun, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the windows of occlusion and ablation."""
    return tuple(min(n, options.window or math.ceil(n / 8)) for n in axes)


def block_numbers(options: SaliencyRun, shape: tuple[int, ...]) -> Tensor:
    """The number of the block that each pixel (channels, *axes) is in; channels have blocks of their own."""
    channels, *axes = shape
    sides = window_sides(options, tuple(axes))
    counts = [channels, *(math.ceil(n / side) for n, side in zip(axes, sides, strict=True))]
    places = [np.arange(channels), *(np.arange(n) // side for n, side in zip(axes, sides, strict=True))]
    return torch.as_tensor(np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), counts))
