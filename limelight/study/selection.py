"""Studies as data: entries like a sibling, tables of networks (`sweeps`), and what networks, datasets and tests share.

Expansion happens on the raw config, before the schema is checked: a resolved study holds plain entries alone.
"""

import copy
import itertools
import re

from limelight.errors import problem
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS

SECTIONS = ("networks", "line_models", "tests")  # whose entries may start from a sibling
GEOMETRY = ("pool_pixels", "pool_channels", "beam")  # what a dataset may have other than the study


def merge(under: dict, over: dict) -> dict:
    """Both mappings in one, neither changed: mappings within them merge, everything else of `over` replaces."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def expand(raw: dict, path: object) -> dict:
    """A raw study with sweeps turned into networks and every `like` resolved; wrong types are left to the schema.

    An entry whose name begins with _ is there for others to be like, and is not made itself.
    Raises LimelightError, in one line, for unknown names, circles, clashes and sweeps that are none.
    """
    study = dict(raw)
    products = {}
    if isinstance(study.get("sweeps"), dict) and isinstance(study.get("networks"), dict):
        networks = dict(study["networks"])
        for sweep, table in study.pop("sweeps").items():
            made = _products(table, f"{path}: sweeps.{sweep}")
            for name in [sweep, *made]:
                if name in networks or name in products:
                    where = f"{path}: sweeps.{sweep}"
                    raise problem(where, f"the name '{name}' twice", "a name that is free", "rename the sweep or entry")
            products[sweep] = list(made)
            networks |= made
        study["networks"] = networks
    for section in SECTIONS:
        if isinstance(study.get(section), dict):
            entries = study[section]
            made = [name for name in entries if not str(name).startswith("_")]
            study[section] = {name: _like(entries, section, name, path, ()) for name in made}
    if isinstance(study.get("comparisons"), dict):
        study["comparisons"] = {name: _with_products(entry, products) for name, entry in study["comparisons"].items()}
    return study


def _like(entries: dict, section: str, name: str, path: object, seen: tuple[str, ...]) -> object:
    """One entry with all that it is like merged under it."""
    entry = entries[name]
    if not isinstance(entry, dict) or "like" not in entry:
        return copy.deepcopy(entry)
    other, where = entry["like"], f"{path}: {section}.{name}.like"
    if other not in entries:
        raise problem(where, f"'{other}'", f"one of {', '.join(map(str, entries))}", "name an entry beside it")
    if other in (*seen, name):
        raise problem(where, f"a circle: {' → '.join((*seen, name, other))}", "a start", "remove one `like`")
    under = _like(entries, section, other, path, (*seen, name))
    if not isinstance(under, dict):
        return under
    return merge(under, copy.deepcopy({key: value for key, value in entry.items() if key != "like"}))


def _products(table: object, where: str) -> dict[str, dict]:
    """The networks of a sweep, {name: {like, …}}: every combination of what it goes over.

    Names: `<name>_<key><value>_…`; name is that of `like` unless given, key the last part of the dotted path; the labels of
    a mapping stand for key and value. The key "." is the whole entry.
    """
    form = "{like: NETWORK, over: {a.dotted.key: [values], …}}"
    sound = isinstance(table, dict) and {"like", "over"} <= set(table) <= {"like", "over", "name"}
    if not sound or not isinstance(table["over"], dict):
        raise problem(where, repr(table)[:80], form, "see docs/config.md")
    axes = []
    for key, values in table["over"].items():
        if isinstance(values, dict):
            choices = [(str(label), value) for label, value in values.items()]
        elif isinstance(values, list):
            choices = [(f"{str(key).rpartition('.')[2]}{_word(value)}", value) for value in values]
        else:
            choices = []
        if not choices:
            expected = "a list of values, or a mapping from labels to values"
            raise problem(f"{where}.over.{key}", repr(values), expected, "give at least one value")
        keys = [] if key == "." else str(key).split(".")
        axes.append([(label, keys, value) for label, value in choices])
    if not axes:
        raise problem(f"{where}.over", "nothing", "at least one key to go over", "see docs/config.md")
    made = {}
    for combination in itertools.product(*axes):
        name, entry = str(table.get("name", table["like"])).lstrip("_"), {"like": table["like"]}
        for label, keys, value in combination:
            name = f"{name}_{label}"
            nested = copy.deepcopy(value)
            for key in reversed(keys):
                nested = {key: nested}
            if not isinstance(nested, dict):
                raise problem(f"{where}.over", repr(nested), 'for the key ".": labels, each of a mapping', "mend it")
            entry = merge(entry, nested)
        if name in made:
            raise problem(
                where, f"two networks called '{name}'", "values whose names differ", "use a mapping of labels"
            )
        made[name] = entry
    return made


def _word(value: object) -> str:
    """A value as part of a name: 0.5 -> 0p5, [li, breysse] -> li-breysse, log10_1p -> log10_1p."""
    if isinstance(value, list):
        return "-".join(_word(item) for item in value)
    return re.sub(r"[^A-Za-z0-9_-]", "", f"{value:g}".replace(".", "p") if isinstance(value, float) else str(value))


def _with_products(entry: object, products: dict[str, list[str]]) -> object:
    """A comparison in whose list of networks a sweep's name stands for its networks."""
    if not isinstance(entry, dict) or not isinstance(entry.get("networks"), list):
        return entry
    names = [name for item in entry["networks"] for name in products.get(item, [item])]
    return {**entry, "networks": list(dict.fromkeys(names))}


