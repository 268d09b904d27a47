"""Every metric that a run ends with: name, meaning, unit, estimator and which way is better, each written once.

Use the constants' names (`metrics.FINAL_LOSS.name`) instead of spelling them; `metrics_markdown` renders the table of
docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.evaluation.cost_metrics import (  # noqa: F401  # all metrics are asked for here
    COST_ADAPTER_BYTES,
    COST_ARTIFACT_BYTES,
    COST_FLOPS,
    COST_GPU_SECONDS,
    COST_KWH,
    COST_MFU,
    COST_MODEL_BYTES,
    COST_PARAMETERS,
    COST_PEAK_HOST_BYTES,
    COST_PEAK_MEMORY_BYTES,
    COST_SAMPLES_PER_SECOND,
    COST_SECONDS,
    COST_TOKENS,
    COST_TRAINABLE_PARAMETERS,
    COST_TRAINABLE_SHARE,
    COST_USD,
    COSTS,
    NO_SUMS,
    PIPELINE_COSTS,
    pipeline_name,
)
from rlhf.evaluation.metric import Metric

_SAMPLED = "mean over held-out prompts, one answer sampled for each"
_PAIRED = "mean of paired differences over held-out prompts"
_WILSON = "Wilson score interval over held-out pairs, 95%"
_INTERVAL = "percentile bootstrap over held-out prompts, 95%"

FINAL_LOSS = Metric(
    "final/loss",
    "the method's own objective on held-out data: SFT cross-entropy, DPO and reward pair loss, "
    "PPO minus mean (normalised score - KL coefficient at the end x KL); comparable between runs of one method only, "
    "and of PPO only where judge and coefficient are the same",
    "nats (SFT: per response token; DPO, reward: per pair); PPO: standard deviations of the start's scores",
    "mean over held-out rows",
    "lower",
)
FINAL_NLL = Metric(
    "final/nll",
    "negative log-likelihood of held-out reference answers under the policy; comparable across methods",
    "nats per response token",
    "sum over all tokens divided by their number",
    "lower",
)
FINAL_REWARD = Metric("final/reward", "the judge's score of sampled answers", "judge's score", _SAMPLED, "higher")
FINAL_REWARD_GOLD = Metric(
    "final/reward_gold", "the known true reward of sampled answers (toy world only)", "gold score", _SAMPLED, "higher"
)
FINAL_REWARD_DIFFERENCE = Metric(
    "final/reward_difference",
    "reward of the policy's answers minus that of the reference model's to the same prompts",
    "judge's score",
    _PAIRED,
    "higher",
)
FINAL_REWARD_DIFFERENCE_LOW = Metric(
    "final/reward_difference_low", "its interval's lower end", "judge's score", _INTERVAL, "higher"
)
FINAL_REWARD_DIFFERENCE_HIGH = Metric(
    "final/reward_difference_high", "its interval's upper end", "judge's score", _INTERVAL, "higher"
)
FINAL_REWARD_GOLD_DIFFERENCE = Metric(
    "final/reward_gold_difference",
    "the same difference in gold reward (toy world only)",
    "gold score",
    _PAIRED,
    "higher",
)
FINAL_REWARD_GOLD_DIFFERENCE_LOW = Metric(
    "final/reward_gold_difference_low", "its interval's lower end", "gold score", _INTERVAL, "higher"
)
FINAL_REWARD_GOLD_DIFFERENCE_HIGH = Metric(
    "final/reward_gold_difference_high", "its interval's upper end", "gold score", _INTERVAL, "higher"
)
FINAL_KL = Metric(
    "final/kl",
    "KL(policy, reference) of whole answers",
    "nats per response",
    "mean over fresh policy samples of the sum over response tokens of the exact KL of the next-token distributions",
    None,
)
FINAL_KL_PER_TOKEN = Metric(
    "final/kl_per_token",
    "the same per token",
    "nats per response token",
    "sum over all sampled tokens divided by their number",
    None,
)
FINAL_WIN_RATE = Metric(
    "final/win_rate",
    "share of held-out prompts where the judge prefers the policy's answer to the reference model's",
    "share",
    "mean over held-out prompts, a tie counts one half",
    "higher",
)
FINAL_WIN_RATE_LOW = Metric("final/win_rate_low", "lower end of the win rate's interval", "share", _INTERVAL, "higher")
FINAL_WIN_RATE_HIGH = Metric(
    "final/win_rate_high", "upper end of the win rate's interval", "share", _INTERVAL, "higher"
)
FINAL_RESPONSE_TOKENS = Metric(
    "final/response_tokens", "length of sampled answers, end-of-sequence token included", "tokens", _SAMPLED, None
)
FINAL_EOS_SHARE = Metric(
    "final/eos_share",
    "share of sampled answers that ended by themselves within the token limit",
    "share",
    _SAMPLED,
    "higher",
)
FINAL_DISTINCT_2 = Metric(
    "final/distinct_2",
    "diversity of sampled answers: different token bigrams among all token bigrams (Li et al. 2016, arXiv 1510.03055)",
    "share",
    "over all sampled answers together; falls with their number, compare at equal prompts",
    "higher",
)

FINAL_ACCURACY = Metric(
    "final/accuracy",
    "share of held-out pairs where chosen scores above rejected, by the reward model (DPO: by its implicit reward)",
    "share",
    "mean over held-out pairs, a tie counts one half",
    "higher",
)
FINAL_ACCURACY_LOW = Metric("final/accuracy_low", "its interval's lower end", "share", _WILSON, "higher")
FINAL_ACCURACY_HIGH = Metric("final/accuracy_high", "its interval's upper end", "share", _WILSON, "higher")
FINAL_ACCURACY_LENGTH_RULE = Metric(
    "final/accuracy_length_rule",
    "the same share for a rule that sees length alone (longer or shorter, as the training pairs say): a floor to beat",
    "share",
    "mean over held-out pairs, a tie counts one half",
    None,
)
FINAL_ACCURACY_BAG_OF_WORDS = Metric(
    "final/accuracy_bag_of_words",
    "the same share for a linear model on which words occur: a floor to beat",
    "share",
    "fitted on the training pairs, mean over held-out pairs",
    None,
)
FINAL_MARGIN = Metric(
    "final/margin",
    "score of chosen minus score of rejected (DPO: implicit reward)",
    "the score's",
    "mean over held-out pairs",
    "higher",
)
FINAL_MARGIN_SE = Metric(
    "final/margin_se", "standard error of the margin", "the score's", "standard deviation / sqrt(pairs)", "lower"
)

FINAL_SYMPTOM_STEPS = Metric(
    "final/symptom_steps",
    "PPO's training steps at which the collapse guard saw a symptom; the run's tags `collapse.*` name them",
    "steps",
    "count over training, rolled back steps included",
    "lower",
)
FINAL_ROLLBACKS = Metric(
    "final/rollbacks", "how often PPO went back to healthy weights", "rollbacks", "count over training", "lower"
)

ALL_METRICS: tuple[Metric, ...] = (
    FINAL_LOSS, FINAL_NLL,
    FINAL_REWARD, FINAL_REWARD_DIFFERENCE, FINAL_REWARD_DIFFERENCE_LOW, FINAL_REWARD_DIFFERENCE_HIGH,
    FINAL_REWARD_GOLD, FINAL_REWARD_GOLD_DIFFERENCE, FINAL_REWARD_GOLD_DIFFERENCE_LOW,
    FINAL_REWARD_GOLD_DIFFERENCE_HIGH, FINAL_KL, FINAL_KL_PER_TOKEN,
    FINAL_WIN_RATE, FINAL_WIN_RATE_LOW, FINAL_WIN_RATE_HIGH,
    FINAL_RESPONSE_TOKENS, FINAL_EOS_SHARE, FINAL_DISTINCT_2,
    FINAL_ACCURACY, FINAL_ACCURACY_LOW, FINAL_ACCURACY_HIGH, FINAL_ACCURACY_LENGTH_RULE, FINAL_ACCURACY_BAG_OF_WORDS,
    FINAL_MARGIN, FINAL_MARGIN_SE, FINAL_SYMPTOM_STEPS, FINAL_ROLLBACKS, *COSTS, *PIPELINE_COSTS,
)  # fmt: skip


def metrics_markdown(metrics: Sequence[Metric]) -> str:
    """The table of docs/metrics.md."""
    lines = ["| name | meaning | unit | estimator | better |", "|---|---|---|---|---|"]
    for metric in metrics:
        cells = (f"`{metric.name}`", metric.meaning, metric.unit, metric.estimator, metric.better or "neither")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
