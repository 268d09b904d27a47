"""Sampling is exactly softmax(logits / T), by seed; log-probs equal plain forwards."""

from __future__ import annotations

import pytest
import torch

from rlhf.models.load import add_adapter
from rlhf.models.sample import InverseCdf, Samples, response_logprobs, sample

from .conftest import ANSWERS, CHATS, LORA

POLICIES = ["tiny_gpt2", "tiny_mt5", "tiny_llama"]


def draw(model, bench, prompts=CHATS, **changes) -> Samples:
    settings = {"max_new_tokens": 12, "temperature": 1.0, "batch_size": 3, "seed": 3, "progress": None} | changes
    return sample(model, bench.codec, prompts, **settings)


def plain_logits(model, bench, prompt: list[int], response: list[int]) -> torch.Tensor:
    """(response length, vocabulary) from one unpadded row."""
    with torch.no_grad():
        if bench.spec.family == "seq2seq":
            decoder = torch.tensor([[model.config.decoder_start_token_id, *response[:-1]]])
            return model(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder).logits[0]
        return model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]


def test_inverse_cdf_by_hand() -> None:
    # probabilities 1/2, 1/4, 1/4: numbers below .5 give token 0, up to .75 token 1, then token 2; 0 is token 0
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log().repeat(5, 1)
    choose = InverseCdf(torch.tensor([[0.0], [0.49], [0.51], [0.76], [0.999999]], dtype=torch.float64), 1.0)
    assert choose(torch.zeros(5, 1), logits).argmax(-1).tolist() == [0, 0, 1, 2, 2]
    assert choose.logp.exp().squeeze(1).tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 4])
    # at temperature 1/2 probabilities are squared: 4/6, 1/6, 1/6
    sharper = InverseCdf(torch.tensor([[0.66], [0.67], [0.84]], dtype=torch.float64), 0.5)
    assert sharper(torch.zeros(3, 1), logits[:3]).argmax(-1).tolist() == [0, 1, 2]
    assert sharper.logp.exp().squeeze(1).tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6])


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).repeat(2, 1)
    choose = InverseCdf(torch.tensor([[0.0], [0.9999999999]], dtype=torch.float64), 1.0)
    assert choose(torch.zeros(2, 1), logits).argmax(-1).tolist() == [1, 1]


DEPTHS = ["model.architecture.num_layers=3", "model.architecture.num_decoder_layers=3"]  # an encoder or decoder deeper


