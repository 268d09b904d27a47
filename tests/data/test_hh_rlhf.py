"""The hh-rlhf format: rows by hand, the published files by a literal rule, and a fuzz of the parser."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data import hh_rlhf, load_corpus
from rlhf.data.rows import Drop, Row

ANY_SPEC: Any = None  # the format takes no settings
H, A = "\n\nHuman: ", "\n\nAssistant: "


def test_a_pair_is_cut_after_the_last_shared_assistant_turn() -> None:
    shared = f"{H}Hi  THERE{A}Hello.{H}How tall is K2?{A}"
    row = hh_rlhf.rows({"chosen": f"{shared}8,611 metres.\r\n", "rejected": f"{shared} Tall. "}, ANY_SPEC)
    assert row == Row(
        prompt=(
            {"role": "user", "content": "Hi  THERE"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "How tall is K2?"},
        ),
        group="hi there",
        chosen="8,611 metres.",
        rejected="Tall.",
    )


def test_answers_that_begin_alike_are_not_cut_short() -> None:
    row = hh_rlhf.rows({"chosen": f"{H}q{A}The same start, A", "rejected": f"{H}q{A}The same start, B"}, ANY_SPEC)
    assert (row.chosen, row.rejected) == ("The same start, A", "The same start, B")


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (f"{H}a{A}x", f"{H}b{A}y", "prompts differ"),
        (f"{H}a{A}x{H}more{A}y", f"{H}a{A}z", "prompts differ"),
        (f"{H}a{A}x", f"{H}a{A}y{H}and then?", "prompts differ"),
        ("no turns at all", "none here", "prompts differ"),
        (f"{H}a{A}", f"{H}a{A}y", "an answer is empty"),
        (f"{H}a{A}same", f"{H}a{A} same ", "answers are equal"),
        (f"{H}a{A}b{A}x", f"{H}a{A}b{A}y", "the prompt does not begin and end with the user"),
        (f"{A}x", f"{A}y", "the prompt is empty"),
        (f"{H} {A}x", f"{H} {A}y", "the prompt is empty"),
        (f"Preface{H}a{A}x", f"Preface{H}a{A}y", "text before the first turn"),
    ],
)
def test_a_row_of_no_use_is_dropped_with_its_reason(chosen: str, rejected: str, reason: str) -> None:
    with pytest.raises(Drop, match=f"^{reason}$"):
        hh_rlhf.rows({"chosen": chosen, "rejected": rejected}, ANY_SPEC)


def test_split_and_empty_turns_are_joined() -> None:
    shared = f"{H}one{H}two{A} {H}three{A}"
    row = hh_rlhf.rows({"chosen": f"{shared}x", "rejected": f"{shared}y"}, ANY_SPEC)
    assert row.prompt == ({"role": "user", "content": "one\n\ntwo\n\nthree"},)


def literal_rule(chosen: str, rejected: str) -> str:
    """Cut both at their last `Assistant:`; the README's 15 rows with other prompts are found this way."""
    mark = "\n\nAssistant:"
    i, j = chosen.rfind(mark), rejected.rfind(mark)
    if chosen[:i] != rejected[:j]:
        return "prompts differ"
    a, b = chosen[i + len(mark) :], rejected[j + len(mark) :]
    if "\n\nHuman:" in a + b:
        return "prompts differ"  # the human speaks last: 2 rows of helpful_online
    if not a.strip() or not b.strip():
        return "an answer is empty"
    return "answers are equal" if a.strip() == b.strip() else "kept"


FILES = {  # file: rows, prompts differ, an answer is empty, answers are equal; counted in the raw files
    "helpful_base": (2053, 7, 4, 2),
    "harmless_base": (1995, 5, 3, 0),
    "helpful_online": (1011, 0 + 2, 3, 2),
    "helpful_rejection_sampled": (2497, 3, 0, 30),
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_the_published_file_is_accounted_for(name, shared_data, spec_of) -> None:
    path = shared_data / "preference" / f"hh_rlhf_{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    rule = Counter(literal_rule(row["chosen"], row["rejected"]) for row in raw)
    total, differ, empty, equal = FILES[name]
    assert len(raw) == total
    assert (rule["prompts differ"], rule["an answer is empty"], rule["answers are equal"]) == (differ, empty, equal)

    corpus = load_corpus(spec_of("hh_rlhf", path=str(path)), "preference")
    lost = {count.step: count.before - count.after for count in corpus.counts[1:-3]}
    assert Counter(lost) == Counter({step: n for step, n in rule.items() if step != "kept"})
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == total - differ - empty - equal


def test_the_answers_of_kept_rows_end_their_transcripts(shared_data) -> None:
    path = shared_data / "preference" / "hh_rlhf_helpful_base.jsonl.gz"
    kept = 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            if literal_rule(raw["chosen"], raw["rejected"]) == "kept":
                row = hh_rlhf.rows(raw, ANY_SPEC)
                for side, text in (("chosen", row.chosen), ("rejected", row.rejected)):
                    assert raw[side][raw[side].rfind("\n\nAssistant:") + 12 :].strip() == text
                kept += 1
    assert kept == 2040


pieces = st.lists(
    st.sampled_from(["\n\nHuman:", "\n\nAssistant:", " ", "\n", "\r\n", "a", "Human:"]) | st.text(max_size=5)
)


@settings(max_examples=300, deadline=None)
@given(pieces.map("".join), pieces.map("".join), pieces.map("".join))
def test_any_text_gives_a_sound_row_or_a_drop(shared: str, left: str, right: str) -> None:
    try:
        row = hh_rlhf.rows({"chosen": shared + left, "rejected": shared + right}, ANY_SPEC)
    except Drop as reason:
        assert str(reason)
        return
    assert [turn["role"] for turn in row.prompt] == ["user", "assistant"] * (len(row.prompt) // 2) + ["user"]
    assert all(turn["content"] == turn["content"].strip() != "" for turn in row.prompt)
    assert row.chosen and row.rejected and row.chosen != row.rejected
    assert "\n\nHuman:" not in row.chosen + row.rejected
