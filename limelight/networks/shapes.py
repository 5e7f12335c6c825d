"""Networks without numbers: modules on torch's device `meta`, and the operations that one of their passes would take.

`with torch.device("meta")` and torch's FlopCounterMode do the same, but import torch's compiler, sympy and all, to say that
there is nothing to compile: seconds of every prediction.
"""

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class ShapesAlone(TorchFunctionMode):
    """Within it, new tensors have shapes and no numbers: no memory, no time, no random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in _device_constructors() and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class _Counter(TorchDispatchMode):
    operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled, and to say so would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.operations += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=answer)
        return answer


def operations(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Floating-point operations of one pass of a row of that shape through a module that was built within ShapesAlone."""
    with torch.no_grad(), _Counter() as counter:
        module(torch.zeros(1, *shape, device="meta"))
    return float(counter.operations)
