"""A section of a config: what its keys are called, their types, defaults, units, limits and texts, in one place.

A section is a frozen pydantic model. Numbers may be written as text (YAML takes 2.5e10 for text); beyond that nothing is
converted: a yes/no is no number, 1.5 no whole number, and neither NaN nor infinity is a number here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError, core_schema

S = TypeVar("S", bound="Section")
WHOLE_MAX = 2**63 - 1  # files hold no larger ones
RANGE_MAX = 100_000  # numbers of a range such as "0-7"


class Section(BaseModel):
    """A part of the config. Keys that were not given and have no default are None."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def plain(settings: object) -> object:
    """Settings as what JSON knows: sections and dataclasses become dicts, tuples lists. Keys that are None are left out."""
    if isinstance(settings, Section):
        settings = {name: value for name, value in vars(settings).items() if value is not None}
    elif dataclasses.is_dataclass(settings):  # its fields alone: what it has worked out meanwhile is no setting
        settings = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
        settings = {name: value for name, value in settings.items() if value is not None}
    if isinstance(settings, Mapping):
        return {str(key): plain(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [plain(value) for value in settings]
    return settings


def without(section: S, *keys: str) -> S:
    """The section with some keys unset: what cannot change a stage's output has no place in its settings."""
    return section.model_copy(update=dict.fromkeys(keys))


def _number(value: object) -> object:
    """A number that was written as text; everything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _whole(value: object) -> object:
    """A whole number that was written as text or with a decimal point (1e3, 12.0); everything else as it is."""
    number = _number(value)
    whole = int(number) if isinstance(number, float) and number.is_integer() else value
    if isinstance(whole, int) and abs(whole) > WHOLE_MAX:
        raise PydanticCustomError("form", "{expected}", {"expected": f"a whole number of at most {WHOLE_MAX}"})
    return whole


def _different(values: list) -> list:
    seen = set()  # of numbers and texts; a list of lists is searched
    for value in values:
        if isinstance(value, list):
            break
        if value in seen:
            raise PydanticCustomError("doubled", "{doubled} twice", {"doubled": repr(value)})
        seen.add(value)
    doubled = None
    if len(seen) < len(values):
        doubled = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if doubled is not None:
        raise PydanticCustomError("doubled", "{doubled} twice", {"doubled": repr(doubled)})
    return values


class Either:
    """Marks a union of types whose faults are reported in one line, with these words for what was expected."""

    def __init__(self, expected: str):
        self.expected = expected

    def __get_pydantic_core_schema__(self, source, handler):
        return core_schema.no_info_wrap_validator_function(self._checked, handler(source))

    def _checked(self, value: object, inner) -> object:
        try:
            return inner(value)
        except ValidationError:
            raise PydanticCustomError("form", "{expected}", {"expected": self.expected}) from None


def _range(value: object) -> object:
    """The numbers of a range such as "0-7" (both ends belong to it); everything else as it is."""
    if not isinstance(value, str):
        return value
    first, _, last = value.partition("-")
    if not all(end.isascii() and end.isdigit() for end in (first, last or first)):
        expected = 'a list of whole numbers, or a range such as "0-7"'
        raise PydanticCustomError("form", "{expected}", {"expected": expected})
    if len(first + last) > 30:
        raise PydanticCustomError("form", "{expected}", {"expected": f"numbers of at most {WHOLE_MAX}"})
    if int(first) > int(last or first):
        raise PydanticCustomError("form", "{expected}", {"expected": "at least one number: first-last, first ≤ last"})
    if int(last or first) - int(first) >= RANGE_MAX:
        raise PydanticCustomError("form", "{expected}", {"expected": f"a range of at most {RANGE_MAX} numbers"})
    return list(range(int(first), int(last or first) + 1))


FROM_TEXT, WHOLE_FROM_TEXT = BeforeValidator(_number), BeforeValidator(_whole)
# Of things that files are named by and command lines name, so that no - comes first; $ is the very end, no newline passes
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
Number = Annotated[float, Field(allow_inf_nan=False), FROM_TEXT]
Whole = Annotated[int, WHOLE_FROM_TEXT]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), FROM_TEXT]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), FROM_TEXT]
Natural = Annotated[int, Field(ge=1), WHOLE_FROM_TEXT]  # 1, 2, …
Index = Annotated[int, Field(ge=0), WHOLE_FROM_TEXT]  # 0, 1, …
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Different = AfterValidator(_different)
Names = Annotated[list[str], Different]
SomeNames = Annotated[list[str], Field(min_length=1), Different]
Numbers = Annotated[list[Index], Field(min_length=1), Different, BeforeValidator(_range)]
