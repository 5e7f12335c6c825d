#!/usr/bin/env python3
"""Write docs/config.md, the reference of every config key, from the sections that define them.

example: python scripts/config_reference.py --output docs/config.md
"""

from limelight.arguments import Arguments
from limelight.errors import plain_errors

FIRST = ("study", "seed", "probe")
HEAD = """# The config, key by key

Written by `python scripts/config_reference.py --output docs/config.md` from the sections that define the keys:
`limelight/study/sections.py`, `posteriors.py` and `saliency.py` beside it, `limelight/halos/config.py`, and of the probe
`limelight/probes/line_intensity/config.py` and `rival/config.py` beside it; change those, not this page. Other probes have
keys of their own in place of `lightcones` to `rival`: see `limelight/probes/<probe>/config.py`, and the YAML of each in
`config/`.

One YAML file is one study. Unknown keys are refused. *Required* keys have no default. Besides the keys below,

- `base: other.yaml` takes everything from another file (relative to this one) and changes only what is given here;
- `like: NAME` in any entry that has a name (a network, a test, a line model) starts from its sibling of that name: what is
  given in the entry merges over it. An entry whose name begins with `_` is there for others to be like, and is not made
  itself.

"""


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_output("--output", help="Markdown file to write")
    args = parser.parse_args()
    from limelight.files import write_text

    write_text(args.output, reference())


def reference() -> str:
    """The reference as Markdown: the probe's own keys first, then those of every study."""
    from limelight.probe import default_probe, load_probe
    from limelight.study.sections import Study, Sweep

    whole = load_probe(default_probe()).study.model_json_schema()
    sweeps = {"description": Sweep.__doc__, "patternProperties": {"": Sweep.model_json_schema()}}
    keys = sorted(whole["properties"], key=lambda key: key in Study.model_fields and key not in FIRST)
    properties = {key: whole["properties"][key] for key in (*FIRST, *keys)} | {"sweeps": sweeps}
    lines = [HEAD]
    describe({**whole, "properties": properties}, "", lines, whole["$defs"])
    return "\n".join(lines).rstrip() + "\n"


def describe(node: dict, prefix: str, lines: list[str], definitions: dict) -> None:
    """Append one table for a section's plain keys, then a chapter for each of its sections."""
    inner, rows = [], []
    for key, child in node.get("properties", {}).items():
        child = resolved(child, definitions)
        if "properties" in child or "patternProperties" in child:
            inner.append((f"{prefix}{key}", child))
        else:
            rows.append(f"| `{key}` | {values(child)} | {default(node, key, child)} | {child.get('description', '')} |")
    if rows:
        lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    for name, child in inner:
        lines += [f"## `{name}`", "", " ".join(child.get("description", "").split()), ""]
        describe(child, f"{name}.", lines, definitions)
        for named in child.get("patternProperties", {}).values():  # entries by name
            describe(resolved(named, definitions), f"{name}.<name>.", lines, definitions)


def resolved(node: dict, definitions: dict) -> dict:
    """A node of the JSON schema with its reference followed; its own description comes before that of what it refers to."""
    if "$ref" not in node:
        return node
    return {**definitions[node["$ref"].rpartition("/")[2]], **{key: node[key] for key in node if key != "$ref"}}


def default(node: dict, key: str, child: dict) -> str:
    """The default of a key, as it stands in its table."""
    if key in node.get("required", []):
        return "*required*"
    return f"`{as_yaml(child['default'])}`" if child.get("default") is not None else ""


def as_yaml(value: object) -> str:
    """A value as one would write it into a config."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or '""'


def values(child: dict) -> str:
    """The values a key takes, in words."""
    if "const" in child or "enum" in child:
        return ", ".join(f"`{value}`" for value in child.get("enum", [child.get("const")]))
    if "anyOf" in child:
        return " or ".join(values(choice) for choice in child["anyOf"] if choice.get("type") != "null")
    words = child.get("type", "")
    if words == "array":
        size = child.get("minItems") == child.get("maxItems", 0)
        of = values(child.get("items", {}))
        kind, *limits = of.split(" ", 1)  # numbers ≥ 0
        plural = of if of.endswith("`") else f"lists of {of}" if kind.isdigit() else " ".join([f"{kind}s", *limits])
        return f"{child['minItems']} {plural}" if size else f"list of {plural}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([words, *(f"{sign} {child[word]:g}" for word, sign in bounds.items() if word in child)])


if __name__ == "__main__":
    with plain_errors():
        main()
