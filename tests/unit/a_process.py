"""Python processes of their own, for the tests that kill them or let their writes fail."""

import subprocess
import sys
import textwrap
from pathlib import Path


def script(body: str, *args: object, **options) -> subprocess.Popen:
    """A Python process of its own that runs `body`, with sys imported."""
    return subprocess.Popen(
        [sys.executable, "-c", "import sys\n" + textwrap.dedent(body), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def outcome(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())
