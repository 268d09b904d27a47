"""A real sweep of four jobs over two models, one that fails in the middle, and one that is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from commandline import QUICK, Done, Here, command, tracked

WORDS = ("-m", "method=dpo", "model=tiny_gpt2,tiny_mt5", "method.beta=0.05,0.2", *QUICK)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(place: Path) -> Done:
    return command(*WORDS, folder=place)


def folder_of(done: Done, place: Path) -> Path:
    (found,) = re.findall(r"^files\s+(\S+)$", done.out, flags=re.MULTILINE)
    return place / found


@pytest.mark.slow
def test_four_jobs_and_a_summary_are_tracked_under_one_id(swept: Done, place: Path) -> None:
    assert (swept.code, swept.err) == (0, "")
    runs = tracked(place)
    by_role = {role: [run for run in runs if run.data.tags["role"] == role] for role in ("job", "summary", "stage")}
    assert {role: len(found) for role, found in by_role.items()} == {"job": 4, "summary": 1, "stage": 2}
    assert {run.info.status for run in runs} == {"FINISHED"}
    (sweep_id,) = {run.data.tags["sweep_id"] for run in by_role["job"] + by_role["summary"]}
    assert sweep_id in swept.out
    settings = {(run.data.params["model.name"], float(run.data.params["method.beta"])) for run in by_role["job"]}
    assert settings == {("tiny_gpt2", 0.05), ("tiny_gpt2", 0.2), ("tiny_mt5", 0.05), ("tiny_mt5", 0.2)}


@pytest.mark.slow
def test_the_sweep_leaves_its_report_and_each_job_what_it_is_made_of(swept: Done, place: Path) -> None:
    folder = folder_of(swept, place)
    assert f"report   {folder.relative_to(place)}/report.html" in swept.out
    assert (folder / "comparison.xlsx").is_file()
    outcome = json.loads((folder / "0" / "result.json").read_text(encoding="utf-8"))
    asked = len(outcome["samples"]["prompts"])
    assert [(one["role"], len(one["texts"])) for one in outcome["samples"]["policies"]] == [
        (role, asked) for role in ("base", "sft", "policy")
    ]
    assert [len(one["each"]["final/reward"]) for one in outcome["rows"]] == [outcome["questions"]] * 3
    assert len(outcome["asked"]) == 64  # a digest of all the prompts
    assert outcome["floor"] == {"ln 2, nothing learned": pytest.approx(0.693147, abs=1e-6)}
    assert "version.torch" in outcome["machine"]
    assert not [name for name in outcome["machine"] if "user" in name or "host" in name]
    (stored,) = place.glob("mlruns/**/artifacts/report.html")
    assert stored.read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.slow
def test_the_sft_stage_of_a_model_is_trained_once(swept: Done) -> None:
    assert swept.out.count("sft on tiny_gpt2 ->") == swept.out.count("sft on tiny_mt5 ->") == 1
    assert len(re.findall(r"reused sft-tiny_(gpt2|mt5)", swept.out)) == 2


@pytest.mark.slow
def test_the_table_holds_four_policies_and_each_control_once_sorted_by_reward(swept: Done, place: Path) -> None:
    rows = list(csv.DictReader((folder_of(swept, place) / "comparison.csv").open()))
    names = [row["run"] for row in rows]
    assert sorted(names) == [
        "base tiny_gpt2 (control)",
        "base tiny_mt5 (control)",
        "dpo tiny_gpt2",
        "dpo tiny_gpt2",
        "dpo tiny_mt5",
        "dpo tiny_mt5",
        "sft tiny_gpt2 (control)",
        "sft tiny_mt5 (control)",
    ]
    rewards = [float(row["reward"]) for row in rows]
    assert rewards == sorted(rewards, reverse=True)
    policies = [row for row in rows if row["run"].startswith("dpo")]
    assert sorted((row["model"], row["beta"]) for row in policies) == [
        ("tiny_gpt2", "0.05"),
        ("tiny_gpt2", "0.2"),
        ("tiny_mt5", "0.05"),
        ("tiny_mt5", "0.2"),
    ]
    assert list((place / "multirun").rglob("*.log")) == []
    assert {file.name for file in folder_of(swept, place).glob("*.png")} == {"curves.png", "stages.png"}
    for column in ("loss", "reward", "KL", "time", "memory"):
        assert all(float(row[column]) == float(row[column]) for row in policies)
    shown = swept.out[swept.out.rindex("sweep ") :]
    assert [
        line.split("  ")[0].strip().removesuffix(" (control)")
        for line in shown.splitlines()
        if re.match(r" ?(dpo|sft|base) ", line)
    ] == [
        name.removesuffix(" (control)")
        for name in names  # the remark stands on a line of its own where it is narrow
    ]
    markdown = (folder_of(swept, place) / "comparison.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in markdown[2:] if line.startswith("|")] == names


@pytest.mark.slow
def test_the_compare_url_opens_the_four_jobs_each_under_its_own_name(swept: Done, place: Path) -> None:
    (url,) = re.findall(r"^compare\s+(\S+)$", swept.out, flags=re.MULTILINE)
    found = [run for run in tracked(place) if run.data.tags["role"] == "job"]
    home = f"http://127.0.0.1:5000/#/experiments/{found[0].info.experiment_id}/runs"
    key = f"sweep-{found[0].data.tags['sweep_id']}"
    assert url == f"{home}?viewStateShareKey={key}&compareRunsMode=CHART"
    names = [f"dpo-{model} beta={beta}" for model in ("tiny_gpt2", "tiny_mt5") for beta in ("0.05", "0.2")]
    assert sorted(run.info.run_name for run in found) == names


@pytest.mark.slow
def test_a_failing_job_is_named_and_does_not_end_the_sweep(swept: Done, here: Here, place: Path) -> None:
    words = ("-m", "method=dpo", "method.trainer.learning_rate=1e30,1e-3", "method.trainer.logging_steps=1", *QUICK)
    done = here(*words, folder=place)
    line = done.refused(1, "dpo step ", "Lower method.trainer.learning_rate")
    (named,) = [text for text in done.out.splitlines() if text.startswith("failed ")]
    assert "method.trainer.learning_rate=1e+30" in named and line.removeprefix("rlhf: ") in named
    summary, *jobs = [run for run in tracked(place) if run.data.tags.get("sweep_id") and "sweep " in done.out][:3][::-1]
    states = {run.data.tags["role"] + " " + run.info.status for run in (summary, *jobs)}
    assert states == {"summary FAILED", "job FAILED", "job FINISHED"}
    rows = list(csv.DictReader((folder_of(done, place) / "comparison.csv").open()))
    assert rows[-1]["run"] == "dpo tiny_gpt2 (failed)" and "dpo step" in rows[-1]["failure"]
    assert [row["run"] for row in rows if row["failure"] == ""].count("dpo tiny_gpt2") == 1
    assert not list((place / "outputs" / "stages").glob("*.partial"))


def test_one_refused_job_stops_the_sweep_before_it_starts(here: Here, tmp_path: Path) -> None:
    here("-m", "method.beta=0.1,-1", folder=tmp_path).refused(2, "method.beta: should be greater than 0, got -1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_values_with_brackets_are_shown_as_they_are(swept: Done, here: Here, place: Path) -> None:
    words = ("method=dpo", "method.loss_type=[sigmoid],[ipo]", *QUICK, "tracking=none", "-m")  # -m anywhere
    done = here(*words, folder=place)
    assert (done.code, done.err) == (0, "")
    assert "method.loss_type=[ipo]" in done.out
