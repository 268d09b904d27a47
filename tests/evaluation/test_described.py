"""Every metric of the package is described in full, and a name finds its description."""

from __future__ import annotations

import pytest

from rlhf.evaluation.described import describe, groups, markdown
from rlhf.evaluation.metrics import FINAL_KL, Metric

EVERY = [(group, metric) for group, metrics in groups().items() for metric in metrics]
FIELDS = ("name", "meaning", "unit", "estimator", "range", "source", "fooled")


@pytest.mark.parametrize("group", list(groups()))
def test_every_metric_has_all_its_fields(group: str) -> None:
    gaps = [
        (metric.name, field) for metric in groups()[group] for field in FIELDS if not getattr(metric, field).strip()
    ]
    assert gaps == []


@pytest.mark.parametrize("group", [group for group in groups() if group not in ("run", "ppo")])
def test_every_metric_of_a_suite_says_what_it_reads(group: str) -> None:
    assert [metric.name for metric in groups()[group] if metric.reads not in ("pair", "answer")] == []


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("text/bleu", "pair"),
        ("text/same_language", "pair"),
        ("text/distinct_2", "answer"),
        ("text/repeated", "answer"),
        ("text/lexical_diversity", "answer"),
        ("text/self_bleu", "answer"),
        ("text/empty", "answer"),
        ("safety/asks_personal_data", "answer"),
        ("safety/rude", "answer"),
        ("safety/over_refusal", "pair"),
        ("persona/s1_engagement", "answer"),
        ("persona/s1_keyword_consistency", "pair"),
        ("task/intent_accuracy", "pair"),
    ],
)
def test_whether_a_metric_sees_the_question(name: str, reads: str) -> None:
    metric = describe(name)
    assert metric is not None and metric.reads == reads


def test_the_table_says_what_reads_answers_alone() -> None:
    """Nobody wonders why these can't tell answers to other questions from good ones."""
    words = Metric("a/b", "how long", "words", "mean", None, "0 or more", "nobody", "talk", reads="answer")
    assert "how long<br>*mean*<br>reads answers alone |" in markdown([words])


def test_no_name_is_given_twice() -> None:
    names = [metric.name for _, metric in EVERY]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_a_suite_names_its_metrics_by_a_family_of_its_own() -> None:
    """`text/bleu` of one suite and `text/bleu` of another would be one column."""
    families = {(metric.name.split("/")[0], group) for group, metric in EVERY if group not in ("run", "ppo")}
    assert not {"final", "cost", "train", "eval", "control"} & {family for family, _ in families}


def test_a_name_finds_its_description() -> None:
    assert describe("final/kl") is FINAL_KL
    found = describe("reward/source/length")
    assert found is not None and found.name == "reward/source/NAME"
    assert describe("reward/source/") is None
    assert describe("nobody/knows") is None


def test_the_table_of_the_page_has_five_cells_a_line() -> None:
    odd = Metric("a/b", "this | or that", "share", "x / y", None, "0 to 1", "nobody", "easily")
    head, rule, line = markdown([odd]).splitlines()
    assert (head.count(" | "), rule.count("---")) == (4, 5)
    assert line == "| `a/b`<br>share<br>0 to 1 | this \\| or that<br>*x / y* | neither | nobody | easily |"
