"""What every step of PPO measures: name, meaning, unit, estimator and which way is better, each written once.

The curves carry `train/` before these names. `docs/metrics.md` is rendered from here as from `metrics.py`.
"""

from __future__ import annotations

from dataclasses import replace

from rlhf.evaluation import metrics
from rlhf.evaluation.metrics import Metric

_RESPONSES = "mean over the step's responses"
_TOKENS = "sum over the step's response tokens divided by their number"
_UPDATE = "mean over the step's minibatches of the sum over response tokens divided by their number"
_LAST = "sum over the last minibatch's response tokens divided by their number"
_POOLED = "over all of the step's responses together; depends on their number, compare at equal prompts_per_step"
_ADVANTAGES = "over the step's response tokens, before whitening"
_CLOCK = "monotonic clock, main process"

REWARD_SCORE = Metric(
    "reward/score",
    "what the reward sources say of sampled responses (their weighted sum), before normalisation, clipping and fines",
    "the sources' score",
    _RESPONSES,
    "higher",
)
REWARD_SCORE_STD = Metric(
    "reward/score_std", "its spread", "the sources' score", "standard deviation over the step's responses", None
)
REWARD_P05 = Metric("reward/p05", "its 5% quantile", "the sources' score", "over the step's responses", "higher")
REWARD_P50 = Metric("reward/p50", "its median", "the sources' score", "over the step's responses", "higher")
REWARD_P95 = Metric(
    "reward/p95",
    "its 95% quantile: a tail that runs away from the median is a judge being exploited",
    "the sources' score",
    "over the step's responses",
    "higher",
)
REWARD_SOURCE = Metric(
    "reward/source/NAME",
    "what the source `method.rewards.NAME` says by itself, before its weight; where there are several",
    "the source's score",
    _RESPONSES,
    "higher",
)
REWARD_GOLD = Metric(
    "reward/gold",
    "the known true reward of the same responses (toy world only)",
    "gold score",
    _RESPONSES,
    "higher",
)
REWARD_GOLD_STD = Metric(
    "reward/gold_std", "spread of the true reward", "gold score", "population standard deviation, " + _RESPONSES, None
)
REWARD_NON_SCORE = Metric(
    "reward/non_score",
    "the KL's part of the reward: -kl/coefficient x kl/k1_policy_to_reference (method.kl.estimator=k2: charged in the "
    "loss instead)",
    "standard deviations of the start's scores per response",
    _RESPONSES,
    "higher",
)
REWARD_TOTAL = Metric(
    "reward/total",
    "what is maximised: the score, normalised, clipped and fined for a missing end, plus reward/non_score "
    "(method.kl.estimator=k2: without it)",
    "standard deviations of the start's scores per response",
    _RESPONSES,
    "higher",
)
REWARD_LENGTH_CORRELATION = Metric(
    "reward/length_correlation",
    "how far the score follows the response's length alone",
    "correlation, -1 to 1",
    "Pearson's, of score and response tokens over the step's responses",
    None,
)

KL_K1 = Metric(
    "kl/k1_policy_to_reference",
    "KL(sampling policy, reference): unbiased, of either sign; clearly below 0 the log-probs are not those of the "
    "distribution that was sampled from. The adaptive coefficient steers it to method.kl.target",
    "nats per response",
    "k1: log p - log q summed over a response's tokens, " + _RESPONSES,
    None,
)
KL_K3 = Metric(
    "kl/k3_policy_to_reference",
    "the same, never negative, but with a heavy tail once the policies are far apart",
    "nats per response",
    "k3: q/p - 1 - log(q/p) of each token summed over a response's tokens, " + _RESPONSES,
    None,
)
KL_K1_PER_TOKEN = Metric(
    "kl/k1_policy_to_reference_per_token", "k1 per token", "nats per response token", "k1: " + _TOKENS, None
)
KL_K3_PER_TOKEN = Metric(
    "kl/k3_policy_to_reference_per_token", "k3 per token", "nats per response token", "k3: " + _TOKENS, None
)
KL_SQRT = Metric(
    "kl/sqrt",
    "distance from the reference as in over-optimisation curves (Gao et al. 2022, arXiv 2210.10760), which take k1",
    "square root of nats per response",
    "square root of kl/k3_policy_to_reference, which is never below 0",
    None,
)
KL_OLD_TO_NEW = Metric(
    "kl/k3_old_to_new",
    "KL(policy that sampled, policy before the last optimizer step); past method.kl.max_update the update ends",
    "nats per response token",
    "k3: " + _LAST,
    None,
)
KL_COEFFICIENT = Metric(
    "kl/coefficient", "what the KL to the reference costs, as the step used it", "reward per nat", "exact", None
)
KL_TARGET = Metric(
    "kl/target",
    "what kl/coefficient is steered to: method.kl.target, lower on the ramp and after rollbacks; where there is one",
    "nats per response",
    "exact",
    None,
)

