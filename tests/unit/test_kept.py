"""Answers are kept in .snakemake/ as long as the code stays; networks are measured as torch's own counter does it."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from limelight import kept as kept_module
from limelight.cosmology import Cosmology
from limelight.kept import FOLDER, code_of, kept, kept_arrays
from limelight.networks import build
from limelight.networks.shapes import ShapesAlone, operations


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list:
    """A folder where snakemake ran, with code of its own; the list counts the answers made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kept_module, "ROOT", tmp_path)
    code_of.cache_clear()
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "limelight").mkdir()
    (tmp_path / "limelight" / "one.py").write_text("x = 1\n")
    yield []
    code_of.cache_clear()


def answer(asked: list) -> list:
    asked.append("once")
    return [1.5, len(asked)]


def test_an_answer_is_kept_until_the_code_changes(asked, tmp_path):
    assert kept("a", lambda: answer(asked)) == kept("a", lambda: answer(asked)) == [1.5, 1]
    assert kept(("a", (1, 2)), lambda: answer(asked)) == [1.5, 2]
    (tmp_path / "limelight" / "one.py").write_text("x = 2\n")
    code_of.cache_clear()  # as in another process
    assert kept("a", lambda: answer(asked)) == [1.5, 3]
    assert len(list(FOLDER.iterdir())) == 1  # nothing stays of the older code


def test_a_damaged_answer_is_made_again(asked):
    kept("a", lambda: answer(asked))
    (file,) = FOLDER.glob("*/*")
    file.write_text('[1.5, "half')
    assert kept("a", lambda: answer(asked)) == [1.5, 2] == kept("a", lambda: answer(asked))


def test_where_snakemake_never_ran_nothing_is_kept(asked, tmp_path):
    (tmp_path / ".snakemake").rmdir()
    assert kept("a", lambda: answer(asked)) != kept("a", lambda: answer(asked))
    assert not FOLDER.parent.exists()


def test_an_error_is_not_an_answer(asked):
    with pytest.raises(ZeroDivisionError):
        kept("a", lambda: 1 / 0)
    assert kept("a", lambda: answer(asked)) == [1.5, 1]


@pytest.mark.parametrize(
    ("architecture", "shape", "outputs"),
    [
        ("limelight", (1, 32, 32, 10), (49,)),
        ("resnet3d", (1, 32, 32, 10), (49,)),
        ("dense", (30,), (4,)),
        ("resunet", (3, 32, 32), (1, 32, 32)),
        ("antennas", (5, 25, 128), (3,)),
        ("classical", (2, 16, 16, 8), (49,)),
    ],
)
def test_operations_are_those_that_torch_counts(architecture, shape, outputs):
    options = {"antennas": {"over": "attention"}}.get(architecture, {})
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        build(architecture, options, shape, outputs).eval()(torch.zeros(1, *shape))
    with ShapesAlone():
        module = build(architecture, options, shape, outputs).eval()
    assert all(weight.device.type == "meta" for weight in module.parameters())
    assert operations(module, shape) == counter.get_total_flops() > 0


def test_spectra_come_back_to_the_bit(asked, monkeypatch):
    fresh = Cosmology(h=0.69)._camb_power()
    first = Cosmology(h=0.69).linear_power(np.array([0.01, 0.3]))
    monkeypatch.setattr(Cosmology, "_camb_power", lambda self: pytest.fail("asked CAMB twice"))
    k, power = kept_arrays(("linear power", Cosmology(h=0.69)), "camb", lambda: pytest.fail("asked CAMB twice"))
    assert np.array_equal(k, fresh[0])
    assert np.array_equal(power, fresh[1])
    assert np.array_equal(Cosmology(h=0.69).linear_power(np.array([0.01, 0.3])), first)
    with pytest.raises(BaseException, match="asked CAMB twice"):
        Cosmology(h=0.68).linear_power(np.array([0.01]))
