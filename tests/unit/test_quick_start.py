"""Reading a config waits for no library that computes: every command and every stage begins with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from limelight.files import ROOT

READ = """
import sys
from limelight.study.config import load_study

for path in sys.argv[1:]:
    load_study(path)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
SLOW = {"torch", "sbi", "matplotlib", "pandas", "astropy", "colossus", "camb", "healpy"}


def loaded(folder: Path, *configs: Path) -> set[str]:
    """The packages that a new process has loaded once it has read these configs."""
    command = [sys.executable, "-c", READ, *map(str, configs)]
    made = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    return set(made.stdout.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder where all configs have been read once: that its networks can be built is kept from then on."""
    path = tmp_path_factory.mktemp("study")
    (path / ".snakemake").mkdir()
    assert "torch" in loaded(path, *CONFIGS)  # so that the test below would see it
    return path


def test_a_config_is_read_without_what_computes(folder):
    assert not loaded(folder, *CONFIGS) & SLOW


def test_a_study_of_maps_is_read_without_scipy(folder):
    assert not loaded(folder, ROOT / "config" / "paper.yaml") & (SLOW | {"scipy"})
