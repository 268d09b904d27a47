"""What stages read of a cleaned data set: S4's policy saw cleaned text and its reward model raw text; here none can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf.compose import jobs, parse_words
from rlhf.data import load_corpus
from rlhf.ppo.rollout import Rollouts, Share
from rlhf.stages.tokens import demonstration_tokens, pair_tokens, scored_pair_tokens
from tests.bench import codec_of

TOKENS = {"sft": demonstration_tokens, "reward": scored_pair_tokens, "dpo": pair_tokens}
RAW, CLEAN = ("QUESTION", "GOOD", "BAD", "<b>"), ("question", "good")


def run_of(method: str, path: Path, *words: str) -> Any:
    data = ["dataset=ultrafeedback_binarized", f"dataset.path={path}", "evaluation.judge=reward"]
    ((_, run),) = jobs(parse_words([f"method={method}", *data, *words]))
    return run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"prompt": f"<b>QUESTION</b> {at}", "chosen": f"GOOD <b>{at}</b>", "rejected": f"BAD <b>{at}</b>"}
        for at in range(80)
    ]
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def texts_of(run: Any, method: Any) -> list[str]:
    """What the stage of `method` is given to read, decoded from its token ids."""
    codec = codec_of(run)
    corpus = load_corpus(run.dataset, method.data_shape)
    if method.name == "ppo":
        rollouts: Any = Rollouts(None, codec, corpus.train, None, None, method, seed=0, share=Share(0, 1))  # type: ignore[arg-type]
        ids = [codec.prompt_ids(row.prompt) for step in range(4) for row in rollouts.prompts_of(step)]
    else:
        sets = [TOKENS[method.name](codec, rows) for rows in (corpus.train, corpus.validation, corpus.test)]
        ids = [row for tokens in sets for column in tokens.column_names if "ids" in column for row in tokens[column]]
    return [codec.tokenizer.decode(row) for row in ids]


@pytest.mark.parametrize("name", ["sft", "reward", "dpo", "ppo"])
def test_every_stage_of_a_pipeline_reads_cleaned_texts(name: str, path: Path) -> None:
    steps = "dataset.cleaning=[html,lowercase]"
    run = run_of("ppo" if name in ("sft", "reward") else name, path, steps)
    method = {"sft": run.upstream.sft, "reward": run.upstream.reward}.get(name, run.method)
    read = texts_of(run, method)
    assert len(read) > 30
    assert not [text for text in read if any(word in text for word in RAW)]
    assert any(word in text for text in read for word in CLEAN)


def test_without_cleaning_the_same_look_finds_raw_texts(path: Path) -> None:
    run = run_of("ppo", path)
    for method in (run.upstream.sft, run.upstream.reward, run.method):
        assert all(any(word in text for word in RAW) for text in texts_of(run, method))


def test_a_stage_on_other_cleaning_is_another_stage(path: Path) -> None:
    """Its fingerprint holds that of the data, so nothing trained on raw text is reused for cleaned text."""
    from rlhf.lineage import Lineage

    def stages(*words: str) -> set[str]:
        run = run_of("ppo", path, *words)
        lineage = Lineage(run, "cpu", "fp32", lambda shape: load_corpus(run.dataset, shape).fingerprint)  # type: ignore[arg-type]
        link = lineage.of(run.method)
        assert link.start is not None and link.judge is not None
        return {link.fingerprint, link.start.fingerprint, link.judge.fingerprint}

    raw, clean = stages(), stages("cleaning@dataset.cleaning=s4")
    assert len(raw) == len(clean) == 3
    assert not raw & clean
    assert stages("cleaning@dataset.cleaning=none") == raw
