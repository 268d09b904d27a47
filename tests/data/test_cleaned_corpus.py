"""Cleaning as a setting of a data set: which rows it takes, their account, and what its fingerprint follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf.data import load_corpus
from rlhf.data.rows import Corpus

HALF = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}


def own(*steps: str) -> dict[str, Any]:
    return {"name": "own", "steps": list(steps), "examples": 5}


def pairs(count: int = 40) -> list[dict[str, str]]:
    rows = [
        {"prompt": f"QUESTION {at}?", "chosen": f"GOOD answer {at}!", "rejected": f"BAD answer {at}!"}
        for at in range(count)
    ]
    return rows


def losses(corpus: Corpus) -> dict[str, int]:
    return {count.step: count.before - count.after for count in corpus.counts if count.after < count.before}


def texts(corpus: Corpus) -> list[str]:
    rows = [*corpus.train, *corpus.validation, *corpus.test]
    answers = [text for row in rows for text in (row.completion, row.chosen, row.rejected) if text is not None]
    return answers + [turn["content"] for row in rows for turn in row.prompt]


def test_every_text_of_a_row_is_cleaned_and_only_with_steps(jsonl, spec_of) -> None:
    path = jsonl(pairs())
    raw = load_corpus(spec_of("ultrafeedback_binarized", path=path, split=HALF), "preference")
    assert raw.cleaned is None
    assert all(any(map(str.isupper, text)) for text in texts(raw))
    for shape in ("preference", "demonstration"):
        cleaned = load_corpus(
            spec_of("ultrafeedback_binarized", path=path, split=HALF, cleaning=own("lowercase", "punctuation")), shape
        )
        assert not [text for text in texts(cleaned) if any(map(str.isupper, text)) or text[-1] in "!?"]
        assert cleaned.cleaned is not None
        assert cleaned.cleaned.table(["lowercase", "punctuation"]) == [
            ["lowercase", 120, 120],
            ["punctuation", 120, 120],
        ]


def test_rows_that_cleaning_empties_or_makes_equal_are_named_losses(jsonl, spec_of) -> None:
    rows = pairs() + [
        {"prompt": "https://x.com", "chosen": "a", "rejected": "b"},
        {"prompt": "why?", "chosen": "https://x.com", "rejected": "b"},
        {"prompt": "why?", "chosen": "Yes", "rejected": "YES"},
        {"prompt": "question 1?", "chosen": "good answer 1!", "rejected": "bad answer 1!"},  # equal to row 1, cleaned
    ]
    spec = spec_of("ultrafeedback_binarized", path=jsonl(rows), split=HALF, cleaning=own("urls", "lowercase"))
    corpus = load_corpus(spec, "preference")
    held = len(corpus.train) + len(corpus.validation) + len(corpus.test)
    lost = losses(corpus)
    assert lost["empty after cleaning"] == 2
    assert lost["answers are equal after cleaning"] == 1
    assert lost["duplicates"] == 1
    assert held == 40


def test_prompts_that_become_equal_stay_on_one_side(jsonl, spec_of) -> None:
    rows = [
        {"prompt": f"{mark}Question {at}{mark}", "chosen": f"yes {mark}", "rejected": "no"}
        for at in range(60)
        for mark in ("!", "?", "...")
    ]
    spec = spec_of("ultrafeedback_binarized", path=jsonl(rows), split=HALF, cleaning=own("punctuation"))
    corpus = load_corpus(spec, "preference")
    sides = [{str(row.prompt) for row in part} for part in (corpus.train, corpus.validation, corpus.test)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert sum(map(len, sides)) == 60


def test_the_fingerprint_follows_the_steps_and_nothing_else(jsonl, spec_of) -> None:
    path = jsonl([{**row, "chosen": f"{row['chosen']} 😀 {{{{Name}}}}"} for row in pairs()])

    def fingerprint(cleaning: Any) -> str:
        spec = spec_of("ultrafeedback_binarized", path=path, split=HALF, cleaning=cleaning)
        return load_corpus(spec, "preference").fingerprint

    distinct = {fingerprint(own(*steps)) for steps in ([], ["lowercase"], ["emojis"], ["emojis", "lowercase"])}
    assert len(distinct) == 4
    assert fingerprint(own("emojis")) == fingerprint({**own("emojis"), "name": "another", "examples": 0})
    assert fingerprint(own()) == fingerprint(spec_of("ultrafeedback_binarized").cleaning)  # conf/cleaning/none.yaml


def test_a_large_source_is_cleaned_and_accounted_for_alike_and_kept(jsonl, spec_of, tmp_path: Path) -> None:
    changes = {"path": jsonl(pairs()), "split": HALF, "cleaning": own("lowercase", "punctuation")}
    small = load_corpus(spec_of("ultrafeedback_binarized", **changes), "preference")
    reading = spec_of("ultrafeedback_binarized").reading.model_copy(update={"stream_over_mb": 0.0, "workers": 1})
    large = spec_of("ultrafeedback_binarized", **changes, reading=reading)
    made, kept = (load_corpus(large, "preference", tmp_path / "store") for _ in range(2))
    for corpus in (made, kept):
        assert corpus.fingerprint == small.fingerprint
        assert corpus.cleaned is not None and small.cleaned is not None
        assert corpus.cleaned.table(["lowercase", "punctuation"]) == [
            ["lowercase", 120, 120],
            ["punctuation", 120, 120],
        ]
        assert corpus.cleaned.examples(5) == small.cleaned.examples(5)
