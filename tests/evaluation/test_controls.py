"""Control lines: each nonsense speaker says what its name promises, the same at each call, and nothing of its own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from rlhf.data.rows import Row
from rlhf.evaluation.controls import (
    NONSENSE,
    echoes,
    nonsense,
    ordinary_tokens,
    polite,
    random_tokens,
    references,
    shuffled,
)

WORDS = {"<eos>": 0, "<pad>": 1, "<unk>": 2, "room": 3, "train": 4, "ticket": 5, "late": 6}


def ask(question: str, answer: str | None, language: str | None = None) -> Row:
    turns = (
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": question},
    )
    return Row(turns, question, completion=answer, meta={"language": language} if language else {})


def codec() -> Any:
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    return SimpleNamespace(
        tokenizer=fast,
        response_ids=lambda text, eos: fast(text, add_special_tokens=False)["input_ids"],
        decode=fast.decode,
    )


def test_references_are_the_rows_own_and_empty_where_there_is_none() -> None:
    assert references([ask("a", "first"), ask("b", None)]) == ["first", ""]


def test_echo_is_the_last_thing_that_the_user_said() -> None:
    assert echoes([ask("where is my order?", "here")]) == ["where is my order?"]
    assert echoes([Row(({"role": "system", "content": "be kind"},), "g")]) == [""]


@pytest.mark.parametrize(
    ("languages", "begins"),
    [(["es", "es", "en"], "¡Gracias"), (["zh"], "感谢"), (["en"], "Thank you"), (["fi"], "Thank you")],
)
def test_the_polite_answer_is_in_the_language_that_most_rows_name(languages: list[str], begins: str) -> None:
    said = polite([ask(str(place), "x", language) for place, language in enumerate(languages)])
    assert len(said) == len(languages)
    assert len(set(said)) == 1
    assert said[0].startswith(begins)


def test_the_language_is_read_from_the_references_where_no_row_names_one() -> None:
    spanish = "Su pedido llegará mañana por la tarde, no se preocupe por nada."
    assert polite([ask("1", spanish), ask("2", spanish + " Gracias."), ask("3", None)])[0].startswith("¡Gracias")


def test_no_question_gets_its_own_answer_or_an_equal_one() -> None:
    texts = ["a", "a", "b", "a ", "c", "b", "d", "e"]  # three of eight are alike but for a space
    for seed in range(50):
        answers = shuffled(texts, seed)
        assert answers is not None
        assert Counter(answers) == Counter(texts)  # each reference is used exactly once
        assert all(own.strip() != other.strip() for own, other in zip(texts, answers, strict=True))


def test_where_most_answers_are_equal_no_more_of_them_stay_than_must() -> None:
    texts = ["same"] * 5 + ["b", "c"]  # two of the five can be given away, so three must stay
    for seed in range(20):
        answers = shuffled(texts, seed) or []
        assert sum(own == other for own, other in zip(texts, answers, strict=True)) == 3


def test_distinct_answers_are_never_left_where_they_were_even_when_two() -> None:
    assert shuffled(["a", "b"], 3) == ["b", "a"]
    assert shuffled(["only"], 3) is None
    assert shuffled(["x", "x"], 0) == ["x", "x"]


def test_seeds_draw_different_orders_and_one_seed_always_the_same() -> None:
    texts = [str(place) for place in range(30)]
    assert shuffled(texts, 1) == shuffled(texts, 1)
    assert len({tuple(shuffled(texts, seed) or ()) for seed in range(5)}) == 5


def test_special_tokens_are_no_text() -> None:
    assert ordinary_tokens(codec().tokenizer) == [3, 4, 5, 6]


def test_random_answers_are_as_long_as_asked_and_uniform() -> None:
    drawn = random_tokens([0, 1, 4000], [3, 4, 5, 6], lambda ids: " ".join(map(str, ids)), 7)
    assert [len(text.split()) for text in drawn] == [0, 1, 4000]
    counts = Counter(drawn[2].split())
    assert set(counts) == {"3", "4", "5", "6"}
    # 4000 fair draws of four: a standard deviation is sqrt(4000 x 1/4 x 3/4) = 27.4; five of them to either side
    assert all(abs(count - 1000) < 137 for count in counts.values())


def test_all_four_lines_answer_all_questions_and_random_ones_are_as_long_as_the_references() -> None:
    questions = [ask("when?", "train late"), ask("where?", "room"), ask("which?", "ticket ticket late room")]
    lines, notes = nonsense(questions, codec(), 5)
    assert tuple(lines) == NONSENSE
    assert notes == []
    assert [len(text.split()) for text in lines["random"]] == [2, 1, 4]
    assert set(" ".join(lines["random"]).split()) <= {"room", "train", "ticket", "late"}
    assert lines == nonsense(questions, codec(), 5)[0]
    assert all(a != b for a, b in pairwise([lines[role] for role in NONSENSE]))


def test_one_question_has_no_shuffled_answer_and_the_reader_is_told() -> None:
    lines, notes = nonsense([ask("when?", "late")], codec(), 5)
    assert tuple(lines) == ("echo", "polite", "random")
    (note,) = notes
    assert "`shuffled`" in note
