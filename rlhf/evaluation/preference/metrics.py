"""Metrics of preferences: a reward model on held-out pairs, a policy's implicit reward, win rates by a judge."""

from __future__ import annotations

from rlhf.evaluation.metrics import Metric

_PAIRS = "held-out pairs"
_LABELS = "pairs whose labels are wrong are counted against it, and pairs that share a prompt are no independent ones"
_BRADLEY = "Bradley and Terry 1952"
_DPO = "Rafailov et al. 2023, arXiv 2305.18290"
_GROUPS = "percentile bootstrap over groups of pairs (those of one prompt), 95%"
_JUDGE = "whatever the judge likes beside good answers: length, praise, its own style; look at what it says of nonsense"

ECE = Metric(
    "preference/ece",
    "how far the confidence of a reward model, sigmoid(|score of chosen - score of rejected|), is from its accuracy",
    "share",
    "sum over bins of n / N x |mean confidence - accuracy|; bins by evaluation.preference.binning and bins",
    "lower",
    "0 to 1",
    "Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599",
    "few pairs have an ECE above 0 by chance alone: compare preference/ece_by_chance; who is right half of the time "
    "and never sure has 0",
    reads="pair",
)
ECE_BY_CHANCE = Metric(
    "preference/ece_by_chance",
    "the ECE that a perfectly calibrated reward model of the same confidences stays below 95 times in 100",
    "share",
    "95% quantile over outcomes drawn with the confidences as their probabilities",
    None,
    "0 to 1",
    "Broecker and Smith 2007, doi 10.1175/WAF993.1",
    "fewer pairs make it larger",
    reads="pair",
)
BRIER = Metric(
    "preference/brier",
    "squared distance of the probability that chosen is preferred from 1",
    "squared share",
    "mean over held-out pairs of (1 - sigmoid(score of chosen - score of rejected))^2; 0.25 for a judge that is never "
    "sure",
    "lower",
    "0 to 1",
    "Brier 1950",
    _LABELS,
    reads="pair",
)
TEMPERATURE = Metric(
    "preference/temperature",
    "what the scores are best divided by: above 1 the reward model is too sure of itself, below 1 not sure enough",
    "the score's",
    "argmin over T of mean -log sigmoid(margin / T) on the held-out pairs themselves",
    None,
    "above 0",
    "Guo et al. 2017, arXiv 1706.04599",
    "it is fitted to the pairs that it describes",
    reads="pair",
)
ACCURACY_SHORTER = Metric(
    "preference/accuracy_chosen_shorter",
    "final/accuracy on the held-out pairs whose chosen answer is the shorter one: a lover of length fails here",
    "share",
    "mean over those pairs, a tie counts one half; length in characters",
    "higher",
    "0 to 1",
    "length bias: Singhal et al. 2023, arXiv 2310.03716",
    "a reward model that prefers shorter answers: compare final/accuracy_length_rule",
    reads="pair",
)
OVER_LENGTH = Metric(
    "preference/accuracy_over_length_rule",
    "final/accuracy minus final/accuracy_length_rule on the same pairs",
    "share",
    f"mean of paired differences over {_PAIRS}; {_GROUPS}",
    "higher",
    "-1 to 1",
    "length bias: Singhal et al. 2023, arXiv 2310.03716",
    _LABELS,
    reads="pair",
)
OVER_WORDS = Metric(
    "preference/accuracy_over_bag_of_words",
    "final/accuracy minus final/accuracy_bag_of_words on the same pairs",
    "share",
    f"mean of paired differences over {_PAIRS}; {_GROUPS}",
    "higher",
    "-1 to 1",
    "no paper: a difference of two accuracies",
    "a baseline that learned from few pairs: see evaluation.baseline_pairs",
    reads="pair",
)
OF_REWARD_MODEL = (ECE, ECE_BY_CHANCE, BRIER, TEMPERATURE, ACCURACY_SHORTER, OVER_LENGTH, OVER_WORDS)

_IMPLICIT = "beta x (log-prob of the answer under the policy - under its reference, the model that it started from)"
_ANY_SHIFT = "a policy that makes both answers less likely: see the rewards of chosen and rejected by themselves"


def _implicit(name: str, meaning: str, unit: str, estimator: str, better: bool, span: str, fooled: str) -> Metric:
    return Metric(
        f"preference/implicit_{name}",
        meaning,
        unit,
        estimator,
        "higher" if better else None,
        span,
        _DPO,
        fooled,
        reads="pair",
    )


