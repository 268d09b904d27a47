"""The other formats: rows by hand and the published files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlhf.data import bitext, load_corpus, rm_single_context, table, ultrafeedback_binarized
from rlhf.data.rows import Drop, Row
from rlhf.errors import UserError

ANY_SPEC: Any = None  # these formats take no settings


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def agent(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def test_rm_single_context_gets_its_first_human_back() -> None:
    raw = {
        "prompt": "Hi\n\nAssistant: Hello\n\nHuman: How tall is K2?\n\n",
        "chosen": "Assistant: 8,611 m.",
        "rejected": "Assistant: Tall.",
    }
    row = rm_single_context.rows(raw, ANY_SPEC)
    assert row.prompt == (user("Hi"), agent("Hello"), user("How tall is K2?"))
    assert (row.group, row.chosen, row.rejected) == ("hi", "8,611 m.", "Tall.")


def test_rm_single_context_re_cut_from_hh_rlhf_gives_the_same_corpus(shared_data, spec_of) -> None:
    whole = load_corpus(
        spec_of("hh_rlhf", path=str(shared_data / "preference/hh_rlhf_helpful_base.jsonl.gz")), "preference"
    )
    cut = load_corpus(
        spec_of("rm_single_context", path=str(shared_data / "derived/rm_single_context_style.jsonl.gz")), "preference"
    )
    assert (whole.train, whole.validation, whole.test) == (cut.train, cut.validation, cut.test)
    assert whole.fingerprint == cut.fingerprint


def test_ultrafeedback_reads_text_columns_and_message_lists_alike() -> None:
    text = {"prompt": " Name a prime. ", "chosen": "Seven.", "rejected": "Nine."}
    lists = {"chosen": [user("Name a prime."), agent("Seven.")], "rejected": [user("Name a prime."), agent("Nine.")]}
    expected = Row((user("Name a prime."),), "name a prime.", chosen="Seven.", rejected="Nine.")
    assert ultrafeedback_binarized.rows(text, ANY_SPEC) == expected
    assert ultrafeedback_binarized.rows(lists, ANY_SPEC) == expected


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ([user("a"), agent("x")], [user("b"), agent("y")], "prompts differ"),
        ([user("a"), agent("")], [user("a"), agent("y")], "an answer is empty"),
        ([user("a"), agent("x")], [user("a"), agent("x ")], "answers are equal"),
        ([], [], "the prompt is empty"),
    ],
)
def test_ultrafeedback_message_lists_of_no_use_are_dropped(chosen, rejected, reason) -> None:
    with pytest.raises(Drop, match=reason):
        ultrafeedback_binarized.rows({"chosen": chosen, "rejected": rejected}, ANY_SPEC)


def test_ultrafeedback_sample_loses_its_5_identical_pairs_and_its_empty_answers(shared_data, spec_of) -> None:
    path = shared_data / "preference/ultrafeedback_binarized.jsonl.gz"
    corpus = load_corpus(spec_of("ultrafeedback_binarized", path=str(path)), "preference")
    lost = {count.step: count.before - count.after for count in corpus.counts[1:-3]}
    assert lost == {"answers are equal": 5, "an answer is empty": 2, "duplicates": 0}
    assert corpus.counts[0].after == 1008


def test_bitext_masks_digits_in_the_group_and_reads_both_column_sets(spec_of) -> None:
    late = {
        "flags": "BL",
        "instruction": "Cancel order 123",
        "category": "ORDER",
        "intent": "cancel_order",
        "response": "Done.\r\nBye. ",
    }
    early = {"context": "customer support", "tags": "BL", **{k: v for k, v in late.items() if k != "flags"}}
    keep = spec_of("bitext")
    meta = {"intent": "cancel_order", "category": "ORDER", "language": "en", "flags": "BL"}
    expected = Row((user("Cancel order 123"),), "cancel order ###", completion="Done.\nBye.", meta=meta)
    assert bitext.rows(late, keep) == expected
    assert bitext.rows(early, keep) == expected


def test_both_bitext_releases_give_the_same_corpus(shared_data, spec_of) -> None:
    names = ("derived/bitext_27k_schema.jsonl.gz", "support/bitext_customer_support_4514.jsonl.gz")
    late, early = (load_corpus(spec_of("bitext", path=str(shared_data / name)), "demonstration") for name in names)
    assert late.fingerprint == early.fingerprint
    assert late.counts[0].after == 4062
    assert len({row.meta["intent"] for row in late.train}) == 27


def test_bitext_cannot_serve_a_preference_method(shared_data, spec_of) -> None:
    with pytest.raises(UserError, match="dataset=bitext: it holds demonstrations.*method=sft"):
        load_corpus(spec_of("bitext", path=str(shared_data / "derived/bitext_27k_schema.jsonl.gz")), "preference")


TALK = [user("Hi"), agent("Hello"), user("Bye"), agent("See you")]


@pytest.mark.parametrize(
    ("columns", "raw", "expected"),
    [
        ({"prompt": "q", "completion": "a"}, {"q": "Hi", "a": " Hello "}, Row((user("Hi"),), "hi", completion="Hello")),
        (
            {"prompt": "q", "completion": "a", "label": "ok"},
            {"q": "Hi", "a": "Hello", "ok": "False"},
            Row((user("Hi"),), "hi", completion="Hello", label=False),
        ),
        (
            {"prompt": "q", "completion": "a", "label": "ok"},
            {"q": "Hi", "a": "Hello", "ok": 1},
            Row((user("Hi"),), "hi", completion="Hello", label=True),
        ),
        (
            {"prompt": "q", "chosen": "good", "rejected": "bad"},
            {"q": [{"from": "human", "value": "Hi"}], "good": {"from": "gpt", "value": "Hello"}, "bad": "No"},
            Row((user("Hi"),), "hi", chosen="Hello", rejected="No"),
        ),
        (
            {"chosen": "good", "rejected": "bad"},
            {"good": TALK, "bad": [*TALK[:3], agent("Go")]},
            Row(tuple(TALK[:3]), "hi", chosen="See you", rejected="Go"),
        ),
        ({"messages": "talk"}, {"talk": json.dumps(TALK)}, Row(tuple(TALK[:3]), "hi", completion="See you")),
    ],
)
def test_a_table_is_read_through_its_column_map(columns, raw, expected, spec_of) -> None:
    assert table.rows(raw, spec_of("table", columns=columns)) == expected


@pytest.mark.parametrize(
    ("columns", "raw", "message"),
    [
        ({"prompt": "q"}, {"q": "Hi"}, "dataset.columns.*does not make a row"),
        ({"prompt": "q", "completion": "a"}, {"q": "Hi", "b": "x"}, "'a': there is no such column, only: q, b"),
        ({"prompt": "q", "completion": "a"}, {"q": 7, "a": "x"}, "a int where text was expected"),
        ({"prompt": "q", "completion": "a"}, {"q": "\ud800", "a": "x"}, "surrogate"),
        ({"prompt": "q", "completion": "a", "label": "l"}, {"q": "Hi", "a": "x", "l": "maybe"}, "'maybe' is no label"),
        ({"messages": "m"}, {"m": [{"role": "wizard", "content": "x"}]}, "unknown role 'wizard'"),
        ({"messages": "m"}, {"m": "[{"}, "not JSON"),
        ({"messages": "m"}, {"m": ["x"]}, "not a list of messages"),
    ],
)
def test_a_table_row_that_cannot_be_read_says_which_column(columns, raw, message, spec_of) -> None:
    with pytest.raises(UserError, match=message):
        table.rows(raw, spec_of("table", columns=columns))
