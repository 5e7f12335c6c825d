"""Cascading randomisation (Adebayo et al., arXiv:1810.03292): a network's layers drawn afresh, from the top down."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from limelight.evaluation.layers import steps

MOST_STAGES = 6


def layers_from_the_top(module: nn.Module, sample: Tensor) -> list[str]:
    """Names of the layers that have weights, the one that runs last first; those that no hook sees run come at the end."""
    ran: list[str] = []
    hooks = [
        child.register_forward_hook(lambda *_, name=name: ran.append(name) if name not in ran else None)
        for name, child in steps(module)
    ]
    try:
        with torch.no_grad():
            module(sample)
    finally:
        for hook in hooks:
            hook.remove()
    every = dict(steps(module))
    order = [*reversed(ran), *(name for name in reversed(every) if name not in ran)]
    return [name for name in order if next(every[name].parameters(), None) is not None]


def cascade(module: nn.Module, sample: Tensor, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """(name of the lowest layer that is new, network) with more and more layers drawn afresh; the last is new in all.

    At most MOST_STAGES, evenly spread over the layers. The network itself is not changed.
    """
    altered = copy.deepcopy(module)
    names, every = layers_from_the_top(module, sample), dict(steps(altered))
    kept = {round((i + 1) * len(names) / MOST_STAGES) for i in range(MOST_STAGES)} | {len(names)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        for count, name in enumerate(names, 1):
            draw_afresh(every[name])
            if count == len(names):  # and what belongs to no layer
                for weight in altered.parameters(recurse=False):
                    _draw(weight)
            if count in kept:
                yield name, altered
        if not names:
            draw_afresh(altered)
            yield "all", altered


@torch.no_grad()
def draw_afresh(module: nn.Module) -> None:
    """Give all weights of a module new values: those that its parts begin with, else normal ones of the same mean square."""
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        else:
            for weight in part.parameters(recurse=False):
                _draw(weight)


@torch.no_grad()
def _draw(weight: Tensor) -> None:
    weight.copy_(torch.randn(weight.shape) * weight.square().mean().sqrt().cpu())
