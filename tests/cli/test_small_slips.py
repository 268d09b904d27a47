"""Slips of the finger on the command line: each is one line with its place and what to write."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from commandline import Here


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("ppo", ("ppo: ", "Write method=ppo.")),
        ("tiny_mt5", ("Write model=tiny_mt5.",)),
        ("method = ppo", ("Write method=ppo without spaces.",)),
        ("-m --cfg job seed=1,2", ("-m: a sweep has no single configuration to print", "Leave -m out")),
        ("hydra/launcher=local", ("hydra/launcher=local: ", "this is one job. Add -m")),
        ("hydra.run.dir=", ("hydra.run.dir=: it is empty",)),
        ("tracking.experiment=", ("tracking.experiment: ", "at least 1 character")),
        ("plan --jsn", ("--jsn: there is no such flag", "`--json`")),
        ("report --output", ("rlhf report: ", "--output")),
        ("resume --hlp", ("--hlp: resume takes no such flag",)),
        ("-m hydra/launcher=local hydra.launcher.jobs=two seed=1,2", ("hydra.launcher.jobs",)),
    ],
)
def test_a_slip_is_told_in_one_line_and_leaves_nothing(
    line: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    here(*shlex.split(line), folder=tmp_path).refused(2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_resume_where_all_is_finished_says_so_and_ends_well(here: Here, tmp_path: Path) -> None:
    sweep = tmp_path / "multirun" / "2026-11-21" / "12-00-00-1a2b"
    (sweep / "0").mkdir(parents=True)
    record = {"id": "1a2b", "words": ["-m"], "started": 1.0, "summary_run": "", "jobs": 1, "composed": "c"}
    (sweep / "sweep.json").write_text(json.dumps(record | {"reported": True}))
    (sweep / "0" / "result.json").write_text(json.dumps({"status": "finished"}))
    done = here("resume", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == "nothing to resume: all 1 sweep below multirun are finished or running\n"
