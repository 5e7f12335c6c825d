#!/usr/bin/env python3
"""Write docs/config.md, the reference of every config key, from the schema.

example: python scripts/config_reference.py --output docs/config.md
"""

import argparse
from pathlib import Path

from limelight.errors import plain_errors
from limelight.files import write_text
from limelight.study.config import schema

HEAD = """# The config, key by key

Written by `python scripts/config_reference.py --output docs/config.md` from `workflow/schemas/config.schema.yaml`; change
the schema, not this page. One YAML file is one study. `base: other.yaml` takes everything from another file (relative to
this one) and changes only what is given here. Unknown keys are refused. *Required* keys have no default.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    write_text(parser.parse_args().output, reference())


def reference() -> str:
    """The reference as Markdown."""
    lines = [HEAD]
    describe(schema(), "", lines)
    return "\n".join(lines).rstrip() + "\n"


def describe(node: dict, prefix: str, lines: list[str]) -> None:
    """Append one table for an object's plain keys, then a section for each of its objects."""
    inner, rows = [], []
    for key, child in node.get("properties", {}).items():
        if "properties" in child or isinstance(child.get("additionalProperties"), dict):
            inner.append((f"{prefix}{key}", child))
        else:
            required = key in node.get("required", [])
            default = "*required*" if required else f"`{child['default']}`" if "default" in child else ""
            rows.append(f"| `{key}` | {kind(child)} | {default} | {child.get('description', '')} |")
    if rows:
        lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    for name, child in inner:
        lines += [f"## `{name}`", "", child.get("description", ""), ""]
        describe(child, f"{name}.", lines)
        named = child.get("additionalProperties")
        if isinstance(named, dict):
            describe(named, f"{name}.<name>.", lines)


def kind(child: dict) -> str:
    """The values a key takes, in words."""
    if "enum" in child:
        return ", ".join(f"`{value}`" for value in child["enum"])
    if "oneOf" in child:
        return " or ".join(kind(choice) for choice in child["oneOf"])
    words = child.get("type", "")
    if words == "array":
        words = f"list of {kind(child.get('items', {}))}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([words, *(f"{sign} {child[word]:g}" for word, sign in bounds.items() if word in child)])


if __name__ == "__main__":
    with plain_errors():
        main()
