"""YAML files of a config, read strictly."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from limelight.errors import one_line, problem

MOST_BYTES, MOST_VALUES, MOST_LEVELS = 10_000_000, 1_000_000, 50  # of a config, aliases written out
BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C reads large studies ten times faster


@one_line("a YAML mapping")
def read_yaml(path: str | Path) -> dict:
    """A YAML file that must hold a mapping; a key given twice and other faults give one clear line."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", "a YAML file", "check the path")
    if path.stat().st_size > MOST_BYTES:
        raise problem(path, f"{path.stat().st_size} bytes", f"at most {MOST_BYTES}", "give a config")
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text)
        content = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise problem(path, f"text that is not YAML ({error})", "a YAML mapping", "mend that line") from None
    if not isinstance(content, dict):
        raise problem(path, f"a {type(content).__name__}", "a YAML mapping of keys", "see docs/config.md")
    check_plain(content, path)
    return content


def check_plain(content: object, path: object) -> None:
    """Refuse what no config holds, wherever it was read: values of other types than text, numbers, yes/no, lists and
    mappings; lists within lists without end; and a small file that aliases make huge."""
    queue, count = [(content, (), ())], 0
    while queue:
        value, place, above = queue.pop()
        count += 1
        where = f"{path}: {'.'.join(map(str, place))}" if place else path
        if count > MOST_VALUES:
            raise problem(path, f"more than {MOST_VALUES} values", "a config", "write fewer, or remove aliases (*)")
        if id(value) in above:
            raise problem(where, "an alias (*) of what it stands in", "a value that ends", "remove the alias")
        if isinstance(value, Mapping | list | tuple):
            if len(place) > MOST_LEVELS:
                raise problem(path, f"more than {MOST_LEVELS} levels", "a config", "see docs/config.md")
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            queue.extend((item, (*place, key), (*above, id(value))) for key, item in items)
        elif isinstance(value, str) and any(ord(one) < 32 and one not in "\t\n\r" for one in value):
            raise problem(where, repr(value)[:80], "text without control characters", "remove them")
        elif not isinstance(value, str | int | float | None):
            raise problem(
                where, f"a {type(value).__name__} ({value})", "text, a number, a list or a mapping", "mend it"
            )


def _check_depth(text: str) -> None:
    """Refuse nesting that would overflow the stack of whoever builds the values; events come one by one."""
    level = 0
    for event in yaml.parse(text, Loader=BASE):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        if level > MOST_LEVELS:
            raise yaml.YAMLError(f"more than {MOST_LEVELS} levels within one another")


class _StrictLoader(BASE):
    """SafeLoader that refuses a key given twice, where the second would silently win, and numbers that YAML reads as others
    than they look: 010 is 8 to it, and 12:30 is 750. A date stays the text that it is."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float) or isinstance(key, bool):
                words = f"the key '{key_node.value}', which YAML takes for {key}: put it in quotes"
                if isinstance(key, list | dict | tuple):
                    words = f"the key {key}: a key is text"
                raise yaml.constructor.ConstructorError(None, None, words, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_number(self, node):
        text = node.value.lstrip("+-").replace("_", "")
        is_float = node.tag.endswith("float")
        value = self.construct_yaml_float(node) if is_float else self.construct_yaml_int(node)
        if ":" in text or (not is_float and re.match("0[0-9]", text)):
            words = f"the number {node.value}, which YAML takes for {value}: write {value}, or put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark)
        return value


for _name in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_name}", _StrictLoader.construct_number)
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
