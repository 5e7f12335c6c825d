"""The hash of a stage's code on a small package: what must leave it, what must change it, and what must be found."""

from pathlib import Path

import pytest
from code_toys import is_changed, make_package, stage_hash


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_package(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("limelight/tools.py", "Saw the boards.", "Saw all the boards."),
        ("limelight/tools.py", "A piece of wood.", "A plank."),
        ("limelight/tools.py", "# for the eye", "# for looks"),
        ("limelight/tools.py", "found, unit = ", "# a remark\n    found, unit = \\\n        "),
        ("limelight/tools.py", "boards: int, times: int = 7) -> float", "boards, times: float = 7)"),
        ("limelight/tools.py", "total: float = 0.0", "total = 0.0"),
        ("limelight/tools.py", "length: float", "length: int"),
        ("limelight/tools.py", "size: float", "size: int"),
        ("limelight/tools.py", "UNUSED = 1", "UNUSED = 2"),
        ("limelight/tools.py", "    return 5", "    return 6"),
        ("limelight/tools.py", "def idle", "def new():\n    return 7\n\n\ndef idle"),
        ("limelight/tools.py", '"give more"', '"give many more"'),
        ("limelight/tools.py", "{boards} boards", "{boards} planks"),
        ("limelight/tools.py", 'sorted(CHOICES)', "reversed(CHOICES)"),
        ("limelight/tools.py", '"no wood"', '"no wood at all"'),
        ("limelight/tools.py", "working on", "now on"),
        ("limelight/tools.py", "at work", "busy"),
        ("limelight/tools.py", "saw {boards}", "cut {boards}"),
        ("limelight/tools.py", '{"saw": ', '{"file": "limelight.files:file", "saw": '),
        ("limelight/tools.py", "limelight.axes:axe", "limelight.axes:other"),
        ("limelight/tools.py", "import numpy as np", "import os\n\nimport numpy as np\n\nfrom limelight import saws"),
        ("limelight/errors.py", "ValueError(words)", "ValueError(*words)"),
        ("limelight/progress.py", "yield from items", "print(what)\n    yield from items"),
        ("limelight/saws.py", "return 1", "return 2"),
        ("scripts/stage.py", "A stage.", "The stage."),
        ("scripts/stage.py", "how many boards", "the number of boards"),
        ("scripts/stage.py", "example: stage.py", "example: python stage.py"),
    ],
)  # fmt: skip
def test_what_cannot_change_an_output_leaves_the_hash(root, name, old, new):
    assert not is_changed(root, name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("limelight/tools.py", "USED = 2.5", "USED = 2.6"),
        ("limelight/tools.py", "times: int = 7", "times: int = 8"),
        ("limelight/tools.py", "length / parts", "length * parts"),
        ("limelight/tools.py", "boards < 0", "boards <= 0"),
        ("limelight/tools.py", "(frozen=True)", ""),
        ("limelight/tools.py", "length: float = 2.0", "length: float = 2"),
        ("limelight/tools.py", '    grain: str = "fine"', '    grain = "fine"'),
        ("limelight/tools.py", "size: float = 0.1", "size: float = 0.2"),
        ("limelight/tools.py", "total: float = 0.0", "total: float = 0.1"),
        ("limelight/tools.py", "boards\", 0.5", "boards\", 0.6"),
        ("limelight/tools.py", 'TABLE["b"] = 4', 'TABLE["b"] = 5'),
        ("limelight/tools.py", 'raise problem("work", found, expected, "give more")', "boards = 0"),
        ("limelight/tools.py", "raise ValueError(", "raise KeyError("),
        ("limelight/tools.py", "np.sqrt", "np.cbrt"),
        ("limelight/tools.py", "import numpy as np", "import torch as np"),
        ("limelight/tools.py", "range(times)", "range(1, times)"),
        ("limelight/deep/below.py", "11", "12"),
        ("limelight/shared.py", "3", "4"),
        ("scripts/stage.py", "default=3", "default=4"),
        ("scripts/stage.py", "type=int", "type=float"),
        ("scripts/stage.py", "    main()", "    main()\n    main()"),
    ],
)  # fmt: skip
def test_what_can_change_an_output_changes_the_hash(root, name, old, new):
    assert is_changed(root, name, old, new)


@pytest.mark.parametrize(
    "script",
    [
        "import limelight.deep.below as under\nunder.depth(1)",
        "import limelight.deep.below\nlimelight.deep.below.depth(1)",
        "import limelight.deep\nlimelight.deep.depth(1)",
        "from limelight.deep import below\nbelow.depth(1)",
        "from limelight.deep import below as b\nprint(b.depth(1))",
        "from limelight.deep.below import depth\ndepth(1)",
        "from limelight.deep.below import depth as d\nd(1)",
        "from limelight import deep\ndeep.below.depth(1)",
        "from limelight.deep import depth\ndepth(1)",
        "from limelight.deep.below import *\ndepth(1)",
        "def f():\n    from limelight.deep import below as b\n    return b.depth(1)\nf()",
        "from limelight.deep import below\ntool = below\ntool.depth(1)\nprint(tool)",
        "from limelight.deep import below\ngetattr(below, 'dep' + 'th')(1)",
        "from limelight.deep import below\n@below.depth\ndef f():\n    pass\nf()",
        "from limelight.deep import below\ndef f(x=below.depth(1)):\n    return x\nf()",
        "from limelight.deep import below\nclass A:\n    depth = below.depth(1)\nA()",
        "try:\n    from limelight.deep.below import depth\nexcept ImportError:\n    depth = None\ndepth(1)",
        "from limelight.deep import below\nvalue = [below.depth(x) for x in range(3)]\nprint(value[0])\nvalue.sort()",
    ],
)
def test_code_is_found_through_every_form_of_import(root, script):
    (root / "scripts" / "stage.py").write_text(script)
    assert is_changed(root, "limelight/deep/below.py", "11", "12")
    assert is_changed(root, "limelight/shared.py", "3", "4"), "and what that uses"


