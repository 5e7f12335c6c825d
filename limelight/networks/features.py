"""What a trained network knows of a map before its last layer makes numbers of it: the features that posteriors stand on."""

from torch import Tensor, nn


def last_linear(module: nn.Module) -> nn.Linear:
    """The layer that gives a network's output: every registered network ends in one."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]


def features(module: nn.Module, x: Tensor) -> Tensor:
    """The last layer's inputs (b, features) float32 for maps (b, 1, x, y, f); gradients pass where they are on."""
    caught: list[Tensor] = []
    handle = last_linear(module).register_forward_pre_hook(lambda layer, inputs: caught.append(inputs[0]))
    try:
        module(x)
    finally:
        handle.remove()
    return caught[0].float()
