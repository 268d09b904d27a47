"""What every step of PPO measures: name, meaning, unit, estimator and which way is better, each written once.

The curves carry `train/` before these names. `docs/metrics.md` is rendered from here as from `metrics.py`.
"""

from __future__ import annotations

from dataclasses import replace

from rlhf.evaluation import metrics
from rlhf.evaluation.metric import Metric
from rlhf.evaluation.ppo.reward_metrics import (  # noqa: F401  # all metrics of PPO are asked for here
    KL_COEFFICIENT,
    KL_K1,
    KL_K1_PER_TOKEN,
    KL_K3,
    KL_K3_PER_TOKEN,
    KL_OLD_TO_NEW,
    KL_SQRT,
    KL_TARGET,
    REWARD_GOLD,
    REWARD_GOLD_STD,
    REWARD_LENGTH_CORRELATION,
    REWARD_NON_SCORE,
    REWARD_P05,
    REWARD_P50,
    REWARD_P95,
    REWARD_SCORE,
    REWARD_SCORE_STD,
    REWARD_SOURCE,
    REWARD_TOTAL,
    reward_source,
)

_ANY = "any number"
_PPO = "Schulman et al. 2017, arXiv 1707.06347"
_BUSY = "other work on the same machine stretches it"
_RESPONSES = "mean over the step's responses"
_TOKENS = "sum over the step's response tokens divided by their number"
_UPDATE = "mean over the step's minibatches of the sum over response tokens divided by their number"
_LAST = "sum over the last minibatch's response tokens divided by their number"
_POOLED = "over all of the step's responses together; depends on their number, compare at equal prompts_per_step"
_ADVANTAGES = "over the step's response tokens, before whitening"
_CLOCK = "monotonic clock, main process"

POLICY_ENTROPY = Metric(
    "policy/entropy",
    "entropy of the sampling policy's next-token distributions at its temperature",
    "nats per response token",
    "exact over the vocabulary, " + _TOKENS,
    None,
    "0 to log(size of the vocabulary)",
    "Shannon 1948",
    "high for gibberish, low for one answer to everything",
)
POLICY_GENERATION_GAP = Metric(
    "policy/generation_gap",
    "size of the difference between a token's log-prob where it was drawn and in the forward that trains: rounding, "
    "or else generation and training see different models",
    "nats",
    _TOKENS,
    "lower",
    "0 or more",
    "no paper: the same model is asked twice",
    "small in a run whose two passes share one fault",
)
POLICY_LOSS = Metric(
    "policy/loss",
    "clipped surrogate",
    "whitened advantage per response token",
    _UPDATE,
    "lower",
    _ANY,
    _PPO,
    "its level says nothing; it is about 0 in every healthy step",
)
POLICY_RATIO = Metric(
    "policy/ratio",
    "probability of a token under the newest policy / under the one that sampled it; 1 in expectation",
    "ratio",
    _LAST,
    None,
    "0 or more",
    _PPO,
    "1 for a policy that does not learn, and where changes up and down cancel",
)
POLICY_LOG_RATIO_SIZE = Metric(
    "policy/log_ratio_size",
    "size of the log of that ratio: how far probabilities moved, either way; method.guard.max_ratio bounds its exp",
    "nats",
    _LAST,
    None,
    "0 or more",
    _PPO,
    "0 for a policy that does not learn",
)
POLICY_CLIP_FRACTION = Metric(
    "policy/clip_fraction",
    "tokens whose gradient the clipping removed",
    "share",
    _UPDATE,
    None,
    "0 to 1",
    _PPO,
    "0 for a policy that does not learn",
)

VALUE_LOSS = Metric(
    "value/loss",
    "the critic's half squared error, clipped",
    "squared reward per response token",
    _UPDATE,
    "lower",
    "0 or more",
    _PPO,
    "small where all returns are the same; grows with the rewards' scale",
)
VALUE_CLIP_FRACTION = Metric(
    "value/clip_fraction",
    "tokens whose value's gradient the clipping removed",
    "share",
    _UPDATE,
    None,
    "0 to 1",
    _PPO,
    "0 where the critic does not learn",
)
VALUE_EXPLAINED_VARIANCE = Metric(
    "value/explained_variance",
    "how much of the returns the critic foresaw: 1 is all, 0 what a constant would, below 0 it misleads",
    "share of variance",
    "1 - variance(return - value) / variance(return) over the step's response tokens, values before the update",
    "higher",
    "1 or less",
    "coefficient of determination",
    "unsteady where returns hardly differ",
)
VALUE_LEARNING_RATE = Metric(
    "value/learning_rate",
    "the critic's; the policy's is `learning_rate`",
    "step size",
    "exact",
    None,
    "0 or more",
    "the optimizer's own",
    "a setting, no result",
)

