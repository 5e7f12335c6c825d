"""A resolved study with some keys changed, unchecked: for tests of what follows from them."""

from limelight.section import Section


def altered(node, changes: dict[str, object]):
    """A section (or a mapping of sections) with new values under dotted keys, such as {"lightcones.test": [3]}."""
    for dotted, value in changes.items():
        node = _with(node, dotted.split("."), value)
    return node


def _with(node, path: list[str], value: object):
    if not path:
        return value
    name, *rest = path
    inner = _with(getattr(node, name) if isinstance(node, Section) else node.get(name), rest, value)
    return node.model_copy(update={name: inner}) if isinstance(node, Section) else {**node, name: inner}
