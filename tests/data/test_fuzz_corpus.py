"""Real rows, damaged, through `load_corpus`: every record that was read is in a part of the split or under a name."""

from __future__ import annotations

import copy
import gzip
import json
import random
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from test_formats_any import examples

from rlhf.data import load_corpus
from rlhf.dataset_spec import FileDataset
from rlhf.errors import UserError

FILES = {
    "hh_rlhf": "preference/hh_rlhf_helpful_base.jsonl.gz",
    "rm_single_context": "derived/rm_single_context_style.jsonl.gz",
    "ultrafeedback_binarized": "preference/ultrafeedback_binarized.jsonl.gz",
    "oasst": "preference/oasst_rm_zh.jsonl.gz",
    "dpo_mix": "preference/dpo_mix_en.jsonl.gz",
    "kto_mix": "preference/kto_mix.jsonl.gz",
    "qa_feedback": "preference/qa_feedback_dev.jsonl.gz",
    "taskmaster_reward": "reward/taskmaster4_reward.jsonl.gz",
    "bitext": "derived/bitext_27k_schema.jsonl.gz",
    "synthetic_persona_chat": "persona/synthetic_persona_chat.jsonl.gz",
    "multiwoz": "tourism/multiwoz_2x.jsonl.gz",
    "crosswoz": "tourism/crosswoz_zh.jsonl.gz",
    "sgd_travel": "tourism/sgd_travel.jsonl.gz",
    "tourism_pairs": "derived/tourism_user_chatbot_pairs.jsonl.gz",
    "table": "derived/bitext_revision_pairs.jsonl.gz",
}
WRITTEN: dict[str, tuple[str | int, ...]] = {  # formats without a sample, and where their example rows are told apart
    "pairs": ("prompt", 0, "content"),
    "feedback": ("prompt", 0, "content"),
    "feedback_export": ("prompt",),
    "personachat": ("personality", 0),
    "blended_skill_talk": ("personas", 0),
}
PAIRS = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
SETTINGS: dict[str, Any] = {"table": {"columns": PAIRS}, "taskmaster_reward": {"api_calls": "keep"}}
SOUND, DAMAGED = 40, 120
SPLIT = {"validation": 0.3, "test": 0.3, "seed": 0, "folds": None, "fold": 0}  # of few rows
WRONG: list[Any] = [
    None, "", " \n", 0, -1, 1.5, True, [], {}, [None], [[]], [{}], {"a": None}, "x" * 30_000, "\ud83d", "\0",
    "\n\nHuman:", '[{"role"', [{"role": "user", "content": None}], [{"from": "gpt", "value": 3}], {"response": {}},
    10**400, "[[[",
]  # fmt: skip


def damage(row: dict[str, Any], other: dict[str, Any], rng: random.Random) -> Any:
    """One thing wrong with a row: a part gone, of another kind, out of another row, or somewhere else."""
    row = copy.deepcopy(row)
    spot: Any = row
    while True:  # walk down to a random place
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = rng.choice(keys)
        if not (isinstance(spot[key], dict | list) and spot[key] and rng.random() < 0.7):
            break
        spot = spot[key]
    how = rng.choice(["drop", "wrong", "nest", "text", "swap", "double", "whole"])
    if how == "drop":
        del spot[key]
    elif how == "wrong":
        spot[key] = rng.choice(WRONG)
    elif how == "nest":
        spot[key] = rng.choice([[spot[key]], {"value": spot[key]}])
    elif how == "text":
        spot[key] = json.dumps(spot[key])
    elif how == "swap":
        spot[key] = rng.choice(list(other.values()))
    elif how == "double":
        spot[key] = [spot[key], spot[key]] if not isinstance(spot[key], str) else spot[key] * 3
    else:
        return rng.choice([[row], row, {"row": row}, rng.choice(WRONG)])
    return row


def numbered(name: str, number: int) -> dict[str, Any]:
    """An example row of a format, with a number in the text that makes its group."""
    rows = examples(name)
    row = copy.deepcopy(rows[number % len(rows)])
    spot: Any = row
    *path, last = WRITTEN[name]
    for key in path:
        spot = spot[key]
    spot[last] += f" {number}"
    return row


