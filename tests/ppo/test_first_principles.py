"""What must hold of any PPO before it is worth training: masks, positions, values, temperature and stops are right."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import rlhf.models.states as states
from rlhf.errors import RunFailure
from rlhf.models.sample import sample_ids
from rlhf.ppo.actor_critic import ActorCritic, Predictions
from rlhf.ppo.checks import check_generation, check_start
from tests.bench import POLICIES
from tests.models.conftest import ANSWERS, CHATS
from tests.ppo.tiny import collected, disturb, learner_of, method, rollouts_of, tiny


def asked_of(name: str, *overrides: str) -> tuple[ActorCritic, list[list[int]], list[list[int]]]:
    """A learner with prompts and responses of three lengths each."""
    codec = tiny(name).codec
    prompts, responses = [codec.prompt_ids(chat) for chat in CHATS], [codec.response_ids(text) for text in ANSWERS]
    assert len({len(row) for row in prompts}) == len({len(row) for row in responses}) == 3
    return learner_of(name, method(*overrides)), prompts, responses


def columns(found: Predictions) -> list[Tensor]:
    assert found.values is not None and found.entropy is not None
    return [found.logp, found.values, found.entropy]


@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("name", POLICIES)
@torch.no_grad()
def test_ragged_rows_are_what_they_are_one_by_one(name: str, critic: str) -> None:
    learner, prompts, responses = asked_of(name, f"critic.kind={critic}")
    together = columns(learner(prompts, responses, with_entropy=True))
    for index, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        alone = columns(learner([prompt], [response], with_entropy=True))
        for whole, single in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[index, : len(response)], single[0], atol=1e-5, rtol=0)
            assert not whole[index, len(response) :].any()


@pytest.mark.parametrize("name", POLICIES)
@torch.no_grad()
def test_log_probs_and_entropy_are_those_of_a_plain_forward_at_the_sampling_temperature(name: str) -> None:
    """One row, no padding, the model's own forward, softmax of logits / 0.7 written out."""
    learner, prompts, responses = asked_of(name, "temperature=0.7")
    found = learner(prompts, responses, with_entropy=True)
    model = tiny(name).policy()
    for index, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        if name == "tiny_mt5":
            start = model.config.decoder_start_token_id
            given = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([[start, *response[:-1]]])}
            logits = model(**given).logits[0]
        else:
            logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        chances = (logits.double() / 0.7).softmax(-1)
        literal = chances.log().gather(1, torch.tensor(response)[:, None]).squeeze(1)
        entropy = -(chances * chances.log()).sum(1)
        torch.testing.assert_close(found.logp[index, : len(response)].double(), literal, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.entropy[index, : len(response)].double(), entropy, atol=1e-5, rtol=0)


@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("name", POLICIES)
@torch.no_grad()
def test_a_value_is_read_where_its_token_is_predicted(name: str, critic: str) -> None:
    """V_t belongs to the state before token t: another token t leaves V_0..V_t alone and moves V_(t+1) and later."""
    learner, prompts, responses = asked_of(name, f"critic.kind={critic}")
    before, place = learner(prompts[:1], responses[:1]).values[0], 3
    other = list(responses[0])
    other[place] = (other[place] + 7) % 300 + 10
    after = learner(prompts[:1], [other]).values[0]
    torch.testing.assert_close(after[: place + 1], before[: place + 1], atol=1e-6, rtol=0)
    assert bool(((after - before)[place + 1 :].abs() > 1e-4).all())
    elsewhere = learner([[*prompts[0][:-2], prompts[0][-2] + 1, prompts[0][-1]]], responses[:1]).values[0]
    assert float((elsewhere - before)[0].abs()) > 1e-4  # the first one has read the prompt


@pytest.mark.parametrize("name", POLICIES)
def test_log_probs_are_those_that_generation_sampled_by(name: str) -> None:
    """What `generate` itself had against the forward that trains: ragged prompts, temperature 0.7, mixed lengths."""
    asked = method("temperature=0.7")
    learner = learner_of(name, asked)
    rollouts = rollouts_of(learner, asked)
    long = rollouts.collect(rollouts.prompts_of(0), 0, 0)
    stop = next(row[1] for row in long.response_ids if len(row) > 2)
    learner.roles.policy.generation_config.eos_token_id = [learner.codec.eos_id, stop]
    found = rollouts.collect(rollouts.prompts_of(0), 0, 0, at_once=4)
    assert len({len(ids) for ids in found.prompt_ids}) == 3 and len(set(found.lengths.tolist())) > 1
    for experience in (long, found):
        assert float(experience.logp_generated.min()) < -0.1
        torch.testing.assert_close(experience.logp_generated, experience.logp_old, atol=1e-5, rtol=0)
        check_generation(experience, lambda values: values, exact=True, step=0)


