"""What a policy prefers without being asked: its implicit reward beta x log(policy / reference) on held-out pairs.

DPO trains exactly that (Rafailov et al. 2023, arXiv 2305.18290), but every policy that moved away from a reference has
it, whatever moved it: SFT's and PPO's say by it whether they learned the preferences that a reward model was taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import Z, standard_error, wilson
from rlhf.evaluation.contract import Scores
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.calibration import outcomes
from rlhf.models.codec import Codec


@dataclass(frozen=True)
class ImplicitRewards:
    """Of each pair, in their order: log-probs of the answers under the policy, and its implicit rewards for them."""

    logp_chosen: list[float]  # nats per response
    logp_rejected: list[float]
    chosen: list[float]  # beta x nats per response
    rejected: list[float]

    @property
    def margins(self) -> list[float]:
        """Implicit reward of chosen minus that of rejected."""
        return [chosen - rejected for chosen, rejected in zip(self.chosen, self.rejected, strict=True)]


def implicit_pairs(
    policy: Any, reference: Any, codec: Codec, rows: Sequence[Row], beta: float, batch_size: int
) -> ImplicitRewards:
    """Read both answers of each pair under the policy and under its reference."""
    import torch

    from rlhf.losses import implicit_rewards
    from rlhf.models.sample import response_logprobs

    prompts = [codec.prompt_ids(row.prompt) for row in rows] * 2
    responses = [codec.response_ids(row.chosen or "") for row in rows]
    responses += [codec.response_ids(row.rejected or "") for row in rows]
    sums = []
    for model in (policy, reference):
        logprobs = response_logprobs(model, codec, prompts, responses, batch_size=batch_size, temperature=1.0)
        sums.append(torch.stack([row.double().sum() for row in logprobs]))
    chosen, rejected = implicit_rewards(sums[0], sums[1], beta).chunk(2)
    logp_chosen, logp_rejected = sums[0].chunk(2)
    return ImplicitRewards(logp_chosen.tolist(), logp_rejected.tolist(), chosen.tolist(), rejected.tolist())


def implicit_scores(found: ImplicitRewards) -> dict[str, Scores]:
    """Loss, accuracy, margin with its standard error, rewards and log-probs by side, each with an interval.

    A single pair has no standard error.
    """
    import torch

    from rlhf.losses import preference_loss

    margins, n = found.margins, len(found.chosen)
    right = outcomes(margins)
    accuracy = wilson(sum(right), n)
    losses = preference_loss(torch.tensor(margins, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)).tolist()
    means = {
        names.IMPLICIT_LOSS: losses,
        names.IMPLICIT_MARGIN: margins,
        names.IMPLICIT_CHOSEN: found.chosen,
        names.IMPLICIT_REJECTED: found.rejected,
        names.LOGP_CHOSEN: found.logp_chosen,
        names.LOGP_REJECTED: found.logp_rejected,
    }
    scores = {names.IMPLICIT_ACCURACY.name: Scores(accuracy.mean, n, accuracy.low, accuracy.high, tuple(right))}
    for metric, values in means.items():
        scores[metric.name] = _with_error(values)
    if n > 1:
        scores[names.IMPLICIT_MARGIN_SE.name] = Scores(standard_error(margins), n)
    return scores


def _with_error(values: Sequence[float]) -> Scores:
    """Mean of single pairs with 1.96 standard errors either way; no interval for a single one."""
    mean = sum(values) / len(values)
    half = Z * standard_error(values)
    known = len(values) > 1
    return Scores(mean, len(values), mean - half if known else None, mean + half if known else None, tuple(values))
