"""Placeholders and exact names: hand-made cases for each rule, then the suite's means over them."""

from __future__ import annotations

import pytest

from rlhf.data.rows import Row
from rlhf.evaluation.task.fields import entities, kept, known, malformed, placeholders, returned
from tests.evaluation.task.task_world import measured


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Order {{Order Number}} of {{ Client  Name }}.", {"order number", "client name"}),
        ("{{A}}{{a}}", {"a"}),
        ("{{}} { x } {{ }} {{unfinished", set()),
        ("", set()),
    ],
)
def test_placeholders(text, names) -> None:
    assert placeholders(text) == names


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Order {{Order Number}}, {{Name}}.", 0),
        ("", 0),
        ("{{Order Number}", 1),
        ("{{Order Number", 1),
        ("Order Number}}", 1),
        ("{Order Number}", 1),
        ("{{}}", 1),
        ("{{ }}", 1),
        ("{{{Order}}}", 1),  # a whole one in braces of no use
        ("{{Order Number {{Name}}", 1),  # the first never closes
        ("{a} {b}", 2),
        ("}} {{", 2),
        ("{{a} and {{b}} and c}}", 2),
    ],
)
def test_broken_placeholders(text, count) -> None:
    assert malformed(text) == count


def test_shares_of_placeholders_by_hand() -> None:
    reference, question = "{{A}} and {{B}}, again {{A}}", "about {{C}}"
    assert kept("only {{a}}", reference) == 1 / 2
    assert kept("", reference) == 0
    assert kept("{{A}}", "none") is None
    assert known("{{A}} {{C}} {{X}} {{Y}}", reference, question) == 2 / 4
    assert known("none", reference, question) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('My order 12345 and "The Blue Inn"', [("quoted", "the blue inn"), ("number", "12345")]),
        ("Order #ORD-0042!", [("number", "ord-0042")]),
        ("2 rooms for 15 days", []),  # too few digits
        ("It cost 1,234 or 1234.", [("number", "1234")]),
        ("mail Ann.Lee@shop.example.com.", [("email", "ann.lee@shop.example.com")]),
        (
            "«El Sol», “Mar”, ‘Luna’, 'Rio' and don't, it's",
            [("quoted", name) for name in ("el sol", "mar", "luna", "rio")],
        ),
        ("{{Order Number 123}}", []),
        ("on 12/05/2024 at 10:30", [("number", "12/05/2024"), ("number", "10:30")]),
        ("", []),
    ],
)
def test_entities(text, found) -> None:
    assert entities(text, digits=3) == found


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ("Order 12345 at The Blue Inn is booked.", (2, 2, 0)),
        ("Order 54321 is booked.", (2, 0, 1)),  # another number of five digits
        ('Order 12345 at "The Blue Inns".', (2, 1, 1)),
        ('Order 99887766 at "Casa".', (2, 0, 0)),  # looks like neither
        ("Your reference 77777 will follow.", (2, 0, 0)),  # the reference answer has that one
        ("Thanks.", (2, 0, 0)),
        ("", (2, 0, 0)),
    ],
)
def test_what_comes_back_changed(answer, counts) -> None:
    question = 'Where is order 12345 for "The Blue Inn"?'
    assert returned(answer, "We write to you: 77777.", question, digits=3, similarity=0.6) == counts


def test_the_suite_means_over_what_it_can_say() -> None:
    def row(question: str, reference: str) -> Row:
        return Row(({"role": "system", "content": "You know {{S}}"}, {"role": "user", "content": question}), question,
                   completion=reference)  # fmt: skip

    test = [row("my order 12345", "{{A}} {{B}}"), row("code 777", "{{A}}"), row("hello", "hi")]
    found = measured(["{{A}} {{S}} 12345", "{{X}} 888 {{", "hi"], test=test, train=[])
    value = {name: (score.value, score.n) for name, score in found.scores.items()}
    assert value == {
        "task/placeholders_kept": ((1 / 2 + 0) / 2, 2),
        "task/placeholders_known": ((1 + 0) / 2, 2),
        "task/placeholders_broken": (1 / 3, 3),
        "task/entities_kept": ((1 + 0) / 2, 2),
        "task/entities_changed": ((0 + 1) / 2, 2),
    }
    assert found.scores["task/entities_changed"].each == (0.0, 1.0, None)


def test_data_without_placeholders_or_names_has_notes_in_place_of_numbers() -> None:
    test = [Row(({"role": "user", "content": "hello"},), "g", completion="hi")]
    found = measured(["a {broken and 123456"], test=test, train=[])
    assert found.scores == {}
    assert any("placeholders such as {{Order Number}}" in note for note in found.notes)
    assert any("No question names anything" in note for note in found.notes)
