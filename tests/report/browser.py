"""A page in Debian's Chromium without a window: what its script made of it, and what it complained about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian: apt-get install chromium)")


@dataclass(frozen=True)
class Shown:
    """The document after its script ran, what `probe` returned, and the browser's log."""

    dom: str
    found: Any
    log: str

    @property
    def complaints(self) -> list[str]:
        """Errors of the script and refusals of the page's policy."""
        return [line for line in self.log.splitlines() if "CONSOLE" in line or "Uncaught" in line]


def show(page: Path, probe: str, folder: Path, width: int = 1366) -> Shown:
    """Open `page`, run the JavaScript `probe` (an expression) in it, and return what came of it.

    The probe stands in a copy whose policy lets it run beside the page's own script, nothing else.
    """
    assert CHROMIUM is not None
    source = page.read_text(encoding="utf-8")
    tried = f"<script nonce='probe'>document.body.dataset.found = JSON.stringify({probe});</script></body>"
    copy = folder / "probed.html"
    allowed = source.replace("script-src ", "script-src 'nonce-probe' ", 1)
    copy.write_text(allowed.replace("</body>", tried), encoding="utf-8")
    words = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=4000",
        "--log-net-log=" + str(folder / "net.json"), "--dump-dom", copy.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return Shown(done.stdout, json.loads(unescape(found[1])), done.stderr)