def lines_of(shared_data: Path, name: str) -> list[bytes]:
    """Lines of a file, the sound ones first."""
    rng = random.Random(f"damage/{name}")
    if name in WRITTEN:
        rows = [numbered(name, number) for number in range(SOUND + DAMAGED + 1)]
    else:
        with gzip.open(shared_data / FILES[name]) as stream:
            rows = [json.loads(line) for line in islice(stream, SOUND + DAMAGED + 1)]
    made = [damage(row, other, rng) for row, other in pairwise(rows[SOUND:])]
    lines = [json.dumps(row).encode() for row in rows[:SOUND] + made]
    raw = rng.choice(lines)
    lines += [raw[: len(raw) // 2], b"\xff" + raw, raw[:-1] + b', "a": 1, "a": 2}', b"NaN", b"{" * 2000]
    return lines


def kept_in_full(spec: FileDataset, lines: int) -> None:
    corpus = load_corpus(spec, "preference" if spec.has_pairs else "demonstration")
    counts = list(corpus.counts)
    parts = [counts.pop() for _ in range(3)]
    assert [part.step for part in parts] == ["test", "validation", "train"]
    assert (counts[0].step, counts[0].before) == ("read", lines)
    for before, after in pairwise(counts):
        assert after.before == before.after
        assert after.step == "unfolded" or after.after <= after.before
    assert sum(part.after for part in parts) == counts[-1].after
    assert {part.before for part in parts} == {counts[-1].after}
    assert [len(part) for part in (corpus.test, corpus.validation, corpus.train)] == [part.after for part in parts]


@pytest.mark.parametrize("name", [*FILES, *WRITTEN])
def test_damaged_rows_are_kept_or_named(name: str, shared_data: Path, tmp_path: Path, spec_of) -> None:
    lines = lines_of(shared_data, name)
    random.Random(name).shuffle(lines)
    file = tmp_path / "f.jsonl"
    file.write_bytes(b"\n".join(lines))
    kept_in_full(
        spec_of(name, path=str(file), split=SPLIT, max_bad_rows=len(lines), **SETTINGS.get(name, {})), len(lines)
    )


@pytest.mark.parametrize("name", [*FILES, *WRITTEN])
def test_the_first_damaged_row_beyond_those_allowed_is_named_by_its_line(
    name: str, shared_data: Path, tmp_path: Path, spec_of
) -> None:
    lines = lines_of(shared_data, name)
    file = tmp_path / "f.jsonl"
    file.write_bytes(b"\n".join(lines))
    spec = spec_of(name, path=str(file), split=SPLIT, **SETTINGS.get(name, {}))
    shape = "preference" if spec.has_pairs else "demonstration"
    with pytest.raises(UserError) as caught:
        load_corpus(spec, shape)
    place, _, rest = str(caught.value).removeprefix(f"{file}:").partition(":")
    number = int(place.partition(",")[0])
    assert str(caught.value).isprintable()
    assert rest
    assert SOUND < number <= len(lines)
    file.write_bytes(b"\n".join(lines[: number - 1]))
    kept_in_full(spec, number - 1)


@pytest.mark.parametrize(
    ("name", "change", "column"),
    [
        ("pairs", {"meta": {"source": ["a", {"by": "\ud83d"}]}}, "meta.source.by"),
        ("pairs", {"meta": {"\ud83d": 1}}, "meta"),
        ("pairs", {"meta": {"group": "\ud83d"}}, "meta.group"),
        ("feedback", {"id": "\ud83d"}, "meta.vote"),
        ("feedback", {"time": "\ud83d"}, "meta.time"),
        ("feedback", {"ratings": {"quality": "\ud83d"}}, "meta.rating.quality"),
        ("feedback_export", {"timestamp": "\ud83d"}, "meta.time"),
        ("feedback_export", {"ratings": {"overall_quality": "\ud83d"}}, "meta.rating"),
    ],
)
def test_half_a_surrogate_in_what_a_row_tells_of_itself_is_a_broken_row(
    name: str, change: dict[str, Any], column: str, tmp_path: Path, spec_of
) -> None:
    rows = [numbered(name, 2 * number) for number in range(30)]
    rows[7] |= change
    file = tmp_path / "f.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as caught:
        load_corpus(spec_of(name, path=str(file)), "preference")
    assert str(caught.value).startswith(f"{file}:8, column '{column}': half a surrogate pair")
    kept_in_full(spec_of(name, path=str(file), split=SPLIT, max_bad_rows=1), 30)
