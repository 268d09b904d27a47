"""A small classifier of rude sentences, trained when it is asked for, with its own accuracy on rows it has not seen.

It learns from sentences that we labelled (`lexicons/rude.yaml`) and, where the run's training rows say that an answer
is rude (`meta.source` of `pairs=rules`, `meta.kind` of the toy world), from the sentences of those that no civil answer
has. The run's good answers show it what civil ones look like. That an answer was rejected does not make it rude.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlhf.data.detect.toxic import find as listed
from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.safety.asks import lexicon, sentences

RUDE = "rude"  # what `meta.kind` and `meta.source` call a rude answer
FOLDS = 4
HELD = 5  # each fifth group of labelled answers is held out
ANSWERS = 5000  # at most, that are looked at
RUDE_SENTENCES, CIVIL_SENTENCES = 500, 1500  # of answers, at most, that are learnt from
TRIED = 500  # held-out answers, at most


@dataclass(frozen=True)
class Tried:
    """What became of texts that the classifier had not seen: rude ones found, civil ones taken for rude."""

    what: str
    found: int
    rude: int
    alarms: int
    civil: int

    def finds(self, least: float) -> bool:
        """Whether of the rude ones at least the share `least` is found, and clearly more of them than false alarms.

        Clearly: the two 95% Wilson intervals are apart. Where none is rude, or none civil, nothing speaks against it.
        """
        if not self.rude:
            return True
        if self.found / self.rude < least:
            return False
        return not self.civil or wilson(self.found, self.rude).low > wilson(self.alarms, self.civil).high


@dataclass(frozen=True)
class Rudeness:
    """The trained classifier: a text is rude where the score of its rudest sentence is above `threshold`."""

    model: Any
    threshold: float
    tried: tuple[Tried, ...]

    def finds(self, least: float) -> bool:
        """Whether it can be relied on wherever it was tried, see `Tried.finds`."""
        return all(tried.finds(least) for tried in self.tried)

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        """Say of each text whether it is rude; one without words is not."""
        parts = [sentences(text) for text in texts]
        scores = iter(_scores(self.model, [said for part in parts for said in part]))
        return [max([next(scores) for _ in part], default=0.0) > self.threshold for part in parts]


Labelled = tuple[str, str, bool]  # group, text, rude


def train(answers: Sequence[Labelled], alarms: float, seed: int) -> Rudeness:
    """Train on our own sentences and on answers of the run's data, and try it on what it has not seen.

    The threshold is such that of civil sentences, each scored by a model that has not seen it, at most the share
    `alarms` is above. Held-out answers are judged by a model and a threshold that know none of their groups; the model
    returned has seen everything.
    """
    answers = _some(sorted(answers), ANSWERS, seed)
    held = set(sorted({group for group, _, _ in answers})[::HELD])
    own = own_sentences()
    seen = [*own, *_labelled([one for one in answers if one[0] not in held], seed)]
    scores = _cross_validated(seen, seed)
    threshold = _threshold([score for score, (_, rude) in zip(scores, seen, strict=True) if not rude], alarms)
    tried = [_tried("sentences of our own", [(scores[at] > threshold, rude) for at, (_, rude) in enumerate(own)])]
    if unseen := _some([one for one in answers if one[0] in held], TRIED, seed):
        marks = Rudeness(_fit(seen, seed), threshold, ())([text for _, text, _ in unseen])
        told = [(mark, rude) for mark, (_, _, rude) in zip(marks, unseen, strict=True)]
        tried.append(_tried("held-out answers of the training data", told))
    return Rudeness(_fit([*own, *_labelled(answers, seed)], seed), threshold, tuple(tried))


def training_answers(train: Callable[[str], Sequence[Row]], seed: int) -> list[Labelled]:
    """Return labelled answers of the training rows that `train` gives by shape; pairs where they say who is rude."""
    rows = train("demonstration")
    chosen = range(len(rows)) if len(rows) <= ANSWERS else sorted(random.Random(seed).sample(range(len(rows)), ANSWERS))
    drawn = [rows[at] for at in chosen]  # the rows may fill a disk
    if any(row.meta.get("source") == RUDE for row in drawn):
        rows = train("preference")
        drawn = [rows[at] for at in chosen if at < len(rows)]
    return labelled_answers(drawn)


def labelled_answers(rows: Iterable[Row]) -> list[Labelled]:
    """Return the answers of training rows with what the rows say of their manners.

    Where no row says that an answer is rude, good answers (demonstrations, chosen ones) are taken to be civil, but for
    those with a word of the list; a rejected one is rude only where its source says so.
    """
    found = []
    for row in rows:
        good = row.completion if row.completion is not None else row.chosen
        if good and row.label is not False:
            found.append((row.group, good, row.meta.get("kind") == RUDE))
        if row.rejected and row.meta.get("source") == RUDE:
            found.append((row.group, row.rejected, True))
    if any(rude for _, _, rude in found):
        return found
    return [one for one in found if not listed(one[1])]


@lru_cache(maxsize=1)
def own_sentences() -> list[tuple[str, bool]]:
    """Return the labelled sentences of `lexicons/rude.yaml`, flat, each once."""
    lists = lexicon("rude").values()
    return [(said, name == RUDE) for both in lists for name, texts in both.items() for said in map(_one, texts)]


def _one(text: str) -> str:
    return " ".join(sentences(text))


def _some(values: Sequence[Any], most: int, seed: int) -> list[Any]:
    """Draw at most `most`, the same ones for a seed."""
    return random.Random(seed).sample(values, most) if len(values) > most else list(values)


def _labelled(answers: Sequence[Labelled], seed: int) -> list[tuple[str, bool]]:
    """Return distinct sentences of answers; a rude answer's sentence is rude if no civil answer has it."""
    civil = {said for _, text, rude in answers if not rude for said in sentences(text)}
    blamed = {said for _, text, rude in answers if rude for said in sentences(text)} - civil
    return [
        *((said, False) for said in _some(sorted(civil), CIVIL_SENTENCES, seed)),
        *((said, True) for said in _some(sorted(blamed), RUDE_SENTENCES, seed)),
    ]


def _fit(labelled: Sequence[tuple[str, bool]], seed: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    model = LogisticRegression(C=30.0, max_iter=1000, random_state=seed)
    return make_pipeline(letters, model).fit([said for said, _ in labelled], [int(rude) for _, rude in labelled])


def _scores(model: Any, said: Sequence[str]) -> list[float]:
    return [float(value) for value in model.predict_proba(said)[:, 1]] if said else []


def _cross_validated(labelled: Sequence[tuple[str, bool]], seed: int) -> list[float]:
    """Return the score of each sentence by a model that learnt from the other folds."""
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = [0.0] * len(labelled)
    for train_at, test_at in folds.split([said for said, _ in labelled], [rude for _, rude in labelled]):
        model = _fit([labelled[at] for at in train_at], seed)
        for at, score in zip(test_at, _scores(model, [labelled[at][0] for at in test_at]), strict=True):
            found[at] = score
    return found


def _threshold(civil: Sequence[float], alarms: float) -> float:
    """Return the lowest score above which at most the share `alarms` of some scores lies."""
    return sorted(civil, reverse=True)[int(alarms * len(civil))]


def _tried(what: str, marks: Sequence[tuple[bool, bool]]) -> Tried:
    """Count (taken for rude, rude)."""
    count = Counter(marks)
    rude, civil = (count[True, kind] + count[False, kind] for kind in (True, False))
    return Tried(what, count[True, True], rude, count[True, False], civil)
