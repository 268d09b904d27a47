"""How an answer stands to statements: which text is the premise, thresholds, and several statements, by hand."""

from __future__ import annotations

from rlhf.evaluation.persona.inference import Stand, stands
from rlhf.evaluation.persona.nli import Inference
from tests.evaluation.persona.persona_world import evaluation

SPEC = evaluation("evaluation.persona.nli.entailment=0.6", "evaluation.persona.nli.contradiction=0.5").persona.nli
TOLD = {
    ("I have two dogs.", "I have a dog."): Inference(0.9, 0.0),
    ("I have two dogs.", "I hate dogs."): Inference(0.0, 0.5),
    ("I have two dogs.", "I have no dog."): Inference(0.1, 0.8),
    ("I have a dog.", "I have two dogs."): Inference(0.59, 0.1),
}


def read(pairs):
    return [TOLD[pair] for pair in pairs]


def test_the_answer_is_the_premise_of_what_it_shows() -> None:
    """One sentence follows, two are contradicted (0.5 counts, the threshold included)."""
    persona = ["I have a dog.", "I hate dogs.", "I have no dog."]
    [stand] = stands(["I have two dogs."], [persona], read, SPEC, first="answer")
    assert stand == Stand(entailed=1, contradicted=2)
    assert stand.balance == -1


def test_what_was_said_before_is_the_premise_of_an_answer() -> None:
    """0.59 is below the threshold of 0.6."""
    assert stands(["I have two dogs."], [["I have a dog."]], read, SPEC, first="statement") == [Stand(0, 0)]


def test_answers_keep_their_own_statements() -> None:
    answers = ["Hello.", "I have two dogs.", "Bye.", "I have two dogs."]
    statements = [[], ["I hate dogs."], [], ["I have a dog."]]
    found = stands(answers, statements, read, SPEC, first="answer")
    assert found == [Stand(0, 0), Stand(0, 1), Stand(0, 0), Stand(1, 0)]
