"""`rlhf evaluate` of runs that stand on one another: who they are, what each is given, whose code runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commandline import QUICK, Here, tracked

MEASURED = ("evaluation.bootstrap=20", "evaluation.suites=[text]", "evaluation.text.self_bleu_answers=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the DPO runs of two seeds, each on an SFT stage of its own, trained inside this process."""
    from rlhf.__main__ import train

    folder = tmp_path_factory.mktemp("chains")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    for seed in (1, 2):
        train(["method=dpo", f"seed={seed}", *QUICK, "evaluation.judge=none", "evaluation.bootstrap=20"])
    patch.undo()
    return folder


def stages(folder: Path, method: str) -> list[str]:
    return sorted(str(stage.relative_to(folder)) for stage in folder.glob(f"outputs/stages/{method}-*"))


def evaluated(here: Here, folder: Path, *runs: str, tracking: str = "none") -> dict[str, Any]:
    done = here("evaluate", f"run={','.join(runs)}", *MEASURED, f"tracking={tracking}", "--json", folder=folder)
    assert done.code == 0, done.err
    values: dict[str, Any] = json.loads(done.out)
    return values


@pytest.mark.parametrize("turned", [False, True])
def test_a_run_is_measured_beside_one_that_it_started_from(here: Here, trained: Path, turned: bool) -> None:
    runs = [*stages(trained, "dpo"), *stages(trained, "sft")]
    values = evaluated(here, trained, *(reversed(runs) if turned else runs))
    roles = [voice["role"] for voice in values["speakers"]]
    assert roles == [
        "reference",
        "base",
        "policy",
        "policy",
        "policy",
        "policy",
        "echo",
        "polite",
        "shuffled",
        "random",
    ]
    assert [run["speaker"] for run in values["runs"]] == [Path(run["stage"]).name for run in values["runs"]]


def test_each_measured_run_gets_the_numbers_of_what_it_started_from(here: Here, trained: Path) -> None:
    homes = sorted(str(file.parent) for file in trained.glob("outputs/runs/*/*/result.json"))
    values = evaluated(here, trained, *homes, tracking="mlflow")
    found = values["metrics"]["text/nll"]
    runs = {run.info.run_id: run.data for run in tracked(trained)}
    for run in values["runs"]:
        (below,) = json.loads((Path(trained) / run["stage"] / "stage.json").read_text())["needs"]
        (start,) = [voice["name"] for voice in values["speakers"] if voice["fingerprint"] == below]
        given = runs[run["run_id"]].metrics
        assert given["control/sft/text/nll"] == pytest.approx(found[start]["value"])
    sft = [voice for voice in values["speakers"] if voice["role"] == "sft"]
    assert len({found[voice["name"]]["value"] for voice in sft}) == 2, "else any run's would do"
    assert [voice["seed"] for voice in sft] == [1, 2] and sft[0]["group"] == sft[1]["group"] is not None


def test_data_that_has_changed_since_a_run_was_trained_on_it_is_told(here: Here, tmp_path: Path) -> None:
    """The file is turned round: its settings stay, and what was held out may have been trained on."""
    from rlhf.__main__ import train

    lines = [json.dumps({"prompt": f"Question {at}?", "completion": f"Answer {at}."}) for at in range(80)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    data = ("dataset=table", "dataset.path=own.jsonl", "evaluation.judge=none", "tracking=none")
    quick = [word for word in QUICK if not word.startswith("dataset.")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        train(["method=sft", *quick, *data])
    assert evaluated(here, tmp_path, "last")["notes"] == []
    (tmp_path / "own.jsonl").write_text("\n".join(line.replace("Question", "Query") for line in lines))
    (note,) = evaluated(here, tmp_path, "last")["notes"]
    assert note.startswith("sft tiny_gpt2: its data, table, has changed since it was trained")


def test_answers_leave_this_machine_only_where_this_command_line_says_so(
    here: Here, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    stage = stages(tmp_path, "sft")[0]
    settings = json.loads((tmp_path / stage / "run.json").read_text())
    settings["evaluation"]["suites"] = ["preference"]
    settings["evaluation"]["preference"] |= {"judge": "endpoint"}
    settings["evaluation"]["preference"]["endpoint"] |= {"base_url": "http://judge.invalid/v1", "retries": 0}
    (tmp_path / stage / "run.json").write_text(json.dumps(settings))
    words = ("evaluate", f"run={stage}", *(word for word in MEASURED if "suites" not in word), "tracking=none")
    place = "evaluation.preference.endpoint.base_url"
    here(*words, folder=tmp_path).refused(2, stage, "send its answers to http://judge.invalid/v1", f"add {place}=http")
    said = here(*words, f"{place}=http://judge.invalid/v1", folder=tmp_path)
    assert said.code and "send its answers" not in said.err
    assert here(*words, "evaluation.suites=[]", folder=tmp_path).code == 0


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_code_that_came_with_a_model_runs_only_where_this_command_line_says_so(
    here: Here, trained: Path, tmp_path: Path, method: str
) -> None:
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    stage = stages(tmp_path, method)[0]
    settings = json.loads((tmp_path / stage / "run.json").read_text())
    settings["model"]["trust_remote_code"] = "yes"  # which pydantic reads as true
    (tmp_path / stage / "run.json").write_text(json.dumps(settings))
    words = ("evaluate", f"run={stage}", *MEASURED, "tracking=none")
    here(*words, folder=tmp_path).refused(2, stage, "code that came with its model", "model.trust_remote_code=true")
    beside = (words[0], f"run={stages(tmp_path, method)[1]},{stage}", *words[2:])
    here(*beside, folder=tmp_path).refused(2, stage, "code that came with its model")
    here(*words, "model.trust_remote_code=false", folder=tmp_path).refused(2, stage, "code that came with its model")
    here(*words, "model.trust_remote_code=perhaps", folder=tmp_path).refused(2, "it is true or false")
    assert here(*words, "model.trust_remote_code=true", folder=tmp_path).code == 0
