"""Every file of the shared samples loads whole; its counts are worked out here from the raw rows, by plainer rules."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rlhf.data import load_corpus

Raw = list[dict[str, Any]]
Told = tuple[int, Counter[str]]  # parts that the records hold, and how many of them are lost by which name


def same(left: str, right: str) -> bool:
    return left.strip() == right.strip()


def text_pairs(raw: Raw) -> Told:
    lost: Counter[str] = Counter()
    for row in raw:
        if not row["chosen"].strip() or not row["rejected"].strip():
            lost["an answer is empty"] += 1
        elif same(row["chosen"], row["rejected"]):
            lost["answers are equal"] += 1
    return len(raw), lost


def tagged_pairs(raw: Raw) -> Told:
    return text_pairs([{key: row[key].removeprefix("Assistant:") for key in ("chosen", "rejected")} for row in raw])


def rankings(pairs_of: Callable[[int], list[tuple[int, int]]]) -> Callable[[Raw], Told]:
    def told(raw: Raw) -> Told:
        made = [(row["output"][a], row["output"][b]) for row in raw for a, b in pairs_of(len(row["output"]))]
        return len(made), Counter({"answers are equal": sum(same(a, b) for a, b in made)})

    return told


def votes(raw: Raw) -> Told:
    given = [vote for row in raw for vote in row["preference"]]
    return len(given), Counter(tie=given.count(0))


def judged_steps(kept: bool) -> Callable[[Raw], Told]:
    def told(raw: Raw) -> Told:
        lost: Counter[str] = Counter()
        for row in raw:
            step, context = json.loads(row["generation"]), json.loads(row["context"])
            if "api" in step and not kept:
                lost["the step calls an API"] += 1
            elif not context:
                lost["the prompt is empty"] += 1
            elif step.get("text") == "":
                lost["the answer is empty"] += 1
            elif row["reward"] == 0:
                lost["the answer was judged bad"] += 1
        return len(raw), lost

    return told


def lost_dialogues(raw: Raw) -> Counter[str]:
    """Synthetic-Persona-Chat's: what stands before the first tag, stars, brackets and blanks aside, or no User 2."""
    lost: Counter[str] = Counter()
    for row in raw:
        talk = row["Best Generated Conversation"]
        before = re.split(r"User [12] ?:", talk)[0]
        if re.sub(r"[*\s]|\[[^\n]*\]", "", before):
            lost["text before the first turn"] += 1
        elif not re.search(r"User 2 ?:", talk):
            lost["nobody answers"] += 1
    return lost


def persona_turns(raw: Raw) -> Told:
    """Each stretch of User 2's lines is an answer; tags alone are read."""
    answers = 0
    for row in raw:
        talk = row["Best Generated Conversation"]
        tags = "".join(re.findall(r"(?m)^[*\s]*User ([12]) ?:[ \t]*(?=\S)", talk))
        if not lost_dialogues([row]):
            answers += len(re.findall("2+", tags.lstrip("2")))
    lost = lost_dialogues(raw)
    return answers + lost.total(), lost


