"""Tiny models: same bytes everywhere, built once, with honest special tokens and a sane starting loss."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rlhf.errors import UserError
from rlhf.models.tiny import build_tiny
from rlhf.models.tokenizers import ensure_padding

from .conftest import FP32_CPU, NONE, Tiny, load_policy, model_spec

NAMES = ["tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert"]


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", NAMES)
def test_two_folders_hold_the_same_bytes(name: str, tiny, tmp_path) -> None:
    first, second = tiny(name).source.base, build_tiny(model_spec(name), tmp_path)
    assert first.name == second.name
    assert digests(first) == digests(second)
    assert "model.safetensors" in digests(first)


def test_another_process_writes_the_same_bytes(tiny, tmp_path) -> None:
    program = (
        "import sys; from pathlib import Path; from rlhf.config import ModelSpec\n"
        "from rlhf.models.tiny import build_tiny\n"
        "print(build_tiny(ModelSpec.model_validate_json(sys.stdin.read()), Path(sys.argv[1])))"
    )
    spec = model_spec("tiny_mt5")
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], input=spec.model_dump_json(), text=True, capture_output=True,
        cwd=Path(__file__).parents[2], check=True,
    )  # fmt: skip
    assert digests(Path(run.stdout.strip())) == digests(tiny("tiny_mt5").source.base)


def test_builders_in_a_race_leave_one_finished_folder(tmp_path) -> None:
    spec = model_spec("tiny_gpt2")
    with ThreadPoolExecutor(4) as pool:
        built = set(pool.map(lambda _: build_tiny(spec, tmp_path), range(4)))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == list(built)


def test_the_folder_follows_the_architecture_and_is_readable_by_others(tiny) -> None:
    bench, wider = tiny("tiny_gpt2"), tiny("tiny_gpt2", "model.architecture.n_embd=64")
    assert bench.source.base != wider.source.base
    assert {file.stat().st_mode & 0o777 for file in bench.source.base.iterdir()} == {0o644}


def test_an_unknown_architecture_is_a_users_mistake(tmp_path) -> None:
    with pytest.raises(UserError, match=r"model\.architecture"):
        build_tiny(model_spec("tiny_gpt2", "model.architecture.model_type=gtp2"), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_special_ids_are_distinct_and_the_config_agrees(name: str, tiny) -> None:
    bench = tiny(name)
    ids = [bench.tokenizer.pad_token_id, bench.tokenizer.eos_token_id]
    ids += [bench.tokenizer.unk_token_id if name == "tiny_mt5" else bench.tokenizer.bos_token_id]
    assert sorted(ids) == [0, 1, 2]
    assert bench.scorer().config.pad_token_id == bench.tokenizer.pad_token_id
    assert len(bench.tokenizer) == 1024


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama", "tiny_bert"])
@pytest.mark.parametrize("text", ["Agent: sí, mañana.\n", "a  b\t\r\n c ", "日本 🙂 {x}", " leading"])
def test_byte_level_tokenizers_lose_nothing(name: str, text: str, tiny) -> None:
    tokenizer = tiny(name).tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_t5_tokenizer_has_t5s_ids_and_ends_with_eos(tiny) -> None:
    tokenizer = tiny("tiny_mt5").tokenizer
    assert tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]
    ids = tokenizer("Hello \n world")["input_ids"]
    assert ids[-1] == 1 and ids.count(1) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Hello world"
    assert tokenizer("ﬁne")["input_ids"] == tokenizer("fine")["input_ids"]  # NFKC


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_mt5", "tiny_llama"])
def test_an_untrained_model_starts_near_the_loss_of_guessing(name: str, tiny) -> None:
    bench: Tiny = tiny(name)
    model = load_policy(bench.spec, bench.source, NONE, **FP32_CPU)
    ids = torch.tensor([bench.codec.response_ids("I can help you with that, and with the hotel in Madrid.")])
    loss = model(input_ids=ids, labels=ids).loss.item()
    assert abs(loss - math.log(1024)) < 1.5


def test_pad_is_never_aliased_to_eos(tmp_path, tiny) -> None:
    # GPT-2's shape: one special token is bos, eos and unk at once, and there is no pad
    raw = tiny("tiny_gpt2").tokenizer.backend_tokenizer
    gpt2_like = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="</s>", eos_token="</s>", unk_token="</s>")
    gpt2_like.save_pretrained(tmp_path)
    tokenizer = ensure_padding(AutoTokenizer.from_pretrained(tmp_path), "causal")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "left"
    aliased = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", pad_token="</s>")
    assert ensure_padding(aliased, "encoder").pad_token != "</s>"
    assert aliased.padding_side == "right"