@pytest.mark.parametrize(
    "words", [*((name,) for name in POLICIES), *(("tiny_mt5", more) for more in DEPTHS)], ids=" ".join
)
def test_tokens_are_those_that_the_uniform_numbers_select(words: tuple[str, ...], tiny) -> None:
    bench = tiny(*words)
    model = bench.policy()
    found = draw(model, bench, temperature=0.7)
    uniforms = torch.rand(len(CHATS), 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for row, (prompt, response) in enumerate(zip(found.prompt_ids, found.ids, strict=True)):
        cdf = (plain_logits(model, bench, prompt, response).double() / 0.7).softmax(-1).cumsum(-1)
        for step, token in enumerate(response):
            below = cdf[step, token - 1] if token else 0.0
            assert below - 1e-5 <= uniforms[row, step] <= cdf[step, token] + 1e-5


@pytest.mark.parametrize("name,temperature", [("tiny_gpt2", 0.2), ("tiny_mt5", 0.4), ("tiny_llama", 0.2)])
def test_first_tokens_follow_the_models_distribution(name: str, temperature: float, tiny) -> None:
    bench, rows = tiny(name), 1500
    model = bench.policy()
    drawn = draw(model, bench, CHATS[:1] * rows, max_new_tokens=1, batch_size=500, temperature=temperature)
    counts = torch.bincount(torch.tensor([ids[0] for ids in drawn.ids]), minlength=1024).double()
    logits = plain_logits(model, bench, drawn.prompt_ids[0], [5])[0]
    expected = rows * (logits.double() / temperature).softmax(-1)
    often = expected >= 5
    found = torch.cat([counts[often], counts[~often].sum()[None]])
    hoped = torch.cat([expected[often], expected[~often].sum()[None]])
    freedom = len(found) - 1
    assert freedom > 5
    chi2 = ((found - hoped) ** 2 / hoped).sum().item()
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5  # mean + 5 standard deviations


@pytest.mark.parametrize("name", POLICIES)
def test_answers_depend_on_the_seed_and_not_on_the_batch_size(name: str, tiny) -> None:
    bench = tiny(name)
    model = bench.policy()
    one = draw(model, bench)
    torch.manual_seed(123)
    assert draw(model, bench, batch_size=1).ids == one.ids == draw(model, bench, batch_size=2).ids
    assert draw(model, bench, seed=4).ids != one.ids
    assert one.texts == [bench.codec.decode(ids) for ids in one.ids]


@pytest.mark.parametrize("name", POLICIES)
def test_a_published_generation_config_changes_nothing(name: str, tiny) -> None:
    bench = tiny(name)
    model = bench.policy()
    truth = draw(model, bench)
    meddling = {"repetition_penalty": 5.0, "top_k": 1, "top_p": 0.1, "temperature": 0.1, "min_new_tokens": 12}
    meddling |= {"no_repeat_ngram_size": 1, "do_sample": True, "suppress_tokens": truth.ids[0][:3], "num_beams": 2}
    meddling |= {"forced_eos_token_id": 9, "bad_words_ids": [[truth.ids[0][0]]], "encoder_repetition_penalty": 3.0}
    own = model.generation_config
    own.update(**meddling)
    assert draw(model, bench).ids == truth.ids
    assert model.generation_config is own


@pytest.mark.parametrize("name", POLICIES)
def test_finished_answers_end_with_eos_and_others_are_full(name: str, tiny) -> None:
    bench = tiny(name)
    eos = bench.tokenizer.eos_token_id
    drawn = draw(bench.policy(), bench, CHATS * 100, batch_size=300, max_new_tokens=24)  # 7200 tokens, 1 in 1024 is eos
    assert 0 < sum(drawn.finished) < 100
    for ids, finished in zip(drawn.ids, drawn.finished, strict=True):
        assert (ids.count(eos), ids[-1] == eos) == ((1, True) if finished else (0, False))
        assert finished or len(ids) == 24


def test_progress_and_mode(tiny) -> None:
    bench = tiny("tiny_gpt2")
    model, told = bench.policy().train(), []
    drawn = draw(model, bench, batch_size=2, progress=told.append)
    assert told == [2, 3]
    assert model.training and drawn.seconds > 0
    assert drawn.prompt_ids == [bench.codec.prompt_ids(messages) for messages in CHATS]


@pytest.mark.parametrize("name", POLICIES)
def test_an_adapted_policy_samples_from_its_adapter(name: str, tiny) -> None:
    bench = tiny(name)
    model = add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0)
    assert draw(model, bench).ids == draw(bench.policy(), bench).ids  # a new adapter changes nothing
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter)
    assert draw(model, bench).ids != draw(bench.policy(), bench).ids


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("name", POLICIES)
def test_logprobs_equal_plain_forwards_of_single_rows(name: str, temperature: float, tiny) -> None:
    bench = tiny(name)
    model = bench.policy()
    prompts = [bench.codec.prompt_ids(messages) for messages in CHATS]
    responses = [bench.codec.response_ids(answer) for answer in ANSWERS[:2]] + [[]]
    for batch_size in (1, 3):
        found = response_logprobs(
            model, bench.codec, prompts, responses, batch_size=batch_size, temperature=temperature
        )
        for row, prompt, response in zip(found, prompts, responses, strict=True):
            assert row.shape == (len(response),)
            if response:
                logp = (plain_logits(model, bench, prompt, response) / temperature).log_softmax(-1)
                truth = logp.gather(1, torch.tensor(response)[:, None])[:, 0]
                torch.testing.assert_close(row, truth, atol=1e-5, rtol=1e-5)
