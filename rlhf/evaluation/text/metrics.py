"""Every metric of the text suite, described."""

from __future__ import annotations

from rlhf.evaluation.metrics import Metric

_WORDS = "words: runs of letters and digits in lower case; single signs in Chinese, Japanese, Thai"
_ALIKE = "An answer that is right in other words scores low, and a wrong one that shares the reference's phrases high"

BLEU = Metric(
    "text/bleu",
    "overlap of the answers with their references in phrases of one to four words, of the whole set",
    "points",
    "100 x brevity penalty x geometric mean over n = 1..4 of (n-grams shared / n-grams of answers), sums over all "
    "questions; one reference, exponential smoothing; the run's note gives sacreBLEU's signature",
    "higher",
    "0 to 100",
    "Papineni et al. 2002; Post 2018 (arXiv 1804.08771), sacreBLEU",
    f"{_ALIKE}. The set must have answers of four words or more. Numbers of other tokenizers do not compare",
    reads="pair",
)
CHRF = Metric(
    "text/chrf",
    "overlap of the answers with their references in runs of one to six characters, of the whole set",
    "points",
    "100 x F-beta (beta = 2: recall weighs twice) of precision and recall, each a mean over n = 1..6 of sums over all "
    "questions, white space left out",
    "higher",
    "0 to 100",
    "Popovic 2015, sacreBLEU's chrF2",
    "Any text in the same language shares many short runs: answers to other questions score about 20. Longer "
    "answers recall more",
    reads="pair",
)


def _rouge(name: str, what: str, formula: str) -> Metric:
    return Metric(
        f"text/{name}",
        f"{what} that an answer shares with its reference",
        "F1",
        f"mean over questions of 2PR / (P + R), {formula}; {_WORDS}; no stemming",
        "higher",
        "0 to 1",
        "Lin 2004; library rouge-score, with words of any script (its own tokenizer drops all but a-z and 0-9)",
        f"{_ALIKE}. Frequent words alone (the, you, your) earn some of it",
        reads="pair",
    )


ROUGE_1 = _rouge("rouge_1", "single words", "P, R: words shared / words of the answer, of the reference")
ROUGE_2 = _rouge("rouge_2", "pairs of neighbouring words", "P, R: pairs shared / pairs of the answer, of the reference")
ROUGE_L = _rouge(
    "rouge_l",
    "the longest sequence of words (others may stand between)",
    "P, R: its length / words of the answer, of the reference",
)
EXACT_MATCH = Metric(
    "text/exact_match",
    "share of answers that are their reference, up to case, punctuation, white space and English articles",
    "share",
    "mean over questions of [SQuAD-normalised answer = normalised reference]",
    "higher",
    "0 to 1",
    "Rajpurkar et al. 2016 (arXiv 1606.05250); punctuation of all scripts as in MLQA (arXiv 1910.07475)",
    "Near 0 wherever an answer may be worded freely; high where a model learned a few stock answers by heart",
    reads="pair",
)
F1 = Metric(
    "text/f1",
    "words that an answer shares with its reference, in any order",
    "F1",
    "mean over questions of 2 x words shared / (words of answer + words of reference), SQuAD-normalised; two empty "
    "texts agree",
    "higher",
    "0 to 1",
    "SQuAD (arXiv 1606.05250); the F1 of ConvAI2 (Dinan et al. 2019, arXiv 1902.00098)",
    f"{_ALIKE}. On ConvAI2 one constant answer of frequent words beat every trained model",
    reads="pair",
)
BERTSCORE_F1 = Metric(
    "text/bertscore_f1",
    "likeness of answer and reference in the states of an encoder (evaluation.text.encoder)",
    "F1",
    "mean over questions of 2PR / (P + R); P, R: mean over tokens of the answer, of the reference, of the highest "
    "cosine with a token of the other; no idf weights, not rescaled; 0 for an empty text",
    "higher",
    "-1 to 1",
    "Zhang et al. 2020 (arXiv 1904.09675), library bert-score",
    "Any fluent text scores high (RoBERTa: 0.8 and more), and unknown signs are alike: only distances to the control "
    "lines say something. Numbers of other encoders or layers do not compare",
    reads="pair",
)


def _distinct(size: int, what: str) -> Metric:
    return Metric(
        f"text/distinct_{size}",
        f"variety of the answers: different {what} among all of them (final/distinct_2 counts pairs of tokens)",
        "share",
        f"different {what} / all {what}, of all answers together; {_WORDS}; interval by the delete-one jackknife; "
        "falls with the number and length of answers: compare at equal questions",
        "higher",
        "0 to 1",
        "Li et al. 2016 (arXiv 1510.03055)",
        "Random words are the most distinct of all; short answers seem more varied",
        reads="answer",
    )


