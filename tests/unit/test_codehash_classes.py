"""The hash of code in classes: members by themselves, what instances may call, and methods that only print."""

from pathlib import Path

import pytest
from code_toys import is_changed, make_package

CRAFTS = """from limelight import saws


class Base:
    unit = 2

    def run(self):
        return self.step() * self.unit

    def step(self):
        return 100

    def spare(self):
        return 101


class Craft(Base):
    scale = 3

    def step(self):
        return self.scale + helper() + saws.saw()

    def other(self):
        return 102


class Twice(Craft):
    def run(self):
        return 2 * super().run()


def helper():
    return 5
"""
LAZY = """from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limelight.crafts import Base, Craft, Twice


class Shop:
    def order(self, piece: "Base"):
        from limelight.crafts import Craft

        return Craft().run()

    def sell(self):
        from limelight.axes import axe

        return axe()
"""
CONFIG = """class Options:
    size: int = 3

    @property
    def double(self):
        return 2 * self.size


def load():
    return Options()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_package(tmp_path)


def with_file(root: Path, name: str, text: str, script: str = "") -> None:
    (root / "limelight" / name).write_text(text)
    (root / "scripts" / "stage.py").write_text(script)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("self.step() * self.unit", "self.step() + self.unit", True),
        ("unit = 2", "unit = 3", True),
        ("scale = 3", "scale = 4", True),
        ("return 5", "return 6", True),
        ("saws.saw()", "saws.saw() + 1", True),
        ("return 100", "return 200", False),  # the class has its own
        ("return 101", "return 200", False),
        ("return 102", "return 200", False),
    ],
)
def test_of_a_chosen_method_what_it_uses_of_its_class_counts(root, old, new, expected):
    with_file(root, "crafts.py", CRAFTS)
    assert is_changed(root, "limelight/crafts.py", old, new, chosen=("limelight.crafts:Craft.run",)) is expected


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("crafts", "return self.scale + helper()", "return self.scale * helper()", True),  # what the method imports
        ("saws", "return 1", "return 2", True),  # and what that uses
        ("crafts", "return 101", "return 200", True),  # of a class that only annotates what the method is given
        ("crafts", "2 * super().run()", "3 * super().run()", False),
        ("axes", "return 1", "return 2", False),  # what another method imports
    ],
)
def test_what_a_chosen_method_imports_itself_counts(root, name, old, new, expected):
    with_file(root, "crafts.py", CRAFTS)
    with_file(root, "shop.py", LAZY)
    assert is_changed(root, f"limelight/{name}.py", old, new, chosen=("limelight.shop:Shop.order",)) is expected


def test_a_method_that_asks_its_bases_takes_the_whole_class(root):
    with_file(root, "crafts.py", CRAFTS)
    assert is_changed(root, "limelight/crafts.py", "return 101", "return 7", chosen=("limelight.crafts:Twice.run",))
    assert is_changed(root, "limelight/saws.py", "1", "2", chosen=("limelight.crafts:Twice.run",))


@pytest.mark.parametrize("annotation", ["Options", '"Options"', "list[Options]", "dict[str, 'Options'] | None"])
def test_classes_that_annotate_count_and_of_settings_their_methods_alone(root, annotation):
    function = f"def f(options: {annotation}):\n    return options\n\n\nf(load())\n"
    with_file(root, "config.py", CONFIG, f"from limelight.config import Options, load\n\n\n{function}")
    assert not is_changed(root, "limelight/config.py", "size: int = 3", "size: int = 4\n    new: int = 5")
    assert not is_changed(root, "limelight/config.py", "return Options()", "return Options(1)")
    assert is_changed(root, "limelight/config.py", "2 * self.size", "3 * self.size")


def test_fields_lead_to_the_classes_that_annotate_them(root):
    settings = "from limelight.tools import Board\n\n\nclass Settings:\n    board: Board\n"
    function = "def f(given: Settings):\n    return given.board.cut(2)\n\n\nf(0)\n"
    with_file(root, "settings.py", settings, f"from limelight.settings import Settings\n\n\n{function}")
    assert is_changed(root, "limelight/tools.py", "length / parts", "length * parts")


LOGS = """class Run:
    def say(self, line):
        if self:
            print(line)

    def save(self, line):
        {}


def words(n):
    text = f"{{n}} words"
    return text.upper()


def f(run, n):
    run.say(words(n))
    run.save("x")


f(Run(), 3)
"""


def test_methods_that_only_print_are_logs(root):
    with_file(root, "config.py", CONFIG, LOGS.format("run.file.write(line)"))
    assert not is_changed(root, "scripts/stage.py", "run.say(words(n))", "run.say(words(n + 1))")
    assert not is_changed(root, "scripts/stage.py", "} words", "} other words")
    assert is_changed(root, "scripts/stage.py", 'run.save("x")', 'run.save("y")')
    with_file(root, "config.py", CONFIG, LOGS.format('"""Save a line."""'))
    assert is_changed(root, "scripts/stage.py", 'run.save("x")', 'run.save("y")'), "a method for others to fill in"
