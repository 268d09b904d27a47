from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlhf.data.rows import Row
from rlhf.errors import RunFailure, UserError
from rlhf.pairs.policies import find_policy
from rlhf.pairs.sample import CLOSE, EMPTY, SAME, TIE, best_and_worst, load_answering, sample_work
from tests.pairs.conftest import lines, make, only, pairs_run, row, spec_of

ROW = row("Hi", None)
SPEC = spec_of("pairs=sample", "pairs.minimum_margin=0.5", "pairs.answers=2", "pairs.batch_size=4")


def test_the_best_answer_is_chosen_and_the_worst_rejected_with_their_margin() -> None:
    pair = only(best_and_worst(ROW, [("a", 0.25), ("b", 1.0), ("c", -1.0), ("d", 1.0), ("e", -1.0)], SPEC))
    assert (pair.chosen, pair.rejected, pair.scores) == ("b", "c", (1.0, -1.0))  # of equals the first that was drawn
    assert pair.parameters == {"answers": 5, "temperature": 1.0, "scores": [0.25, 1.0, -1.0, 1.0, -1.0]}


@pytest.mark.parametrize(
    ("judged", "lost"),
    [
        ([("a", 1.0), ("b", 1.0)], TIE),
        ([("a", 1.0), ("b", 0.6)], CLOSE),
        ([("a", 1.0), ("a", 1.0)], SAME),
        ([("a", 1.0), (" ", 0.0)], EMPTY),
    ],
)
def test_what_cannot_be_ranked_is_lost_by_name(judged: list[tuple[str, float]], lost: str) -> None:
    assert best_and_worst(ROW, judged, SPEC).lost == {lost: 1}


def test_a_margin_as_wide_as_the_minimum_will_do_and_empty_answers_are_noted() -> None:
    made = best_and_worst(ROW, [("", 9.0), ("a", 1.0), ("b", 0.5)], SPEC)
    assert (made.pairs[0].chosen, made.pairs[0].rejected) == ("a", "b")
    assert made.noted == {"empty answers, left aside": 1}


def test_batches_have_the_same_borders_when_a_run_is_resumed() -> None:
    asked: list[list[str]] = []

    def answering(rows: Sequence[Row]) -> list[list[str]]:
        asked.append([one.prompt[0]["content"] for one in rows])
        return [["long answer", "short"] for _ in rows]

    work = sample_work(SPEC, answering, lambda rows, answers: [float(len(text)) for text in answers])
    rows = [(at, row(str(at), None)) for at in range(5)]
    chunks = list(work(rows))
    assert asked == [["0", "1"], ["2", "3"], ["4"]]  # 4 answers at once, 2 to each prompt
    asked.clear()
    assert list(work(rows[2:])) == chunks[1:]
    assert asked == [["2", "3"], ["4"]]


WORDS = ("pairs=sample", "pairs.answers=3", "pairs.batch_size=6", "pairs.max_new_tokens=8", "pairs.leaks.folds=2")
TOY = (*WORDS, "dataset.rows=30")
LENGTH = "pairs.judges={short: {kind: function, weight: -1.0, name: 'rlhf.ppo.builtin:length_penalty'}}"


def test_answers_of_a_row_depend_on_the_seed_and_the_row_alone(store: Path) -> None:
    run = pairs_run(*TOY, f"store={store}")
    answering = load_answering(run, run.pairs, find_policy(run, None))
    rows = [row("Where is my order?", None), row("Hello", None), row("I want a refund for the lamp.", None)]
    whole = answering(rows)
    assert [len(texts) for texts in whole] == [3, 3, 3] and len({text for texts in whole for text in texts}) > 3
    assert [answering([one])[0] for one in rows[::-1]] == whole[::-1]
    other = run.pairs.model_copy(update={"seed": 7})
    assert load_answering(run, other, find_policy(run, None))(rows) != whole


def test_a_policys_answers_are_ranked_by_a_function_of_the_users(store: Path, tmp_path: Path) -> None:
    output = tmp_path / "sampled.jsonl"
    manifest = make(pairs_run(*TOY, LENGTH, f"store={store}", f"pairs.output={output}"))
    pairs = lines(output)
    assert manifest["count"] == len(pairs) > 5
    assert manifest["count"] + sum(manifest["lost"].values()) == manifest["input"]["rows"]
    for pair in pairs:
        meta = pair["meta"]
        assert meta["margin"] == meta["score_chosen"] - meta["score_rejected"] > 0
        assert meta["score_chosen"] == max(meta["parameters"]["scores"])
        assert meta["score_rejected"] == min(meta["parameters"]["scores"])
        assert len(pair["chosen"].split()) > len(pair["rejected"].split())  # the weight is negative
        assert (meta["source"], meta["maker"], meta["policy"], meta["judges"]) == (
            "sampled",
            "sample",
            "tiny_gpt2",
            ["short"],
        )


