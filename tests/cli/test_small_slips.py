"""Slips of the finger on the command line: each is one line with its place and what to write."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path

import pytest
from commandline import Here

from rlhf.evaluation.cost import energy


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("ppo", ("ppo: ", "Write method=ppo.")),
        ("tiny_mt5", ("Write model=tiny_mt5.",)),
        ("method = ppo", ("Write method=ppo without spaces.",)),
        ("-m --cfg job seed=1,2", ("-m: a sweep has no single configuration to print", "Leave -m out")),
        ("hydra/launcher=local", ("hydra/launcher=local: ", "this is one job. Add -m")),
        ("hydra.run.dir=", ("hydra.run.dir=: it is empty",)),
        ("hydra.run.dir=/proc/x", ("/proc/x: cannot be made", "Set hydra.run.dir=FOLDER to one that can be")),
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


TOO_FEW = ("dataset.split: no rows for validation: 3 rows make 3 groups", "Take more rows (dataset.rows")


@pytest.mark.parametrize("verb", ["train", "plan"])
@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("dataset.rows=3", TOO_FEW),
        ("-m dataset.rows=3 seed=1,2", TOO_FEW),
        ("adapter=lora adapter.targets=[nosuch]", ("adapter.targets: ", "nosuch", "This architecture has c_attn, ")),
        ("adapter=lora adapter.targets=[c_attn,c_porj]", ("adapter.targets: ", "no module 'c_porj'.", "has c_attn, ")),
        ("-m seed=1,2 adapter=lora adapter.targets=[nosuch]", ("adapter.targets: ", "This architecture has c_attn, ")),
        ("-m model=tiny_gpt2,tiny_mt5 adapter=lora adapter.targets=[q]", ("adapter.targets: ", "has c_attn, ")),
    ],
)
def test_what_no_run_could_do_is_refused_before_one_begins(
    verb: str, line: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    here(verb, *line.split(), folder=tmp_path).refused(2, *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["train", "plan", "train -m seed=1,2", "plan -m hydra/launcher=local seed=1,2"])
def test_a_meter_that_is_not_on_this_machine_is_refused_before_a_run_begins(
    line: str, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = partial(energy.check_meter, powercap=tmp_path / "powercap")
    monkeypatch.setattr(energy, "check_meter", without)
    done = here(*line.split(), "hardware.energy=rapl", folder=tmp_path)
    done.refused(2, "hardware.energy: rapl: ", "has no CPU package. Use hardware.energy=auto, or rated")
    assert list(tmp_path.iterdir()) == []