def grid_section(study: dict, line_model: str) -> dict:
    """The study's `grid` with the pooling of one dataset: the arguments of make_grid."""
    own = study["line_models"][line_model]
    return {**study["grid"], **{key: own[key] for key in ("pool_pixels", "pool_channels") if key in own}}


def with_beam(study: dict, line_model: str) -> bool:
    """Whether one dataset's maps are smoothed by the instrument's beam."""
    return study["line_models"][line_model].get("beam", study["observation"]["beam"])


def geometry(study: dict, line_model: str) -> tuple[int, int, bool]:
    """What datasets of one network must share: pooling of the sky, of channels, and the beam."""
    section = grid_section(study, line_model)
    return section["pool_pixels"], section["pool_channels"], with_beam(study, line_model)


def pooled_shape(study: dict, line_model: str) -> tuple[int, int, int]:
    """(x, y, frequency) of a dataset's pooled maps."""
    section = grid_section(study, line_model)
    side = section["pixels"] // section["pool_pixels"]
    return side, side, section["channels"] // section["pool_channels"]


def painted_as(settings: dict) -> dict:
    """The part of a line_models entry that decides its fine maps."""
    return {key: value for key, value in settings.items() if key not in GEOMETRY}


def suitable_tests(study: dict, network: str) -> list[str]:
    """The tests that a network takes: those it lists itself, or all that it can read (`can_take`); a classifier none."""
    if classifies(study["networks"][network]):
        return []
    own = study["networks"][network].get("tests")
    return list(own) if own else [test for test in study["tests"] if can_take(study, network, test)]


def classifies(network: dict) -> bool:
    """Whether a network tells line models apart, and so answers no luminosity function."""
    return network["target"]["quantity"] == "line_model"


def classifiers(study: dict) -> list[str]:
    """The networks that tell line models apart."""
    return [name for name, network in study["networks"].items() if classifies(network)]


def posterior_tests(study: dict, posterior: str) -> list[str]:
    """The tests that a posterior draws intervals for: those it lists itself, or all of its network's."""
    entry = study["posteriors"][posterior]
    return list(entry.get("tests", suitable_tests(study, entry["network"])))


def trained_posterior(study: dict, posterior: str) -> str:
    """The posterior whose posterior.pt this one draws from: itself, or the one whose compression it takes."""
    return study["posteriors"][posterior].get("compression", posterior)


