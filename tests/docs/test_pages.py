"""Generated pages are up to date, and the site builds without a warning where MkDocs is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_metrics_page_is_what_make_docs_writes(tmp_path: Path) -> None:
    page = tmp_path / "metrics.md"
    subprocess.run([sys.executable, "scripts/make_docs.py", str(page)], cwd=ROOT, check=True, timeout=120)
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/metrics.md").read_text(encoding="utf-8"), (
        "run: python scripts/make_docs.py"
    )


def test_the_navigation_names_every_page_once() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = [page for entry in navigation for page in entry.values()]
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed (.[docs])")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
