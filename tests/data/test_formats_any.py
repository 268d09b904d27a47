"""All formats at once: what a record looks like, and that no record whatever gives a traceback or goes unnamed."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data import FORMATS, load_corpus
from rlhf.data.formats import hint
from rlhf.data.records import gather
from rlhf.dataset_spec import FileSpec

MAPPED = "table"  # looks like nothing: its columns are the user's
READ = [name for name in FORMATS if name != MAPPED]


def examples(name: str) -> list[dict[str, Any]]:
    """The example rows of a format's docstring."""
    found, rest = [], (import_module(f"rlhf.data.{name}").__doc__ or "").partition("\n\n")[2]
    decoder = json.JSONDecoder()
    while "{" in rest:
        rest = rest[rest.index("{") :]
        try:
            row, end = decoder.raw_decode(rest)
        except ValueError:
            return found  # an example that is cut short with dots
        found.append(row)
        rest = rest[end:]
    return found


@pytest.mark.parametrize("name", READ)
def test_the_example_row_of_a_format_is_one(name: str, spec_of) -> None:
    spec = spec_of(name, **({"api_calls": "keep"} if name == "taskmaster_reward" else {}))
    rows = examples(name)
    assert rows
    for raw in rows:
        made, account = gather([("here", raw)], spec, "preference" if spec.has_pairs else "demonstration")
        judged_bad = raw.get("label") is False  # a sound row that demonstrates nothing
        assert (bool(made) or judged_bad, account.broken) == (True, [])


@pytest.mark.parametrize("name", READ)
def test_a_row_under_the_wrong_format_is_told_the_right_one(name: str, spec_of) -> None:
    for raw in examples(name):
        wrong = spec_of("qa_feedback" if name != "qa_feedback" else "oasst", path="mine.jsonl")
        told = hint(raw, wrong)
        assert told == f"It looks like the format {name}: use dataset={name} dataset.path=mine.jsonl"


def test_a_row_of_no_known_format_is_sent_to_the_table(spec_of) -> None:
    told = hint({"question": "a", "reply": "b"}, spec_of("hh_rlhf"))
    assert told.startswith("Use dataset=table and name the columns")


def test_a_row_that_two_formats_could_hold_names_both(spec_of) -> None:
    both = {"prompt": "Hi", "chosen": "a", "rejected": "b", "instruction": "Hi", "output": "a", "tag": True}
    told = hint(both, spec_of("hh_rlhf"))
    assert told == (
        "It looks like the formats ultrafeedback_binarized or kto_mix: use dataset=ultrafeedback_binarized "
        "dataset.path=FILE, or dataset=kto_mix"
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("qa_feedback", {"preference": [0, 0, 0, 0, 0, 0]}),
        ("feedback", {"choice": "tie"}),
        ("synthetic_persona_chat", {"Best Generated Conversation": "Hi"}),
        ("ultrafeedback_binarized", {"chosen": "same", "rejected": "same"}),
    ],
)
def test_a_row_of_no_use_is_told_its_format_as_well(name, change, spec_of) -> None:
    told = hint({**examples(name)[0], **change}, spec_of("dpo_mix"))
    assert told.startswith(f"It looks like the format {name}:")


def test_two_texts_are_not_taken_for_transcripts(spec_of) -> None:
    assert hint({"chosen": "a", "rejected": "b"}, spec_of("dpo_mix")).startswith("Use dataset=table")


def test_the_error_of_a_missing_column_carries_the_hint(jsonl, spec_of) -> None:
    path = jsonl([{"instruction": "Hi", "output": "Hello", "tag": True}])
    with pytest.raises(ValueError, match=r"rows\.jsonl:1, column 'chosen'.*looks like the format kto_mix"):
        load_corpus(spec_of("hh_rlhf", path=path), "preference")


# --- fuzz: records with the right columns and any content

KEYS = sorted(
    {key for name in READ for raw in examples(name) for key in raw} | {"context", "tags", "services", "turns"}
)
INNER = ["role", "content", "from", "value", "text", "speaker", "utterance", "frames", "api", "response", "selected"]
WORDS = ["user", "assistant", "system", "human", "gpt", "agent", "usr", "sys", "USER", "SYSTEM", "tie", "Response 1"]
TALK = [
    "\n\nHuman: a",
    "\n\nAssistant: b",
    "User 1: a\n",
    "User 2: b\n",
    "User: a ",
    "Chatbot: b ",
    "Assistant: x",
    "\r\n",
    "{{Order Number}}",
]
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.lists(st.sampled_from(TALK), max_size=5).map("".join)
    | st.text(st.characters(codec=None), max_size=6)
)
nested = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(INNER + KEYS), inner, max_size=4),
    max_leaves=12,
)
content = nested | nested.map(lambda made: json.dumps(made))
record = st.dictionaries(st.sampled_from(KEYS), content, max_size=10)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """An example row with some columns missing, or holding anything."""
    raw = dict(draw(st.sampled_from(examples(name))))
    for key in draw(st.lists(st.sampled_from(sorted(raw)), max_size=2)):
        raw[key] = draw(content)
    for key in draw(st.lists(st.sampled_from(sorted(raw)), max_size=1)):
        del raw[key]
    return raw


@pytest.mark.parametrize("name", READ)
def test_any_record_becomes_rows_or_is_named(name: str, spec_of) -> None:
    spec = spec_of(name, max_bad_rows=10**6)
    shape = "preference" if spec.has_pairs else "demonstration"

    @settings(max_examples=80, deadline=None)
    @given(st.lists(damaged(name) | record, min_size=1, max_size=4))
    def check(records: list[dict[str, Any]]) -> None:
        places = [f"file:{number}" for number in range(len(records))]
        rows, account = gather(zip(places, records, strict=True), spec, shape)
        assert account.read == len(records)
        assert account.parts >= len(records)
        assert account.parts == len(rows) + account.dropped.total() + len(account.broken)
        for error in account.broken:
            assert str(error).startswith("file:")
            assert "\n" not in str(error)
        for row in rows:
            assert row.prompt[-1]["role"] == "user"
            assert all(turn["content"] == turn["content"].strip() != "" for turn in row.prompt)
            assert row.completion or (row.chosen and row.rejected and row.chosen != row.rejected)
            json.dumps(row.meta).encode()

    check()


def test_every_kind_of_spec_has_a_format_that_is_fuzzed() -> None:
    assert {name for kind in get_args(FileSpec) for name in get_args(kind.model_fields["format"].annotation)} == {
        *READ,
        MAPPED,
    }
