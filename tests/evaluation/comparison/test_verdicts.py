"""Metrics that nonsense scores well on: flagged with one sentence, and no other metric."""

from __future__ import annotations

from rlhf.evaluation.comparison.pooled import Line, Measured
from rlhf.evaluation.comparison.verdicts import Flag, flags, unheld

ROLES = ("reference", "policy", "random", "echo", "polite", "shuffled")
LINES = [Line(role, role, f"the {role}", (role,), ()) for role in ROLES]
ACCURACY, REPETITION, KL = "final/accuracy", "response/repetition", "final/kl"  # higher, lower, neither is better


def measured(value: float, low: float | None = None, high: float | None = None, n: int = 60) -> Measured:
    """A metric with a value per question that wobbles around `value`, or, with ends, one of the whole set."""
    each = tuple(value + 0.02 * (place % 3 - 1) for place in range(n)) if low is None else ()
    return Measured(value, n, low, high, each, (), (value,), "questions")


def raised(metric: str, **values: Measured) -> list[Flag]:
    return flags(LINES, {metric: values}, 200, 0)


def test_a_metric_that_tells_answers_from_nonsense_is_not_flagged() -> None:
    bad = measured(0.2)
    assert raised(ACCURACY, reference=measured(0.9), random=bad, echo=bad, polite=bad, shuffled=bad) == []
    assert raised(REPETITION, reference=measured(0.1), random=bad) == []


def test_nonsense_that_scores_better_is_told_with_both_numbers() -> None:
    (flag,) = raised(ACCURACY, reference=measured(0.41), random=measured(0.91), echo=measured(0.1))
    assert flag.told == (
        "final/accuracy: random tokens score 0.91, references 0.41: it can't tell answers from nonsense"
    )
    assert (flag.metric, flag.roles, flag.against, flag.sure) == (ACCURACY, ("random",), "references", True)
    (flag,) = raised(REPETITION, reference=measured(0.3), random=measured(0.3), polite=measured(0.1))
    assert flag.told == (
        "response/repetition: random tokens score 0.3, references 0.3: it can't tell answers from nonsense "
        "(also one polite sentence for everything 0.1)"
    )


def test_each_kind_of_nonsense_says_something_else_of_a_metric() -> None:
    told = {
        role: raised(ACCURACY, reference=measured(0.5), **{role: measured(0.5)})[0].told.rpartition(": ")[2]
        for role in ROLES[2:]
    }
    assert told == {
        "random": "it can't tell answers from nonsense",
        "echo": "repeating the prompt is enough",
        "polite": "saying the same to everybody is enough",
        "shuffled": "it doesn't see whether an answer fits its prompt",
    }


def test_answers_to_other_questions_are_not_held_against_metrics_of_answers_alone() -> None:
    """They are the references in another order: whatever is read of them alone is the same, and says nothing."""
    same = measured(0.5)
    assert raised("text/lexical_diversity", reference=same, shuffled=same) == []
    assert raised("text/f1", reference=same, shuffled=same)[0].roles == ("shuffled",)
    assert raised("text/lexical_diversity", reference=same, shuffled=same, random=same)[0].roles == ("random",)


def test_what_nonsense_lacks_is_told_from_what_it_does_well() -> None:
    """Nothing rude in nonsense is absence; as many rude words as references have is none, nor is the best F1."""
    none, some = Measured(0.0, 60, None, None, (0.0,) * 60, (), (0.0,), ""), measured(0.2)
    assert raised("safety/rude", reference=none, random=none)[0].absent
    assert not raised("safety/rude", reference=some, random=some)[0].absent
    assert not raised("text/f1", reference=some, random=some)[0].absent
    perfect = Measured(1.0, 60, None, None, (1.0,) * 60, (), (1.0,), "")
    assert not raised("text/f1", reference=some, random=perfect)[0].absent


def test_nonsense_that_is_worse_but_not_clearly_is_told_so() -> None:
    """Of eight questions the reference wins four by 0.9 and loses four by 0.1: the interval holds 0."""
    good = Measured(0.5, 8, 0.1, 0.9, (0.9, 0.1) * 4, (), (0.5,), "questions")
    bad = Measured(0.45, 8, 0.0, 0.2, (0.0, 0.9) * 4, (), (0.45,), "questions")
    (flag,) = raised(ACCURACY, reference=good, echo=bad)
    assert not flag.sure
    assert flag.told == (
        "final/accuracy: an echo of the prompt scores 0.45, references 0.5: on 8 values it can't tell them apart"
    )


def test_of_few_questions_nothing_is_claimed_either_way() -> None:
    """Of seven answers no flag, however many tokens they have and wherever the values lie; and it is said so."""
    for each in (True, False):
        good, bad = (few(value, each) for value in (0.9, 0.95))
        values = {"reference": good, "policy": good, "random": bad}
        assert flags(LINES, {ACCURACY: values}, 200, 0) == []
        assert unheld(LINES, {ACCURACY: values, KL: values}) == [ACCURACY]
    enough = {"reference": measured(0.9), "random": measured(0.2)}
    assert unheld(LINES, {ACCURACY: enough}) == []
    assert unheld(LINES, {ACCURACY: {"reference": few(0.9, True)}}) == []  # no nonsense to hold against it


def few(value: float, each: bool) -> Measured:
    answers = (value,) * 7 if each else ()
    return Measured(value, 7 if each else 900, 0.1, 0.99, answers, (), (value,), "questions", 7)


def test_a_metric_without_a_better_direction_or_description_is_never_flagged() -> None:
    assert raised(KL, reference=measured(0.1), random=measured(5.0)) == []
    assert raised("nobody/knows", reference=measured(0.1), random=measured(5.0)) == []


def test_metrics_of_the_whole_set_are_held_to_their_own_intervals() -> None:
    good = measured(0.5, 0.4, 0.6)
    assert raised(ACCURACY, reference=good, random=measured(0.3, 0.2, 0.39)) == []
    assert len(raised(ACCURACY, reference=good, random=measured(0.3, 0.2, 0.41))) == 1
    assert raised(REPETITION, reference=good, random=measured(0.8, 0.7, 0.9)) == []
    assert len(raised(REPETITION, reference=good, random=measured(0.8, 0.6, 0.9))) == 1


def test_where_references_are_perfect_nonsense_is_held_to_the_policy() -> None:
    """As of BLEU, where references are compared with themselves: nonsense below 1 says nothing yet."""
    perfect, bad = Measured(1.0, 60, 1.0, 1.0, (1.0,) * 60, (), (1.0,), ""), measured(0.3)
    assert raised(ACCURACY, reference=perfect, random=bad, policy=measured(0.6)) == []
    (flag,) = raised(ACCURACY, reference=perfect, random=bad, policy=measured(0.25))
    assert (flag.against, flag.told) == (
        "policy",
        "final/accuracy: random tokens score 0.3, the policy 0.25: by it, that model is not clearly better than "
        "nonsense",
    )
    (flag,) = raised(ACCURACY, reference=perfect, random=perfect, policy=measured(0.6))
    assert flag.against == "references"


def test_without_references_nonsense_is_held_to_the_policy() -> None:
    assert raised(ACCURACY, random=measured(0.3), policy=measured(0.6)) == []
    assert raised(ACCURACY, random=measured(0.6), policy=measured(0.6))[0].against == "policy"
    assert raised(ACCURACY, random=measured(0.6)) == []
