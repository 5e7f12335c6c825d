#!/usr/bin/env python3
"""Write the reference of every config key, from the sections that define them: docs/config.md and the folder docs/config.

example: python scripts/config_reference.py --folder docs
"""

from collections.abc import Callable
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors

FIRST = ("study", "seed", "probe")
WRITTEN = "Written by `python scripts/config_reference.py --folder docs`"
HEAD = f"""# The config, key by key

{WRITTEN} from the sections that define the keys: `limelight/study/sections.py`, and `saliency.py` beside it; change those,
not this page. These are the keys of every study. Further pages:

- [posteriors and streams](config/posteriors.md);
- what each probe adds: PROBES.

One YAML file is one study. Unknown keys are refused. *Required* keys have no default. Besides the keys below,

- `base: other.yaml` takes everything from another file (relative to this one) and changes only what is given here;
- `like: NAME` in any entry that has a name (a network, a test, a line model) starts from its sibling of that name: what is
  given in the entry merges over it. An entry whose name begins with `_` is there for others to be like, and is not made
  itself.

"""
POSTERIORS = ("posteriors", "streams")
POSTERIORS_HEAD = f"""# The config: posteriors and streams

{WRITTEN} from `limelight/study/posteriors.py`. What these keys do: [inference.md](../inference.md) and
[fresh_simulations.md](../fresh_simulations.md). All else: [config.md](../config.md).

"""
PROBE_HEAD = f"""# The config of `probe: {{name}}`

{WRITTEN} from `{{file}}` and what it imports: what it adds to [all studies' keys](../config.md), or has otherwise.

"""
Chapters = dict[str, tuple[str, dict[str, str]]]  # by dotted name: what it says, and a table's row for each plain key


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the pages")
    args = parser.parse_args()
    from limelight.files import write_text

    (args.folder / "config").mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        write_text(args.folder / name, text)


def pages() -> dict[str, str]:
    """The Markdown of each page, by its path."""
    from limelight.probe import load_probe
    from limelight.probes import PROBES
    from limelight.study.sections import Study, Sweep

    whole = Study.model_json_schema()
    sweeps = {"description": Sweep.__doc__, "patternProperties": {"": Sweep.model_json_schema()}}
    properties = {key: whole["properties"][key] for key in (*FIRST, *whole["properties"])} | {"sweeps": sweeps}
    shared = chapters({**whole, "properties": properties})
    links = ", ".join(f"[{name}](config/{name}.md)" for name in PROBES)
    found = {
        "config.md": HEAD.replace("PROBES", links) + tables(shared, lambda name: name.split(".")[0] not in POSTERIORS),
        "config/posteriors.md": POSTERIORS_HEAD + tables(shared, lambda name: name.split(".")[0] in POSTERIORS),
    }
    for name in PROBES:
        study = load_probe(name).study
        file = f"{study.__module__.replace('.', '/')}.py"
        own = without(chapters(study.model_json_schema()), shared)
        own[""][1].pop("probe")
        found[f"config/{name}.md"] = PROBE_HEAD.format(name=name, file=file) + tables(own)
    return found


def chapters(schema: dict) -> Chapters:
    """The sections of a JSON schema, the whole study's plain keys under ""."""
    found: Chapters = {}

    def describe(node: dict, name: str, prefix: str) -> None:
        rows: dict[str, str] = {}
        found[name] = (" ".join(node.get("description", "").split()) if name else "", rows)
        for key, child in node.get("properties", {}).items():
            child = resolved(child, schema["$defs"])
            if "properties" in child or "patternProperties" in child:
                describe(child, f"{prefix}{key}", f"{prefix}{key}.")
            else:
                told = child.get("description", "").replace("|", "\\|")
                rows[key] = f"| `{key}` | {values(child)} | {default(node, key, child)} | {told} |"
        for named in node.get("patternProperties", {}).values():  # entries by name
            named = resolved(named, schema["$defs"])
            describe({**named, "description": node.get("description", "")}, name, f"{name}.<name>.")

    describe(schema, "", "")
    return found


def without(found: Chapters, known: Chapters) -> Chapters:
    """What of one study's chapters another's have not: rows that differ, and chapters that are new or have some."""
    left = {}
    for name, (told, rows) in found.items():
        before = known.get(name, ("", {}))[1]
        new = {key: row for key, row in rows.items() if before.get(key) != row}
        if new or name not in known:
            left[name] = (told, new)
    return left


def tables(found: Chapters, wanted: Callable[[str], bool] = lambda name: True) -> str:
    """Markdown of chapters: heading, what it says, and a table of its plain keys."""
    lines = []
    for name, (told, rows) in found.items():
        if wanted(name):
            alike = name.rpartition(".")[2]
            if alike != name and rows and found.get(alike, ("", {}))[1] == rows:
                told, rows = f"The same keys as [`{alike}`](#{alike}).", {}
            lines += [f"## `{name}`", "", told, ""] if name else []
            lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows.values(), ""] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def resolved(node: dict, definitions: dict) -> dict:
    """A node of the JSON schema with its reference followed, also that of a section which may be left out.

    Its own description comes before that of what it refers to.
    """
    found = [choice["$ref"] for choice in (node, *node.get("anyOf", ())) if "$ref" in choice]
    if not found:
        return node
    return {
        **definitions[found[0].rpartition("/")[2]],
        **{key: node[key] for key in node if key not in ("$ref", "anyOf")},
    }


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
