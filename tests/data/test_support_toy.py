"""Rows of the toy world: distinct prompts, mixed demonstrations, an annotator who errs as often as said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import yaml

from rlhf.config import ToyDataset
from rlhf.data import load_corpus
from rlhf.data.rows import Row
from rlhf.data.support_toy import DEMONSTRATION_MIX, PAIR_MIX, toy_rows
from rlhf.data.toy_gold import gold
from rlhf.data.toy_world import KINDS
from rlhf.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pairs() -> list[Row]:
    return toy_rows(toy_spec(), "preference")


@pytest.fixture(scope="module")
def demonstrations() -> list[Row]:
    return toy_rows(toy_spec(), "demonstration")


def toy_spec(**changes: Any) -> ToyDataset:
    values = yaml.safe_load((ROOT / "conf/dataset/support_toy.yaml").read_text(encoding="utf-8"))
    return ToyDataset(**{**values, **changes})


def test_every_prompt_is_new_and_the_same_in_both_shapes(pairs, demonstrations) -> None:
    assert len({row.group for row in pairs}) == len(pairs) == 4000
    assert [row.prompt for row in pairs] == [row.prompt for row in demonstrations]
    for rows in (pairs, demonstrations):
        assert all({"intent", "language", "persona", "multi_turn"} <= row.meta.keys() for row in rows)


def test_the_mixes_are_shares_of_known_kinds() -> None:
    for mix in (DEMONSTRATION_MIX, PAIR_MIX):
        assert set(mix) == set(KINDS)
        assert sum(mix.values()) == pytest.approx(1)


def test_demonstrations_leave_room_above_them(demonstrations) -> None:
    values = [row.meta["gold_completion"] for row in demonstrations]
    assert 0.25 < mean(values) < 0.5  # of [-1, 1]
    assert sum(value > 0.95 for value in values) / len(values) > 0.3
    assert all(gold(row, row.completion) == row.meta["gold_completion"] for row in demonstrations[:200])


def test_the_annotator_prefers_the_higher_gold_unless_flipped(pairs) -> None:
    for row in pairs:
        assert (row.meta["gold_chosen"] < row.meta["gold_rejected"]) == row.meta["flipped"]
        assert abs(row.meta["gold_chosen"] - row.meta["gold_rejected"]) > 0.29
    for row in pairs[:200]:
        assert (gold(row, row.chosen), gold(row, row.rejected)) == (row.meta["gold_chosen"], row.meta["gold_rejected"])


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_preferences_are_flipped_as_often_as_said(noise: float) -> None:
    flipped = sum(row.meta["flipped"] for row in toy_rows(toy_spec(rows=1500, annotator_noise=noise), "preference"))
    assert abs(flipped - 1500 * noise) <= 4 * (1500 * noise * (1 - noise)) ** 0.5  # four binomial standard deviations


@pytest.mark.parametrize("length", [len, lambda text: len(text.split())], ids=["characters", "words"])
def test_length_does_not_give_the_preference_away(pairs, length) -> None:
    def wins(row: Row) -> float:
        long, short = length(row.chosen), length(row.rejected)
        return 0.5 if long == short else float(long > short)

    assert 0.4 < mean(map(wins, pairs)) < 0.62
    assert mean(length(row.chosen) > length(row.rejected) for row in pairs) <= 0.6


def test_shares_of_languages_and_turns_follow_the_settings() -> None:
    rows = toy_rows(toy_spec(rows=800, languages=["es"], multi_turn_share=0.5), "demonstration")
    assert {row.meta["language"] for row in rows} == {"es"}
    assert abs(mean(row.meta["multi_turn"] for row in rows) - 0.5) < 0.09  # five standard deviations
    assert not any(row.meta["kind"] == "wrong_language" for row in rows)
    assert not any(row.meta["multi_turn"] for row in toy_rows(toy_spec(rows=50, multi_turn_share=0), "demonstration"))


def test_one_language_alone_has_prompts_enough_for_the_default() -> None:
    assert len(toy_rows(toy_spec(languages=["en"], multi_turn_share=0), "demonstration")) == 4000


def test_a_world_without_a_language_is_refused() -> None:
    with pytest.raises(UserError, match="dataset.languages"):
        toy_rows(toy_spec(languages=[]), "preference")


@pytest.mark.slow
def test_a_world_too_small_for_the_rows_says_so() -> None:
    """In one language and single turns there are some 100 000 prompts."""
    with pytest.raises(UserError, match="dataset.rows: the toy world ran out of new prompts after 1") as caught:
        toy_rows(toy_spec(rows=200_000, languages=["es"], multi_turn_share=0), "demonstration")
    assert "Ask for fewer, say dataset.rows=5" in str(caught.value)


def test_no_test_prompt_was_trained_on_in_any_shape() -> None:
    corpora = [load_corpus(toy_spec(rows=600), shape) for shape in ("demonstration", "preference")]
    sides = [{row.group for row in part} for c in corpora for part in (c.train, c.validation, c.test)]
    assert sides[:3] == sides[3:]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert corpora[0].gold is gold


def test_two_processes_make_the_same_corpus() -> None:
    code = """
from test_support_toy import toy_spec
from rlhf.data import load_corpus
print([load_corpus(toy_spec(rows=80), shape).fingerprint for shape in ("demonstration", "preference")])
"""
    said = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT / "tests/data",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    here = [load_corpus(toy_spec(rows=80), shape).fingerprint for shape in ("demonstration", "preference")]
    assert said == {f"{here}\n"}