POLICY_ENTROPY = Metric(
    "policy/entropy",
    "entropy of the sampling policy's next-token distributions at its temperature",
    "nats per response token",
    "exact over the vocabulary, " + _TOKENS,
    None,
)
POLICY_GENERATION_GAP = Metric(
    "policy/generation_gap",
    "size of the difference between a token's log-prob where it was drawn and in the forward that trains: rounding, "
    "or else generation and training see different models",
    "nats",
    _TOKENS,
    "lower",
)
POLICY_LOSS = Metric("policy/loss", "clipped surrogate", "whitened advantage per response token", _UPDATE, "lower")
POLICY_RATIO = Metric(
    "policy/ratio",
    "probability of a token under the newest policy / under the one that sampled it; 1 in expectation",
    "ratio",
    _LAST,
    None,
)
POLICY_LOG_RATIO_SIZE = Metric(
    "policy/log_ratio_size",
    "size of the log of that ratio: how far probabilities moved, either way; method.guard.max_ratio bounds its exp",
    "nats",
    _LAST,
    None,
)
POLICY_CLIP_FRACTION = Metric(
    "policy/clip_fraction", "tokens whose gradient the clipping removed", "share", _UPDATE, None
)

VALUE_LOSS = Metric(
    "value/loss", "the critic's half squared error, clipped", "squared reward per response token", _UPDATE, "lower"
)
VALUE_CLIP_FRACTION = Metric(
    "value/clip_fraction", "tokens whose value's gradient the clipping removed", "share", _UPDATE, None
)
VALUE_EXPLAINED_VARIANCE = Metric(
    "value/explained_variance",
    "how much of the returns the critic foresaw: 1 is all, 0 what a constant would, below 0 it misleads",
    "share of variance",
    "1 - variance(return - value) / variance(return) over the step's response tokens, values before the update",
    "higher",
)
VALUE_LEARNING_RATE = Metric(
    "value/learning_rate", "the critic's; the policy's is `learning_rate`", "step size", "exact", None
)

ADVANTAGE_MEAN = Metric("advantage/mean", "how much better than foreseen", "reward", "mean " + _ADVANTAGES, None)
ADVANTAGE_STD = Metric(
    "advantage/std", "what the advantages are divided by", "reward", "standard deviation " + _ADVANTAGES, None
)

RESPONSE_TOKENS = replace(metrics.FINAL_RESPONSE_TOKENS, name="response/tokens", estimator=_RESPONSES)
RESPONSE_EOS_SHARE = replace(metrics.FINAL_EOS_SHARE, name="response/eos_share", estimator=_RESPONSES)
RESPONSE_DISTINCT_2 = Metric(
    "response/distinct_2", "different token bigrams among all token bigrams", "share", _POOLED, "higher"
)
RESPONSE_REPETITION = Metric(
    "response/repetition",
    "token 3-grams of a response that occurred in it before: near 1 in a loop",
    "share",
    _RESPONSES,
    "lower",
)
RESPONSE_IDENTICAL_SHARE = Metric(
    "response/identical_share",
    "responses that equal another of the step's responses",
    "share",
    _RESPONSES,
    "lower",
)

UPDATE_PASSES = Metric(
    "update/passes",
    "whole passes over the step's samples; fewer than method.epochs where method.kl.max_update ended the update",
    "passes",
    "count",
    None,
)
SECONDS_GENERATE = Metric("seconds/generate", "sampling the responses", "seconds", _CLOCK, "lower")
SECONDS_SCORE = Metric(
    "seconds/score", "log-probs, values and rewards of the sampled responses", "seconds", _CLOCK, "lower"
)
SECONDS_UPDATE = Metric("seconds/update", "crediting and all optimizer steps", "seconds", _CLOCK, "lower")
SPEED_TOKENS_PER_SECOND = Metric(
    "speed/tokens_per_second",
    "response tokens through the whole step: generate, score and update",
    "tokens per second",
    "response tokens of all processes / seconds of the three phases of the main process",
    "higher",
)


def reward_source(name: str) -> str:
    """Name of the metric of one reward source."""
    return REWARD_SOURCE.name.replace("NAME", name)


PPO_METRICS: tuple[Metric, ...] = (
    REWARD_SCORE, REWARD_SCORE_STD, REWARD_P05, REWARD_P50, REWARD_P95, REWARD_SOURCE, REWARD_GOLD, REWARD_GOLD_STD,
    REWARD_NON_SCORE, REWARD_TOTAL, REWARD_LENGTH_CORRELATION,
    KL_K1, KL_K3, KL_K1_PER_TOKEN, KL_K3_PER_TOKEN, KL_SQRT, KL_OLD_TO_NEW, KL_COEFFICIENT, KL_TARGET,
    POLICY_ENTROPY, POLICY_GENERATION_GAP, POLICY_LOSS, POLICY_RATIO, POLICY_LOG_RATIO_SIZE, POLICY_CLIP_FRACTION,
    VALUE_LOSS, VALUE_CLIP_FRACTION, VALUE_EXPLAINED_VARIANCE, VALUE_LEARNING_RATE, ADVANTAGE_MEAN, ADVANTAGE_STD,
    RESPONSE_TOKENS, RESPONSE_EOS_SHARE, RESPONSE_DISTINCT_2, RESPONSE_REPETITION, RESPONSE_IDENTICAL_SHARE,
    UPDATE_PASSES, SECONDS_GENERATE, SECONDS_SCORE, SECONDS_UPDATE, SPEED_TOKENS_PER_SECOND,
)  # fmt: skip
