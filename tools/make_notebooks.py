"""The notebooks of notebooks/ as Jupyter files and as pages of the documentation, with what they print and draw.

Run it from the repository's root after a change of a notebook:
  python -m tools.make_notebooks
"""

import argparse
import contextlib
import io
import os
import re
from pathlib import Path

import jupytext

from limelight.files import ROOT, write_text

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PAGES = ROOT / "docs" / "notebooks"
LOG = re.compile(r"^\S+: epoch .*\n", re.MULTILINE)  # lines of training, which hold seconds


def cells(notebook: Path) -> list[tuple[str, str]]:
    """(kind, text) of each cell: markdown or code."""
    return [(cell.cell_type, cell.source) for cell in jupytext.read(notebook).cells]


def page(notebook: Path, folder: Path) -> str:
    """A notebook as Markdown: its text, its code, what that prints, and its figures, which are written beside it."""
    os.environ["MPLBACKEND"] = "Agg"
    import matplotlib.pyplot as plt

    known: dict = {"__name__": "__main__"}
    found, drawn = [], 0
    for kind, text in cells(notebook):
        if kind == "markdown":
            found.append(text)
            continue
        found.append(f"```python\n{text}\n```")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, str(notebook), "exec"), known)  # noqa: S102 - our own notebook
        if said := LOG.sub("", printed.getvalue()).rstrip():
            found.append(f"```text\n{said}\n```")
        for number in plt.get_fignums():
            name = f"{notebook.stem}_{drawn}.png"
            plt.figure(number).savefig(folder / name, dpi=110)
            found.append(f"![{notebook.stem.replace('_', ' ')}]({name})")
            drawn += 1
        plt.close("all")
    origin = f"*The notebook is `notebooks/{notebook.name}`; `make notebooks` writes it as `.ipynb`.*"
    return "\n\n".join([found[0], origin, *found[1:]]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks to make pages of (default: all)")
    parser.add_argument("--ipynb-only", action="store_true", help="write notebooks/*.ipynb alone, and run nothing")
    args = parser.parse_args()
    PAGES.mkdir(exist_ok=True)
    for notebook in NOTEBOOKS:
        if args.names and notebook.stem not in args.names:
            continue
        jupytext.write(jupytext.read(notebook), notebook.with_suffix(".ipynb"))
        if not args.ipynb_only:
            write_text(PAGES / f"{notebook.stem}.md", page(notebook, PAGES))


if __name__ == "__main__":
    main()
