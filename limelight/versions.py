"""What ran: the commit of the package, and the libraries that decide the numbers."""

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path


@functools.lru_cache(maxsize=1)
def git_commit() -> str:
    """The commit of the checkout this package runs from, or 'unknown' outside one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


@functools.lru_cache(maxsize=1)
def library_versions() -> str:
    """Versions of Python and of the installed libraries that decide the numbers, as one line."""
    versions = [f"python {platform.python_version()}"]
    for name in ("numpy", "scipy", "torch", "h5py", "astropy", "camb", "colossus"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(versions)
