"""What the tests start as processes of their own imports this checkout, whatever is installed."""

import os
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
