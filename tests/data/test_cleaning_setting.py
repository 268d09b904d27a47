"""`dataset.cleaning` on the command line: a group, a list, and what is refused in one line that says what to write."""

from __future__ import annotations

from typing import get_args

import pytest

from rlhf.cleaning_spec import Step
from rlhf.compose import jobs, parse_words
from rlhf.data.cleaning import STEPS
from rlhf.errors import UserError

SFT = ["method=sft", "dataset=bitext", "evaluation.judge=none"]
S4 = ["mojibake", "html", "urls", "emojis", "emoticons", "lowercase", "punctuation", "spelling"]


def cleaning_of(*words: str) -> list[str]:
    ((_, run),) = jobs(parse_words([*SFT, *words]))
    return list(run.dataset.cleaning.steps)  # type: ignore[union-attr]


def test_options_of_the_group_and_a_list_of_ones_own() -> None:
    assert cleaning_of() == cleaning_of("cleaning@dataset.cleaning=none") == []
    assert cleaning_of("cleaning@dataset.cleaning=s4") == S4
    assert cleaning_of("dataset.cleaning.steps=[urls,html]") == ["urls", "html"]
    assert cleaning_of("dataset.cleaning=[urls,html]") == ["urls", "html"]
    assert cleaning_of("cleaning@dataset.cleaning=s4", "dataset.cleaning=[spelling,spelling_es]") == [
        "spelling",
        "spelling_es",
    ]


def test_a_sweep_over_cleanings_makes_a_job_each() -> None:
    found = jobs(parse_words(["-m", *SFT, "cleaning@dataset.cleaning=none,s4"]))
    assert [len(run.dataset.cleaning.steps) for _, run in found] == [0, 8]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("dataset.cleaning=[lowercas]", "dataset.cleaning.steps[0]: "),
        ("dataset.cleaning=[lowercas]", "Did you mean `lowercase`?"),
        ("dataset.cleaning=s4", "Write cleaning@dataset.cleaning=s4"),
        ("cleaning@dataset.cleaning=s5", "Known here: light, none, s4"),
        ("cleaning=s4", "Write cleaning@dataset.cleaning=NAME"),
        ("dataset.cleaning=[urls,urls]", "urls finds nothing after urls"),
        ("dataset.cleaning=[emojis,emojis_es]", "emojis_es finds nothing after emojis"),
        (
            "dataset.cleaning=[lowercase,punctuation,emoticons,emojis,urls,html,spelling]",
            "Write dataset.cleaning.steps=[lowercase,emoticons,emojis,urls,html,punctuation,spelling]",
        ),
        ("dataset.cleaning.examples=-1", "dataset.cleaning.examples"),
        ("dataset.cleaning.stps=[urls]", "`steps`"),
    ],
)
def test_a_mistake_is_told_in_one_line(word: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        cleaning_of(word)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_list_that_a_refusal_offers_is_taken() -> None:
    assert cleaning_of("dataset.cleaning.steps=[lowercase,emoticons,emojis,urls,html,punctuation,spelling]")


def test_the_toy_world_is_not_cleaned() -> None:
    with pytest.raises(UserError, match="Another dataset may have it"):
        jobs(parse_words(["cleaning@dataset.cleaning=s4"]))


def test_every_name_is_a_step() -> None:
    assert list(STEPS) == list(get_args(Step))
