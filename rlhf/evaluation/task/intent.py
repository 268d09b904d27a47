"""Which intent an answer serves, read out of the answer alone by a classifier that learns from the training answers.

One study's intent accuracy was circular: its classifier read the question. Here it reads answers, and because an answer
that repeats its question names the intent without serving it, it also reads them with the question's words taken out.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LETTERS = "\u3040-\u30ff\u3400-\u9fff"  # Japanese and Chinese are written without spaces: each sign counts as a word
WORD = re.compile(rf"[{_LETTERS}]|[^\W{_LETTERS}]+")
NOTHING = "(nothing)"  # what an answer serves that has no piece of a word known from the training answers
OTHERS = "(others)"
REGULARISATION = 1e-5  # L2; the answers of one intent are much alike, so little is needed


def own_words(row: Row, text: str) -> str:
    """`text` without every word that a message of the row's prompt has, whatever its case: "" of an echo."""
    known = {word.casefold() for message in row.prompt for word in WORD.findall(message["content"])}
    left = WORD.sub(lambda found: " " if found[0].casefold() in known else found[0], text)
    return left if WORD.search(left) else ""


@dataclass(frozen=True)
class Classifier:
    """A linear classifier of answers into the kinds that it was trained on."""

    features: Any  # scikit-learn's: text -> sparse matrix
    model: Any

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return a kind per text; `NOTHING` where the text has no feature that the training texts have."""
        found = self.features.transform(texts)
        said = self.model.predict(found)
        return [str(kind) if size else NOTHING for kind, size in zip(said, found.getnnz(axis=1), strict=True)]


def classifier(texts: Sequence[str], kinds: Sequence[str], seed: int) -> Classifier | None:
    """Train on answers and their kinds: one logistic regression per kind on tf-idf of words and of pieces of words.

    Features are words, pairs of words, and 2 to 4 letters in a row, of at least two texts. The same arguments give the
    same classifier. None where the texts have no such feature, or fewer than two kinds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_union

    words = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"(?u)\w+")
    pieces = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(2, 4), analyzer="char_wb")
    features = make_union(words, pieces)
    seen = Counter(word for text in texts for word in {word.lower() for word in re.findall(r"\w+", text)})
    if len(set(kinds)) < 2 or max(seen.values(), default=0) < 2:
        return None
    found = features.fit_transform(texts)
    model = SGDClassifier(loss="log_loss", alpha=REGULARISATION, tol=1e-2, n_iter_no_change=2, random_state=seed)
    return Classifier(features, model.fit(found, list(kinds)))


def drawn(rows: Sequence[Row], key: str, count: int, seed: int) -> list[Row]:
    """Up to `count` random rows of `rows`, without those that have no answer or no `key` in their meta."""
    places = random.Random(seed).sample(range(len(rows)), min(count, len(rows)))  # places: the rows may fill a disk
    return [row for row in (rows[place] for place in sorted(places)) if row.completion and kind_of(row, key)]


def kind_of(row: Row, key: str) -> str:
    """What the row's meta says under `key`; "" where it says nothing."""
    value = row.meta.get(key)
    return "" if value is None else str(value)


def shared(rows: Sequence[Row], key: str) -> float:
    """Share of rows whose answer, word for word, is also the answer of a row of another kind."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        kinds[row.completion or ""].add(kind_of(row, key))
    return sum(len(kinds[row.completion or ""]) > 1 for row in rows) / len(rows)


def chance(trained: Sequence[str], asked: Sequence[str]) -> float:
    """Accuracy that is expected of training answers handed out at random."""
    shares = Counter(trained)
    return sum(shares[kind] for kind in asked) / (len(trained) * len(asked))


def majority(trained: Sequence[str], asked: Sequence[str]) -> float:
    """Accuracy of always giving the kind that is most frequent in training (of equals the first by name)."""
    most = min(Counter(trained).items(), key=lambda entry: (-entry[1], entry[0]))[0]
    return asked.count(most) / len(asked)


class MacroF1:
    """Mean over the kinds that are asked for of F1 = 2 TP / (2 TP + FP + FN); call it with places of questions."""

    def __init__(self, asked: Sequence[str], said: Sequence[str]) -> None:
        import numpy as np

        numbers = {kind: number for number, kind in enumerate(sorted({*asked, *said}))}
        self._asked = np.array([numbers[kind] for kind in asked])
        self._said = np.array([numbers[kind] for kind in said])
        self._kinds = len(numbers)

    def __call__(self, places: NDArray) -> float:
        """Return the mean F1 over those questions, some of them perhaps repeated."""
        import numpy as np

        asked, said = self._asked[places], self._said[places]
        right = np.bincount(asked[asked == said], minlength=self._kinds)
        both = np.bincount(asked, minlength=self._kinds) + np.bincount(said, minlength=self._kinds)
        there = np.bincount(asked, minlength=self._kinds) > 0
        return float((2 * right[there] / both[there]).mean())


def confusion(asked: Sequence[str], said: Sequence[str], most: int) -> Table:
    """Counts of answers by the kind that was asked for (lines) and the kind that they serve (columns).

    The `most` frequent kinds asked for stand alone, by falling frequency and then by name; the rest is one of others.
    """
    counts = Counter(asked)
    ordered = sorted(counts, key=lambda kind: (-counts[kind], kind))[:most]
    rest = any(kind not in (*ordered, NOTHING) for kind in (*asked, *said))
    cells: Mapping[tuple[str, str], int] = Counter(
        (_named(true, ordered), _named(answered, ordered)) for true, answered in zip(asked, said, strict=True)
    )
    lines = [*ordered, OTHERS] if any(kind not in ordered for kind in asked) else ordered
    columns = [*ordered, *([OTHERS] if rest else []), *([NOTHING] if NOTHING in said else [])]
    rows = tuple((line, *(cells[line, column] for column in columns)) for line in lines)
    return Table(("asked for", *columns), rows)


def _named(kind: str, ordered: Sequence[str]) -> str:
    return kind if kind in ordered or kind == NOTHING else OTHERS
