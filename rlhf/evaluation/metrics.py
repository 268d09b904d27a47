"""Every metric that a run ends with: name, meaning, unit, estimator and which way is better, each written once.

Use the constants' names (`metrics.FINAL_LOSS.name`) instead of spelling them; scripts/make_docs.py renders
docs/metrics.md.
"""

from __future__ import annotations

from dataclasses import replace

from rlhf.evaluation.cost.metrics import (  # noqa: F401  # all metrics are asked for here
    COST_ADAPTER_BYTES,
    COST_ARTIFACT_BYTES,
    COST_CPU_SECONDS,
    COST_EPOCHS,
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
    COST_STEPS,
    COST_STEPS_PER_SECOND,
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
_WILSON = "Wilson score interval over held-out pairs, 95% (Wilson 1927)"
_INTERVAL = "percentile bootstrap over held-out prompts, 95% (Efron 1979)"
_SHARE_INTERVAL = f"Wilson score interval where nothing ties, else {_INTERVAL}"

_ANY, _UNIT = "any number", "0 to 1"
_JUDGED = "the judge that evaluation.judge names"
_GOLD = "rlhf/data/toy_gold.py, written with the toy world"
_PAIRWISE = "Bradley and Terry 1952; DPO: Rafailov et al. 2023, arXiv 2305.18290"
_EXPLOITED = (
    "judges like length, flattery and phrases of their training pairs, the more the further the policy goes "
    "(Gao et al. 2022, arXiv 2210.10760): read it beside final/kl and, where it is known, the gold reward"
)
_GOLD_FOOLED = "phrases of its tables count, in whatever sense they stand"
_STYLE = "the style of the pairs' makers and length alone can be enough: read it beside the two floors below"


def _end(metric: Metric, which: str, estimator: str) -> Metric:
    """The lower or upper end of a metric's interval."""
    told = {"low": "its interval's lower end", "high": "its interval's upper end"}
    return replace(metric, name=f"{metric.name}_{which}", meaning=told[which], estimator=estimator)


FINAL_LOSS = Metric(
    "final/loss",
    "the method's own objective on held-out data: SFT cross-entropy, DPO and reward pair loss, "
    "PPO minus mean (normalised score - KL coefficient at the end x KL); comparable between runs of one method only, "
    "and of PPO only where judge and coefficient are the same",
    "nats (SFT: per response token; DPO, reward: per pair); PPO: standard deviations of the start's scores",
    "mean over held-out rows",
    "lower",
    "SFT, DPO, reward: 0 or more; PPO: any number",
    "cross-entropy; Rafailov et al. 2023, arXiv 2305.18290, equation 7; Bradley and Terry 1952; "
    "PPO: Ziegler et al. 2019, arXiv 1909.08593",
    "low where held-out rows are like training rows; PPO's falls while its judge is exploited",
)
FINAL_NLL = Metric(
    "final/nll",
    "negative log-likelihood of held-out reference answers under the policy; comparable across methods",
    "nats per response token",
    "sum over all tokens divided by their number",
    "lower",
    "0 or more",
    "cross-entropy (Shannon 1948)",
    "a model of the references' style alone scores well; says nothing of what the policy samples; tokenizers differ",
)
FINAL_PERPLEXITY = Metric(
    "final/perplexity",
    "among how many equally likely tokens the policy would be as unsure as it is of the reference answers' tokens",
    "tokens",
    "exp(final/nll); absent where that is above the largest float, nll 709",
    "lower",
    "1 or more; the size of the vocabulary for a policy that finds all tokens equally likely",
    "Jelinek et al. 1977, doi 10.1121/1.2016299",
    "as final/nll: no comparison between tokenizers, and nothing of what the policy samples",
)
FINAL_REWARD = Metric(
    "final/reward",
    "the judge's score of sampled answers",
    "judge's score",
    _SAMPLED,
    "higher",
    _ANY,
    _JUDGED,
    _EXPLOITED,
)
FINAL_REWARD_GOLD = Metric(
    "final/reward_gold",
    "the known true reward of sampled answers (toy world only)",
    "gold score",
    _SAMPLED,
    "higher",
    "-1 to 1",
    _GOLD,
    _GOLD_FOOLED,
)
FINAL_REWARD_DIFFERENCE = Metric(
    "final/reward_difference",
    "reward of the policy's answers minus that of the reference model's to the same prompts",
    "judge's score",
    _PAIRED,
    "higher",
    _ANY,
    _JUDGED,
    _EXPLOITED,
)
FINAL_REWARD_DIFFERENCE_LOW = _end(FINAL_REWARD_DIFFERENCE, "low", _INTERVAL)
FINAL_REWARD_DIFFERENCE_HIGH = _end(FINAL_REWARD_DIFFERENCE, "high", _INTERVAL)
FINAL_REWARD_GOLD_DIFFERENCE = Metric(
    "final/reward_gold_difference",
    "the same difference in gold reward (toy world only)",
    "gold score",
    _PAIRED,
    "higher",
    "-2 to 2",
    _GOLD,
    _GOLD_FOOLED,
)
FINAL_REWARD_GOLD_DIFFERENCE_LOW = _end(FINAL_REWARD_GOLD_DIFFERENCE, "low", _INTERVAL)
FINAL_REWARD_GOLD_DIFFERENCE_HIGH = _end(FINAL_REWARD_GOLD_DIFFERENCE, "high", _INTERVAL)
FINAL_KL = Metric(
    "final/kl",
    "KL(policy, reference) of whole answers",
    "nats per response",
    "mean over fresh policy samples of the sum over response tokens of the exact KL of the next-token distributions",
    None,
    "0 or more",
    "Kullback and Leibler 1951; exact sum over the vocabulary at each sampled token",
    "long answers add up to more; 0 for a policy that did not learn",
)
FINAL_KL_PER_TOKEN = Metric(
    "final/kl_per_token",
    "the same per token",
    "nats per response token",
    "sum over all sampled tokens divided by their number",
    None,
    "0 or more",
    "as final/kl",
    "long repetitive answers have many tokens that cost next to nothing",
)
FINAL_WIN_RATE = Metric(
    "final/win_rate",
    "share of held-out prompts where the judge prefers the policy's answer to the reference model's",
    "share",
    "mean over held-out prompts, a tie counts one half",
    "higher",
    _UNIT,
    _JUDGED,
    _EXPLOITED,
)
FINAL_WIN_RATE_LOW = _end(FINAL_WIN_RATE, "low", _SHARE_INTERVAL)
FINAL_WIN_RATE_HIGH = _end(FINAL_WIN_RATE, "high", _SHARE_INTERVAL)
FINAL_RESPONSE_TOKENS = Metric(
    "final/response_tokens",
    "length of sampled answers, end-of-sequence token included",
    "tokens",
    _SAMPLED,
    None,
    "1 to the token limit",
    "the model's own tokenizer",
    "neither way is better; judges like long answers",
)
FINAL_EOS_SHARE = Metric(
    "final/eos_share",
    "share of sampled answers that ended by themselves within the token limit",
    "share",
    _SAMPLED,
    "higher",
    _UNIT,
    "the policy's own samples",
    "an empty answer ends by itself as well",
)
FINAL_DISTINCT_2 = Metric(
    "final/distinct_2",
    "diversity of sampled answers: different token bigrams among all token bigrams (Li et al. 2016, arXiv 1510.03055)",
    "share",
    "over all sampled answers together; falls with their number, compare at equal prompts",
    "higher",
    _UNIT,
    "Li et al. 2016, arXiv 1510.03055",
    "random tokens score almost 1; short and few answers score high",
)

FINAL_ACCURACY = Metric(
    "final/accuracy",
    "share of held-out pairs where chosen scores above rejected, by the reward model (DPO: by its implicit reward)",
    "share",
    "mean over held-out pairs, a tie counts one half",
    "higher",
    _UNIT,
    _PAIRWISE,
    _STYLE,
)
FINAL_ACCURACY_LOW = _end(FINAL_ACCURACY, "low", _WILSON)
FINAL_ACCURACY_HIGH = _end(FINAL_ACCURACY, "high", _WILSON)
FINAL_ACCURACY_LENGTH_RULE = Metric(
    "final/accuracy_length_rule",
    "the same share for a rule that sees length alone (longer or shorter, as the training pairs say): a floor to beat",
    "share",
    "mean over held-out pairs, a tie counts one half",
    None,
    _UNIT,
    "no paper: a rule of one bit, fitted on the training pairs",
    "high where the pairs' makers wrote one side longer: then the pairs teach length",
)
FINAL_ACCURACY_BAG_OF_WORDS = Metric(
    "final/accuracy_bag_of_words",
    "the same share for a linear model on which words occur: a floor to beat",
    "share",
    "fitted on the training pairs, mean over held-out pairs",
    None,
    _UNIT,
    "logistic regression of scikit-learn on word occurrences",
    "high where the pairs' makers left words of their own: then the pairs teach style",
)
FINAL_MARGIN = Metric(
    "final/margin",
    "score of chosen minus score of rejected (DPO: implicit reward)",
    "the score's",
    "mean over held-out pairs",
    "higher",
    _ANY,
    _PAIRWISE,
    "grows with the scale of the scores and with over-confidence; read it beside the accuracy",
)
FINAL_MARGIN_SE = Metric(
    "final/margin_se",
    "standard error of the margin",
    "the score's",
    "standard deviation / sqrt(pairs)",
    "lower",
    "0 or more",
    "standard error of a mean",
    "small with many pairs however wrong the scores are",
)

FINAL_SYMPTOM_STEPS = Metric(
    "final/symptom_steps",
    "PPO's training steps at which the collapse guard saw a symptom; the run's tags `collapse.*` name them",
    "steps",
    "count over training, rolled back steps included",
    "lower",
    "0 to the number of steps",
    "docs/ppo.md, the guard's bounds",
    "0 where method.guard's bounds are wide",
)
FINAL_ROLLBACKS = Metric(
    "final/rollbacks",
    "how often PPO went back to healthy weights",
    "rollbacks",
    "count over training",
    "lower",
    "0 to method.guard's limit",
    "docs/ppo.md",
    "0 where the guard is off",
)

ALL_METRICS: tuple[Metric, ...] = (
    FINAL_LOSS, FINAL_NLL, FINAL_PERPLEXITY,
    FINAL_REWARD, FINAL_REWARD_DIFFERENCE, FINAL_REWARD_DIFFERENCE_LOW, FINAL_REWARD_DIFFERENCE_HIGH,
    FINAL_REWARD_GOLD, FINAL_REWARD_GOLD_DIFFERENCE, FINAL_REWARD_GOLD_DIFFERENCE_LOW,
    FINAL_REWARD_GOLD_DIFFERENCE_HIGH, FINAL_KL, FINAL_KL_PER_TOKEN,
    FINAL_WIN_RATE, FINAL_WIN_RATE_LOW, FINAL_WIN_RATE_HIGH,
    FINAL_RESPONSE_TOKENS, FINAL_EOS_SHARE, FINAL_DISTINCT_2,
    FINAL_ACCURACY, FINAL_ACCURACY_LOW, FINAL_ACCURACY_HIGH, FINAL_ACCURACY_LENGTH_RULE, FINAL_ACCURACY_BAG_OF_WORDS,
    FINAL_MARGIN, FINAL_MARGIN_SE, FINAL_SYMPTOM_STEPS, FINAL_ROLLBACKS, *COSTS, *PIPELINE_COSTS,
)  # fmt: skip
