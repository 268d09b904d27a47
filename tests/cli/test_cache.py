"""`rlhf cache` on a store made by hand: nothing is trained, torch is not imported."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from filelock import FileLock

from rlhf.errors import UserError
from rlhf.fingerprint import file_sizes
from rlhf.store import entries, file_sums, held, hold, remove
from rlhf.verbs import cache
from tests.commandline import refused_without

DAY = 86400


def stage(store: Path, name: str, fingerprint: str, needs: tuple[str, ...] = (), days: float = 0) -> Path:
    """A finished stage of one file that was written `days` ago."""
    folder = store / f"{name}-{fingerprint[:12]}"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights").write_text(name * 100)
    (folder / "stage.json").write_text(json.dumps({"fingerprint": fingerprint, "needs": needs}))
    result = {"fingerprint": fingerprint, "sizes": file_sizes(folder / "model"), "sums": file_sums(folder, ("model",))}
    (folder / "result.json").write_text(json.dumps(result))
    then = time.time() - days * DAY
    os.utime(folder / "result.json", (then, then))
    return folder


SFT, REWARD, PPO, OTHER = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two policies on one SFT stage, an unfinished one, answers and base weights."""
    folder = tmp_path / "stages"
    stage(folder, "sft-tiny_gpt2", SFT, days=40)
    stage(folder, "reward-tiny_gpt2", REWARD, (SFT,), days=40)
    stage(folder, "ppo-tiny_gpt2", PPO, (SFT, REWARD), days=40)
    stage(folder, "dpo-tiny_gpt2", OTHER, (SFT,), days=1)
    partial = folder / f"dpo-tiny_gpt2-{'e' * 12}.partial"
    (partial / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (partial / "stage.json").write_text(json.dumps({"fingerprint": "e" * 64, "needs": [SFT]}))
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / f"base-{'f' * 12}.json").write_text('{"texts": []}')
    weights = folder / "models" / "tiny_gpt2-tiny-0123456789abcdef"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text("{}")
    return folder


def names(store: Path) -> set[str]:
    return {entry.name.partition("-")[0] + entry.path.suffix for entry in entries(store)}


EVERYTHING = {"sft", "reward", "ppo", "dpo", "dpo.partial", "evaluations/base.json", "models/tiny_gpt2"}


def test_list_shows_what_is_there_who_needs_it_and_what_it_takes(store: Path, capsys) -> None:
    assert cache.run(["list", "--store", str(store)]) == 0
    out = capsys.readouterr().out
    rows = {
        line.split("│")[2].strip(): [cell.strip() for cell in line.split("│")[1:-1]]
        for line in out.splitlines()
        if "│" in line
    }
    assert rows[SFT[:12]] == ["stage", SFT[:12], "sft", "tiny_gpt2", rows[SFT[:12]][4], "40 d", "40 d", "4", "complete"]
    assert rows[REWARD[:12]][7:] == ["1", "complete"]
    assert rows[PPO[:12]][7:] == ["0", "complete"]
    assert rows["e" * 12][7:] == ["0", "partial"]
    assert rows["f" * 12][0] == "evaluation"
    total = sum(entry.bytes for entry in entries(store))
    assert out.splitlines()[-1].startswith(f"total {cache.size(total)}: 5 stages, ")


def test_list_is_the_default_and_the_store_that_of_the_configuration(store: Path, monkeypatch, capsys) -> None:
    (store.parent / "outputs").mkdir()
    store.rename(store.parent / "outputs" / "stages")
    monkeypatch.chdir(store.parent)
    assert cache.run([]) == 0
    assert "store outputs/stages" in capsys.readouterr().out


