"""The filters of a trained network, and its feature maps for one row of data.

A layer is a step of the network in the order it runs: a convolution, a downsampling, a whole residual block. Norm,
activation and dropout right after a step belong to it. This works for any nn.Module: forward hooks catch the outputs.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.evaluation.layers_file import Filters, Layer, Layers
from limelight.evaluation.observe import noise_of_test, observed
from limelight.evaluation.predict import check_test_rows
from limelight.probe import Probe
from limelight.study.settings import EvaluationSettings

CHANNELS = 8  # feature maps kept of each layer: those that vary most over the data
FILTERS = 32  # filters kept of each of the first convolutions
CONVOLUTIONS = 2
CHAINS = (nn.Sequential, nn.ModuleList)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
AFTERTHOUGHTS = (
    *NORMS,
    nn.ReLU,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Identity,
)


def layers_of(
    module: nn.Module, info: dict, settings: EvaluationSettings, probe: Probe, found: Rows, number: int
) -> Layers:
    """A network's layers for one row of a test, presented as in the network's evaluation.

    Parameters
    ----------
    info
        Of load_model.
    found
        Rows of the test's shards, including the shown one.
    number
        Number of the row that is shown.

    Raises LimelightError when there is no such row, or the data are not those the network was trained for.
    """
    if not 0 <= number < len(found):
        raise problem("row", number, f"0 to {len(found) - 1}, the rows of the data", "choose one of them")
    check_test_rows(info, settings, found)
    presentation = probe.presentation(settings.trained.network, settings.observation, found.header)
    seen = found.x[: number + 1]  # noise depends on a row's number
    inputs = list(observed(seen, presentation, settings.trained.seed, noise_of_test(settings.test)))[-1][-1:]
    middle, projected = planes(inputs[0])
    return Layers(
        network=info["network"],
        test=settings.test,
        row={
            "number": number,
            "dataset": str(found.dataset[number]),
            **{name: int(values[number]) for name, values in found.identifiers.items()},
        },
        header=found.header,
        middle=middle,
        projected=projected,
        filters=filters(module),
        layers=feature_maps(module, inputs),
    )


def planes(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(c, *axes) as (c, x, y) at the middle of all axes after the second, and averaged over them."""
    further = tuple(range(3, values.ndim))
    middle = values[(..., *(values.shape[i] // 2 for i in further))]
    return middle.numpy(), (values.mean(dim=further) if further else values).numpy()


def steps(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of the network's steps, in the order of registration; chains are opened, blocks are not."""
    for name, child in module.named_children():
        if isinstance(child, CHAINS):
            yield from steps(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


@torch.no_grad()
def feature_maps(module: nn.Module, inputs: Tensor) -> list[Layer]:
    """Every layer with an image in its output for one presented row (1, channels, *axes), in the order in which they ran.

    An image has at least two axes; for data with a single axis, it has that one.
    """
    if len(inputs) != 1:
        raise problem("inputs", f"{len(inputs)} rows", "one row", "give one")
    least = 2 + min(2, inputs.ndim - 2)
    seen: list[tuple[str, str, Tensor]] = []

    def keep(name: str, child: nn.Module):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < least:
                return
            if isinstance(child, AFTERTHOUGHTS) and seen:
                seen[-1] = (*seen[-1][:2], output[0])
            elif not isinstance(child, AFTERTHOUGHTS):
                seen.append((name, type(child).__name__, output[0]))

        return hook

    hooks = [child.register_forward_hook(keep(name, child)) for name, child in steps(module)]
    try:
        module(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise problem("network", "no layer with an image in its output", "a convolutional network", "choose another")
    return [_layer(name, kind, output.double().cpu()) for name, kind, output in seen]


def _layer(name: str, kind: str, output: Tensor) -> Layer:
    """output: (channels, *axes)."""
    varied = output.flatten(1).std(dim=1, correction=0)
    chosen = torch.argsort(varied, descending=True, stable=True)[:CHANNELS]
    silent = int((output.flatten(1) == 0).all(dim=1).sum())
    return Layer(name, kind, list(output.shape), silent, chosen.numpy(), *planes(output[chosen]))


def filters(module: nn.Module) -> list[Filters]:
    """The first convolutions of a network with a kernel of more than one pixel."""
    found = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv1d | nn.Conv2d | nn.Conv3d) and max(child.kernel_size) > 1:
            weight = child.weight.detach().double().cpu()[:FILTERS]
            average = weight.mean(dim=1)
            middle, projected = planes(average)
            if weight.ndim < 5:
                middle = weight[:, weight.shape[1] // 2].numpy()
            found.append(Filters(name, list(child.weight.shape), middle, projected))
    return found[:CONVOLUTIONS]
