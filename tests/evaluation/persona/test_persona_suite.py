"""The persona suite: means and shares by hand on rows made by hand, its notes, and what the control lines expose."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.compose import jobs, parse_words
from rlhf.data import load_corpus
from rlhf.data.personas import persona_sentences
from rlhf.errors import UserError
from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.suites import persona
from tests.evaluation.persona.persona_world import evaluation, row, rule_bound, tools

SPEC = evaluation().persona
PERSONA = "I have a dog.\nI like tea."  # keywords: dog, like, tea (have is a stop word)
QUESTIONS = [
    row("Hi", persona=PERSONA, answer="Hello there.", group="a"),
    row("Hi", "Hello, I ski.", "And you?", persona=PERSONA, answer="My dog drinks tea.", group="b"),
    row("Who are you?", system="You are Mia. Be kind.", persona="Mia", answer="I am Mia.", group="c"),
    row("Where is my order?", answer="It left today.", group="d"),
]
TEXTS = ["I like tea.", "I do not ski.", "Mia, indeed!", "What?"]


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    return SPEC.model_copy(
        update={"nli": SPEC.nli.model_copy(update={"model": rule_bound(tmp_path_factory.mktemp("nli"))})}
    )


def test_keywords_and_engagement_are_means_over_the_rows_they_belong_to() -> None:
    found = persona.build(SPEC, tools())(QUESTIONS, TEXTS)
    consistency = found.scores["persona/s1_keyword_consistency"]
    # dog, like, tea: 2 of 3; 0 of 3; of "You are Mia. Be kind." mia and kind: 1 of 2; no persona
    assert consistency.each == (pytest.approx(2 / 3), 0.0, 0.5, None)
    assert (consistency.n, consistency.value) == (3, pytest.approx((2 / 3 + 0.5) / 3))
    assert found.scores["persona/s1_questions"].each == (0.0, 0.0, 0.0, 1.0)
    assert found.scores["persona/s1_engagement"].each[3] == pytest.approx(0.3 + 0.2 / 20 + 0.2)
    assert found.scores["persona/copied"].each == (0.0, 0.0, 0.0, None)
    assert not {name for name in found.scores if "contradiction" in name or "entail" in name}
    assert persona.NO_NLI in found.notes


def test_inference_by_hand(ruled) -> None:
    """The model hears "not" as a contradiction and "indeed" as entailment, whatever else stands there."""
    found = persona.build(ruled, tools())(QUESTIONS, TEXTS)
    scores = {name.removeprefix("persona/"): score for name, score in found.scores.items()}
    assert scores["contradiction"].each == (0.0, 1.0, 0.0, None)
    assert scores["entailment"].each == (0.0, 0.0, 1.0, None)
    assert scores["c_score"].each == (0.0, -2.0, 2.0, None)  # two sentences contradicted, two entailed
    assert scores["self_contradiction"].each == (None, 1.0, None, None)
    assert scores["self_contradiction"].n == 1
    share = wilson(1, 3)
    assert (scores["contradiction"].value, scores["contradiction"].low) == pytest.approx((share.mean, share.low))
    assert persona.NO_NLI not in found.notes


def test_the_table_by_turn_counts_the_answers_before(ruled) -> None:
    table = persona.build(ruled, tools())(QUESTIONS, TEXTS).tables["persona by turn"]
    column = table.columns.index("contradiction")
    assert [(line[0], line[1], line[column]) for line in table.rows] == [(1, 3, 0.0), (2, 1, 1.0)]
    assert table.rows[0][table.columns.index("self contradiction")] is None


def test_rows_without_a_persona_are_told_in_one_note() -> None:
    bare = [row("Where is my order?", answer="It left."), row("Hi", answer="Hello.")]
    found = persona.build(SPEC, tools())(bare, ["Today.", ""])
    assert [note for note in found.notes if "no question carries a persona" in note] == [persona.NO_PERSONA]
    assert {name for name in found.scores} == set(persona.PARTS)
    assert found.scores["persona/s1_engagement"].each[1] == 0.0


def test_no_questions_give_no_numbers() -> None:
    assert persona.build(SPEC, tools())([], []).scores == {}


def test_test_sets_are_drawn_by_the_seed_and_their_size_is_told() -> None:
    small = evaluation("evaluation.persona.consistency_rows=5", "evaluation.persona.engagement_rows=3").persona
    rows = [row(f"Hi {at}", persona=PERSONA) for at in range(20)]
    texts = [f"tea {at}" for at in range(20)]
    first, again, other = (persona.build(small, tools(seed))(rows, texts) for seed in (0, 0, 1))
    taken = [
        [at for at, value in enumerate(found.scores["persona/s1_keyword_consistency"].each) if value is not None]
        for found in (first, again, other)
    ]
    assert taken[0] == taken[1] != taken[2]
    assert len(taken[0]) == first.scores["persona/copied"].n == 5
    assert first.scores["persona/s1_engagement"].n == 3
    assert any("5 of 20 questions with a persona, engagement on 3 of 20" in note for note in first.notes)


def test_a_wrong_nli_model_is_refused_when_the_suite_is_built(tmp_path: Path) -> None:
    spec = evaluation(f"evaluation.persona.nli.model={tmp_path / 'nowhere'}").persona
    with pytest.raises(UserError, match="evaluation.persona.nli.model"):
        persona.build(spec, tools())


def test_metrics_are_told_in_full() -> None:
    names = [metric.name for metric in persona.METRICS]
    assert len(set(names)) == len(names) and all(name.startswith("persona/") for name in names)
    for metric in persona.METRICS:
        assert isinstance(metric, Metric)
        assert all([metric.meaning, metric.unit, metric.estimator, metric.range, metric.source, metric.fooled])


ANY_ROW = st.builds(
    lambda turns, own, system: row(*turns, persona=own, system=system),
    st.lists(st.text(max_size=20), min_size=1, max_size=4),
    st.one_of(st.none(), st.text(max_size=30), st.lists(st.text(max_size=20), max_size=3)),
    st.one_of(st.none(), st.text(max_size=30)),
)


@settings(max_examples=25)
@given(st.lists(st.tuples(ANY_ROW, st.text(max_size=40)), max_size=5))
def test_any_rows_and_answers_are_measured(pairs) -> None:
    rows, texts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = persona.build(SPEC, tools())(rows, texts)
    for score in found.scores.values():
        assert len(score.each) == len(rows)
        assert score.n == sum(value is not None for value in score.each)
        if score.n > 1:
            assert score.low <= score.value + 1e-9 and score.value <= score.high + 1e-9


def corpus(*words: str):
    [(_, run)] = jobs(parse_words(["tracking=none", "hardware=cpu", "method=sft", *words]))
    return load_corpus(run.dataset, "demonstration", Path(run.store))


def test_control_lines_expose_the_formulas_of_study_s1(shared_data: Path) -> None:
    """On real dialogues: real answers 0.05, the persona said back 1; nonsense engages more than real answers do.

    STUDIES.md tells the same of the study's own scores: 0.05, 0.999 and 0.91 for nonsense.
    """
    file = shared_data / "persona" / "synthetic_persona_chat.jsonl.gz"
    rows = list(
        corpus(
            "dataset=synthetic_persona_chat", f"dataset.path={file}", "dataset.limit=800", "evaluation.judge=none"
        ).train
    )
    suite = persona.build(evaluation("evaluation.persona.consistency_rows=10000").persona, tools())
    real = suite(rows, [str(row.completion) for row in rows])
    back = suite(rows, [" ".join(persona_sentences(row)) for row in rows])
    nonsense = suite(rows, [SPEC.nonsense] * len(rows))
    consistency, engaging = "persona/s1_keyword_consistency", "persona/s1_engagement"
    assert 0.02 < real.scores[consistency].value < 0.08
    assert back.scores[consistency].value == 1.0
    assert real.scores["persona/copied"].value < 0.1 and back.scores["persona/copied"].value > 0.95
    assert real.scores[engaging].value < 0.5 < 0.9 < nonsense.scores[engaging].value
    told = f"the persona said back 1.00, the reference answers {real.scores[consistency].value:.2f}"
    assert any(told in note for note in real.notes)


def test_the_toy_world_carries_personas_in_its_system_messages() -> None:
    rows = list(corpus("dataset.rows=60").test)
    found = persona.build(SPEC, tools())(rows, [str(row.completion) for row in rows])
    assert found.scores["persona/s1_keyword_consistency"].n == len(rows)
    assert persona.NO_PERSONA not in found.notes