def test_what_importing_a_module_does_counts_even_if_nothing_of_it_is_used(root):
    (root / "scripts" / "stage.py").write_text("import limelight.deep.below\n")
    assert not is_changed(root, "limelight/deep/below.py", "11", "12")
    assert is_changed(root, "limelight/deep/below.py", "import shared", "import shared\n\nshared.WIDTH += 1")
    assert is_changed(root, "limelight/deep/__init__.py", '"""Deep."""', 'import os\n\nos.environ["DEEP"] = "1"')


def test_a_name_that_cannot_be_resolved_takes_the_whole_module(root):
    (root / "scripts" / "stage.py").write_text("from limelight.tools import nowhere\nnowhere()\n")
    assert is_changed(root, "limelight/tools.py", "UNUSED = 1", "UNUSED = 2")


def test_a_definition_that_own_code_decorates_counts_without_its_name(root):
    tools = root / "limelight" / "tools.py"
    tools.write_text(
        tools.read_text().replace("def idle", "def enter(f):\n    TABLE[f.__name__] = f\n\n\n@enter\ndef idle")
    )
    assert is_changed(root, "limelight/tools.py", "return 5", "return 6")


# Each body holds something that looks like words for a log or an error. `old` draws random numbers, changes state or is an
# output after all.
KEPT = [
    ("    name = f'{rng.random()}'\n    raise problem(name)", "rng.random()", "rng.normal()"),
    ("    print(rng.random())", "rng.random()", "rng.normal()"),
    ("    if rng.random() < 1:\n        print('x')", "rng.random()", "rng.normal()"),
    ("    name = next(items)\n    raise problem(name)", "next(items)", "next(items)[0]"),
    ("    name = items.pop()\n    raise problem(f'{name}')", "items.pop()", "items.pop(0)"),
    ("    name = list(map(items.remove, other))\n    raise problem(f'{name}')", "items.remove", "items.append"),
    ("    name = sorted(items, key=items.count)\n    raise problem(f'{name}')", "items.count", "items.index"),
    ("    done = path.replace('a')\n    raise problem(done)", "'a'", "'b'"),
    ("    print('words', file=items)", "words", "other words"),
    ("    name = 'words'\n    items.append(name)\n    raise problem(name)", "words", "other words"),
    ("    name = 'words'\n    items.append(lambda: name)\n    raise problem(name)", "words", "other words"),
    ("    global NAME\n    NAME = 'words'\n    raise problem(NAME)", "words", "other words"),
    ("    name = 'words'\n    items.append(locals())\n    raise problem(name)", "words", "other words"),
    ("    name = 'words'\n    name += items\n    raise problem(name)", "+= items", "+= other"),
    ("    with items:\n        raise problem('x')", "with items", "with other"),
    ("    try:\n        f()\n    except KeyError as e:\n        raise problem('x') from e", "KeyError", "ValueError"),
    ("    raise StopIteration(items)", "(items)", "(other)"),
    ("    def len(x):\n        return x.pop()\n    name = len(items)\n    raise problem(f'{name}')", "x.pop()", "x.pop(0)"),
    ("    def print(x):\n        x.pop()\n    print(items)", "print(items)", "print(other)"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "old", "new"), KEPT)
def test_nothing_is_dropped_that_could_draw_random_numbers_or_change_state(root, body, old, new):
    script = f"from limelight.errors import problem\n\n\ndef f(rng, items, other, path):\n{body}\n\n\nf(1, 2, 3, 4)\n"
    (root / "scripts" / "stage.py").write_text(script)
    assert is_changed(root, "scripts/stage.py", old, new)


def test_of_a_registry_the_chosen_entries_count(root):
    saw, axe = ("limelight.saws:saw",), ("limelight.axes:axe",)
    assert stage_hash(root, chosen=saw) != stage_hash(root, chosen=axe) != stage_hash(root)
    assert is_changed(root, "limelight/saws.py", "1", "2", chosen=saw)
    assert not is_changed(root, "limelight/axes.py", "1", "2", chosen=saw)
    assert is_changed(root, "limelight/axes.py", "2", "3", chosen=(*saw, *axe))


def test_data_files_count_byte_by_byte(root):
    before = stage_hash(root, "resources/wood.csv")
    (root / "resources" / "wood.csv").write_text("oak,2\n")
    assert stage_hash(root, "resources/wood.csv") != before
    assert stage_hash(root, "resources/wood.csv") != stage_hash(root)
