"""The task itself: whether an answer serves what was asked for, and keeps the fields that it must."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Scores, Suite, Table, Tools, mean_scores
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.task import fields
from rlhf.evaluation.task.reader import Reader
from rlhf.evaluation_spec import TaskSpec

KEYS = ("intent", "category")
_READER = (
    "A classifier (logistic regression on tf-idf of words, word pairs and 2 to 4 letters) learns from training answers "
    "which {key} they serve and reads the answer {what}; it never sees the question. "
)
_READ = {
    "": ("as it is", "repeat the question: it names the {key} without serving it; compare with the line of the echo"),
    "_own": (
        "without the words that its question has",
        "write words that are typical of answers to the {key}, in any order and with anything wrong beside them; a "
        "right answer that says little beyond the question is counted as wrong",
    ),
}
_OURS = "this project, rlhf/evaluation/task/fields.py"
_CIRCULAR = "STUDIES.md Q05, where it was circular: its classifier read the question"


def _of(key: str, own: str) -> tuple[Metric, Metric]:
    """Accuracy and macro-F1 of one key of the meta, of whole answers or of their own words."""
    what, fooled = _READ[own]
    reader = _READER.format(key=key, what=what)
    accuracy = Metric(
        f"task/{key}_accuracy{own}",
        f"share of answers that serve the {key} that was asked for, read {what}; the reference answers' line is the "
        "ceiling, and a note gives the floors",
        "share",
        reader + f"Mean of [{key} that is read = {key} of the question]",
        "higher",
        "0 to 1",
        _CIRCULAR,
        fooled.format(key=key),
        reads="pair",
    )
    f1 = Metric(
        f"task/{key}_macro_f1{own}",
        f"the same, each {key} that is asked for weighing alike, however rare",
        "F1",
        reader + f"Mean over each {key} asked for of 2 TP / (2 TP + FP + FN); its interval is of the questions drawn",
        "higher",
        "0 to 1",
        "scikit-learn's f1_score(average='macro') over the kinds asked for",
        fooled.format(key=key),
        reads="pair",
    )
    return accuracy, f1


PLACEHOLDERS_KEPT = Metric(
    "task/placeholders_kept",
    "share of the reference answer's placeholders, such as {{Order Number}}, that the answer has",
    "share",
    "mean over questions whose reference has any of |reference's names in the answer| / |reference's names|",
    "higher",
    "0 to 1",
    _OURS,
    "list placeholders without a sentence around them, or repeat a question that has them",
    reads="pair",
)
PLACEHOLDERS_KNOWN = Metric(
    "task/placeholders_known",
    "share of the answer's placeholders that the reference answer or the question has; the others are invented",
    "share",
    "mean over answers that have any of |names that reference or question has| / |names in the answer|",
    "higher",
    "0 to 1",
    _OURS,
    "write few: an answer without a placeholder isn't counted, which n shows; an echo invents none",
    reads="pair",
)
PLACEHOLDERS_BROKEN = Metric(
    "task/placeholders_broken",
    "placeholders whose braces are not whole: {{Order Number}, Order Number}}, {Order Number}, {{}}",
    "per answer",
    "mean over all answers of their number",
    "lower",
    "0 or more",
    _OURS,
    "write no placeholder at all",
    reads="answer",
)
ENTITIES_KEPT = Metric(
    "task/entities_kept",
    "share of the names in quotes, e-mail addresses, numbers and codes of the user's messages that the answer repeats",
    "share",
    "mean over questions that have any of |entities that the answer has unchanged| / |entities|",
    None,
    "0 to 1",
    _OURS,
    "repeat the question",
    reads="pair",
)
ENTITIES_CHANGED = Metric(
    "task/entities_changed",
    "share of those that come back changed among those that come back: another number of that shape, a similar name",
    "share",
    "mean over answers to which any comes back of |changed| / (|changed| + |unchanged|); changed: the answer lacks it "
    "and has one of its kind that looks like it and that neither question nor reference has",
    "lower",
    "0 to 1",
    _OURS,
    "repeat the question, or name nothing: then the answer isn't counted, which n shows",
    reads="pair",
)
METRICS = (
    *(metric for key in KEYS for own in _READ for metric in _of(key, own)),
    PLACEHOLDERS_KEPT,
    PLACEHOLDERS_KNOWN,
    PLACEHOLDERS_BROKEN,
    ENTITIES_KEPT,
    ENTITIES_CHANGED,
)


def build(spec: TaskSpec, tools: Tools) -> Suite:
    """Return the suite; its classifiers learn from the training answers when the first speaker is measured."""
    given = [(name, key) for name, key in zip(KEYS, (spec.intent, spec.category), strict=True) if key is not None]
    readers = [Reader(name, key, spec, tools) for name, key in given]

    def measure(questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        parts = [reader.findings(questions, texts) for reader in readers]
        parts += [_placeholders(questions, texts, tools), _entities(questions, texts, spec, tools)]
        scores: dict[str, Scores] = {}
        tables: dict[str, Table] = {}
        for part in parts:
            scores |= part.scores
            tables |= part.tables
        return Findings(scores, tables, tuple(note for part in parts for note in part.notes))

    return measure


def _placeholders(questions: Sequence[Row], texts: Sequence[str], tools: Tools) -> Findings:
    """What becomes of placeholders; nothing where neither questions nor reference answers have any."""
    asked = [_said(row, everybody=True) for row in questions]
    references = [row.completion or "" for row in questions]
    if not any(fields.placeholders(text) for text in (*asked, *references)):
        return Findings(
            {}, {}, ("Neither questions nor reference answers have placeholders such as {{Order Number}}.",)
        )
    kept = [fields.kept(text, reference) for text, reference in zip(texts, references, strict=True)]
    known = [fields.known(*given) for given in zip(texts, references, asked, strict=True)]
    broken = [float(fields.malformed(text)) for text in texts]
    metrics = ((PLACEHOLDERS_KEPT, kept), (PLACEHOLDERS_KNOWN, known), (PLACEHOLDERS_BROKEN, broken))
    return _means(metrics, tools)


def _entities(questions: Sequence[Row], texts: Sequence[str], spec: TaskSpec, tools: Tools) -> Findings:
    """What becomes of what the user names exactly; nothing where no question names anything so."""
    counts = [
        fields.returned(text, row.completion or "", _said(row, everybody=False), spec.digits, spec.similarity)
        for row, text in zip(questions, texts, strict=True)
    ]
    if not any(named for named, _, _ in counts):
        return Findings({}, {}, ("No question names anything in quotes, nor an e-mail address, number or code.",))
    kept = [same / named if named else None for named, same, _ in counts]
    changed = [other / (same + other) if same + other else None for _, same, other in counts]
    return _means(((ENTITIES_KEPT, kept), (ENTITIES_CHANGED, changed)), tools)


def _means(metrics: Sequence[tuple[Metric, Sequence[float | None]]], tools: Tools) -> Findings:
    """Means of the metrics that have a value; a note says which have none."""
    scores = {m.name: mean_scores(each, tools) for m, each in metrics if any(value is not None for value in each)}
    without = [metric.name for metric, _ in metrics if metric.name not in scores]
    return Findings(scores, {}, tuple(f"No {name}: it says nothing of any of these answers." for name in without))


def _said(row: Row, *, everybody: bool) -> str:
    """The texts of a row's prompt, of everybody or of the user alone, a line each."""
    return "\n".join(message["content"] for message in row.prompt if everybody or message["role"] == "user")
