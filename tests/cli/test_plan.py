"""`rlhf plan` on the command line: what it says, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commandline import QUICK, Done, Here, command

SWEEP = ("-m", "method=dpo", "method.beta=0.1,0.2,0.3", *QUICK, "tracking=none")


def planned(done: Done) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_sweep_builds_shared_stages_once_and_leaves_nothing(here: Here, tmp_path: Path) -> None:
    plan = planned(here("plan", "--json", *SWEEP, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert [len(job["stages"]) for job in plan["jobs"]] == [2, 2, 2]
    states = {stage["name"].split("-")[0]: (stage["state"], stage["jobs"]) for stage in plan["stages"][:1]}
    assert states == {"sft": ("build", [1, 2, 3])}
    assert len(plan["stages"]) == 4
    saved = plan["totals"]["seconds"]["saved"]
    assert saved == pytest.approx(2 * plan["stages"][0]["cost"]["seconds"])  # two of three need not train it again


def test_the_tables_name_stages_memory_and_basis(here: Here, tmp_path: Path) -> None:
    done = here("plan", *SWEEP, folder=tmp_path)
    assert done.code == 0
    for text in ("3 jobs", "stages, each once", "peak memory", "optimizer", "measured: this process", "in one"):
        assert text in done.out
    assert list(tmp_path.iterdir()) == []


def test_at_80_columns_every_component_stage_and_size_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from rlhf.compose import jobs, parse_words
    from rlhf.plan.table import show
    from rlhf.plan.whole import make_plan

    monkeypatch.chdir(tmp_path)
    plan = make_plan(jobs(parse_words(["method=ppo", *QUICK, "tracking=none"])), None, None)
    show(plan, Console(width=80, highlight=False))
    said = capsys.readouterr().out
    assert "\u2026" not in said  # nothing is cut
    table = said[said.index("peak memory") : said.index("basis ")]
    assert max(map(len, said[: said.index("basis ")].splitlines())) <= 80
    for name in ("sft-tiny_gpt2-", "ppo-tiny_gpt2-", "  policy", "  critic    \u2502 as policy", "optimizer"):
        assert name in table
    assert " 0 \u2502" not in table  # a tiny model's megabytes are not 0 GB


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 kB"), (393_216, "393 kB"), (1_400_000, "1.4 MB"), (686_900_000, "687 MB"), (999_960_000, "1.0 GB")],
)
def test_sizes_are_told_in_the_unit_that_shows_them(count: int, text: str) -> None:
    from rlhf.plan.table import size

    assert size(count) == text


def test_ppo_shows_all_four_roles(here: Here, tmp_path: Path) -> None:
    words = ("method=ppo", "model=tiny_mt5", "method.critic.kind=separate", "dataset.rows=200", "tracking=none")
    plan = planned(here("plan", "--json", *words, folder=tmp_path))
    assert set(plan["stages"][-1]["memory"]["roles"]) == {"policy", "reference", "critic", "reward"}


def test_each_job_has_the_memory_that_it_has_alone(here: Here, tmp_path: Path) -> None:
    """What a reward model starts from decides whether PPO's roles share its base."""
    words = ("method=ppo", "model=tiny_gpt2", "adapter=lora", "dataset.rows=200", "tracking=none")
    starts = [f"upstream.reward.starts_from={start}" for start in ("base", "sft")]

    def held(*more: str) -> list[dict[str, int]]:
        plan = planned(here("plan", "--json", *words, *more, folder=tmp_path))
        ppo = [stage for stage in plan["stages"] if stage["name"].startswith("ppo")]
        return [dict(stage["memory"]["components"], baseline=0) for stage in ppo]

    alone = [held(start)[0] for start in starts]
    assert held("-m", "upstream.reward.starts_from=base,sft") == alone
    assert alone[0] != alone[1]


@pytest.mark.parametrize("words", [("method.betta=0.1",), ("-m", "method.beta=0.1,-1"), ("model=tiny_gpt3",)])
def test_what_train_refuses_plan_refuses(words: tuple[str, ...], here: Here, tmp_path: Path) -> None:
    trained = here(*words, folder=tmp_path).refused(2)
    assert here("plan", *words, folder=tmp_path).refused(2) == trained
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_here_can_be_planned_for(here: Here, tmp_path: Path) -> None:
    words = ("model=llama3_2_1b", "method=sft", "dataset.rows=200", "hardware=t4", "tracking=none")
    (stage,) = planned(here("plan", "--json", *words, folder=tmp_path))["stages"]
    assert stage["memory"]["device_bytes"] == 16_000_000_000
    assert not stage["fits"]  # 1.24 billion weights of 4 bytes, their gradients and 8 bytes of Adam are 19.8 GB
    assert stage["change"]["words"][0] == "adapter=lora"
    assert stage["change"]["bytes"] <= 16_000_000_000
    assert stage["cost"]["usd"] > 0


def test_help_names_examples(here: Here, tmp_path: Path) -> None:
    assert "rlhf plan -m method=dpo" in here("plan", "--help", folder=tmp_path).out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("tiny_gpt2", ("adapter=none",)),
        ("tiny_mt5", ("adapter=lora",)),
        ("tiny_llama", ("adapter=lora",)),
    ],
)
def test_the_estimate_is_within_15_percent_of_the_measured_peak(
    model: str, adapter: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    words = (f"model={model}", "method=ppo", *adapter, *QUICK, "++upstream.reward.trainer.max_steps=4", "tracking=none")
    plan = planned(command("plan", "--json", *words, folder=tmp_path))
    assert command(*words, folder=tmp_path).code == 0
    again = planned(here("plan", "--json", *words, folder=tmp_path))
    assert [stage["state"] for stage in again["stages"]] == ["reuse"] * 3
    for stage in plan["stages"]:
        result = json.loads((tmp_path / "outputs" / "stages" / stage["name"] / "result.json").read_text())
        measured = result["metrics"]["cost/peak_memory_bytes"]
        assert stage["memory"]["bytes"] == pytest.approx(measured, rel=0.15), stage["name"]
