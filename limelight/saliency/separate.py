"""A copy of a network in which every call of an activation is a module of its own.

Guided backprop, deconvolution and DeepLIFT change what activations do on the way back, through hooks on their modules.
Networks that call functions (F.relu), use one module several times or work in place have no such modules. Here every call is
caught while the network runs, whatever the network is, and goes through a module that serves this one call alone.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from limelight.errors import LimelightError

RELU = "relu"
# Functions of one tensor that act on each number by itself; their arguments beyond the tensor must be numbers.
ACTIVATIONS = ("leaky_relu", "elu", "selu", "celu", "relu6", "silu", "mish", "hardtanh", "hardswish")  # may be in place
ELEMENTWISE = (
    *ACTIVATIONS,
    *(
        "gelu",
        "softplus",
        "sigmoid",
        "logsigmoid",
        "tanh",
        "tanhshrink",
        "softsign",
        "erf",
        "abs",
        "sign",
        "clamp",
        "clip",
    ),
    *("square", "sqrt", "rsqrt", "pow", "reciprocal", "exp", "expm1", "log", "log1p", "log10"),
    *("sin", "cos", "atan", "arctan", "sinh", "cosh", "asinh", "arcsinh"),
)
POOLS = {f"max_pool{n}d": kind for n, kind in ((1, nn.MaxPool1d), (2, nn.MaxPool2d), (3, nn.MaxPool3d))}
TOLERANCE = 1e-4  # of the copy's answers, relative to their spread


class Elementwise(nn.Module):
    """One call of a function that acts on each number by itself."""

    def __init__(self, function: Callable, arguments: tuple, options: dict):
        super().__init__()
        self.function, self.arguments, self.options = function, arguments, options

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.arguments, **self.options)


def _named(name: str) -> list[Callable]:
    """All that torch calls by a name: functions and methods, those in place too."""
    places = [(place, each) for place in (F, torch, torch.Tensor) for each in (name, f"{name}_")]
    found = [getattr(place, each) for place, each in places if hasattr(place, each)]
    return [*found, torch.Tensor.__pow__] if name == "pow" else found


KNOWN = {function: name for name in (RELU, *ELEMENTWISE, *POOLS) for function in _named(name)}


def _module(function: Callable, arguments: tuple, options: dict) -> nn.Module | None:
    """The module of one call, never in place; None where the call is none of an elementwise function or a pooling."""
    name = KNOWN[function]
    options = {key: value for key, value in options.items() if key not in ("inplace", "out")}
    if name == RELU:
        return nn.ReLU()
    values = [*arguments, *options.values()]
    if name in POOLS:
        options.pop("return_indices", None)
        return POOLS[name](*arguments, **options)
    if any(isinstance(value, Tensor) for value in values):
        return None
    if name in ACTIVATIONS:
        arguments = arguments[:-1] if arguments and isinstance(arguments[-1], bool) else arguments  # inplace
    plain = getattr(F, name, None) or getattr(torch, name)
    return Elementwise(plain, arguments, options)


class _Calls(TorchFunctionMode):
    """Sends the calls of activations through modules, in their order; makes the modules where there are none yet."""

    def __init__(self, modules: nn.ModuleList, rows: int, make: bool):
        super().__init__()
        self.modules, self.rows, self.make, self.count = modules, rows, make, 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in KNOWN or not args:
            return function(*args, **kwargs)
        x, *rest = args
        of_rows = isinstance(x, Tensor) and x.ndim > 1 and len(x) == self.rows and not isinstance(x, nn.Parameter)
        module = _module(function, tuple(rest), kwargs) if of_rows and x.is_floating_point() else None
        if module is None:
            return function(*args, **kwargs)
        if self.make:
            self.modules.append(module)
        elif self.count >= len(self.modules):
            raise CannotSeparate("its activations change from call to call")
        self.count += 1
        # captum hooks the tensor that goes in: without a copy it would change the gradient of its other uses (a shortcut)
        return self.modules[self.count - 1](x.clone())


class CannotSeparate(Exception):
    """Why a network has no copy with separate activations."""


class _Hidden(nn.Module):
    """An activation module that no hook sees: the calls that it makes are caught instead."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.of = [module]  # in a list, so that it is no child

    def forward(self, *inputs, **options):
        return self.of[0](*inputs, **options)


HIDDEN = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class Separated(nn.Module):
    """A network whose activations are modules of their own, one for each call.

    Parameters
    ----------
    module
        In evaluation mode. It is copied, not changed.
    sample : (b, channels, *axes)
        Inputs that it is tried on.

    Raises CannotSeparate where the copy would answer otherwise, as with activations in place whose input is used again.
    """

    def __init__(self, module: nn.Module, sample: Tensor):
        super().__init__()
        self.network, self.activations = _hidden(copy.deepcopy(module)), nn.ModuleList()
        with torch.no_grad():
            expected = module(sample.clone())
            with _Calls(self.activations, len(sample), make=True):
                self.network(sample.clone())
            try:
                found = self(sample.clone())
            except (RuntimeError, LimelightError) as error:
                raise CannotSeparate(str(error).splitlines()[0]) from None
        scale = float((expected - expected.mean()).abs().max()) or 1.0
        if not float((found - expected).abs().max()) <= TOLERANCE * scale:
            raise CannotSeparate("a copy with separate activations answers otherwise (it changes its inputs in place)")

    @property
    def relus(self) -> int:
        """How many calls of ReLU it has."""
        return sum(isinstance(module, nn.ReLU) for module in self.activations)

    def forward(self, x: Tensor) -> Tensor:
        with _Calls(self.activations, len(x), make=False):
            return self.network(x)


def _hidden(module: nn.Module) -> nn.Module:
    """The module with its activation modules hidden from hooks."""
    if type(module) in HIDDEN:
        return _Hidden(module)
    for name, child in module._modules.items():  # named_children would leave out the second name of a shared module
        if child is not None:
            module._modules[name] = _hidden(child)
    return module
