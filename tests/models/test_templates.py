"""Every template on every tiny family: its text by hand, and one text for training, sampling and PPO's judges."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from rlhf.data.rows import Row
from rlhf.models.codec import Codec
from rlhf.models.sample import sample
from rlhf.ppo.rewards import model_scorer
from rlhf.stages.tokens import demonstration_tokens, pair_tokens, scored_pair_tokens

from .conftest import CONF, model_spec

ROOT = CONF.parent
FAMILIES = ["tiny_gpt2", "tiny_llama", "tiny_mt5", "tiny_bert"]
POLICIES = FAMILIES[:3]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TALK = [
    {"role": "system", "content": "I am Ana."},
    {"role": "user", "content": "A room, please."},
    {"role": "assistant", "content": "When?"},
    {"role": "user", "content": "Now."},
]
TEXTS = {  # of TALK, then of an answer "Yes."; `chat` is the tokenizer's own and has no text of ours
    "toy": ("I am Ana.\nUser: A room, please.\nAgent: When?\nUser: Now.\nAgent:", " Yes."),
    "human_assistant": (
        "I am Ana.\n\nHuman: A room, please.\n\nAssistant: When?\n\nHuman: Now.\n\nAssistant:",
        " Yes.",
    ),
    "customer_assistant": (
        "I am Ana.\n\nCustomer: A room, please.\nAssistant: When?\nCustomer: Now.\nAssistant:",
        " Yes.",
    ),
    "user_chatbot": ("I am Ana.\n\nUser: A room, please.\nChatbot: When?\nUser: Now.\nChatbot:", " Yes."),
    "persona": (
        "[PERSONA] I am Ana.\n[DIALOGUE]\nUser: A room, please.\nAssistant: When?\nUser: Now.\n[RESPONSE]",
        " Yes.",
    ),
    "plain": ("I am Ana.\nA room, please.\nWhen?\nNow.\n", "Yes."),
}
TEMPLATES = sorted(file.stem for file in (CONF / "template").glob("*.yaml"))
AWKWARD = [
    "Sure, one moment.",
    " two\n\nlines \t and\r\na tab ",
    "Braces {content} and {{Order Number}} stay",
    "\n\nHuman: and a turn\n\nAssistant: inside",
    "[RESPONSE] [PERSONA] marks",
    "end </s> of <pad> text <|endoftext|> [SEP] [CLS]",
    "¿Dónde está? 日本語 🙂 e\u0301 \u00a0 \u200b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "...",
    "1,234.50 $ 5 % # @ & * ( ) \\ / ~ ` | < >",
]
DRAW: Any = {"max_new_tokens": 2, "temperature": 1.0, "batch_size": 2, "seed": 0, "progress": None}
ASKED = [*AWKWARD, "hello " * 200]


def bench(tiny: Any, name: str, template: str) -> Any:
    made = tiny(name, f"template@model.template={template}") if template != "chat" else tiny(name)
    if template == "chat":
        made.tokenizer.chat_template = CHAT_TEMPLATE
        made.spec = model_spec(name, "template@model.template=chat")
        made.codec = Codec(made.tokenizer, made.spec, 96, 48)
    return made


def test_every_template_has_its_text_here() -> None:
    assert {*TEXTS, "chat"} == set(TEMPLATES)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("template", TEXTS)
def test_the_text_of_a_dialogue_is_the_templates(template: str, name: str, tiny) -> None:
    made = bench(tiny, name, template)
    prompt, response = TEXTS[template]
    assert made.codec.prompt_text(TALK) == prompt
    ids = made.codec.prompt_ids(TALK) + made.codec.response_ids("Yes.")
    plain = [token for token in ids if token not in made.tokenizer.all_special_ids]
    assert (
        plain
        == made.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        + (made.tokenizer(response, add_special_tokens=False)["input_ids"])
    )


def test_a_prompt_without_a_persona_has_no_mark_of_one(tiny) -> None:
    assert bench(tiny, "tiny_gpt2", "persona").codec.prompt_text(TALK[1:2]) == "User: A room, please.\n[RESPONSE]"


def roomy(made: Any) -> Codec:
    return Codec(made.tokenizer, made.spec, 110, 130)  # no answer below is cut


def judged_ids(made: Any, rows: list[Row], answers: list[str]) -> list[list[int]]:
    """The ids that a real scorer is given where PPO has it score answers, padding left out, one row at a time."""
    seen: list[list[int]] = []

    def record(_: Any, __: Any, given: dict[str, torch.Tensor]) -> None:
        for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True):
            seen.append(ids[mask.bool()].tolist())

    scorer = made.scorer()
    scorer.register_forward_pre_hook(record, with_kwargs=True)
    judge = model_scorer(scorer, made.codec, batch_size=1)
    for row, answer in zip(rows, answers, strict=True):  # one by one: a batch would be sorted by length
        judge([row], [answer])
    return seen


@pytest.mark.parametrize("judge", FAMILIES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_judge_sees_in_ppo_what_it_saw_in_training_byte_for_byte(template: str, judge: str, tiny) -> None:
    """One answer, from the data into training; and said by a policy, made text of its ids, judged: the same ids.

    The policy is GPT-2, whose bytes lose nothing; the judge is of any family.
    """
    policy, made = roomy(bench(tiny, "tiny_gpt2", template)), bench(tiny, judge, template)
    made.codec = roomy(made)
    prompts = [*(({"role": "user", "content": text.strip()},) for text in ASKED), tuple(TALK)]
    rows = [Row(prompt, "g", chosen=text.strip(), rejected="No.") for prompt in prompts for text in AWKWARD]
    rows = rows[:: len(AWKWARD) + 1]  # each prompt with another answer
    trained = scored_pair_tokens(made.codec, rows)["chosen_ids"]
    said = [policy.decode(policy.response_ids(row.chosen or "")) for row in rows]
    assert (policy.cut_responses, made.codec.cut_responses) == (0, 0)
    judged = judged_ids(made, rows, said)
    assert judged == list(trained)
    decoded = [[made.tokenizer.decode(ids).encode() for ids in path] for path in (trained, judged)]
    assert decoded[0] == decoded[1]


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_policy_said_is_read_as_it_was_said(template: str, tiny) -> None:
    """GPT-2's bytes come back: an answer of the data, said word for word by the policy, is the same text again."""
    codec = roomy(bench(tiny, "tiny_gpt2", template))
    for text in AWKWARD:
        assert codec.decode(codec.response_ids(text)) == re.sub(r"</s>|<pad>", "", text).strip()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_training_sampling_and_chat_share_one_prompt(template: str, name: str, tiny) -> None:
    made = bench(tiny, name, template)
    rows = [Row(tuple(TALK), "g", completion="Yes."), Row(tuple(TALK[1:2]), "h", completion="No.")]
    taught = demonstration_tokens(made.codec, rows)
    pairs = pair_tokens(made.codec, [Row(row.prompt, "g", chosen="Yes.", rejected="No.") for row in rows])
    drawn = sample(made.policy(), made.codec, [row.prompt for row in rows], **DRAW)
    for at, row in enumerate(rows):
        prompt = made.codec.prompt_ids(row.prompt)
        assert taught[at]["input_ids"][: len(prompt)] == prompt
        assert taught[at]["labels"][: len(prompt)] == [-100] * len(prompt)
        assert pairs[at]["prompt_ids"] == prompt
        assert drawn.prompt_ids[at] == prompt


def test_templates_are_read_in_one_place() -> None:
    """Chat templates are applied by the codec alone, but for classifiers of others, which bring their own."""
    readers = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "rlhf").rglob("*.py")
        if re.search(r"apply_chat_template|response_prefix\b", file.read_text(encoding="utf-8"))
    }
    assert readers == {"rlhf/models/codec.py", "rlhf/model_spec.py", "rlhf/ppo/rewards/classifier.py"}
