"""The hub out of reach: asked once, said in one line, and no minute of retries."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import command

NOWHERE = {"HF_HUB_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:9", "no_proxy": "*"}  # nobody listens there


@pytest.mark.slow
def test_a_plan_goes_on_with_one_line_instead_of_the_clients_retries(tmp_path: Path) -> None:
    words = ("plan", "method=sft", "model=llama3_2_1b", "hardware=t4", "dataset.rows=200")
    done = command(*words, folder=tmp_path, **NOWHERE, HF_HOME=str(tmp_path / "hub"))
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("rlhf: the hub does not answer in 5 s")
    assert "too much" in done.out


def test_training_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = command("method=sft", "model=gpt2", folder=tmp_path, **NOWHERE, HF_HOME=str(tmp_path / "hub"))
    assert done.code == 2
    said, line = done.err.splitlines()
    assert said.startswith("rlhf: the hub does not answer")
    assert line.startswith("rlhf: model.hub_id: ") and "model.path=FOLDER" in line
    assert not (tmp_path / "outputs").exists() and not (tmp_path / "mlflow.db").exists()
