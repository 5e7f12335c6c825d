"""The command `limelight`: it lists the stages of a study in the order of the workflow, and runs any of them.

`limelight predict ...` runs scripts/predict.py, which stands in the checkout or inside the installed package.
"""

import ast
import difflib
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

from limelight import __version__
from limelight.errors import plain_errors, problem

STAGES = {  # in the order of the workflow; a script that stands nowhere here is listed last
    "a whole study, from a checkout": ("run_study", "estimate"),
    "halos, maps and other data": (
        "generate_lightcone",
        "paint_lightcone",
        "import_lightcone",
        "make_subfields",
        "paint_maps",
        "pool_maps",
        "simulate_shard",
    ),
    "networks, and what they are worth": (
        "train_network",
        "run_estimators",
        "evaluate_network",
        "audit_network",
        "explain_network",
        "show_layers",
        "judge_showers",
        "judge_lenses",
        "judge_fields",
        "judge_painters",
        "sample_bias",
    ),
    "error bars": (
        "make_stream",
        "train_posterior",
        "sample_posterior",
        "calibrate_posterior",
        "exact_posterior",
        "compare_posteriors",
        "compare_areas",
        "compare_noises",
        "make_rival_emulator",
        "run_rival",
        "make_rival_figure",
        "ideal_intervals",
        "money_plot",
    ),
    "your own data": ("plan", "predict", "report_map", "predict_lensing", "answer"),
    "figures, tables and files": (
        "make_figure",
        "make_overview",
        "summarise",
        "list_provenance",
        "describe",
        "export_fits",
        "export_peakpatch",
    ),
    "checks, references and tables of resources/": (
        "validate_halos",
        "config_reference",
        "make_halo_reference",
        "make_ee_spectra",
        "make_lensing_spectra",
    ),
}
OTHERS = "more"


def main() -> None:
    """Run the script that the first argument names with the other arguments; without any, list them all."""
    with plain_errors():
        words = sys.argv[1:]
        if not words or words[0] in ("-h", "--help"):
            print(listing())
        elif words[0] == "--version":
            print(f"limelight {__version__}")
        else:
            script = script_of(words[0])
            os.execv(sys.executable, [sys.executable, str(script), *words[1:]])


def scripts() -> dict[str, Path]:
    """The scripts that are here, by name: those of the checkout, or those inside the installed package."""
    package = Path(__file__).resolve().parent
    inside = package / "scripts"
    folder = inside if inside.is_dir() else package.parent / "scripts"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def script_of(name: str) -> Path:
    """The script of a name, with _ or -; LimelightError with the nearest names where there is none."""
    known = scripts()
    wanted = name.replace("-", "_").removesuffix(".py")
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known)
        fix = f"try: limelight {near[0]}" if near else "see them all with: limelight --help"
        raise problem("limelight", f"'{name}'", "the name of a stage", fix)
    return known[wanted]


def listing() -> str:
    """What `limelight --help` prints."""
    known = scripts()
    listed = {name for names in STAGES.values() for name in names}
    groups = {**STAGES, OTHERS: tuple(name for name in known if name not in listed)}
    width, indent = min(shutil.get_terminal_size().columns, 110), max(map(len, known)) + 4
    lines = [
        "usage: limelight STAGE [ARGUMENTS ...]      (limelight STAGE --help says which)",
        "",
        f"limelight {__version__}: physics from simulated observations. Each stage reads files and writes one.",
    ]
    for title, names in groups.items():
        here = [name for name in names if name in known]
        if here:
            lines += ["", f"{title}:"]
        for name in here:
            lines += textwrap.wrap(
                first_line(known[name]), width, initial_indent=f"  {name}".ljust(indent), subsequent_indent=" " * indent
            )
    return "\n".join(lines)


def first_line(script: Path) -> str:
    """The first line of a script's docstring up to its details, read without running the script."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return re.split(r"\n|: | \(|; ", text, maxsplit=1)[0].rstrip(".")


if __name__ == "__main__":
    main()
