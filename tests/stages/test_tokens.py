"""Token ids of a mapped corpus: those of one in memory, written once, under a name of all that they depend on."""

from __future__ import annotations

import copy
import gc
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from rlhf.compose import jobs, parse_words
from rlhf.data import load_corpus
from rlhf.data.arrow import ArrowRows
from rlhf.evaluation.prompts import distinct_prompts
from rlhf.evaluation.reward import some
from rlhf.models.codec import Codec
from rlhf.ppo.rollout import Rollouts, Share
from rlhf.stages.costs import passes
from rlhf.stages.tokens import demonstration_tokens, pair_tokens, scored_pair_tokens, token_fingerprint
from rlhf.store import held
from tests.bench import codec_of

KINDS = {
    "demonstration": (demonstration_tokens, "demonstration"),
    "pair": (pair_tokens, "preference"),
    "scored_pair": (scored_pair_tokens, "preference"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {"prompt": f"Order {n}? " * (n % 9 + 1), "chosen": f"Yes {n}. " * (n % 5 + 1), "rejected": "No."}
        for n in range(300)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run_of(path: Path, *words: str) -> Any:
    data = ["dataset=ultrafeedback_binarized", f"dataset.path={path}", "evaluation.judge=reward"]
    lengths = ["method.max_prompt_tokens=24", "method.max_response_tokens=8", "dataset.reading.workers=2"]
    method = [] if any(word.startswith("method=") for word in words) else ["method=dpo"]
    ((_, run),) = jobs(parse_words([*method, *data, *lengths, *words]))
    return run


@pytest.fixture
def by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhf.stages.tokens.FEW_ROWS", 0)
    monkeypatch.setattr("rlhf.stages.tokens.TASK_ROWS", 50)


@pytest.mark.usefixtures("by_workers")
@pytest.mark.parametrize(("model", "kind"), [("tiny_gpt2", kind) for kind in KINDS] + [("tiny_mt5", "pair")])
def test_ids_of_mapped_rows_are_those_of_rows_in_memory(model: str, kind: str, path: Path) -> None:
    tokens, shape = KINDS[kind]
    found = []
    for limit in (0, 100):
        run = run_of(path, f"model={model}", f"dataset.reading.stream_over_mb={limit}")
        train, codec = load_corpus(run.dataset, shape).train, codec_of(run)
        assert isinstance(train, ArrowRows) == (limit == 0)
        made = tokens(codec, train)
        found.append((made.column_names, made.to_dict(), passes(made), codec.truncated_prompts, codec.cut_responses))
    assert found[0] == found[1]
    assert found[0][3] > 0 and found[0][4] > 0  # so that the counts say something


def test_few_rows_are_tokenised_here_and_count_once(path: Path, tmp_path: Path) -> None:
    run = run_of(path, "dataset.reading.stream_over_mb=0")
    rows, codec = load_corpus(run.dataset, "preference").train, codec_of(run)
    first = pair_tokens(codec, rows, tmp_path)
    cut = (codec.truncated_prompts, codec.cut_responses)
    again = codec_of(run)
    assert pair_tokens(again, rows, tmp_path).to_dict() == first.to_dict()
    assert (again.truncated_prompts, again.cut_responses) == cut  # a kept file tells what was cut for it
    assert (
        pair_tokens(codec_of(run), load_corpus(run_of(path).dataset, "preference").train).to_dict() == first.to_dict()
    )


def test_copies_of_a_data_set_share_what_keeps_its_file(path: Path, tmp_path: Path) -> None:
    run = run_of(path, "dataset.reading.stream_over_mb=0")
    made = pair_tokens(codec_of(run), load_corpus(run.dataset, "preference").train, tmp_path)
    (folder,) = (tmp_path / "tokens").iterdir()
    copies = [copy.deepcopy(made), made.with_format("arrow")]
    assert held(folder)
    del copies
    assert held(folder) and not held(tmp_path)
    del made
    gc.collect()
    assert not held(folder)


def test_ids_are_kept_once_for_each_set_of_rows_and_settings(path: Path, tmp_path: Path) -> None:
    run = run_of(path, "dataset.reading.stream_over_mb=0")
    corpus, codec = load_corpus(run.dataset, "preference"), codec_of(run)
    for _ in range(2):
        pair_tokens(codec, corpus.train, tmp_path)
        scored_pair_tokens(codec, corpus.train, tmp_path)
        pair_tokens(codec, corpus.test, tmp_path)
    folders = sorted((tmp_path / "tokens").iterdir())
    assert len(folders) == 3 and all((folder / "values" / "tokens.arrow").is_file() for folder in folders)


def test_the_name_of_kept_ids_follows_all_that_they_depend_on(path: Path) -> None:
    run = run_of(path, "dataset.reading.stream_over_mb=0")
    corpus, codec = load_corpus(run.dataset, "preference"), codec_of(run)

    def name(kind: Any = "pair", codec: Codec = codec, rows: Any = corpus.train) -> str:
        return token_fingerprint(kind, codec, rows)

    others = [run_of(path, *words) for words in (["model=tiny_mt5"], ["template@model.template=plain"])]
    others += [run_of(path, f"method.max_{what}_tokens=7") for what in ("prompt", "response")]
    special, chat = copy.deepcopy(codec), copy.deepcopy(codec)  # the tests' tokenizers are shared
    special.tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    chat.tokenizer.chat_template = "{{ messages }}"
    names = [name(), name("scored_pair"), name(rows=corpus.test), name(rows=corpus.train[1:]), name(codec=special)]
    names += [name(codec=chat), *(name(codec=codec_of(other)) for other in others)]
    assert len(set(names)) == len(names) == 10
    assert name(codec=codec_of(run)) == name()


def test_shapes_of_a_pass_by_hand() -> None:
    sft = Dataset.from_dict({"input_ids": [[1, 2, 3], [4], [5, 6]], "labels": [[-100, 2, 3], [-100], [5, 6]]})
    assert passes(sft) == Counter({(1, 2): 1, (1, 0): 1, (0, 2): 1})
    pairs = {"prompt_ids": [[1, 2], [3]], "chosen_ids": [[4], [5, 6]], "rejected_ids": [[7], []]}
    assert passes(Dataset.from_dict(pairs)) == Counter({(2, 1): 2, (1, 2): 1, (1, 0): 1})
    scored = {name: ids for name, ids in pairs.items() if name != "prompt_ids"}
    assert passes(Dataset.from_dict(scored).select([1, 0])) == Counter({(0, 1): 2, (0, 2): 1, (0, 0): 1})


def test_ppo_and_evaluation_ask_the_same_prompts_of_mapped_rows(path: Path) -> None:
    asked = []
    for limit in (0, 100):
        run = run_of(path, "method=ppo", f"dataset.reading.stream_over_mb={limit}", "evaluation.prompts=9")
        train = load_corpus(run.dataset, "demonstration").train
        assert isinstance(train, ArrowRows) == (limit == 0)
        rollouts: Any = Rollouts(None, codec_of(run), train, None, None, run.method, seed=0, share=Share(0, 1))  # type: ignore[arg-type]
        steps = [row.prompt for step in range(3) for row in rollouts.prompts_of(step)]
        asked.append((steps, distinct_prompts(train, run.evaluation)))
    assert asked[0] == asked[1]


def test_of_many_training_pairs_the_baseline_reads_evenly_spaced_ones() -> None:
    assert list(some(tuple(range(10)), 4)) == [0, 2, 5, 7]  # 10/4 apart, rounded down
    assert list(some(tuple(range(4)), 4)) == [0, 1, 2, 3]
