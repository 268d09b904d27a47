"""How alike answers are to their references: BLEU and chrF of the whole set, ROUGE, exact match and word F1 of each.

Metrics of the set come as statistics per question and a formula of their sums, for `text_resample.summed_scores`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from rlhf.evaluation.text.words import normalised, words
from rlhf.evaluation_spec import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER = 4  # of BLEU: n-grams of up to four words (Papineni et al. 2002)


def bleu_statistics(answers: Sequence[str], references: Sequence[str], tokenize: Tokenizer) -> NDArray:
    """Return sacreBLEU's counts, (questions, 2 + 2 x 4): lengths of answer and reference, n-grams shared, n-grams."""
    from sacrebleu.metrics.bleu import BLEU

    return _statistics(BLEU(tokenize=tokenize, force=True), answers, references)  # force: no advice about its input


def chrf_statistics(answers: Sequence[str], references: Sequence[str]) -> NDArray:
    """Return sacreBLEU's counts, (questions, 6 x 3): per length of n-gram those of answer, reference and both."""
    from sacrebleu.metrics.chrf import CHRF

    return _statistics(CHRF(), answers, references)


def signature(tokenize: Tokenizer) -> str:
    """Return what sacreBLEU asks to be quoted with a BLEU: how it was computed, with its version."""
    from sacrebleu import __version__

    return f"nrefs:1|case:mixed|eff:no|tok:{tokenize}|smooth:exp|version:{__version__}"


def _statistics(metric: Any, answers: Sequence[str], references: Sequence[str]) -> NDArray:
    import numpy as np

    # the one way to them, which sacreBLEU's own significance.py takes from outside too
    return np.array(metric._extract_corpus_statistics(list(answers), [list(references)]), dtype=float)


def bleu_formula(sums: NDArray) -> NDArray:
    """BLEU of each row of summed statistics, 0 to 100, as sacreBLEU's default: exponential smoothing, brevity penalty.

    An order of n-grams that no answer is long enough for makes it 0.
    """
    import numpy as np

    own, reference, shared, total = sums[:, 0], sums[:, 1], sums[:, 2 : 2 + ORDER], sums[:, 2 + ORDER :]
    missed = shared == 0
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=1), shared)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed / total).mean(axis=1)
        brevity = np.where(own < reference, np.exp(1 - reference / own), 1.0)
    defined = shared.any(axis=1) & total.all(axis=1)
    return np.where(defined, 100 * brevity * np.exp(np.where(defined, logs, 0.0)), 0.0)


def chrf_formula(sums: NDArray) -> NDArray:
    """Return chrF2 (Popovic 2015) of each row of summed statistics, 0 to 100, as sacreBLEU's default.

    Precision and recall are means over the lengths of n-grams that both sides have.
    """
    import numpy as np

    counts = sums.reshape(len(sums), -1, 3)
    own, reference, shared = counts[..., 0], counts[..., 1], counts[..., 2]
    known = (own > 0) & (reference > 0)
    orders = np.maximum(known.sum(axis=1), 1)
    precision = np.where(known, shared / np.maximum(own, 1), 0.0).sum(axis=1) / orders
    recall = np.where(known, shared / np.maximum(reference, 1), 0.0).sum(axis=1) / orders
    below = 4 * precision + recall  # beta = 2: recall weighs twice as much
    return np.where(below > 0, 100 * 5 * precision * recall / np.where(below > 0, below, 1.0), 0.0)


def rouge(answer: str, reference: str) -> dict[str, float]:
    """Return the F-measures `rouge1`, `rouge2`, `rougeL` of rouge-score over our words, without stemming.

    Lin 2004, with the texts' own words in any script. 0 where either text has no word.
    """
    scores = _rouge_scorer().score(reference, answer)
    return {name: float(score.fmeasure) for name, score in scores.items()}


@cache
def _rouge_scorer() -> Any:
    return rouge_scorer()(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())


@cache
def rouge_scorer() -> Any:
    """Import rouge-score's RougeScorer and make the logger it brings let go of the stream that is sys.stderr now.

    absl takes hold of it when it is imported and closes it when logging is set up anew, as Hydra does for each job:
    a notebook's stream, or what pytest catches, would be gone (absl.logging.PythonHandler.close).
    """
    from absl.logging import get_absl_handler
    from rouge_score.rouge_scorer import RougeScorer

    get_absl_handler().python_handler.stream = sys.__stderr__
    return RougeScorer


class _Words:
    """The tokenizer that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def nll_statistics(logprobs: Sequence[Sequence[float]]) -> NDArray:
    """Return nats and tokens, (answers, 2), of answers given as the log-probs of their tokens."""
    import numpy as np

    return np.array([(-sum(own), len(own)) for own in logprobs], dtype=float)


def nll_formula(sums: NDArray) -> NDArray:
    """Nats per token of each row of summed statistics; every token counts alike."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may draw empty answers alone
        return sums[:, 0] / sums[:, 1]


def perplexity_formula(sums: NDArray) -> NDArray:
    """Return e to the power of the nats per token: among how many equally likely tokens the model seems to choose."""
    import numpy as np

    return np.exp(nll_formula(sums))


def exact_match(answer: str, reference: str) -> float:
    """Return 1 where the two texts are equal up to case, punctuation, white space and English articles, else 0."""
    return float(normalised(answer) == normalised(reference))


def word_f1(answer: str, reference: str) -> float:
    """Return the F1 of shared words, as SQuAD and ConvAI2 count them; two empty texts agree."""
    own, theirs = normalised(answer), normalised(reference)
    if not own or not theirs:
        return float(own == theirs)
    shared = sum((Counter(own) & Counter(theirs)).values())
    return 2 * shared / (len(own) + len(theirs))
