"""What is wrong with a config: one line per fault that says where, what was found, what was expected, what to do."""

import difflib
from collections.abc import Iterator
from typing import get_args

from pydantic import ValidationError

from limelight.errors import problem
from limelight.section import Section

FIX = "see docs/config.md"
LONGEST = 80  # characters of what was found
TYPES = {
    "int_type": "integer",
    "int_parsing": "integer",
    "float_type": "number",
    "bool_type": "boolean (true or false)",
    "string_type": "string",
    "list_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
}
LIMITS = {
    "greater_than": ("gt", "more than {:g}"),
    "greater_than_equal": ("ge", "at least {:g}"),
    "less_than": ("lt", "less than {:g}"),
    "less_than_equal": ("le", "at most {:g}"),
    "multiple_of": ("multiple_of", "a multiple of {:g}"),
    "string_pattern_mismatch": ("pattern", "text that matches {}"),
    "literal_error": ("expected", "one of {}"),
    "doubled": ("", "each once"),
    "finite_number": ("", "a finite number"),
    "form": ("expected", "{}"),
}


def faults(study: type[Section], error: ValidationError) -> Iterator[str]:
    """One line for each fault of a raw config, without the file's name.

    What a network inherits from the study's own `training` is reported once, where it stands.
    """
    errors = error.errors(include_url=False)
    own = [(one["loc"], one["type"]) for one in errors if one["loc"][0] == "training"]
    for one in errors:
        if one["loc"][0] != "networks" or (one["loc"][2:], one["type"]) not in own:
            yield _line(study, one["loc"], one["type"], one["input"], one.get("ctx", {}))


def _line(study: type[Section], place: tuple, kind: str, value: object, context: dict) -> str:
    key = ".".join(str(part) for part in place)
    within, last = ".".join(str(part) for part in place[:-1]), place[-1]
    if kind == "extra_forbidden":
        known = list(section_at(study, place[:-1]).model_fields)
        close = difflib.get_close_matches(str(last), known, n=1)
        fix = f"did you mean '{close[0]}'?" if close else f"remove it or {FIX}"
        return fault(within, f"unknown key '{last}'", f"one of {', '.join(known)}", fix)
    if kind == "missing":
        return fault(within, f"no key '{last}'", "it to be given", f"add it, {FIX}")
    if last == "[key]":
        key = ".".join(str(part) for part in place[:-2])
    found = context["doubled"] + " twice" if kind == "doubled" else repr(value)
    return fault(key, found if len(found) <= LONGEST else f"{found[: LONGEST - 3]}...", _expected(kind, context), FIX)


def _expected(kind: str, context: dict) -> str:
    if kind in TYPES:
        return f"a value of type {TYPES[kind]}"
    if kind in LIMITS:
        name, words = LIMITS[kind]
        return words.format(context.get(name))
    if kind in ("too_short", "too_long"):
        word, bound = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        return f"at {word} {context[bound]} {'entries' if context['field_type'] == 'Dictionary' else 'items'}"
    return kind.replace("_", " ")


def fault(key: str, found: object, expected: str, fix: str) -> str:
    """One fault of a config as a line; the name of its file is put before it by whoever reports it."""
    return str(problem(key, str(found), expected, fix)) if key else str(problem("", str(found), expected, fix))[2:]


def section_at(study: type[Section], place: tuple) -> type[Section]:
    """The section that stands at a place of a study, such as ("networks", "limelight", "training")."""
    node = study
    for part in place:
        is_section = isinstance(node, type) and issubclass(node, Section)
        node = node.model_fields[part].annotation if is_section else get_args(node)[-1]  # of dict[Name, Section]
    return node