_SE = "standard deviation / sqrt(pairs)"
_SCORE = "beta x nats per response"
IMPLICIT_ACCURACY = _implicit(
    "accuracy",
    f"share of held-out pairs whose chosen answer has the higher implicit reward, {_IMPLICIT}, whatever trained it",
    "share",
    f"mean over {_PAIRS}, a tie counts one half; Wilson score interval, 95%; the same for every beta",
    True,
    "0 to 1",
    f"{_ANY_SHIFT}; {_LABELS}",
)
IMPLICIT_MARGIN = _implicit(
    "margin",
    "implicit reward of chosen minus that of rejected",
    _SCORE,
    f"mean over {_PAIRS}; its interval is 1.96 standard errors either way",
    True,
    "any",
    f"a larger beta: compare at equal beta; {_ANY_SHIFT}",
)
IMPLICIT_MARGIN_SE = _implicit("margin_se", "standard error of the margin", _SCORE, _SE, False, "above 0", "many pairs")
IMPLICIT_CHOSEN = _implicit(
    "reward_chosen", "implicit reward of chosen answers", _SCORE, f"mean over {_PAIRS}", False, "any", "a larger beta"
)
IMPLICIT_REJECTED = _implicit(
    "reward_rejected", "the same of rejected ones", _SCORE, f"mean over {_PAIRS}", False, "any", "a larger beta"
)
LOGP_CHOSEN = _implicit(
    "logp_chosen",
    "log-probability of chosen answers under the policy",
    "nats per response",
    f"mean over {_PAIRS} of the sum over response tokens",
    False,
    "below 0",
    "shorter answers",
)
LOGP_REJECTED = _implicit(
    "logp_rejected",
    "log-probability of rejected answers under the policy",
    "nats per response",
    f"mean over {_PAIRS} of the sum over response tokens",
    False,
    "below 0",
    "shorter answers",
)
IMPLICIT_LOSS = _implicit(
    "loss",
    "DPO's loss of the policy, whatever trained it: ln 2 where it has not moved from its reference",
    "nats per pair",
    f"mean over {_PAIRS} of -log sigmoid(implicit reward of chosen - of rejected)",
    False,
    "above 0",
    "a smaller beta brings it to ln 2: compare at equal beta",
)
OF_IMPLICIT_REWARD = (
    IMPLICIT_ACCURACY, IMPLICIT_MARGIN, IMPLICIT_MARGIN_SE, IMPLICIT_CHOSEN, IMPLICIT_REJECTED, LOGP_CHOSEN,
    LOGP_REJECTED, IMPLICIT_LOSS,
)  # fmt: skip

SCORE = Metric(
    "preference/score",
    "the judge's score of the answers (where it gives one: reward model or gold)",
    "judge's score",
    "mean over questions",
    "higher",
    "any",
    "the judge that evaluation.preference.judge names",
    _JUDGE,
    reads="pair",
)
WIN_RATE = Metric(
    "preference/win_rate_over_answers",
    "share of questions where the judge prefers the speaker's answer to the data's own",
    "share",
    "mean over questions, a tie counts one half; an answer that is the data's own is a tie",
    "higher",
    "0 to 1",
    "Zheng et al. 2023, arXiv 2306.05685, for judging in pairs",
    f"{_JUDGE}; poor answers in the data",
    reads="pair",
)
TIE_RATE = Metric(
    "preference/tie_rate_over_answers",
    "share of questions where the judge prefers neither; a chat model that prefers one in one order alone counts",
    "share",
    "mean over questions",
    None,
    "0 to 1",
    "Zheng et al. 2023, arXiv 2306.05685, for judging in both orders",
    "a judge that cannot decide, or that votes for a place, makes ties; so do answers that are alike",
    reads="pair",
)
SIGN_TEST = Metric(
    "preference/sign_test_over_answers",
    "p value that the judge prefers either side equally often",
    "probability",
    "two-sided exact binomial test on wins and losses, ties left out",
    None,
    "0 to 1",
    "Dixon and Mood 1946",
    "it says nothing of how much better an answer is, and is not corrected for the number of comparisons",
    reads="pair",
)
FIRST_SHARE = Metric(
    "preference/judge_first_share",
    "position bias of a chat model that judges: how often it votes for the answer that is shown first",
    "share",
    "over all votes for one of two answers, each pair being shown in both orders; 0.5 without bias",
    None,
    "0 to 1",
    "Zheng et al. 2023, arXiv 2306.05685",
    "two biases that cancel each other",
    reads="pair",
)
CONSISTENCY = Metric(
    "preference/judge_consistency",
    "share of pairs on which a chat model that judges says the same in both orders",
    "share",
    "mean over pairs whose answers differ",
    None,
    "0 to 1",
    "Zheng et al. 2023, arXiv 2306.05685",
    "a judge that always says tie",
    reads="pair",
)
UNCLEAR = Metric(
    "preference/judge_unclear",
    "share of a chat model's replies in which no vote could be read; the win rate leaves out their questions",
    "share",
    "over all replies",
    None,
    "0 to 1",
    "no paper: counted",
    "0 for a judge that always names a side, whatever it read",
    reads="pair",
)
OF_ANSWERS = (SCORE, WIN_RATE, TIE_RATE, SIGN_TEST, FIRST_SHARE, CONSISTENCY, UNCLEAR)
