"""Simulated conversations: who says what when, values by hand, the same talk twice, and a user who is a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf.errors import UserError
from rlhf.evaluation.live import simulation
from rlhf.evaluation.persona import turns
from rlhf.evaluation.persona.talk import converse, script_of, scripts_of
from rlhf.models.load import load_policy, load_scorer, load_tokenizer, save_model
from tests.bench import POLICIES, codec_of, run_of, source_of
from tests.evaluation.persona.persona_world import evaluation, row, rule_bound, tools

PERSONA = "I like tea.\nI ski."
ROWS = [
    row(
        "Hi", "Hello.", "Do you ski?", "Yes.", "Tea?", persona=PERSONA, system=PERSONA, answer="I like tea.", group="a"
    ),
    row("Hi", "Hello.", "Do you ski?", persona=PERSONA, system=PERSONA, answer="Yes.", group="a"),
    row("Where is it?", persona="I cook.", system="I cook.", answer="Here.", group="b"),
]


def counting(prompts, turn):
    return [f"answer {turn}" for _ in prompts]


def test_a_row_is_taken_apart_into_both_sides_turns() -> None:
    script = script_of(ROWS[0], 0)
    assert script.asked == ("Hi", "Do you ski?", "Tea?")
    assert script.answered == ("Hello.", "Yes.", "I like tea.")
    assert script.persona == ("I like tea.", "I ski.")
    opened = script_of(row("I opened.", "And you?", answer="Fine."), 0)
    assert opened.head == ({"role": "assistant", "content": "I opened."},)
    assert (opened.asked, opened.answered) == (("And you?",), ("Fine.",))
    assert script_of(row("Hi", answer=None), 0).answered == ()


def test_of_each_group_the_longest_dialogue_is_taken_whatever_the_order() -> None:
    found = scripts_of(ROWS, 10, 3, 0)
    assert sorted(script.place for script in found) == [0, 2]
    back = scripts_of(ROWS[::-1], 10, 3, 0)
    assert [script.asked for script in back] == [script.asked for script in found]
    assert [[script.place for script in scripts_of(ROWS, 1, 3, seed)] for seed in range(9)] == [[0]] * 9  # the longest
    assert {scripts_of(ROWS, 1, 1, seed)[0].place for seed in range(9)} == {0, 2}  # one turn is in both


def test_a_scripted_user_says_its_turns_and_the_policy_reads_its_own_answers() -> None:
    heard = []

    def answer(prompts, turn):
        heard.append([[m["content"] for m in prompt] for prompt in prompts])
        return counting(prompts, turn)

    long, short = script_of(ROWS[0], 0), script_of(ROWS[2], 2)
    talks = converse([long, short], 5, answer, None)
    assert [talk.answered for talk in talks] == [["answer 0", "answer 1", "answer 2"], ["answer 0"]]
    assert heard[0] == [[PERSONA, "Hi"], ["I cook.", "Where is it?"]]
    assert heard[1] == [[PERSONA, "Hi", "answer 0", "Do you ski?"]]
    assert heard[2] == [[PERSONA, "Hi", "answer 0", "Do you ski?", "answer 1", "Tea?"]]
    assert converse([long], 2, counting, None)[0].answered == ["answer 0", "answer 1"]


def test_a_modelled_user_reads_the_talk_from_the_other_side_without_the_persona() -> None:
    heard = []

    def ask(prompts, turn):
        heard.append(prompts)
        return [f"question {turn}" for _ in prompts]

    [talk] = converse([script_of(ROWS[2], 2)], 3, counting, ask)
    assert talk.asked == ["Where is it?", "question 1", "question 2"]
    assert talk.answered == ["answer 0", "answer 1", "answer 2"]
    assert [[(m["role"], m["content"]) for m in prompt] for prompt in heard[0]] == [
        [("assistant", "Where is it?"), ("user", "answer 0")]
    ]


def test_values_of_turns_by_hand() -> None:
    """Keywords: like (no stop word of scikit-learn's), tea, ski."""
    said = [["I like tea.", "Well...", "well"], ["", ""]]
    found = turns.turn_values([["I like tea.", "I ski."], []], said, evaluation().persona, None)
    assert found[turns.WORDS] == [[3.0, 1.0, 1.0], [0.0, 0.0]]
    assert found[turns.REPEATED] == [[None, 0.0, 1.0], [None, 1.0]]
    assert found[turns.CONSISTENCY] == [[pytest.approx(2 / 3), 0.0, 0.0], [None, None]]
    assert turns.means(found[turns.REPEATED]) == [0.5, 1.0]
    assert turns.means(found[turns.CONSISTENCY]) == [pytest.approx(2 / 9), None]
    assert turns.turn_rows("x", {turns.WORDS: found[turns.WORDS], turns.REPEATED: found[turns.REPEATED]}) == [
        ("x", 1, 2, 1.5, None),
        ("x", 2, 2, 0.5, 0.5),
        ("x", 3, 1, 1.0, 1.0),
    ]


def test_contradictions_of_persona_and_of_oneself_by_hand(tmp_path: Path) -> None:
    """The NLI model hears "not", in either text, as a contradiction and "indeed" as entailment."""
    from rlhf.evaluation.persona.nli import NLI

    spec = evaluation().persona
    spec = spec.model_copy(update={"nli": spec.nli.model_copy(update={"model": rule_bound(tmp_path)})})
    said = [["Indeed.", "I do not ski.", "Good."], ["Fine.", "Good."]]
    found = turns.turn_values([["I ski."], []], said, spec, NLI(spec.nli, "place"))
    assert found[turns.ENTAILMENT] == [[1.0, 0.0, 0.0], [None, None]]
    assert found[turns.CONTRADICTION] == [[0.0, 1.0, 0.0], [None, None]]
    assert found[turns.C_SCORE] == [[1.0, -1.0, 0.0], [None, None]]
    assert found[turns.SELF] == [[None, 1.0, 1.0], [None, 0.0]]  # the third turn goes against the second
    assert turns.any_turn(found[turns.CONTRADICTION]) == [1.0, None]


def world(model: str, *words: str):
    run = run_of("method=sft", f"model={model}", "evaluation.max_new_tokens=6", "evaluation.simulation.turns=3", *words)
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    return run, policy, codec_of(run)


@pytest.mark.parametrize("model", POLICIES)
def test_the_same_arguments_give_the_same_conversations_in_any_batches(model: str) -> None:
    run, policy, codec = world(model)
    spec = run.evaluation.simulation
    found = simulation.measure(policy, codec, ROWS, spec, tools())
    again = simulation.measure(policy, codec, ROWS, spec, tools())
    single = simulation.measure(policy, codec, ROWS, spec.model_copy(update={"batch_size": 1}), tools())
    assert found == again
    assert found.tables["a simulated conversation"] == single.tables["a simulated conversation"]
    assert simulation.measure(policy, codec, ROWS, spec, tools(seed=1)).tables != found.tables
    words = found.scores["persona/simulated_words"]
    assert words.n == 2 and words.each[1] is None  # of group a the longer row speaks
    assert found.scores["persona/simulated_repeated"].n == 1  # the other conversation has one turn


def test_real_answers_and_an_echo_stand_beside_the_policy() -> None:
    run, policy, codec = world("tiny_gpt2")
    found = simulation.measure(policy, codec, ROWS, run.evaluation.simulation, tools())
    table = found.tables["simulated conversations by turn"]
    column = {name: at for at, name in enumerate(table.columns)}
    lines = {(line[0], line[1]): line for line in table.rows}
    assert {speaker for speaker, _ in lines} == {"policy", "real answers", "echo of the user"}
    assert lines["real answers", 1][column["words"]] == 1.0  # "Hello." and "Here."
    assert lines["real answers", 3][column["s1 keyword consistency"]] == pytest.approx(2 / 3)  # of like, tea, ski
    assert lines["echo of the user", 2][column["words"]] == 3.0  # "Do you ski?"
    assert [lines["policy", turn][column["conversations"]] for turn in (1, 2, 3)] == [2, 1, 1]
    assert any("1 conversations are shorter than 3 turns" in note for note in found.notes)
    assert any("names no model" in note for note in found.notes)


def test_a_persona_that_was_cut_off_is_told() -> None:
    run, policy, codec = world("tiny_gpt2", "method.max_prompt_tokens=8", "method.max_response_tokens=8")
    found = simulation.measure(policy, codec, ROWS, run.evaluation.simulation, tools())
    assert any("lost their beginning" in note for note in found.notes)


def test_without_a_user_turn_there_is_nobody_to_talk_with() -> None:
    run, policy, codec = world("tiny_gpt2")
    found = simulation.measure(policy, codec, [], run.evaluation.simulation, tools())
    assert found.scores == {} and "nobody to talk with" in found.notes[0]


def test_a_model_plays_the_user_from_a_folder(tmp_path: Path) -> None:
    run, policy, codec = world("tiny_gpt2")
    save_model(policy, load_tokenizer(run.model, source_of(run)), tmp_path)
    spec = run.evaluation.simulation.model_copy(update={"user": str(tmp_path)})
    found = simulation.measure(policy, codec, ROWS, spec, tools())
    table = found.tables["simulated conversations by turn"]
    assert [line[:3] for line in table.rows if line[0] == "policy"] == [("policy", turn, 2) for turn in (1, 2, 3)]
    assert found == simulation.measure(policy, codec, ROWS, spec, tools())
    assert any(f"a user played by {tmp_path}" in note for note in found.notes)


def test_a_finished_stage_plays_the_user_as_the_model_that_it_says_it_is(tmp_path: Path) -> None:
    """A user of another family than the policy's."""
    run, policy, codec = world("tiny_gpt2")
    user, model, _ = world("tiny_mt5")
    save_model(model, load_tokenizer(user.model, source_of(user)), tmp_path / "model")
    written = {"model": user.model.model_dump(), "quantization": user.quantization.model_dump(), "seed": 0}
    (tmp_path / "run.json").write_text(json.dumps(written))
    spec = run.evaluation.simulation.model_copy(update={"user": str(tmp_path)})
    found = simulation.measure(policy, codec, ROWS, spec, tools())
    assert found.scores["persona/simulated_repeated"].n == 2


def test_a_user_that_cannot_talk_is_refused(tmp_path: Path) -> None:
    run, policy, codec = world("tiny_gpt2")
    scorer = load_scorer(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    save_model(scorer, load_tokenizer(run.model, source_of(run)), tmp_path / "reward")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("{}")
    for folder, says in (("reward", "holds a reward model"), ("odd", "not as this version writes it")):
        spec = run.evaluation.simulation.model_copy(update={"user": str(tmp_path / folder)})
        with pytest.raises(UserError, match=says) as refused:
            simulation.measure(policy, codec, ROWS, spec, tools())
        assert "\n" not in str(refused.value) and "evaluation.simulation.user" in str(refused.value)


def test_metrics_are_told_in_full() -> None:
    for metric in simulation.METRICS:
        assert all([metric.meaning, metric.unit, metric.estimator, metric.range, metric.source, metric.fooled])


@given(st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=5), max_size=4), st.integers(1, 4))
def test_any_dialogues_give_answers_to_all_that_was_asked(dialogues, count: int) -> None:
    rows = [row(*said, group=str(at)) for at, said in enumerate(dialogues)]
    scripts = scripts_of(rows, 10, 3, 0)
    assert len(scripts) == len(rows)
    for talk in converse(scripts, count, counting, None):
        assert len(talk.answered) == len(talk.asked) == min(count, len(talk.script.asked))
