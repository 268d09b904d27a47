"""What the shell scripts say to `--help` and to words that they do not take; nothing is installed or started."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def called(script: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / script), *words], cwd=folder, capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("script", ["quickstart.sh", "install.sh", "test.sh", "ui.sh"])
def test_help_prints_usage_and_does_nothing(script: str, flag: str, tmp_path: Path) -> None:
    done = called(script, flag, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: bash scripts/{script}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("quickstart.sh", ["--hlp"]),
        ("quickstart.sh", ["a", "b"]),
        ("install.sh", ["-x"]),
        ("install.sh", ["folder"]),
        ("ui.sh", ["--port"]),
        ("ui.sh", ["5001", "5002"]),
    ],
)
def test_words_that_a_script_does_not_take_are_refused_in_one_line(
    script: str, words: list[str], tmp_path: Path
) -> None:
    done = called(script, *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{script}: ") and f"bash scripts/{script}" in line or "RLHF_VENV" in line
    assert list(tmp_path.iterdir()) == []


def test_checks_of_style_name_our_folders_so_that_a_users_own_files_are_not_judged() -> None:
    """docs/ppo.md tells to put a my_rewards.py into the folder where one works, which may be the checkout."""
    checked = [line for line in (ROOT / "scripts/test.sh").read_text().splitlines() if "-m ruff" in line]
    assert checked and all('"${ours[@]}"' in line for line in checked)
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert {file.partition("/")[0] for file in tracked} <= {"rlhf", "scripts", "tests"}