def rival_tests(study: dict, rival: str) -> list[str]:
    """The tests that a rival takes: those it lists itself, or all of one white noise and no foregrounds."""
    own = study["rival"][rival].get("tests")
    return list(own) if own else [test for test in study["tests"] if rival_can_take(study, test)]


def rival_can_take(study: dict, test: str) -> bool:
    """Whether a test's noise is one σ everywhere and nothing stands before the line: what the rival's likelihood knows."""
    entry = study["tests"][test]
    noise = study["observation"]["noise"][entry["noise"]]
    sigma = noise.get("sigma_uk", 0)
    fixed = not isinstance(sigma, list) or sigma[0] == sigma[1]
    return fixed and noise.get("edge_ratio", 1) == 1 and entry["foregrounds"] == "none"


def can_take(study: dict, network: str, test: str) -> bool:
    """Whether a network can read a test's maps: of its own geometry, and without noise if its preprocessing needs T ≥ 0."""
    entry, what = study["tests"][test], study["networks"][network]
    same = geometry(study, entry["line_model"]) == geometry(study, what["line_models"][0])
    return same and (reads_negative(what) or quiet(study["observation"]["noise"][entry["noise"]]))


def reads_negative(network: dict) -> bool:
    """Whether a network's preprocessing exists for the negative values that noise makes."""
    return TRANSFORMS[network["preprocessing"]["transform"]].negative


def quiet(noise: dict) -> bool:
    """Whether a noise setting adds none."""
    return noise.get("sigma_uk", 1) in (0, [0, 0])


def comparison_pairs(study: dict, name: str) -> list[tuple[str, str]]:
    """(network, test) of every evaluation file that a comparison is drawn from, in its order; all by default."""
    comparison = study["comparisons"][name]
    pairs = []
    for network in comparison.get("networks", study["networks"]):
        takes = suitable_tests(study, network)
        pairs += [(network, test) for test in comparison.get("tests", takes) if test in takes]
    return pairs


def with_controls(study: dict) -> dict:
    """The study with the control of every audited network among its networks: the same recipe on permuted labels."""
    entry, networks = study["audit"], dict(study["networks"])
    for name in audited_networks(study) if entry["control"] else []:
        network = study["networks"][name]
        control = {**network, "training": {**network["training"], "permute_labels": True}}
        networks.setdefault(control_name(name), control)
    return {**study, "networks": networks}


def control_name(network: str) -> str:
    """The name of an audited network's control."""
    return f"{network}-permuted"


def audited_networks(study: dict) -> list[str]:
    """The networks that `audit.networks` asks for; "all" leaves out classifiers and those trained on permuted labels."""
    asked = study["audit"]["networks"]
    if asked == "none":
        return []
    networks = study["networks"].items()
    every = [name for name, n in networks if not (n["training"]["permute_labels"] or classifies(n))]
    return every if asked == "all" else list(asked)


def audit_test(study: dict, network: str) -> str:
    """The test whose noise and foregrounds an audit shows its maps with: the first whose dataset and noise it knows."""
    entry, tests = study["networks"][network], study["tests"]

    def knows(test: str) -> tuple[bool, bool]:
        return tests[test]["line_model"] in entry["line_models"], tests[test]["noise"] in entry["noise"]

    return max(suitable_tests(study, network), key=knows)


def audit_datasets(study: dict, network: str) -> tuple[list[str], list[str]]:
    """Datasets of an audit: (those that the verdict is from, all). Their maps are those that the study's tests use anyway.

    The verdict is from the datasets that the network was trained on, or if no test has one, from its own test's.
    """
    used = {study["tests"][test]["line_model"] for name in study["networks"] for test in suitable_tests(study, name)}
    own = study["networks"][network]["line_models"]
    every = [m for m in study["line_models"] if m in used and geometry(study, m) == geometry(study, own[0])]
    on = [model for model in own if model in every] or [study["tests"][audit_test(study, network)]["line_model"]]
    return on, [*on, *(model for model in every if model not in on)]
