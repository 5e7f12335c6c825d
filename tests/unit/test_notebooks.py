"""The notebooks run as they stand, and their pages in docs/ show the same code and figures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from limelight.files import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
SAYS = {  # what each prints when all is well
    "halos_to_luminosity_function": [
        r"redshifts 2\.39 to 3\.43",
        r"a map of \(64, 64, 40\) voxels with a mean of 0\.\d\d µK",
    ],
    "train_evaluate_audit": [
        r"log10_amplitude: error (0\.\d\d|1\.[0-4]\d) of the Cramér-Rao bound",
        r"log10_amplitude: reads, explains (8|9)\d% of the variance",
        r"log10_amplitude: (5[5-9]|6\d|7\d|80)% of truths in the 68 % intervals",
    ],
    "your_own_cube": [r"note: my_map\.fits: ", r"uses the absolute zero level", r"warning: no_mean\.fits: "],
}


def test_there_are_three():
    assert {notebook.stem for notebook in NOTEBOOKS} == set(SAYS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_its_page_says(notebook: Path, tmp_path: Path):
    """On one core in half a minute each; from any folder, with warnings as errors where they are the reader's."""
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-W", "error::UserWarning", notebook]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for words in SAYS[notebook.stem]:
        assert re.search(words, run.stdout), f"{words}\n{run.stdout}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_page_shows_its_code_and_its_figures(notebook: Path):
    jupytext = pytest.importorskip("jupytext", reason="jupytext, of the extra docs, is not installed")
    page = (ROOT / "docs" / "notebooks" / f"{notebook.stem}.md").read_text(encoding="utf-8")
    cells = jupytext.read(notebook).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert re.findall(r"^```python\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL) == code
    assert all(cell.source in page for cell in cells if cell.cell_type == "markdown")
    figures = re.findall(r"!\[.*?\]\((\w+\.png)\)", page)
    assert figures
    assert all((ROOT / "docs" / "notebooks" / name).stat().st_size > 1000 for name in figures)