def test_the_toy_worlds_gold_reward_judges(store: Path, tmp_path: Path) -> None:
    from rlhf.data.toy_gold import gold
    from rlhf.pairs.summary import as_row

    output = tmp_path / "sampled.jsonl"
    make(pairs_run(*TOY, f"store={store}", f"pairs.output={output}"))
    for pair in lines(output):
        assert gold(as_row(pair), pair["chosen"]) == pair["meta"]["score_chosen"]
        assert gold(as_row(pair), pair["rejected"]) == pair["meta"]["score_rejected"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pairs.policy=nowhere"], "pairs.policy=nowhere: there is no such folder"),
        (["dataset=bitext"], "pairs.judges.gold: the true reward is known of support_toy alone, not of bitext"),
        (["pairs.judges={j: {kind: function, weight: 1.0, name: 'math:no'}}"], "pairs.judges.j.name: math has no no"),
        (
            ["pairs.judges={j: {kind: stage, weight: 1.0, folder: nowhere}}"],
            "pairs.judges.j.folder: nowhere is not the",
        ),
        (["model=tiny_bert"], "model: tiny_bert is an encoder and writes no answers"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_loaded(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        make(pairs_run(*WORDS, *words))
    assert str(caught.value).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_a_judge_that_fails_is_told_at_its_place_and_the_work_goes_on(store: Path, tmp_path: Path) -> None:
    (tmp_path / "flaky_judge.py").write_text(
        "calls = []\ndef judge(prompts, answers):\n    calls.append(1)\n"
        "    if len(calls) == 3: raise RuntimeError('out of luck')\n    return [len(text) for text in answers]\n"
    )
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        words = [*TOY, "pairs.judges={j: {kind: function, weight: 1.0, name: 'flaky_judge:judge'}}"]
        run = pairs_run(*words, f"store={store}", f"pairs.output={tmp_path / 'p.jsonl'}")
        with pytest.raises(RunFailure) as caught:
            make(run)
        told = "pairs.judges.j: flaky_judge:judge failed (RuntimeError: out of luck at flaky_judge.py:4"
        assert str(caught.value).startswith(told)
        kept = (tmp_path / "p.jsonl.partial").read_text().splitlines()
        assert len(kept) == 3  # the header and two batches
        manifest = make(run)
        assert manifest["count"] + sum(manifest["lost"].values()) == manifest["input"]["rows"]
        first = [[at, records] for at, records, *_ in json.loads(kept[1])["rows"]]
        assert [[pair["meta"]["row"], [pair]] for pair in lines(tmp_path / "p.jsonl")][: len(first)] == first
    finally:
        sys.path.remove(str(tmp_path))


def stage(store: Path, *words: str) -> Path:
    """The folder of a stage that is trained here for a few steps."""
    from rlhf.pipeline import Job
    from rlhf.stages.device import choose_device
    from rlhf.tracking import NullRun, NullTracker
    from tests.bench import QUIET, run_of

    small = ["dataset.rows=60", "++method.trainer.max_steps=2", "++method.trainer.per_device_train_batch_size=4"]
    run = run_of(*small, "method.starts_from=base", *words, store=store)
    return Job(run, choose_device(run), NullTracker(), NullRun(), QUIET).build(run.method, upstream=False).folder


@pytest.mark.slow
def test_finished_stages_answer_and_judge(tmp_path: Path) -> None:
    """A trained adapter writes the answers, a trained reward model of another family ranks them."""
    policy = stage(tmp_path / "stages", "method=sft", "adapter=lora")
    judge = stage(tmp_path / "stages", "method=reward", "model=tiny_bert")
    judged = f"pairs.judges={{judge: {{kind: stage, weight: 1.0, folder: {judge}}}}}"
    words = [*TOY, judged, f"store={tmp_path / 'none'}"]
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    make(pairs_run(*words, f"pairs.policy={policy}", f"pairs.output={first}"))
    make(pairs_run(*words, f"pairs.policy={policy / 'model'}", f"pairs.output={second}", "model=tiny_mt5"))
    assert first.read_bytes() == second.read_bytes()  # either folder means the stage, which says what model it is
    pairs = lines(first)
    assert len(pairs) > 5 and {pair["meta"]["policy"] for pair in pairs} == {policy.name}
    with pytest.raises(UserError, match="it holds a reward model, not a policy"):
        make(pairs_run(*words, f"pairs.policy={judge}"))
    (policy / "model" / "README.md").write_text("added later")
    with pytest.raises(UserError, match="the files of its model are not as they were written"):
        make(pairs_run(*words, f"pairs.policy={policy}"))
