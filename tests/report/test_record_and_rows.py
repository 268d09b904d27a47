"""From folders to lines: what is read back, what is grouped, and which control stands beside which line."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree

import pytest
from left_by_jobs import BASE, SFT, failed, finished, leave, summarised

from rlhf.report.record import newest_sweep, read_record
from rlhf.report.rows import build_lines
from rlhf.report.summary import tiles


def numbers(reward: float, kl: float, cost: float) -> dict[str, float]:
    return {"final/reward": reward, "final/kl": kl, "cost/pipeline_usd": cost}


def test_jobs_are_numbered_as_a_reader_counts_and_in_order(tmp_path: Path) -> None:
    record = read_record(
        [leave(tmp_path, [finished([f"seed={seed}"], {}) for seed in range(12)], id="ab", words=["-m"])]
    )
    assert [job.number for job in record.jobs] == list(range(1, 13))
    assert [job.value("seed") for job in record.jobs] == [str(seed) for seed in range(12)]
    assert record.sweeps[0]["id"] == "ab"


def test_a_killed_job_is_told_with_the_words_that_hydra_kept(tmp_path: Path) -> None:
    (job,) = read_record([leave(tmp_path, [None])]).jobs
    assert (job.outcome["name"], job.outcome["status"], job.value("method.beta")) == (
        "dpo-tiny",
        "running or killed",
        "9",
    )
    assert job.value("seed") == "7"  # as composed
    (job,) = read_record([leave(tmp_path / "over", [None], reported=True)]).jobs  # no process is left that could run it
    assert (job.outcome["status"], job.outcome["error"]) == ("failed", "left no result, it was killed")


def test_files_that_cannot_be_read_are_named_with_a_remedy(tmp_path: Path) -> None:
    leave(tmp_path, [None, finished([], {})])
    (tmp_path / "0" / "result.json").write_text('{"status": "fin', encoding="utf-8")
    (tmp_path / "sweep.json").write_text("{}", encoding="utf-8")
    record = read_record([tmp_path])
    torn, whole = record.jobs
    assert (torn.outcome["status"], whole.outcome["status"]) == ("damaged", "finished")
    assert torn.outcome["error"].startswith(f"{tmp_path / '0' / 'result.json'} is damaged: delete it")
    (told,) = record.damaged
    assert told.startswith(f"{tmp_path / 'sweep.json'} is damaged: ")


def test_jobs_that_never_started_have_their_words_and_places(tmp_path: Path) -> None:
    planned = [{"name": "dpo-tiny", "words": ["method=dpo", f"seed={seed}"]} for seed in (1, 2, 3)]
    place = leave(tmp_path, [finished(["seed=1"], {}), None, None], id="ab", words=["-m"], jobs=3, planned=planned)
    rmtree(place / "1")  # the second one waits for a free place, or for `rlhf resume`
    rmtree(place / "2" / "config")
    found = read_record([place]).jobs
    assert [(job.number, job.folder.name, job.outcome["status"]) for job in found] == [
        (1, "0", "finished"), (2, "1", "not started"), (3, "2", "running or killed"),
    ]  # fmt: skip
    assert found[1].settings == {"method": "dpo", "seed": "2"}
    shown = summarised(read_record([place]))
    assert [(one["number"], one["status"]) for one in shown["failures"]][0] == (2, "not started")
    assert shown["tiles"][0]["detail"] == "1 not started, 1 running or killed"


def test_a_torn_result_is_a_job_without_one(tmp_path: Path) -> None:
    leave(tmp_path, [finished([], {})])
    (tmp_path / "0" / "result.json").write_text('{"name": "dpo', encoding="utf-8")
    assert not read_record([tmp_path]).jobs[0].finished


def test_a_single_run_is_a_report_of_one_job(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(finished([], {"final/reward": 1.0})), encoding="utf-8")
    assert len(read_record([tmp_path]).jobs) == 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record([tmp_path])


def test_the_newest_sweep_is_by_day_and_time(tmp_path: Path) -> None:
    for day, clock in (("2026-01-02", "09-00-00-a"), ("2026-01-02", "10-00-00-b"), ("2026-01-01", "23-00-00-c")):
        leave(tmp_path / day / clock, [finished([], {})])
    (tmp_path / "2026-01-03" / "11-00-00-d").mkdir(parents=True)  # nothing was started in it
    assert newest_sweep(tmp_path) == tmp_path / "2026-01-02" / "10-00-00-b"
    assert newest_sweep(tmp_path / "nowhere") is None


def test_settings_that_vary_are_columns_and_the_seed_is_none(tmp_path: Path) -> None:
    words = [["method.beta=1", "a.b=3", "seed=1"], ["method.beta=2", "a.b=3", "seed=2"]]
    lines = build_lines(read_record([leave(tmp_path, [finished(own, {"final/reward": 1.0}) for own in words])]).jobs)
    assert lines.params == {"method.beta": "beta"}


def test_each_line_names_its_controls_and_each_control_stands_once(tmp_path: Path) -> None:
    jobs = [finished([f"method.beta={beta}"], numbers(beta, 1.0, 1.0)) for beta in (1, 2)]
    lines = build_lines(read_record([leave(tmp_path, jobs)]).jobs).lines
    assert [line.role for line in lines] == ["policy", "policy", "base", "sft"]
    assert [line.controls for line in lines[:2]] == [[2, 3], [2, 3]]
    assert lines[3].jobs == (1, 2)


def test_controls_of_several_seeds_are_one_line_with_their_mean(tmp_path: Path) -> None:
    jobs = []
    for beta in (1, 2):
        for seed, reward in ((1, 0.0), (2, 1.0)):
            control = SFT | {"fingerprint": f"5f{seed}", "metrics": {"final/reward": reward}}
            job = finished([f"method.beta={beta}", f"seed={seed}"], numbers(beta + seed, 1.0, 1.0))
            jobs.append(job | {"rows": [BASE, control, job["rows"][-1]]})
    jobs[3] = failed(["method.beta=2", "seed=2"], "out of memory")  # its line has one of the two controls only
    lines = build_lines(read_record([leave(tmp_path, jobs)]).jobs).lines
    (control,) = [line for line in lines if line.role == "sft"]
    assert (control.cells["final/reward"].value, control.cells["final/reward"].n) == (0.5, 2)
    policies = [line for line in lines if line.role == "policy"]
    assert {lines[line.controls[-1]].label for line in policies} == {"sft tiny"}
    assert [(line.params["method.beta"], len(line.seeds), line.planned) for line in policies] == [
        ("2", 1, 2),
        ("1", 2, 2),
    ]


def test_a_control_shows_no_loss_of_another_objective(tmp_path: Path) -> None:
    control = SFT | {"metrics": {"final/loss": 1.0, "final/nll": 1.0}}
    job = finished([], {"final/loss": 0.6})
    lines = build_lines(read_record([leave(tmp_path, [job | {"rows": [control, job["rows"][-1]]}])]).jobs).lines
    assert set(lines[1].cells) == {"final/nll"}


def test_the_front_is_over_cost_reward_and_kl(tmp_path: Path) -> None:
    """The second is dearer than the first and no better; the third costs most but is best."""
    jobs = [
        finished([f"method.beta={at}"], numbers(*values)) for at, values in enumerate([(1, 1, 1), (1, 1, 2), (2, 2, 3)])
    ]
    table = build_lines(read_record([leave(tmp_path, jobs)]).jobs)
    assert [shown.metric.name for shown in table.front_axes] == ["cost/pipeline_usd", "final/reward", "final/kl"]
    assert {line.params["method.beta"]: line.front for line in table.lines[:3]} == {"0": True, "1": False, "2": True}


def test_rewards_of_different_judges_are_neither_ranked_nor_marked(tmp_path: Path) -> None:
    jobs = []
    for name, reward, gold in (("a", 9.0, 0.1), ("b", 1.0, 0.2)):
        low_high = {"final/reward_difference_low": reward, "final/reward_difference_high": reward}
        metrics = {"final/reward": reward, "final/reward_gold": gold, "final/reward_difference": reward} | low_high
        jobs.append(finished([f"model={name}"], metrics, upstream=[{"name": f"reward-{name}", "method": "reward"}]))
    table = build_lines(read_record([leave(tmp_path, jobs)]).jobs)
    assert table.judges_differ
    assert [line.params["model"] for line in table.lines[:2]] == ["b", "a"]  # by gold
    assert not any(line.best for line in table.lines)


def test_failures_come_last_with_their_reason_and_command(tmp_path: Path) -> None:
    record = read_record(
        [leave(tmp_path, [failed(["method.beta=1", "a={b: c}"], "diverged"), finished(["method.beta=2"], {})])]
    )
    last = build_lines(record.jobs).lines[1]
    assert (last.role, last.note, last.commands) == (
        "failed",
        "diverged",
        ("rlhf method=dpo method.beta=1 'a={b: c}'",),
    )


def test_secrets_in_a_command_are_masked(tmp_path: Path) -> None:
    secret = "postgresql://me:hunter2@db/mlflow"
    jobs = [
        finished([f"tracking.uri={secret}"], {}),
        failed(["tracking.uri=sqlite:///a.db"], f"no answer from {secret}"),
    ]
    told = json.dumps(summarised(read_record([leave(tmp_path, jobs)])))
    assert "tracking.uri" in told
    assert "hunter2" not in told


def test_jobs_that_were_never_started_are_counted(tmp_path: Path) -> None:
    record = read_record([leave(tmp_path, [finished(["seed=1"], {})], id="ab", words=[], jobs=4)])
    assert [tile for tile in tiles(record) if tile["label"] == "jobs finished"] == [
        {"label": "jobs finished", "value": "1 of 4", "detail": "3 not started"}
    ]