def every_second(column: str) -> Callable[[Raw], Told]:
    return lambda raw: (sum(len(row[column]) // 2 for row in raw), Counter())


def all_of_them(raw: Raw) -> Told:
    return len(raw), Counter()


def labels(column: str) -> Callable[[Raw], Told]:
    return lambda raw: (len(raw), Counter({"the answer was judged bad": sum(not row[column] for row in raw)}))


def exported_votes(raw: Raw) -> Told:
    answers = [row["responses"] for row in raw]
    none = [one for one in answers if one["selected"] == "Response None"]
    equal = [one for one in answers if one not in none and same(one["response1"], one["response2"])]
    named = {"neither answer was selected": len(none), "answers are equal": len(equal)}
    return len(raw), Counter(named)


def every_pair(count: int) -> list[tuple[int, int]]:
    return list(combinations(range(count), 2))


def neighbours(count: int) -> list[tuple[int, int]]:
    return [(at, at + 1) for at in range(count - 1)]


# file, format, settings, records as the samples' README counts them, rule; hh-rlhf's four are in test_hh_rlhf.py
CASES: list[tuple[str, str, dict[str, Any], int, Callable[[Raw], Told]]] = [
    ("preference/ultrafeedback_binarized.jsonl.gz", "ultrafeedback_binarized", {}, 1008, text_pairs),
    ("preference/oasst_rm_zh.jsonl.gz", "oasst", {"comparisons": "all"}, 673, rankings(every_pair)),
    ("preference/oasst_rm_zh.jsonl.gz", "oasst", {"comparisons": "adjacent"}, 673, rankings(neighbours)),
    ("preference/dpo_mix_en.jsonl.gz", "dpo_mix", {}, 258, all_of_them),
    ("preference/dpo_mix_zh.jsonl.gz", "dpo_mix", {}, 259, all_of_them),
    ("preference/kto_mix.jsonl.gz", "kto_mix", {}, 964, labels("tag")),
    ("preference/qa_feedback_dev.jsonl.gz", "qa_feedback", {}, 420, votes),
    ("reward/taskmaster3_reward.jsonl.gz", "taskmaster_reward", {"api_calls": "drop"}, 3315, judged_steps(kept=False)),
    ("reward/taskmaster3_reward.jsonl.gz", "taskmaster_reward", {"api_calls": "keep"}, 3315, judged_steps(kept=True)),
    ("reward/taskmaster4_reward.jsonl.gz", "taskmaster_reward", {"api_calls": "drop"}, 2878, judged_steps(kept=False)),
    ("support/bitext_customer_support_4514.jsonl.gz", "bitext", {}, 4062, all_of_them),
    ("support/bitext_customer_support_4514.jsonl.gz", "bitext", {"placeholders": "fill"}, 4062, all_of_them),
    ("support/bitext_customer_support_6480.jsonl.gz", "bitext", {}, 5830, all_of_them),
    ("derived/bitext_27k_schema.jsonl.gz", "bitext", {}, 4062, all_of_them),
    ("persona/synthetic_persona_chat.jsonl.gz", "synthetic_persona_chat", {}, 1748, persona_turns),
    ("tourism/multiwoz_2x.jsonl.gz", "multiwoz", {}, 1799, every_second("log")),
    ("tourism/crosswoz_zh.jsonl.gz", "crosswoz", {}, 880, every_second("messages")),
    ("tourism/sgd_travel.jsonl.gz", "sgd_travel", {"turns": "last"}, 4000, all_of_them),
    ("tourism/sgd_travel.jsonl.gz", "sgd_travel", {"turns": "each"}, 4000, every_second("turns")),
    ("derived/bitext_revision_pairs.jsonl.gz", "ultrafeedback_binarized", {}, 3931, text_pairs),
    ("derived/rm_single_context_style.jsonl.gz", "rm_single_context", {}, 2046, tagged_pairs),
    ("derived/tourism_user_chatbot_pairs.jsonl.gz", "tourism_pairs", {}, 8000, all_of_them),
    ("derived/feedback_export_simulated.json", "feedback_export", {}, 117, exported_votes),
]


def raw_rows(path: Path) -> Raw:
    if path.suffix == ".json":
        return list(json.loads(path.read_text(encoding="utf-8"))["feedback"].values())
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("file", "name", "settings", "records", "rule"), CASES)
def test_a_whole_file_loads_and_every_row_is_accounted_for(
    file, name, settings, records, rule, shared_data, spec_of
) -> None:
    raw = raw_rows(shared_data / file)
    assert len(raw) == records
    parts, named = rule(raw)

    spec = spec_of(name, path=str(shared_data / file), **settings)
    corpus = load_corpus(spec, "preference" if spec.has_pairs else "demonstration")
    steps = {count.step: (count.before, count.after) for count in corpus.counts}
    assert steps.pop("read") == (records, records)
    assert steps.pop("unfolded", (records, records)) == (records, parts)
    sides = [steps.pop(side)[1] for side in ("train", "validation", "test")]
    lost = {step: before - after for step, (before, after) in steps.items()}
    repeated = lost.pop("duplicates")
    assert Counter(lost) == +named
    assert sides == [len(corpus.train), len(corpus.validation), len(corpus.test)]
    assert parts == sum(lost.values()) + repeated + sum(sides)
    for kept in (corpus.train, corpus.validation, corpus.test):
        for row in kept:
            assert row.prompt[-1]["role"] == "user"
            assert row.group
            assert all(turn["content"].strip() for turn in row.prompt)


def test_every_shared_file_of_rows_is_loaded_by_some_test(shared_data) -> None:
    there = {str(file.relative_to(shared_data)) for file in shared_data.rglob("*.json*") if "gpt2_bpe" not in str(file)}
    hh = {f"preference/hh_rlhf_{part}.jsonl.gz" for part in ("helpful_base", "harmless_base")}
    hh |= {f"preference/hh_rlhf_{part}.jsonl.gz" for part in ("helpful_online", "helpful_rejection_sampled")}
    assert there == {file for file, *_ in CASES} | hh
