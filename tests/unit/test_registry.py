"""The registry: names that stand for code, imported only when they are asked for."""

import subprocess
import sys

import pytest

from limelight.errors import LimelightError
from limelight.networks import REGISTRY
from limelight.probes.line_intensity.lines.models import MODELS
from limelight.registry import Registry

SHAPES = Registry("shape", {"root": "math:sqrt", "circle": "cmath:pi"})


def test_names_are_a_mapping_that_cannot_be_written():
    assert list(SHAPES) == ["root", "circle"]
    assert SHAPES["root"] == SHAPES.dotted("root") == "math:sqrt"
    assert len(SHAPES) == 2
    with pytest.raises(TypeError):
        SHAPES["root"] = "math:cbrt"


def test_an_entry_is_what_its_dotted_string_names():
    assert SHAPES.load("root")(9) == 3
    assert SHAPES.load("circle") == pytest.approx(3.14159265)


@pytest.mark.parametrize("registry", [REGISTRY, MODELS])
def test_every_entry_can_be_loaded(registry):
    for name in registry:
        assert registry.load(name) is not None


@pytest.mark.parametrize(
    ("name", "says"),
    [("rot", "shape: found 'rot'; expected one of root, circle; did you mean 'root'?"), ("xyz", "choose one of them")],
)
def test_an_unknown_name_is_one_clear_line(name, says):
    with pytest.raises(LimelightError) as caught:
        SHAPES.load(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_says_what_else_may_stand_there():
    with pytest.raises(LimelightError, match=r"one of li, .*, or your own as module:function; did you mean 'comap'\?"):
        MODELS.load("comapp")


def test_importing_a_registry_imports_none_of_its_entries():
    code = (
        "import sys, limelight.networks, limelight.probes.line_intensity.lines.models\n"
        "entries = ('cnn', 'resnet', 'residual', 'li', 'padmanabhan', 'breysse', 'comap')\n"
        "print([m for m in sys.modules if m.startswith('limelight') and m.rpartition('.')[2] in entries])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
