"""Checks of network options and shapes: they come from the config, so a fault must say what may stand there."""

from limelight.errors import problem


def whole(name: str, value: object, low: int, high: int) -> int:
    """An int between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise problem(f"networks.options.{name}", repr(value), f"a whole number from {low} to {high}", "change it")
    return value


def share(name: str, value: object) -> float:
    """A number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise problem(f"networks.options.{name}", repr(value), "a number from 0 to below 1", "change it")
    return float(value)


def one_of(name: str, value: object, choices: tuple) -> object:
    """One of the choices; True is not 1 and False is not 0."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise problem(f"networks.options.{name}", repr(value), f"one of {', '.join(map(str, choices))}", "change it")
    return value


def ratios(name: str, value: object) -> list[float]:
    """A list of numbers above 0, at least one."""
    numbers = isinstance(value, list | tuple) and all(isinstance(v, int | float) and v > 0 for v in value)
    if not numbers or not value or any(isinstance(v, bool) for v in value):
        raise problem(f"networks.options.{name}", repr(value), "a list of numbers above 0", "change it")
    return [float(v) for v in value]


def cube(architecture: str, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes (x, y, z) of data of any channels and three axes, which is all that some architectures read."""
    if len(input_shape) != 4:
        found = f"data of {len(input_shape) - 1} axes for {architecture}"
        raise problem("networks.architecture", found, "three axes", "choose another architecture")
    return tuple(input_shape[1:])


def vector(output_shape: tuple[int, ...]) -> int:
    """How many numbers a network answers whose target is a vector."""
    if len(output_shape) != 1:
        expected = "a target that is a vector"
        raise problem(
            "networks.architecture", f"a target of shape {output_shape}", expected, "choose another architecture"
        )
    return int(output_shape[0])
