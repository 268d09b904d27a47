"""KL against hand-worked numbers, and against the exact sum over every response that a tiny policy can give."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from rlhf.evaluation.policy import sampled_kl
from rlhf.kl import response_kl, stepwise_kl
from rlhf.models.codec import Codec
from rlhf.models.sample import response_logits, response_logprobs, sample
from rlhf.models.tiny import random_model
from tests.bench import run_of

PAD, EOS, VOCABULARY, LONGEST = 0, 1, 6, 4
P = torch.tensor([0.5, 0.25, 0.25]).log()
UNIFORM = torch.zeros(3)


def test_stepwise_kl_by_hand() -> None:
    """P = (1/2, 1/4, 1/4), uniform Q: KL(P||Q) = ln 3 - 1.5 ln 2 = 0.0588915.

    KL(Q||P) = (ln(2/3) + 2 ln(4/3)) / 3 = 0.0566330: the order of the arguments matters.
    """
    assert stepwise_kl(P, UNIFORM, 1.0).item() == pytest.approx(0.0588915, abs=1e-6)
    assert stepwise_kl(UNIFORM, P, 1.0).item() == pytest.approx(0.0566330, abs=1e-6)
    assert stepwise_kl(P, P + 7.0, 1.0).item() == pytest.approx(0.0, abs=1e-6)  # logits mean the same up to a constant


def test_stepwise_kl_is_of_the_tempered_distributions() -> None:
    """At temperature 1/2 P squares to (4, 1, 1) / 6; KL to uniform = ln 3 - (2/3 ln 3/2 + 1/3 ln 6) = 0.2310491."""
    assert stepwise_kl(P, UNIFORM, 0.5).item() == pytest.approx(0.2310491, abs=1e-6)


def test_stepwise_kl_keeps_the_leading_shape_and_computes_in_float32() -> None:
    """Adding 64 leaves a distribution alone; in bfloat16 the sum would keep no digit of -1.4."""
    logits = torch.stack([P, UNIFORM]).expand(5, 2, 3)
    found = stepwise_kl(logits, torch.zeros(5, 2, 3).bfloat16(), 1.0)
    assert found.shape == (5, 2) and found.dtype == torch.float32
    assert found[3].tolist() == pytest.approx([0.0588915, 0.0], abs=1e-6)


def test_response_kl_sums_steps_inside_the_mask_only() -> None:
    steps = torch.tensor([[0.1, 0.2, 0.4], [1.0, 5.0, 7.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert response_kl(steps, mask).tolist() == pytest.approx([0.7, 1.0])


class World:
    """Two random policies over six tokens, and every response of up to four tokens."""

    def __init__(self, family: str) -> None:
        run = run_of("method=sft", f"model={'tiny_gpt2' if family == 'causal' else 'tiny_mt5'}")
        bare = {"user": "{content}", "assistant": "{content}", "system": "{content}", "response_prefix": ""}
        template = run.model.template.model_copy(update=bare | {"response": "{content}", "chat": False})
        words = {"<pad>": PAD, "<eos>": EOS} | {word: index + 2 for index, word in enumerate("abcd")}
        backend = Tokenizer(models.WordLevel(words, unk_token="a"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
        self.codec = Codec(tokenizer, run.model.model_copy(update={"template": template}), 8, LONGEST)
        self.evaluation = run.evaluation
        ids = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": EOS}
        if family == "causal":
            shape = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.4}
            config = AutoConfig.for_model("gpt2", **shape, **ids, bos_token_id=EOS)
        else:
            shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
            config = AutoConfig.for_model("mt5", **shape, **ids, decoder_start_token_id=PAD)
        kind = AutoModelForCausalLM if family == "causal" else AutoModelForSeq2SeqLM
        self.policy, self.reference = (random_model(kind, config, torch.float32, seed) for seed in (1, 2))
        self.prompt = [{"role": "user", "content": "a b d"}]
        others = [token for token in range(VOCABULARY) if token != EOS]
        self.responses = [[*start, EOS] for length in range(LONGEST) for start in product(others, repeat=length)]
        self.responses += [list(row) for row in product(others, repeat=LONGEST)]  # cut at the token limit
        self.prompts = [self.codec.prompt_ids(self.prompt)] * len(self.responses)

    def logprobs(self, model, temperature: float) -> torch.Tensor:
        """(responses,) log-probs of whole responses."""
        rows = response_logprobs(
            model, self.codec, self.prompts, self.responses, batch_size=1000, temperature=temperature
        )
        return torch.stack([row.double().sum() for row in rows])

    @torch.no_grad()
    def step_kl(self, policy, reference, temperature: float) -> torch.Tensor:
        """(responses,) what `response_kl` says of each response."""
        logits = response_logits(policy, self.codec, self.prompts, self.responses)
        reference_logits = response_logits(reference, self.codec, self.prompts, self.responses)
        lengths = torch.tensor([len(row) for row in self.responses])
        mask = torch.arange(LONGEST) < lengths[:, None]
        return response_kl(stepwise_kl(logits, reference_logits, temperature), mask).double()


@pytest.fixture(scope="module", params=["causal", "seq2seq"])
def world(request) -> World:
    return World(request.param)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_expected_response_kl_is_the_exact_kl_between_response_distributions(world: World, temperature: float) -> None:
    """Chain rule: sum over all 781 responses of p(y) (log p(y) - log q(y)) = sum of p(y) times its steps' KLs."""
    ours, theirs = (world.logprobs(model, temperature) for model in (world.policy, world.reference))
    assert len(world.responses) == 1 + 5 + 25 + 125 + 625
    assert ours.exp().sum().item() == pytest.approx(1.0, abs=1e-5)  # nothing that can be answered is missing
    exact = (ours.exp() * (ours - theirs)).sum().item()
    backwards = (theirs.exp() * (theirs - ours)).sum().item()
    found = (ours.exp() * world.step_kl(world.policy, world.reference, temperature)).sum().item()
    swapped = (theirs.exp() * world.step_kl(world.reference, world.policy, temperature)).sum().item()
    assert exact > 0.05
    assert found == pytest.approx(exact, abs=1e-5)
    assert swapped == pytest.approx(backwards, abs=1e-5)
    assert abs(exact - backwards) > 1e-3  # so a swap of policy and reference would not go unseen


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampled_kl_lies_within_four_standard_errors_of_the_exact_one(world: World, temperature: float) -> None:
    count = 3000
    spec = world.evaluation.model_copy(update={"temperature": temperature, "batch_size": 1000})
    samples = sample(
        world.policy,
        world.codec,
        [world.prompt] * count,
        max_new_tokens=LONGEST,
        temperature=temperature,
        batch_size=1000,
        seed=5,
        progress=None,
    )
    found = sampled_kl(world.policy, world.reference, world.codec, samples, spec)
    ours, theirs = (world.logprobs(model, temperature) for model in (world.policy, world.reference))
    exact = (ours.exp() * (ours - theirs)).sum().item()
    per_response = world.step_kl(world.policy, world.reference, temperature)
    variance = (ours.exp() * per_response**2).sum().item() - exact**2
    assert abs(found["final/kl"] - exact) < 4 * (variance / count) ** 0.5
    mean_length = sum(map(len, samples.ids)) / count
    assert found["final/kl_per_token"] == pytest.approx(found["final/kl"] / mean_length)