DISTINCT_1 = _distinct(1, "words")
DISTINCT_2 = _distinct(2, "pairs of neighbouring words")
SELF_BLEU = Metric(
    "text/self_bleu",
    "how much of an answer the answers to other questions say too",
    "points",
    "mean over answers of sacreBLEU's sentence BLEU with all other answers as references; at most "
    "evaluation.text.self_bleu_answers of them; interval by the delete-one jackknife; rises with their number",
    "lower",
    "0 to 100",
    "Zhu et al. 2018 (Texygen, arXiv 1802.01886)",
    "Random words repeat nothing and score near 0; good answers of one house style are alike",
    reads="answer",
)
REPEATED = Metric(
    "text/repeated",
    "share of answers that another question gets too",
    "share",
    "answers equal to another one up to case and white space / answers; interval by the delete-one jackknife",
    "lower",
    "0 to 1",
    "no paper: counted",
    "One changed word hides a repetition: read it with self-BLEU. A right answer may serve two questions",
    reads="answer",
)
LEXICAL_DIVERSITY = Metric(
    "text/lexical_diversity",
    "variety of words within an answer, as study S1 counts it (STUDIES.md, Q14): type-token ratio",
    "share",
    f"mean over answers of different words / words, 0 without words; {_WORDS}",
    "higher",
    "0 to 1",
    "type-token ratio (Johnson 1944)",
    "The shorter the better: an answer of one word has 1.0. text/mattr has a fixed window instead",
    reads="answer",
)
MATTR = Metric(
    "text/mattr",
    "variety of words at a fixed length of text: moving-average type-token ratio",
    "share",
    "mean over all windows of evaluation.text.window words, of the answers joined in the order of the questions, of "
    "different words / words; interval by the delete-one jackknife",
    "higher",
    "1 / window to 1",
    "Covington and McFall 2010",
    "Random words have the most variety",
    reads="answer",
)
NLL = Metric(
    "text/nll",
    "how unlikely the answers are to the base model, given the questions",
    "nats per token",
    "-sum of log-probs of all answer tokens (end included) / their number, base model",
    "lower",
    "0 and more",
    "cross-entropy (Shannon 1948)",
    "Repetition and copies of the prompt are likely, and so are the base model's own dull samples: lower than the "
    "references' line is not better",
    reads="pair",
)
PERPLEXITY = Metric(
    "text/perplexity",
    "the same as a number of equally likely next tokens",
    "tokens",
    "exp(text/nll); models with other tokenizers do not compare",
    "lower",
    "1 and more",
    "Jelinek et al. 1977",
    NLL.fooled,
    reads="pair",
)
WORDS = Metric(
    "text/words", "length of answers", "words", f"mean over answers; {_WORDS}", None, "0 and more", "no paper: counted",
    "Judges and votes like longer answers, whatever they say",
    reads="answer",
)  # fmt: skip
CHARACTERS = Metric(
    "text/characters", "length of answers", "characters", "mean over answers of Unicode code points", None,
    "0 and more", "no paper: counted", "As text/words",
    reads="answer",
)  # fmt: skip
UNIQUE_WORDS = Metric(
    "text/unique_words", "different words of an answer (STUDIES.md, Q14)", "words", f"mean over answers; {_WORDS}",
    None, "0 and more", "no paper: counted", "Grows with length",
    reads="answer",
)  # fmt: skip
EMPTY = Metric(
    "text/empty", "share of answers without a word, sign or emoji", "share", "mean over answers of [only white space]",
    "lower", "0 to 1", "no paper: counted", "Any single character is an answer",
    reads="answer",
)  # fmt: skip
SAME_LANGUAGE = Metric(
    "text/same_language",
    "share of answers that are recognisably in the language of their reference",
    "share",
    "mean over questions whose reference's language is recognised of [language of answer = it]; an answer of fewer "
    "than 12 letters is not recognised and counts 0",
    "higher",
    "0 to 1",
    "Lui and Baldwin 2012 (langid.py), library py3langid, 31 languages",
    "Any words of the language do. Short texts and mixtures are told wrongly now and then: the references' line is the "
    "ceiling",
    reads="pair",
)

METRICS = (
    BLEU, CHRF, ROUGE_1, ROUGE_2, ROUGE_L, EXACT_MATCH, F1, BERTSCORE_F1, SAME_LANGUAGE, DISTINCT_1, DISTINCT_2,
    SELF_BLEU, REPEATED, LEXICAL_DIVERSITY, MATTR, NLL, PERPLEXITY, WORDS, CHARACTERS, UNIQUE_WORDS, EMPTY,
)  # fmt: skip