@pytest.mark.parametrize("name", POLICIES)
@torch.no_grad()
def test_tokens_are_sampled_as_often_as_their_log_probs_say(name: str) -> None:
    """4000 evenly spaced random numbers draw each token p x 4000 times, give or take one."""
    draws = 4000
    learner, (prompt, *_), _ = asked_of(name, "temperature=0.7")
    even = (torch.arange(draws, dtype=torch.float64)[:, None] + 0.5) / draws
    found = sample_ids(
        learner.roles.policy, learner.codec, [prompt] * draws, even, temperature=learner.temperature, batch_size=1000
    )
    drawn = torch.bincount(torch.tensor([row[0] for row in found.ids]), minlength=1024)
    common = drawn.topk(20).indices.tolist()
    logp = learner([prompt] * 20, [[token] for token in common]).logp[:, 0]
    torch.testing.assert_close(logp.exp() * draws, drawn[common].float(), atol=1.1, rtol=0)


@pytest.mark.parametrize("name", POLICIES)
def test_a_response_ends_at_the_first_stop_token_also_the_generation_configs_own(name: str) -> None:
    """What was the second token of a response becomes a second eos: the response ends there and counts as finished."""
    asked = method()
    learner = learner_of(name, asked)
    rollouts = rollouts_of(learner, asked)
    before = rollouts.collect(rollouts.prompts_of(0), 0, 0)
    stop = next(row[1] for row in before.response_ids if len(row) > 2)
    policy = learner.roles.policy
    policy.generation_config.eos_token_id = [learner.codec.eos_id, stop]
    after = rollouts.collect(rollouts.prompts_of(0), 0, 0)
    assert any(len(row) == 2 for row in after.response_ids)
    for old, new, finished in zip(before.response_ids, after.response_ids, after.finished.tolist(), strict=True):
        ends = [place for place, token in enumerate(old) if token in (stop, learner.codec.eos_id)]
        assert new == (old[: ends[0] + 1] if ends else old)
        assert finished == bool(ends)
    assert after.lengths.tolist() == [len(row) for row in after.response_ids]


@pytest.mark.parametrize("kind", ["full", "lora", "from an SFT adapter"])
@pytest.mark.parametrize("name", POLICIES)
def test_the_policy_is_its_own_reference_at_the_start(name: str, kind: str) -> None:
    """KL is 0, also where training starts from an adapter; then the policy moves and the reference does not."""
    asked, trained = method("critic.kind=separate"), kind == "from an SFT adapter"
    learner = learner_of(name, asked, lora=kind != "full", from_adapter=trained)
    found = collected(learner, asked)
    check_start(found, lambda values: values)
    apart = found.logp_old.clone()
    apart[0, 0] -= 1.1e-4
    with pytest.raises(RunFailure, match="is 0.00011 nats before any training") as caught:
        check_start(replace(found, logp_reference=apart), lambda values: values)
    assert not caught.value.resumable  # the same command would only find the same
    torch.testing.assert_close(found.logp_old, found.logp_reference, atol=1e-5, rtol=0)
    if trained:
        with torch.no_grad(), learner.roles.policy.disable_adapter():
            bare = learner(found.prompt_ids, found.response_ids).logp
        assert float((bare - found.logp_reference).abs().max()) > 0.01  # the base is not the reference
    disturb(learner.roles.policy, "" if kind == "full" else ".default.")
    with torch.no_grad():
        moved, fixed = (learner(found.prompt_ids, found.response_ids, role=r).logp for r in ("policy", "reference"))
    torch.testing.assert_close(fixed, found.logp_reference, atol=1e-5, rtol=0)
    assert float((moved - found.logp_old).abs().max()) > 0.01


@pytest.mark.parametrize("with_entropy", [False, True])
def test_log_probs_in_pieces_are_those_of_the_whole(with_entropy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows of logits at a time, recomputed in the backward pass: values and gradients stay."""
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 11)
    given = torch.randn(10, 8, generator=generator, requires_grad=True)
    tokens = torch.randint(11, (10,), generator=generator)
    weights = torch.randn(2, 10, generator=generator)

    def result() -> list[Tensor]:
        logp, entropy = states.token_logprobs(given, head, tokens, 0.7, with_entropy=with_entropy)
        total = logp @ weights[0] + (0 if entropy is None else entropy @ weights[1])
        found = [logp.detach(), *torch.autograd.grad(total, [given, head.weight, head.bias])]
        return found if entropy is None else [*found, entropy.detach()]

    whole = result()
    monkeypatch.setattr(states, "LOGITS_AT_ONCE", 3 * 11)
    pieces = result()
    assert len(whole) == len(pieces) == 4 + with_entropy
    for ours, theirs in zip(whole, pieces, strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-6, rtol=0)
    with torch.no_grad():
        logp, _ = states.token_logprobs(given, head, tokens, 0.7, with_entropy=False)
    torch.testing.assert_close(logp, whole[0], atol=1e-6, rtol=0)
