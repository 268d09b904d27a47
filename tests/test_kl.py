"""KL against hand-worked numbers, and against the exact sum over every response that a tiny policy can give."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from rlhf.evaluation.policy import sampled_kl
from rlhf.kl import k1, k2, k3, response_kl, stepwise_kl
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


def test_estimators_by_hand() -> None:
    """P = (1/2, 1/4, 1/4) against uniform Q: log P/Q = ln 3/2, ln 3/4, ln 3/4; Q/P = 2/3, 4/3, 4/3.

    k1 = 0.4054651, -0.2876821; k2 = 0.0822010, 0.0413805; k3 = 2/3 - 1 + 0.4054651 = 0.0721318 and
    4/3 - 1 - 0.2876821 = 0.0456512.
    """
    logp, other = P[:2], UNIFORM[:2] - torch.tensor(3.0).log()
    assert k1(logp, other).tolist() == pytest.approx([0.4054651, -0.2876821], abs=1e-6)
    assert k2(logp, other).tolist() == pytest.approx([0.0822010, 0.0413805], abs=1e-6)
    assert k3(logp, other).tolist() == pytest.approx([0.0721318, 0.0456512], abs=1e-6)


def test_estimators_of_one_token_against_the_exact_sum() -> None:
    """Over samples of P the means of k1 and k3 are KL(P||Q) = 0.0588915, over Q's KL(Q||P) = 0.0566330; k2's is not.

    The sign: samples of P under (log Q, log P) would give -KL(P||Q) by k1.
    """
    logp, other = P.double(), (UNIFORM - torch.tensor(3.0).log()).double()
    for kind in (k1, k3):
        assert (logp.exp() * kind(logp, other)).sum().item() == pytest.approx(0.0588915, abs=1e-6)
        assert (other.exp() * kind(other, logp)).sum().item() == pytest.approx(0.0566330, abs=1e-6)
    assert (logp.exp() * k1(other, logp)).sum().item() == pytest.approx(-0.0588915, abs=1e-6)
    assert (logp.exp() * k2(logp, other)).sum().item() == pytest.approx(0.0617907, abs=1e-6)


def test_estimators_of_equal_policies_are_zero() -> None:
    for kind in (k1, k2, k3):
        assert kind(P, P).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(-30, 0), min_size=1, max_size=8), st.lists(st.floats(-30, 0), min_size=8, max_size=8))
def test_k2_and_k3_are_never_negative(ours: list[float], theirs: list[float]) -> None:
    logp, other = (torch.tensor(row[: len(ours)], dtype=torch.float64) for row in (ours, theirs))
    assert (k2(logp, other) >= 0).all() and (k3(logp, other) >= -1e-12).all()
    torch.testing.assert_close(k1(logp, other), -k1(other, logp))


@pytest.mark.parametrize("tokens", [1, 3])
def test_estimators_of_token_sequences_against_sums_over_all_of_them(tokens: int) -> None:
    """Policies over three symbols whose next-token distributions hang on everything before; all 3^tokens sequences.

    k1 summed over tokens and k1 of the whole are the same and have mean KL(p||q). k3 has it both ways too, by token
    (chain rule) and of the whole, though the two differ response by response.
    """
    generator = torch.Generator().manual_seed(tokens)
    sequences = list(product(range(3), repeat=tokens))
    tables = [
        {
            start: torch.log_softmax(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
            for length in range(tokens)
            for start in product(range(3), repeat=length)
        }
        for _ in range(2)
    ]
    p, q = (
        torch.stack([torch.stack([table[row[:t]][row[t]] for t in range(tokens)]) for row in sequences])
        for table in tables
    )
    weights = p.sum(dim=1).exp()
    assert weights.sum().item() == pytest.approx(1.0)
    exact = sum(w * math.log(w / v) for w, v in zip(weights.tolist(), q.sum(dim=1).exp().tolist(), strict=True))
    assert exact > 0.03

    def mean(per_response: torch.Tensor) -> float:
        return (weights * per_response).sum().item()

    for kind in (k1, k3):
        assert mean(kind(p, q).sum(dim=1)) == pytest.approx(exact, rel=1e-10)
        assert mean(kind(p.sum(dim=1), q.sum(dim=1))) == pytest.approx(exact, rel=1e-10)
        assert (q.sum(dim=1).exp() * kind(q.sum(dim=1), p.sum(dim=1))).sum().item() != pytest.approx(exact, rel=1e-2)
    assert mean(k1(q, p).sum(dim=1)) == pytest.approx(-exact, rel=1e-10)


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

    def token_logprobs(self, model, temperature: float) -> torch.Tensor:
        """(responses, tokens) log-probs, 0 behind a response's end."""
        rows = response_logprobs(
            model, self.codec, self.prompts, self.responses, batch_size=1000, temperature=temperature
        )
        return torch.nn.utils.rnn.pad_sequence([row.double() for row in rows], batch_first=True)

    def logprobs(self, model, temperature: float) -> torch.Tensor:
        """(responses,) log-probs of whole responses."""
        return self.token_logprobs(model, temperature).sum(dim=1)

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


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_expected_k1_and_k3_of_sampled_tokens_are_the_exact_kl(world: World, temperature: float) -> None:
    """Real models, log-probs token by token as PPO takes them: sums over all 781 responses, in both directions."""
    ours, theirs = (world.token_logprobs(model, temperature) for model in (world.policy, world.reference))
    for p, q in ((ours, theirs), (theirs, ours)):
        weights = p.sum(dim=1).exp()
        exact = (weights * (p.sum(dim=1) - q.sum(dim=1))).sum().item()
        assert exact > 0.05
        for kind in (k1, k3):
            assert (weights * kind(p, q).sum(dim=1)).sum().item() == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("spread", [0.0, 5e-8, 5e-7, 5e-6, 1e-3])
def test_k3_of_nearly_equal_log_probs_is_not_negative_by_rounding(spread: float) -> None:
    """In float32, where exp(x) - 1 - x of a small x is only rounding; half of x squared is its truth."""
    generator = torch.Generator().manual_seed(0)
    logp = -0.05 * torch.rand(4096, generator=generator)
    other = logp + spread * torch.randn(4096, generator=generator)
    found = k3(logp, other)
    assert (found >= 0).all()
    truth = 0.5 * (other - logp).double().square()
    assert float(found.double().mean()) == pytest.approx(float(truth.mean()), rel=0.02, abs=1e-9)