def test_verify_reads_every_byte(store: Path, capsys) -> None:
    assert cache.run(["verify", "--store", str(store)]) == 0
    assert "0 damaged, 1 unfinished, 6 whole" in capsys.readouterr().out
    weights = store / f"sft-tiny_gpt2-{SFT[:12]}" / "model" / "weights"
    text = weights.read_text()
    weights.write_text("X" + text[1:])  # as many bytes
    assert [entry.state for entry in entries(store) if entry.method == "sft"] == ["complete"]
    assert cache.run(["verify", "--store", str(store)]) == 1
    out = capsys.readouterr().out
    assert f"damaged sft-tiny_gpt2-{SFT[:12]}: model/weights has other bytes than when it was written" in out
    weights.unlink()
    (weights.parent / "more").touch()
    (store / "evaluations" / f"base-{'f' * 12}.json").write_text("{")
    assert cache.run(["verify", "--store", str(store)]) == 1
    out = capsys.readouterr().out
    assert "model/weights is missing" in out and "model/more was not written with the stage" in out
    assert "is no whole JSON file" in out and "2 damaged" in out


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["--partial"], {"dpo.partial"}),
        (["--partial", "--older-than", "1d"], set()),
        (["--older-than", "30d"], {"sft", "reward", "ppo"}),
        (["--older-than", "30d", "--keep-used"], {"reward", "ppo"}),  # SFT serves the young DPO stage
        (["--older-than", "60d"], set()),
        (["--older-than", "12h"], {"sft", "reward", "ppo", "dpo"}),
        (["--older-than", "0m"], EVERYTHING),
        (["--damaged"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_option_of_prune_narrows_what_goes(words: list[str], gone: set[str], store: Path, capsys) -> None:
    before = sum(entry.bytes for entry in entries(store))
    assert cache.run(["prune", "--store", str(store), *words, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert names(store) == EVERYTHING
    assert cache.run(["prune", "--store", str(store), *words]) == 0
    done = capsys.readouterr().out
    assert names(store) == EVERYTHING - gone
    assert planned.replace("would remove", "removed").replace("would be freed", "freed") == done
    freed = before - sum(entry.bytes for entry in entries(store))
    assert f"{cache.size(freed)} freed, {len(gone)} of 7 entries" in done
    assert list(store.rglob("*.removed-*")) == []


def test_a_stage_without_the_base_below_its_adapter_is_damaged(store: Path) -> None:
    folder = store / f"sft-tiny_gpt2-{SFT[:12]}"
    (folder / "base").mkdir()
    (folder / "base" / "weights").write_text("base")
    result = json.loads((folder / "result.json").read_text()) | {"sums": file_sums(folder, ("model", "base"))}
    (folder / "result.json").write_text(json.dumps(result))
    assert [entry.state for entry in entries(store) if entry.method == "sft"] == ["complete"]
    (folder / "base" / "weights").unlink()
    assert [entry.state for entry in entries(store) if entry.method == "sft"] == ["damaged"]


def test_prune_takes_what_is_damaged(store: Path, capsys) -> None:
    (store / f"ppo-tiny_gpt2-{PPO[:12]}" / "model" / "weights").write_text("other")
    assert cache.run(["prune", "--store", str(store), "--damaged"]) == 0
    assert names(store) == EVERYTHING - {"ppo"}


def test_what_served_lately_is_not_old(store: Path) -> None:
    hold(store / f"sft-tiny_gpt2-{SFT[:12]}").close()
    cache.run(["prune", "--store", str(store), "--older-than", "30d"])
    assert names(store) == EVERYTHING - {"reward", "ppo"}


def test_a_stage_in_use_and_all_below_it_stay(store: Path, capsys) -> None:
    """PPO is trained again in a folder of its own: it holds its lock, and the reward model that it loaded."""
    with FileLock(store / f"ppo-tiny_gpt2-{PPO[:12]}.lock"):
        cache.run(["prune", "--store", str(store), "--older-than", "0m"])
    assert names(store) == {"sft", "reward", "ppo", "models/tiny_gpt2"}
    assert f"kept reward-tiny_gpt2-{REWARD[:12]}: in use" in capsys.readouterr().out


def test_a_stage_that_a_running_job_uses_stays(store: Path) -> None:
    folder = store / f"sft-tiny_gpt2-{SFT[:12]}"
    using = hold(folder)
    assert held(folder)
    [entry] = [entry for entry in entries(store) if entry.method == "sft"]
    assert not remove(entry)
    cache.run(["prune", "--store", str(store), "--older-than", "0m"])
    assert "sft" in names(store)
    using.close()
    assert not held(folder)
    assert remove(entry)
    assert "sft" not in names(store)


def test_a_lock_that_a_kill_left_behind_holds_nothing(store: Path) -> None:
    (store / f"dpo-tiny_gpt2-{'e' * 12}.lock").touch()
    cache.run(["prune", "--store", str(store), "--partial"])
    assert names(store) == EVERYTHING - {"dpo.partial"}


def test_what_an_interrupted_prune_left_is_cleared_and_never_listed(store: Path) -> None:
    aside = store / ".sft-tiny_gpt2-x.removed-12345678"
    aside.mkdir()
    assert names(store) == EVERYTHING
    cache.run(["prune", "--store", str(store), "--partial"])
    assert not aside.exists()


@pytest.mark.parametrize(
    ("words", "place", "remedy"),
    [
        (["lst"], "rlhf cache lst", "Did you mean `list`?"),
        (["prune"], "rlhf cache prune", "Add --older-than 30d, --partial or --damaged"),
        (["prune", "--keep-used"], "rlhf cache prune", "Add --older-than"),
        (["prune", "--older-than", "30"], "rlhf cache", "30d or 4w"),
        (["prune", "--older-then", "30d"], "rlhf cache", "--older-then"),
        (["list", "--partial"], "rlhf cache list", "rlhf cache prune"),
        (["list", "--store", "nowhere"], "--store nowhere", "there is no such folder"),
    ],
)
def test_bad_input_is_one_line(words: list[str], place: str, remedy: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if words[0] != "list" or "--store" not in words:
        (tmp_path / "outputs" / "stages").mkdir(parents=True)
    with pytest.raises(UserError) as refused:
        cache.run(words)
    assert refused.value.place.startswith(place) and remedy in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_line_refuses_without_torch(tmp_path: Path) -> None:
    line = refused_without({"torch", "mlflow"}, ["cache", "prune"], tmp_path)
    assert re.fullmatch(r"rlhf: rlhf cache prune: it is not said what may go\. .*\n", line)


def test_counts_are_in_words_that_fit_them() -> None:
    told = [cache.counted(*pair) for pair in ((1, "stage"), (13, "stage"), (2, "model"), (0, "entry"), (1, "entry"))]
    assert told == ["1 stage", "13 stages", "2 models", "0 entries", "1 entry"]
    assert cache.counted(2, "references") == "2 references"


@pytest.mark.parametrize("words", [["verify"], ["prune", "--partial"]])
def test_a_folder_that_is_no_store_is_not_taken_for_an_empty_one(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it holds no stage"):
        cache.run([*words, "--store", str(tmp_path)])


def test_a_store_without_stages_is_told_in_a_line_and_not_shown_as_a_table(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    assert cache.run(["list", "--store", "kept"]) == 0
    assert capsys.readouterr().out == "kept holds no stage: a run leaves its finished stages there with store=kept\n"
