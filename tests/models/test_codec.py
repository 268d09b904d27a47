"""Text to ids and back, worked by hand on the toy template."""

from __future__ import annotations

import pytest

from rlhf.errors import UserError
from rlhf.models.codec import Codec

from .conftest import ANSWERS, CHATS, model_spec

CAUSAL = ["tiny_gpt2", "tiny_llama"]
ALL = [*CAUSAL, "tiny_mt5", "tiny_bert"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_prompt_text_joins_the_turns(tiny) -> None:
    codec = tiny("tiny_gpt2").codec
    assert codec.prompt_text(CHATS[2]) == (
        "User: I need a room in Rome.\nAgent: For how many nights?\nUser: Two, please, and breakfast.\nAgent:"
    )
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Braces {content} stay"}]
    assert codec.prompt_text(asked) == "Be brief.\nUser: Braces {content} stay\nAgent:"


@pytest.mark.parametrize("template", ["toy", "human_assistant", "customer_assistant", "user_chatbot", "plain"])
@pytest.mark.parametrize("name", CAUSAL)
def test_prompt_and_response_ids_are_the_ids_of_the_whole_text(name: str, template: str, tiny) -> None:
    bench = tiny(name, f"template@model.template={template}")
    codec = bench.codec
    for messages, answer in zip(CHATS, ANSWERS, strict=True):
        whole = codec.prompt_text(messages) + bench.spec.template.response.replace("{content}", answer)
        natural = [bench.tokenizer.bos_token_id, *bench.tokenizer(whole)["input_ids"], bench.tokenizer.eos_token_id]
        assert codec.prompt_ids(messages) + codec.response_ids(answer) == natural


def test_seq2seq_prompt_ends_with_one_eos_and_has_no_bos(tiny) -> None:
    bench = tiny("tiny_mt5")
    ids = bench.codec.prompt_ids(CHATS[0])
    assert ids == bench.tokenizer(bench.codec.prompt_text(CHATS[0]))["input_ids"]
    assert ids.count(1) == 1


@pytest.mark.parametrize("name", ALL)
def test_a_long_prompt_keeps_its_end_and_is_counted(name: str, tiny) -> None:
    bench = tiny(name)
    whole = bench.codec.prompt_ids(CHATS[2])
    codec = Codec(bench.tokenizer, bench.spec, 8, 8)
    cut = codec.prompt_ids(CHATS[2])
    assert len(cut) == 8
    assert cut == (whole[-8:] if name == "tiny_mt5" else [whole[0], *whole[-7:]])
    assert codec.truncated_prompts == 1
    codec.prompt_ids([{"role": "user", "content": "a"}])
    assert codec.truncated_prompts == 1


def test_a_cut_response_has_no_eos(tiny) -> None:
    bench = tiny("tiny_gpt2")
    whole = bench.codec.response_ids(ANSWERS[2])
    assert whole[-1] == bench.tokenizer.eos_token_id
    codec = Codec(bench.tokenizer, bench.spec, 8, 5)
    assert codec.response_ids(ANSWERS[2]) == whole[:5]
    assert codec.cut_responses == 1
    assert bench.codec.response_ids(ANSWERS[2], eos=False) == whole[:-1]


@pytest.mark.parametrize("name", ALL)
def test_decode_gives_the_answer_back(name: str, tiny) -> None:
    codec = tiny(name).codec
    for answer in ANSWERS:
        assert codec.decode(codec.response_ids(answer)) == answer


@pytest.mark.parametrize("name", ALL)
def test_scorer_ids_hold_exactly_one_eos_at_the_end(name: str, tiny) -> None:
    bench = tiny(name)
    eos = bench.tokenizer.eos_token_id
    for messages, answer in zip(CHATS, [*ANSWERS[:2], "</s> so </s>"], strict=True):
        ids = bench.codec.scorer_ids(messages, answer)
        assert ids.count(eos) == 1 and ids[-1] == eos
    short = Codec(bench.tokenizer, bench.spec, 10, 6)
    ids = short.scorer_ids(CHATS[2], ANSWERS[2])
    assert len(ids) <= 16 and ids.count(eos) == 1 and ids[-1] == eos


@pytest.mark.parametrize("name", ALL)
def test_special_tokens_written_in_text_are_taken_out(name: str, tiny) -> None:
    codec = tiny(name).codec
    clean, dirty = "ab", "a</s><pad>b<</s>/s>"
    assert codec.response_ids(dirty) == codec.response_ids(clean)
    ask = [{"role": "user", "content": dirty}]
    assert codec.prompt_ids(ask) == codec.prompt_ids([{"role": "user", "content": clean}])


def test_chat_template_writes_bos_once_and_the_generation_prompt(tiny) -> None:
    bench = tiny("tiny_llama")
    spec = model_spec("tiny_llama", "template@model.template=chat")
    bench.tokenizer.chat_template = CHAT_TEMPLATE
    codec = Codec(bench.tokenizer, spec, 96, 48)
    assert codec.prompt_text([{"role": "user", "content": "Hi</s>"}]) == "<s><|user|>Hi</s><|assistant|>"
    ids = codec.prompt_ids([{"role": "user", "content": "Hi"}])
    assert ids[0] == bench.tokenizer.bos_token_id and ids.count(bench.tokenizer.bos_token_id) == 1
    scored = codec.scorer_ids([{"role": "user", "content": "Hi"}], "Yes")
    assert scored[-1] == bench.tokenizer.eos_token_id and scored[-2] != bench.tokenizer.eos_token_id


def test_refusals_name_the_key(tiny) -> None:
    bench = tiny("tiny_gpt2")
    with pytest.raises(UserError, match=r"method\.max_prompt_tokens.*256 positions"):
        Codec(bench.tokenizer, bench.spec, 200, 100)
    with pytest.raises(UserError, match=r"model\.template.*no chat template"):
        Codec(bench.tokenizer, model_spec("tiny_gpt2", "template@model.template=chat"), 10, 10)
