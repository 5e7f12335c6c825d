"""A page as a browser shows it: Debian's chromium without a window. Skips where there is none, but not in CI."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
WATCH = """<script>
(() => {
  const faults = [];
  window.addEventListener("error", e => faults.push(e.message || `${e.target.tagName} did not load`), true);
  window.addEventListener("unhandledrejection", e => faults.push(String(e.reason)));
  const before = console.error;
  console.error = (...words) => { faults.push(words.join(" ")); before(...words); };
  window.addEventListener("load", () => setTimeout(() => {
    const seen = [...document.images].map(i => {
      const place = i.getBoundingClientRect();
      return { words: i.alt, pixels: i.naturalWidth, width: place.width, top: place.top };
    });
    document.documentElement.dataset.seen = JSON.stringify({ images: seen, faults: faults, text: document.body.innerText });
  }, 3000));
})();
</script>"""


@dataclass
class Seen:
    """What a browser makes of a page."""

    text: str  # that a reader sees
    images: list[dict]  # words (alt), pixels (natural width; 0: not shown), width and top on the page, px
    faults: list[str]  # errors on the console, and what did not load


def needs_chromium() -> None:
    """Skip the test without a browser; in CI that is a failure."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing, which .ci/run installs"
        pytest.skip("needs Debian's chromium")


def browse(page: Path, folder: Path, width: int = 1400) -> Seen:
    """Open a page, without a network; folder: of the browser's profile, which also gets screenshot.png."""
    needs_chromium()
    watched = page.with_name(f".{page.stem}.watched.html")
    watched.write_text(page.read_text(encoding="utf-8").replace("<head>", f"<head>{WATCH}", 1), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=15000", f"--window-size={width},1000", "--host-resolver-rules=MAP * ~NOTFOUND"]
    try:
        shot = f"--screenshot={folder / 'screenshot.png'}"
        subprocess.run([*command, shot, page.as_uri()], check=True, capture_output=True, timeout=240)
        run = subprocess.run([*command, "--dump-dom", watched.as_uri()], check=True, capture_output=True, timeout=240)
    finally:
        watched.unlink()
    found = re.search(r'data-seen="(.*?)"', run.stdout.decode("utf-8"))
    assert found, "the page never came to rest"
    seen = json.loads(html.unescape(found[1]))
    return Seen(seen["text"], seen["images"], seen["faults"])