ADVANTAGE_MEAN = Metric(
    "advantage/mean",
    "how much better than foreseen",
    "reward",
    "mean " + _ADVANTAGES,
    None,
    _ANY,
    "Schulman et al. 2016, arXiv 1506.02438 (GAE)",
    "0 where nothing is learned any more, for better or worse",
)
ADVANTAGE_STD = Metric(
    "advantage/std",
    "what the advantages are divided by",
    "reward",
    "standard deviation " + _ADVANTAGES,
    None,
    "0 or more",
    "Schulman et al. 2016, arXiv 1506.02438 (GAE)",
    "what is divided by it has spread 1 even where it is noise alone",
)

RESPONSE_TOKENS = replace(metrics.FINAL_RESPONSE_TOKENS, name="response/tokens", estimator=_RESPONSES)
RESPONSE_EOS_SHARE = replace(metrics.FINAL_EOS_SHARE, name="response/eos_share", estimator=_RESPONSES)
RESPONSE_DISTINCT_2 = Metric(
    "response/distinct_2",
    "different token bigrams among all token bigrams",
    "share",
    _POOLED,
    "higher",
    "0 to 1",
    "Li et al. 2016, arXiv 1510.03055",
    "random tokens score almost 1; few and short responses score high",
)
RESPONSE_REPETITION = Metric(
    "response/repetition",
    "token 3-grams of a response that occurred in it before: near 1 in a loop",
    "share",
    _RESPONSES,
    "lower",
    "0 to 1",
    "Welleck et al. 2019, arXiv 1908.04319 (seq-rep-n)",
    "0 for random tokens and for responses of fewer than 4 tokens",
)
RESPONSE_IDENTICAL_SHARE = Metric(
    "response/identical_share",
    "responses that equal another of the step's responses",
    "share",
    _RESPONSES,
    "lower",
    "0 to 1",
    "no paper: counted",
    "0 for random tokens; repeated prompts and short answers raise it",
)

UPDATE_PASSES = Metric(
    "update/passes",
    "whole passes over the step's samples; fewer than method.epochs where method.kl.max_update ended the update",
    "passes",
    "count",
    None,
    "0 to method.epochs",
    "no paper: counted",
    "all passes are made where the policy does not move",
)
SECONDS_GENERATE = Metric(
    "seconds/generate",
    "sampling the responses",
    "seconds",
    _CLOCK,
    "lower",
    "0 or more",
    "monotonic clock of the operating system",
    _BUSY,
)
SECONDS_SCORE = Metric(
    "seconds/score",
    "log-probs, values and rewards of the sampled responses",
    "seconds",
    _CLOCK,
    "lower",
    "0 or more",
    "monotonic clock of the operating system",
    _BUSY,
)
SECONDS_UPDATE = Metric(
    "seconds/update",
    "crediting and all optimizer steps",
    "seconds",
    _CLOCK,
    "lower",
    "0 or more",
    "monotonic clock of the operating system",
    _BUSY,
)
SPEED_TOKENS_PER_SECOND = Metric(
    "speed/tokens_per_second",
    "response tokens through the whole step: generate, score and update",
    "tokens per second",
    "response tokens of all processes / seconds of the three phases of the main process",
    "higher",
    "0 or more",
    "monotonic clock of the operating system",
    "long responses raise it whatever they say; other work on the machine lowers it",
)

PPO_METRICS: tuple[Metric, ...] = (
    REWARD_SCORE, REWARD_SCORE_STD, REWARD_P05, REWARD_P50, REWARD_P95, REWARD_SOURCE, REWARD_GOLD, REWARD_GOLD_STD,
    REWARD_NON_SCORE, REWARD_TOTAL, REWARD_LENGTH_CORRELATION,
    KL_K1, KL_K3, KL_K1_PER_TOKEN, KL_K3_PER_TOKEN, KL_SQRT, KL_OLD_TO_NEW, KL_COEFFICIENT, KL_TARGET,
    POLICY_ENTROPY, POLICY_GENERATION_GAP, POLICY_LOSS, POLICY_RATIO, POLICY_LOG_RATIO_SIZE, POLICY_CLIP_FRACTION,
    VALUE_LOSS, VALUE_CLIP_FRACTION, VALUE_EXPLAINED_VARIANCE, VALUE_LEARNING_RATE, ADVANTAGE_MEAN, ADVANTAGE_STD,
    RESPONSE_TOKENS, RESPONSE_EOS_SHARE, RESPONSE_DISTINCT_2, RESPONSE_REPETITION, RESPONSE_IDENTICAL_SHARE,
    UPDATE_PASSES, SECONDS_GENERATE, SECONDS_SCORE, SECONDS_UPDATE, SPEED_TOKENS_PER_SECOND,
)  # fmt: skip
