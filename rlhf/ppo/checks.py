"""First principles, checked while PPO runs: what must hold if samples, masks, positions and adapters are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rlhf.errors import RunFailure
from rlhf.evaluation.ppo import metrics as names
from rlhf.kl import k1
from rlhf.ppo.experience import Experience

KL_AT_START = 1e-4  # nats per response: the policy is its own reference, by the same arithmetic
RATIO_EXACT, RATIO_ROUNDED = 1e-3, 0.05  # |mean ratio - 1| before the first optimizer step of an update
# |logp where it was drawn - logp in training|: the largest, and the mean where the two forwards round differently
GAP_EXACT, GAP_ROUNDED = 1e-2, 0.2
K3_EXACT, K3_ROUNDED = 1e-3, 1e-2  # nats per token then: log-ratios of 0.045 and 0.14, far above rounding


def check_start(experience: Experience, gather: Callable[[Tensor], Tensor]) -> None:
    """Raise `RunFailure` unless KL(policy || reference) is 0 before the first step.

    `gather` joins tensors (n,) of all processes: all of them stop, or none.
    """
    per_response = torch.where(experience.mask, k1(experience.logp_old, experience.logp_reference), 0.0).sum(dim=1)
    found = float(gather(per_response.abs().max()[None]).max())
    if not found <= KL_AT_START:
        raise RunFailure(
            "ppo step 0",
            f"KL between the policy and its reference is {found:.2g} nats before any training, it should be 0",
            "Report it with your configuration: the reference is not the model that training starts from",
        )


def check_generation(experience: Experience, gather: Callable[[Tensor], Tensor], *, exact: bool, step: int) -> None:
    """Raise `RunFailure` unless tokens have the log-probs in training that they were drawn with.

    `exact`: float32 weights, where every token is held to it. A cache and another batch round bf16 and quantized
    weights differently, so that only the mean over tokens tells.
    """
    gap = (experience.logp_generated - experience.logp_old).abs()[experience.mask].double()
    each = gather(torch.stack([gap.max(), gap.sum(), gap.new_tensor(len(gap))])).reshape(-1, 3)
    _, total, tokens = each.sum(dim=0).tolist()
    found, bound, what = (
        (float(each[:, 0].max()), GAP_EXACT, "at most") if exact else (total / tokens, GAP_ROUNDED, "on average")
    )
    if not found <= bound:
        raise RunFailure(
            f"ppo step {step}",
            f"log-probs of sampled tokens differ by {found:.2g} nats {what} between generation and training, it "
            f"should be less than {bound:g}",
            "Report it with your configuration: positions, padding, temperature or generation settings disagree",
            resumable=True,
        )


def check_first_pass(newest: Mapping[str, float], exact: bool, step: int) -> None:
    """Raise `RunFailure` unless the probability ratio is 1 before the first optimizer step of an update.

    Its mean alone would not show it: over samples of the old policy the ratio of any two policies is 1 on average. k3
    cannot cancel. `exact`: float32 weights; bf16 and quantized ones round differently in other batches.
    """
    ratio, k3 = newest[names.POLICY_RATIO.name], newest[names.KL_OLD_TO_NEW.name]
    bound, k3_bound = (RATIO_EXACT, K3_EXACT) if exact else (RATIO_ROUNDED, K3_ROUNDED)
    if not (abs(ratio - 1) <= bound and k3 <= k3_bound):
        raise RunFailure(
            f"ppo step {step}",
            f"the ratio of new to old probabilities is {ratio:.4f} on average before the update, it should be 1 on "
            f"every token (k3 between the two is {k3:.2g} nats per token, it should be 0)",
            "Report it with your configuration: sampling and training see different tokens, masks or positions",
            resumable=True,
        )
