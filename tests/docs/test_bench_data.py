"""The benchmark of data on a few rows, and the maker of its file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import environment

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def script(name: str, *words: str, folder: Path) -> str:
    command = [sys.executable, str(SCRIPTS / name), *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_benchmark_sets_both_ways_side_by_side_and_writes_what_it_found(tmp_path: Path) -> None:
    said = script("bench_data.py", "--rows", "400", "--workers", "1", "--output", "data.json", folder=tmp_path)
    assert "400 pairs" in said and "datasets.map" in said
    found = json.loads((tmp_path / "data.json").read_text())
    assert found["rows"] == 400 and 400 * 300 < found["bytes"] < 400 * 750
    ways = found["ways"]
    assert list(ways) == ["rlhf", "datasets.map", "rlhf, from its store"]
    assert ways["datasets.map"]["rows"] == 400
    assert 380 < ways["rlhf"]["rows"] == ways["rlhf, from its store"]["rows"] < 400  # without the repeated rows
    for way in ways.values():
        assert way["rows_per_second"] * way["seconds"] == pytest.approx(400)
        assert way["resident_bytes"] > 50e6


def test_the_made_file_depends_on_the_seed_and_has_repeated_rows_and_questions(tmp_path: Path) -> None:
    for name, words in {
        "a.jsonl": ["--rows", "3000"],
        "b.jsonl.gz": ["--rows", "3000"],
        "c.jsonl": ["--rows", "1000"],
        "d.jsonl": ["--rows", "1000", "--seed", "1"],
    }.items():
        script("make_big_jsonl.py", name, *words, folder=tmp_path)
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes()).decode() == text
    lines = text.splitlines()
    assert (tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines() == lines[:1000]
    assert (tmp_path / "d.jsonl").read_text(encoding="utf-8").splitlines() != lines[:1000]
    assert all(300 < len(line.encode()) < 750 for line in lines)
    repeated = sum(one == two for one, two in zip(lines, lines[1:], strict=False))
    assert 5 < repeated < 60  # binomial(3000, 0.01), five standard deviations are 27
    rows = [json.loads(line) for line in lines]
    assert {tuple(row) for row in rows} == {("prompt", "chosen", "rejected")}
    assert 2400 < len({row["prompt"] for row in rows}) < 2900  # one question in ten was asked before
