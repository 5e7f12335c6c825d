"""What the tests start as processes of their own imports this checkout, whatever is installed, and shares what is kept."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = str(ROOT)
(ROOT / ".snakemake").mkdir(
    exist_ok=True
)  # where limelight.kept keeps CAMB's spectra from one process of tests to the next
