"""Rollouts: prompts in, one frozen `Experience` per step out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from rlhf.config import PPO
from rlhf.data.rows import Row
from rlhf.models.codec import Codec
from rlhf.models.sample import sample_ids
from rlhf.models.states import token_batches
from rlhf.ppo.actor_critic import ActorCritic, Predictions
from rlhf.ppo.experience import Experience, response_mask
from rlhf.ppo.rewards import Combined

SCORING_FACTOR = 4  # without gradients nothing is kept for a backward pass, so that more tokens fit at a time
TRAINING, HELD_OUT, ORDER, SHUFFLING = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Share:
    """Which part of every step's prompts this process takes: `rank` of `world`."""

    rank: int
    world: int


class Rollouts:
    """Gives experience: the step's prompts, answered by the policy as it is now and scored.

    Everything random belongs to (seed, stream, step, place of the prompt), so that a step's samples depend neither on
    how often the program was interrupted nor on the number of processes that share them.
    """

    def __init__(
        self,
        learner: ActorCritic,
        codec: Codec,
        rows: Sequence[Row],
        reward: Combined,
        gold: Callable[[Row, str], float] | None,
        method: PPO,
        *,
        seed: int,
        share: Share,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.learner = learner
        self.codec = codec
        self.rows = rows
        self.reward = reward
        self.gold = gold
        self.method = method
        self.seed = seed
        self.share = share
        self.autocast = autocast  # of sampling; forwards of the learner have the trainer's

    def of_steps(self, step: Callable[[], int]) -> Iterator[dict[str, Experience]]:
        """Yield one step's experience at a time, for ever; the step is asked for anew each time."""
        while True:
            now = step()
            yield {"experience": self.collect(self.prompts_of(now), TRAINING, now)}

    def prompts_of(self, step: int) -> list[Row]:
        """The prompts of a step over all processes: pass after pass over the rows, each in an order of its own."""
        size, count = self.method.prompts_per_step, len(self.rows)
        places = [divmod(place, count) for place in range(step * size, (step + 1) * size)]
        orders = {turn: _order(count, self.seed, turn) for turn, _ in places}
        return [self.rows[orders[turn][index]] for turn, index in places]

    @torch.no_grad()
    def collect(
        self, rows: Sequence[Row], stream: int, step: int, *, at_once: int | None = None, whole: bool = False
    ) -> Experience:
        """Answer this process's share of `rows` (or all: `whole`) and gather all that is known about the answers.

        Few rows for many processes are answered by each of them. `at_once` bounds how many are sampled together.
        """
        began = time.perf_counter()
        share = Share(0, 1) if whole or len(rows) < self.share.world else self.share
        first, last = (len(rows) * (share.rank + turn) // share.world for turn in (0, 1))
        luck = torch.rand(
            len(rows), self.method.max_response_tokens, dtype=torch.float64, generator=keyed(self.seed, stream, step)
        )[first:last]
        mine = rows[first:last]
        prompt_ids = [self.codec.prompt_ids(row.prompt) for row in mine]
        with self.autocast(), self.learner.roles.acting("policy") as policy:
            drawn = sample_ids(
                policy,
                self.codec,
                prompt_ids,
                luck,
                temperature=self.method.temperature,
                batch_size=at_once or len(mine),
            )
        generated = time.perf_counter()
        texts = [self.codec.decode(ids) for ids in drawn.ids]
        mask = response_mask(drawn.ids, self.learner.value_head.weight.device)
        old, entropy, values, reference = self._predict(prompt_ids, drawn.ids, mask)
        each = self.reward.each(mine, texts)
        gold = None
        if self.gold is not None:
            gold = torch.tensor([self.gold(row, text) for row, text in zip(mine, texts, strict=True)])
        return Experience(
            rows=mine,
            prompt_ids=prompt_ids,
            response_ids=drawn.ids,
            texts=texts,
            finished=torch.tensor(drawn.finished, device=mask.device),
            mask=mask,
            logp_generated=torch.where(mask, drawn.logp[:, : mask.shape[1]].float(), 0.0),
            logp_old=old,
            logp_reference=reference,
            entropy=entropy,
            values=values,
            scores=torch.tensor(self.reward.total(each), device=mask.device),
            sources={name: torch.tensor(own, device=mask.device) for name, own in each.items()},
            gold=gold,
            seconds={"generate": generated - began, "score": time.perf_counter() - generated},
        )

    def gathered(self, values: Tensor) -> Tensor:
        """Join a tensor (n,) of all processes, in the order of their ranks."""
        parts = gather_object([values.tolist()])
        return torch.tensor([value for part in parts for value in part], dtype=values.dtype)

    def _predict(
        self, prompt_ids: list[list[int]], response_ids: list[list[int]], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probs, entropies and values of the policy and log-probs of the reference, by the forward that trains."""
        old, entropy, values, reference = (torch.zeros(mask.shape, device=mask.device) for _ in range(4))
        lengths = [len(a) + len(b) for a, b in zip(prompt_ids, response_ids, strict=True)]
        for batch in token_batches(lengths, SCORING_FACTOR * self.method.microbatch_tokens):
            asked = [prompt_ids[i] for i in batch], [response_ids[i] for i in batch]
            found: Predictions = self.learner(*asked, with_entropy=True)
            width = found.mask.shape[1]
            assert found.entropy is not None and found.values is not None
            old[batch, :width] = found.logp
            entropy[batch, :width] = found.entropy
            values[batch, :width] = found.values
            reference[batch, :width] = self.learner(*asked, role="reference").logp
        return old, entropy, values, reference


def keyed(*key: int) -> torch.Generator:
    """A generator whose numbers belong to `key` alone."""
    seed = 0
    for part in key:  # a polynomial with an odd base over 63 bits: keys of small numbers do not collide
        seed = (seed * 1_000_003 + part + 1) % (1 << 63)
    return torch.Generator().manual_seed(seed)


def _order(count: int, seed: int, turn: int) -> list[int]:
    return torch.randperm(count, generator=keyed(seed, ORDER, turn)).tolist()
