"""What counts as a word: Unicode words, and single signs where a language puts no spaces between words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from string import punctuation
from typing import Any

from rlhf.data.detect.language import UNKNOWN
from rlhf.data.rows import Row
from rlhf.evaluation_spec import Tokenizer

NO_SPACES: dict[str, Tokenizer] = {"zh": "zh", "ja": "char", "th": "char"}  # languages, and how BLEU cuts them
SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"


def reference_of(row: Row) -> str | None:
    """Return the answer that `row` holds up as good: its demonstration, or the preferred one of its pair."""
    if row.completion is not None and row.label is not False:
        return row.completion
    return row.chosen


def words(text: str) -> list[str]:
    """Return the words in lower case: runs of letters, digits and their marks; punctuation and emoji are no words.

    A sign of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a word of its own. On plain
    ASCII these are the words of rouge-score's own tokenizer, which drops every other letter.
    """
    return list(_patterns()[0].findall(text.lower()))


def normalised(text: str) -> list[str]:
    """Return the words by which SQuAD compares two answers (Rajpurkar et al. 2016, arXiv 1606.05250; ConvAI2 too).

    Lower case, punctuation deleted, English articles dropped, cut at white space. As in MLQA (Lewis et al. 2020,
    arXiv 1910.07475), punctuation is that of all scripts, and a sign of a script without spaces is a word.
    """
    _, deleted, article, sign = _patterns()
    text = article.sub(" ", deleted.sub("", text.lower()))
    return str(sign.sub(r" \g<0> ", text)).split()


def ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    """Count runs of `size` tokens."""
    return Counter(zip(*(tokens[start:] for start in range(size)), strict=False))


def tokenizer_for(languages: Iterable[str]) -> Tokenizer:
    """Return how sacreBLEU should cut texts in these languages (codes; "unknown" is passed over): as the most ask.

    `zh` cuts Chinese into signs and everything else as `13a` does; Japanese and Thai are cut into `char`s, since
    sacreBLEU's own tokenizers for them are other packages or downloads.
    """
    votes = Counter(NO_SPACES.get(code, "13a") for code in languages if code != UNKNOWN)
    return max(votes, key=lambda cut: (votes[cut], cut), default="13a")  # of as many, zh: it cuts English too


def same_language(answers: Sequence[str], references: Sequence[str]) -> list[float | None]:
    """Return for each pair of languages whether they are the same; None where the reference's is not recognised."""
    pairs = zip(answers, references, strict=True)
    return [None if reference == UNKNOWN else float(answer == reference) for answer, reference in pairs]


@cache
def _patterns() -> tuple[Any, Any, Any, Any]:
    """What a word is; what SQuAD deletes; its articles; a sign that is a word."""
    import regex

    sign = rf"[{SPACELESS}]\p{{M}}*"
    word = rf"{sign}|[[\p{{L}}\p{{M}}\p{{N}}]--[{SPACELESS}]]+"
    deleted = rf"[\p{{P}}{regex.escape(punctuation)}]"
    article = r"\b(?:a|an|the)\b"
    return regex.compile(word, regex.V1), regex.compile(deleted), regex.compile(article), regex.compile(sign)
