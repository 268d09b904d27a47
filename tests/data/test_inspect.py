"""What is told of hand-made files, each count worked by hand; what strict refuses; no personal value comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rlhf.data import load_corpus
from rlhf.data.inspect.closely import Tokens
from rlhf.data.inspect.findings import cheap_findings, refuse_findings
from rlhf.data.inspect.masked import all_masked, masked
from rlhf.data.inspect.whole import inspect
from rlhf.data.rows import Overlap, Row
from rlhf.errors import UserError
from rlhf.inspection_spec import InspectionSpec

Write = Callable[..., str]
PAIRS = {"prompt": "q", "chosen": "good", "rejected": "bad"}
SPLIT = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
NO_STYLE = lambda corpus: None  # noqa: E731  # of no interest here
QUESTIONS = (
    "Where is my order?", "Can I pay by card?", "Which museums are open?", "My parcel was wet.", "Please cancel it.",
    "How far is the airport?", "Who signs the invoice?", "I forgot my password!", "Is breakfast included?",
    "Do you have vegan food?", "What does shipping cost?", "When does the bus leave?",
)  # fmt: skip


def pair(question: str, good: str = "Let me look that up.", bad: str = "No.") -> dict[str, str]:
    return {"q": question, "good": good, "bad": bad}


def told_of(
    spec_of: Any, path: str, inspection: InspectionSpec, columns: dict[str, str], **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = "preference" if "chosen" in columns else "demonstration"
    tokens = more.pop("tokens", None)
    spec = spec_of("table", path=path, columns=columns, split=SPLIT, **more)
    corpus = load_corpus(spec, shape)
    told, findings = inspect(spec, corpus, shape, inspection, tokens, NO_STYLE)
    return told, {finding.kind: finding for finding in findings}


def test_every_count_of_a_small_file_of_pairs(spec_of: Any, jsonl: Write, inspection: InspectionSpec) -> None:
    """17 records: 12 sound ones, one of them twice, two with equal answers, one without prompt, one without answer."""
    records = [pair(question) for question in QUESTIONS]
    records += [pair(QUESTIONS[0]), pair("Same?", "Yes.", "Yes."), pair("The same?", "Ok", " Ok "), pair("  ")]
    records += [pair("Empty?", "")]
    told, found = told_of(spec_of, jsonl(records), inspection, PAIRS)

    assert [(one["step"], one["before"] - one["after"]) for one in told["account"][:5]] == [
        ("read", 0), ("answers are equal", 2), ("the prompt is empty", 1), ("an answer is empty", 1), ("duplicates", 1),
    ]  # fmt: skip
    assert told["rows"] == told["looked_at"] == 12 == sum(told["parts"].values())
    assert told["schema"]["records"] == 17
    assert [(one["column"], one["nulls"], one["empties"]) for one in told["schema"]["columns"]] == [
        ("q", 0, 1), ("good", 0, 1), ("bad", 0, 0),
    ]  # fmt: skip
    lengths = {(one["part"], one["unit"]): one for one in told["counted"]["lengths"]}
    assert lengths["chosen", "words"]["bars"] == [12]  # "Let me look that up." has five
    assert lengths["chosen", "words"]["start"] == 5 and lengths["chosen", "characters"]["mean"] == 20
    assert lengths["prompt", "characters"]["mean"] == sum(map(len, QUESTIONS)) / 12
    assert (lengths["dialogue", "turns"]["max"], lengths["dialogue", "speakers"]["max"]) == (2, 2)
    assert told["counted"]["longer"] == {"chosen": 12, "rejected": 0, "equal": 0}
    assert told["counted"]["distinct"] == {"prompts": 12, "answers": 2}

    assert (found["equal_pairs"].count, found["equal_pairs"].severity) == (2, "warning")  # 2 of 17 is above 2%
    assert found["equal_pairs"].told == "2 of 17 rows (11.8%) left out: answers are equal"
    assert found["duplicates"].told == "1 of 17 rows (5.9%) left out: exact duplicates"
    assert found["duplicates"].severity == "info"
    assert found["longer_chosen"].told == "the chosen answer is the longer one in 12 of 12 pairs (100%)"
    assert found["leaked_answers"].severity == "warning"  # all held-out answers are those of training
    assert {"personal_data", "ties", "label_imbalance", "broken_rows"} & found.keys() == set()


def test_what_held_out_rows_share_with_training_is_told_by_what_it_is(
    spec_of: Any, jsonl: Write, inspection: InspectionSpec
) -> None:
    corpus = load_corpus(
        spec_of("table", path=jsonl(list(map(pair, QUESTIONS))), columns=PAIRS, split=SPLIT), "preference"
    )
    shared = (
        Overlap("dialogues", "validation", "train", 1, 10),
        Overlap("dialogues", "test", "train", 5, 10),
        Overlap("dialogues", "test", "validation", 9, 10),  # neither is trained on
        Overlap("prompt", "test", "train", 0, 10),
    )
    found = {one.kind: one for one in cheap_findings(replace(corpus, overlap=shared), inspection.findings)}
    told = "6 of 20 held-out rows (30%) have a dialogue that opens as one that is trained on"
    assert (found["leaked_dialogues"].severity, found["leaked_dialogues"].told) == ("warning", told)
    assert not {"leaked_prompts", "leaked_answers"} & found.keys()


def test_two_reasons_of_one_kind_are_two_findings(spec_of: Any, jsonl: Write, inspection: InspectionSpec) -> None:
    records = [*map(pair, QUESTIONS), pair("  "), pair("Empty?", "")]
    spec = spec_of("table", path=jsonl(records), columns=PAIRS, split=SPLIT)
    found = cheap_findings(load_corpus(spec, "preference"), inspection.findings)
    empty = [finding.told for finding in found if finding.kind == "empty_texts"]
    assert empty == [
        "1 of 14 rows (7.1%) left out: the prompt is empty",
        "1 of 14 rows (7.1%) left out: an answer is empty",
    ]


def test_labels_are_balanced_against_each_other_before_bad_answers_are_left_out(
    spec_of: Any, jsonl: Write, inspection: InspectionSpec
) -> None:
    records = [{"q": q, "a": "Yes.", "ok": True} for q in QUESTIONS[:10]]
    records += [{"q": f"Again: {q}", "a": "No.", "ok": False} for q in QUESTIONS[:2]]
    columns = {"prompt": "q", "completion": "a", "label": "ok"}
    told, found = told_of(spec_of, jsonl(records), inspection, columns)
    assert told["labels"] == {"good": 10, "bad": 2}
    assert found["label_imbalance"].told == "10 answers judged good and 2 bad: 83.3% are good"
    assert told["rows"] == 10


def test_tokens_are_counted_uncut_and_held_against_each_limit(
    spec_of: Any, jsonl: Write, inspection: InspectionSpec
) -> None:
    """A token is a word here: prompts of three to five words, answers of five, limits of 3, 5 and 9."""

    def count(row: Row) -> dict[str, int]:
        texts = {"prompt": row.prompt[0]["content"], "chosen": str(row.chosen), "rejected": str(row.rejected)}
        return {part: len(text.split()) for part, text in texts.items()}

    sizes = [len(question.split()) for question in QUESTIONS]
    tokens = Tokens("by_words", count, max_prompt=3, max_response=5, context=9, together=True)
    told, found = told_of(spec_of, jsonl([*map(pair, QUESTIONS)]), inspection, PAIRS, tokens=tokens)
    over = {one["limit"]: one["rows"] for one in told["closely"]["tokens"]["over"]}
    assert over == {
        "prompt": sum(size > 3 for size in sizes),
        "response": 0,
        "context": sum(size + 5 > 9 for size in sizes),
    }
    assert over["prompt"] > over["context"] > 0
    assert found["long_prompts"].told.endswith(f"longer than method.max_prompt_tokens=3 ({over['prompt'] / 12:.1%})")
    apart = Tokens("by_words", count, max_prompt=3, max_response=5, context=9, together=False)
    told, _ = told_of(spec_of, jsonl([*map(pair, QUESTIONS)]), inspection, PAIRS, tokens=apart)
    assert told["closely"]["tokens"]["over"][-1]["rows"] == 0  # each alone fits


def test_kinds_and_their_shares_are_those_of_the_rows(spec_of: Any, jsonl: Write, inspection: InspectionSpec) -> None:
    records = [
        {"instruction": q, "response": f"{q} Yes.", "intent": intent, "category": "ORDER", "flags": "B"}
        for q, intent in zip(QUESTIONS, ["track"] * 6 + ["pay"] * 5 + ["sleep"], strict=True)
    ]
    spec = spec_of("bitext", path=jsonl(records), split=SPLIT)
    told, _ = inspect(spec, load_corpus(spec, "demonstration"), "demonstration", inspection, None, NO_STYLE)
    intents, categories, languages = told["counted"]["tables"]
    assert [(one["value"], one["count"], one["share"]) for one in intents["lines"]] == [
        ("track", 6, 0.5), ("pay", 5, 5 / 12), ("sleep", 1, 1 / 12),
    ]  # fmt: skip
    assert (intents["name"], categories["name"], languages["name"]) == ("intent", "category", "language")
    few = inspection.model_copy(update={"distinct": 2, "table_lines": 1})
    told, _ = inspect(spec, load_corpus(spec, "demonstration"), "demonstration", few, None, NO_STYLE)
    assert told["counted"]["no_tables"] == ["intent"]


def test_a_trait_is_counted_once_for_each_persona(spec_of: Any, jsonl: Write, inspection: InspectionSpec) -> None:
    """Two personas like tea; the one who talks in two dialogues counts once."""
    talks = [
        ("I like tea.\nI have a dog.", "I hike.", "User 1: Hi, how are you?\nUser 2: Fine, and you?"),
        ("I like tea.\nI have a dog.", "I hike.", "User 1: Nice weather today.\nUser 2: Yes, very."),
        ("I am a nurse.", "I like tea.\nI am a cook.", "User 1: Do you cook?\nUser 2: Every day."),
        *((f"I am {n}.", f"I own {n} cars.", f"User 1: I was at {n}.\nUser 2: Tell me more.") for n in range(9)),
    ]
    records = [
        {"user 1 personas": one, "user 2 personas": two, "Best Generated Conversation": talk}
        for one, two, talk in talks
    ]
    spec = spec_of("synthetic_persona_chat", path=jsonl(records), split=SPLIT)
    told, _ = inspect(spec, load_corpus(spec, "demonstration"), "demonstration", inspection, None, NO_STYLE)
    (traits,) = [table for table in told["counted"]["tables"] if table["name"] == "persona trait"]
    counted = {one["value"]: one["count"] for one in traits["lines"]}
    assert counted == {"I hike.": 1, "I like tea.": 1, "I am a cook.": 1} | {f"I own {n} cars.": 1 for n in range(9)}
    assert traits["total"] == 11  # of User 2, whose persona it is that answers


def planted(at: int) -> str:
    return PERSONAL[at % len(PERSONAL)]


PERSONAL = (
    "maria.lopez@gmail.com", "+34 612 345 678", "4539 1488 0343 6467", "DE75512108001245126199", "078-05-1121",
    "https://bob:hunter2@intranet.corp.net/x",
)  # fmt: skip


def test_no_personal_value_is_in_what_is_told(spec_of: Any, jsonl: Write, inspection: InspectionSpec) -> None:
    """Planted in prompts, answers, intents, near-duplicates, column names, and a row that cleaning changes."""
    records: Sequence[dict[str, Any]] = [
        {
            "instruction": f"{QUESTIONS[at // 2]} I am at {planted(at // 2)}, by the way.{'!' * (at % 2)}",
            "response": f"We wrote to {planted(at // 2)} :) yesterday, number {at}.",
            "intent": f"reach {planted(at)}",
            "category": "ORDER",
            "flags": "B",
            f"column {planted(at)}": planted(at),
        }
        for at in range(24)
    ]
    steps = {"name": "own", "steps": ["lowercase", "emoticons"], "examples": 5}
    spec = spec_of("bitext", path=jsonl(records), split=SPLIT, cleaning=steps)
    told, findings = inspect(spec, load_corpus(spec, "demonstration"), "demonstration", inspection, None, NO_STYLE)
    text = json.dumps(told, ensure_ascii=False).lower() + str(findings).lower()
    for value in PERSONAL:
        assert value.lower() not in text
    assert "hunter2" not in text
    kinds = {one["kind"]: one["rows"] for one in told["closely"]["personal"]["kinds"]}
    assert kinds.keys() >= {"email", "card", "iban", "url_with_user"}
    assert told["closely"]["personal"]["rows"] == told["rows"] == 24
    assert told["cleaning"]["examples"] == [] and told["near_duplicates"]["examples"]


def test_masking_replaces_the_value_and_leaves_places_for_one() -> None:
    assert (
        masked("Write to maria.lopez@gmail.com about {{Order Number}}.") == "Write to [email] about {{Order Number}}."
    )
    assert all_masked({"maria.lopez@gmail.com": ["4539 1488 0343 6467", 3, None]}) == {"[email]": ["[card]", 3, None]}


def test_strict_names_the_first_warning_and_how_many_there_are(
    spec_of: Any, jsonl: Write, inspection: InspectionSpec
) -> None:
    records = [*map(pair, QUESTIONS), pair("Same?", "Yes.", "Yes.")]
    spec = spec_of("table", path=jsonl(records), columns=PAIRS, split=SPLIT)
    found = cheap_findings(load_corpus(spec, "preference"), inspection.findings)
    assert [(one.kind, one.severity) for one in found] == [("equal_pairs", "warning"), ("leaked_answers", "warning")]
    with pytest.raises(UserError) as caught:
        refuse_findings(found, "table")
    assert str(caught.value) == (
        "dataset=table: strict: 1 of 13 rows (7.7%) left out: answers are equal (and 1 more: `rlhf data` shows all). "
        "Nothing to do: a pair with equal answers teaches nothing and is left out. "
        "Or raise inspection.findings.equal_pairs, or set dataset.strict=false."
    )
    refuse_findings([one for one in found if one.severity == "info"], "table")
