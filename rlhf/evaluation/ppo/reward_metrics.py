"""What every step of PPO measures of rewards and of the KL to the reference; `metrics` has all of its metrics."""

from __future__ import annotations

from rlhf.evaluation.metric import Metric

_ANY = "any number"
_SOURCES = "the sources that method.rewards names"
_EXPLOITED = "a policy that exploits the source raises it (Gao et al. 2022, arXiv 2210.10760): read it beside the KL"
_RESPONSES = "mean over the step's responses"
_TOKENS = "sum over the step's response tokens divided by their number"
_LAST = "sum over the last minibatch's response tokens divided by their number"

REWARD_SCORE = Metric(
    "reward/score",
    "what the reward sources say of sampled responses (their weighted sum), before normalisation, clipping and fines",
    "the sources' score",
    _RESPONSES,
    "higher",
    _ANY,
    _SOURCES,
    _EXPLOITED,
)
REWARD_SCORE_STD = Metric(
    "reward/score_std",
    "its spread",
    "the sources' score",
    "standard deviation over the step's responses",
    None,
    "0 or more",
    _SOURCES,
    "0 where the policy answers everything alike, as after a collapse",
)
REWARD_P05 = Metric(
    "reward/p05",
    "its 5% quantile",
    "the sources' score",
    "over the step's responses",
    "higher",
    _ANY,
    _SOURCES,
    _EXPLOITED,
)
REWARD_P50 = Metric(
    "reward/p50",
    "its median",
    "the sources' score",
    "over the step's responses",
    "higher",
    _ANY,
    _SOURCES,
    _EXPLOITED,
)
REWARD_P95 = Metric(
    "reward/p95",
    "its 95% quantile: a tail that runs away from the median is a judge being exploited",
    "the sources' score",
    "over the step's responses",
    "higher",
    _ANY,
    _SOURCES,
    _EXPLOITED,
)
REWARD_SOURCE = Metric(
    "reward/source/NAME",
    "what the source `method.rewards.NAME` says by itself, before its weight; where there are several",
    "the source's score",
    _RESPONSES,
    "higher",
    _ANY,
    _SOURCES,
    _EXPLOITED,
)
REWARD_GOLD = Metric(
    "reward/gold",
    "the known true reward of the same responses (toy world only)",
    "gold score",
    _RESPONSES,
    "higher",
    "-1 to 1",
    "rlhf/data/toy_gold.py, written with the toy world",
    "phrases of its tables count, in whatever sense they stand",
)
REWARD_GOLD_STD = Metric(
    "reward/gold_std",
    "spread of the true reward",
    "gold score",
    "population standard deviation, " + _RESPONSES,
    None,
    "0 to 1",
    "rlhf/data/toy_gold.py, written with the toy world",
    "0 where the policy answers everything alike, as after a collapse",
)
REWARD_NON_SCORE = Metric(
    "reward/non_score",
    "the KL's part of the reward: -kl/coefficient x kl/k1_policy_to_reference (method.kl.estimator=k2: charged in the "
    "loss instead)",
    "standard deviations of the start's scores per response",
    _RESPONSES,
    "higher",
    _ANY,
    "Ziegler et al. 2019, arXiv 1909.08593, equation 2",
    "near 0 for a policy that does not learn",
)
REWARD_TOTAL = Metric(
    "reward/total",
    "what is maximised: the score, normalised, clipped and fined for a missing end, plus reward/non_score "
    "(method.kl.estimator=k2: without it)",
    "standard deviations of the start's scores per response",
    _RESPONSES,
    "higher",
    _ANY,
    "Ziegler et al. 2019, arXiv 1909.08593, equation 2",
    _EXPLOITED,
)
REWARD_LENGTH_CORRELATION = Metric(
    "reward/length_correlation",
    "how far the score follows the response's length alone",
    "correlation, -1 to 1",
    "Pearson's, of score and response tokens over the step's responses",
    None,
    "-1 to 1",
    "Pearson 1895",
    "unsteady over few responses; 0 for lengths that are all the same",
)

KL_K1 = Metric(
    "kl/k1_policy_to_reference",
    "KL(sampling policy, reference): unbiased, of either sign; clearly below 0 the log-probs are not those of the "
    "distribution that was sampled from. The adaptive coefficient steers it to method.kl.target",
    "nats per response",
    "k1: log p - log q summed over a response's tokens, " + _RESPONSES,
    None,
    "any number; its expectation is 0 or more",
    "Schulman 2020, Approximating KL Divergence (k1)",
    "0 for a policy that does not learn; noise makes it negative near 0",
)
KL_K3 = Metric(
    "kl/k3_policy_to_reference",
    "the same, never negative, but with a heavy tail once the policies are far apart",
    "nats per response",
    "k3: q/p - 1 - log(q/p) of each token summed over a response's tokens, " + _RESPONSES,
    None,
    "0 or more",
    "Schulman 2020, Approximating KL Divergence (k3)",
    "a few rare tokens decide it where policies are far apart",
)
KL_K1_PER_TOKEN = Metric(
    "kl/k1_policy_to_reference_per_token",
    "k1 per token",
    "nats per response token",
    "k1: " + _TOKENS,
    None,
    "any number; its expectation is 0 or more",
    "Schulman 2020, Approximating KL Divergence (k1)",
    "long repetitive responses make it small",
)
KL_K3_PER_TOKEN = Metric(
    "kl/k3_policy_to_reference_per_token",
    "k3 per token",
    "nats per response token",
    "k3: " + _TOKENS,
    None,
    "0 or more",
    "Schulman 2020, Approximating KL Divergence (k3)",
    "long repetitive responses make it small",
)
KL_SQRT = Metric(
    "kl/sqrt",
    "distance from the reference as in over-optimisation curves (Gao et al. 2022, arXiv 2210.10760), which take k1",
    "square root of nats per response",
    "square root of kl/k3_policy_to_reference, which is never below 0",
    None,
    "0 or more",
    "Gao et al. 2022, arXiv 2210.10760; Schulman 2020 (k3)",
    "as kl/k3_policy_to_reference",
)
KL_OLD_TO_NEW = Metric(
    "kl/k3_old_to_new",
    "KL(policy that sampled, policy before the last optimizer step); past method.kl.max_update the update ends",
    "nats per response token",
    "k3: " + _LAST,
    None,
    "0 or more",
    "Schulman 2020, Approximating KL Divergence (k3)",
    "0 for a policy that does not learn",
)
KL_COEFFICIENT = Metric(
    "kl/coefficient",
    "what the KL to the reference costs, as the step used it",
    "reward per nat",
    "exact",
    None,
    "0 or more",
    "Ziegler et al. 2019, arXiv 1909.08593, section 2.2",
    "a setting or what steers it, no result",
)
KL_TARGET = Metric(
    "kl/target",
    "what kl/coefficient is steered to: method.kl.target, lower on the ramp and after rollbacks; where there is one",
    "nats per response",
    "exact",
    None,
    "0 or more",
    "Ziegler et al. 2019, arXiv 1909.08593, section 2.2",
    "a setting, no result",
)


def reward_source(name: str) -> str:
    """Name of the metric of one reward source."""
    return REWARD_SOURCE.name.replace("NAME", name)
