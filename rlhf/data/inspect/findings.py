"""What is worth a word about a data set: how much of it, how bad that is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.data.rows import Corpus
from rlhf.errors import UserError
from rlhf.inspection_spec import FindingsSpec, InspectionSpec, Severity

BAD = ("error", "warning")  # what strict refuses
BROKEN, JUDGED_BAD = "broken rows", "the answer was judged bad"
NO_LOSS = (
    "read",
    "unfolded",
    "fraction",
    "limit",
    "train",
    "validation",
    "test",
    JUDGED_BAD,
)  # steps that lose nothing
KINDS = {  # why a row was dropped -> the finding that it counts for; any other reason counts for dropped_rows
    "duplicates": "duplicates",
    "tie": "ties",
    "answers are equal": "equal_pairs",
    "answers are equal after cleaning": "equal_pairs",
    "the prompt is empty": "empty_texts",
    "the answer is empty": "empty_texts",
    "an answer is empty": "empty_texts",
    "the persona is empty": "empty_texts",
    "empty after cleaning": "empty_texts",
}
STYLE = "style"  # the finding whose bound is the threshold of what measures it
LOST = {  # kind -> what to do about rows that reading left out
    "broken_rows": "Mend them in the file; dataset.max_bad_rows says how many may be skipped",
    "equal_pairs": "Nothing to do: a pair with equal answers teaches nothing and is left out",
    "ties": "Nothing to do: a pair needs a better and a worse answer, ties are left out",
    "empty_texts": "Nothing to do for a few: they are left out. Look at the source if there are many",
    "dropped_rows": "Nothing to do if that is meant: they are left out. docs/data.md says what each format takes",
    "duplicates": "Nothing to do: one of each is kept",
}


@dataclass(frozen=True)
class Finding:
    """One thing worth a word; `share` is the measure that its bounds are held against."""

    kind: str
    severity: Severity
    count: int
    share: float
    told: str
    remedy: str


def cheap_findings(corpus: Corpus, bounds: FindingsSpec) -> list[Finding]:
    """Return what the account of the rows and the comparison of the parts' keys tell, without another look at a row.

    These are broken, empty, equal, tied, dropped and duplicate rows, unbalanced labels, and held-out rows whose prompt
    or answer is trained on.
    """
    return in_order([*_losses(corpus, bounds), *_labels(corpus, bounds), *_overlaps(corpus, bounds)])


def refuse_findings(findings: list[Finding], name: str) -> None:
    """Raise `UserError` with the first warning or error and their number, if there is one (`dataset.strict`)."""
    bad = [finding for finding in findings if finding.severity in BAD]
    if bad:
        more = f" (and {len(bad) - 1} more: `rlhf data` shows all)" if len(bad) > 1 else ""
        remedy = f"{bad[0].remedy}. Or raise {_bound_of(bad[0].kind)}, or set dataset.strict=false"
        raise UserError(f"dataset={name}", f"strict: {bad[0].told}{more}", remedy)


def _bound_of(kind: str) -> str:
    return "inspection.style.threshold" if kind == STYLE else f"inspection.findings.{kind}"


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors first, then warnings; within them as they came."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def _made(kind: str, bounds: FindingsSpec, count: int, share: float, told: str, remedy: str) -> Iterator[Finding]:
    severity = getattr(bounds, kind).severity(share)
    if severity is not None:
        yield Finding(kind, severity, count, share, told, remedy)


def share_of(count: int, of: int) -> str:
    """A share as a reader says it: never 0% of something, nor 100% of less than all."""
    percent = 100 * count / of if of else 0.0
    if 0 < percent < 0.1 or 99.9 < percent < 100:
        return "under 0.1%" if percent < 50 else "over 99.9%"
    return f"{percent:.1f}%" if percent != round(percent) else f"{percent:.0f}%"


def _losses(corpus: Corpus, bounds: FindingsSpec) -> Iterator[Finding]:
    parts = next((c.after for c in corpus.counts if c.step == "unfolded"), corpus.counts[0].after)
    for count in corpus.counts:
        lost = count.before - count.after
        if count.step in NO_LOSS or lost <= 0:
            continue
        kind = _kind(count.step)
        what = "exact duplicates" if kind == "duplicates" else count.step
        told = f"{lost:,} of {parts:,} rows ({share_of(lost, parts)}) left out: {what}"
        yield from _made(kind, bounds, lost, lost / parts, told, LOST[kind])


def _kind(step: str) -> str:
    return "broken_rows" if step.startswith(BROKEN) else KINDS.get(step, "dropped_rows")


def labels_of(corpus: Corpus) -> dict[str, int] | None:
    """How many single answers were judged good and bad; None where the data has no such judgements."""
    bad = sum(count.before - count.after for count in corpus.counts if count.step == JUDGED_BAD)
    judged = any(part[0].label is not None for part in (corpus.train, corpus.validation, corpus.test) if len(part))
    if not bad and not judged:
        return None
    kept = next(count.before for count in corpus.counts if count.step == "duplicates")
    return {"good": kept, "bad": bad}


def _labels(corpus: Corpus, bounds: FindingsSpec) -> Iterator[Finding]:
    labels = labels_of(corpus)
    if labels:
        total, larger = sum(labels.values()), max(labels, key=lambda name: labels[name])
        share = share_of(labels[larger], total)
        told = f"{labels['good']:,} answers judged good and {labels['bad']:,} bad: {share} are {larger}"
        remedy = f"Read accuracies against {share}, which calling all {larger} reaches"
        yield from _made("label_imbalance", bounds, labels[larger], labels[larger] / total, told, remedy)


def _overlaps(corpus: Corpus, bounds: FindingsSpec) -> Iterator[Finding]:
    for what, kind, has, remedy in (
        (
            "prompt",
            "leaked_prompts",
            "a prompt that is trained on",
            "Measures on these rows are too good: take another dataset.split, or data with fewer",
        ),
        (
            "dialogues",
            "leaked_dialogues",
            "a dialogue that opens as one that is trained on",
            "Nothing to do where openings are greetings; else take another dataset.split",
        ),
        (
            "answers",
            "leaked_answers",
            "an answer that is trained on",
            "Compare policies by judged answers; a loss on answers seen in training says little",
        ),
    ):
        shared = [one for one in corpus.overlap if one.what == what and one.other == "train"]
        count, of = sum(one.rows for one in shared), sum(one.of for one in shared)
        if of:
            told = f"{count:,} of {of:,} held-out rows ({share_of(count, of)}) have {has}"
            yield from _made(kind, bounds, count, count / of, told, remedy)


def all_findings(corpus: Corpus, looked: Mapping[str, Any], spec: InspectionSpec) -> list[Finding]:
    """Return the cheap findings and those that looking at the rows gave (`looked`: see `inspect.whole.inspect`)."""
    bounds = spec.findings
    return in_order(
        [
            *cheap_findings(corpus, bounds),
            *_alike(looked["near_duplicates"], bounds, spec),
            *_tokens(looked["closely"], bounds),
            *_style(looked, bounds, spec),
            *_contents(looked["closely"], bounds),
        ]
    )


def _alike(near: Mapping[str, Any], bounds: FindingsSpec, spec: InspectionSpec) -> Iterator[Finding]:
    rows, of = near["rows"], near["rows_looked_at"]
    near_enough = f"{spec.near_duplicates.similarity:.0%}"
    told = f"{rows:,} of {of:,} rows ({share_of(rows, of)}) have a prompt that is {near_enough} alike in another group"
    remedy = "Read numbers of rows as smaller than they look; dataset.limit takes fewer"
    yield from _made("near_duplicates", bounds, rows, rows / max(1, of), told, remedy)
    leaked, held = sum(near["leaked"].values()), sum(near["held_out"].values())
    told = f"{leaked:,} of {held:,} held-out rows ({share_of(leaked, held)}) nearly repeat a prompt of an earlier part"
    remedy = "Held-out measures are too good by what such prompts add: name it beside them, or test on other data"
    yield from _made("leaked_near_duplicates", bounds, leaked, leaked / max(1, held), told, remedy)


def _tokens(closely: Mapping[str, Any], bounds: FindingsSpec) -> Iterator[Finding]:
    tokens = closely["tokens"]
    if tokens is None:
        return
    over = {one["limit"]: one for one in tokens["over"]}
    for limit, kind, what, key, remedy in (
        (
            "prompt",
            "long_prompts",
            "prompts are",
            "method.max_prompt_tokens",
            "Their beginning is cut off: raise it, or leave such rows out",
        ),
        (
            "response",
            "long_answers",
            "rows have an answer",
            "method.max_response_tokens",
            "Its end is cut off: raise it, or leave such rows out",
        ),
        (
            "context",
            "over_context",
            "rows are",
            "model.context_length",
            "Choose a model that reads more, or leave such rows out",
        ),
    ):
        rows, most = over[limit]["rows"], over[limit]["tokens"]
        share = share_of(rows, closely["rows"])
        told = f"{rows:,} of {closely['rows']:,} {what} longer than {key}={most} ({share})"
        yield from _made(kind, bounds, rows, rows / closely["rows"], told, remedy)


def _style(looked: Mapping[str, Any], bounds: FindingsSpec, spec: InspectionSpec) -> Iterator[Finding]:
    longer, style = looked["counted"]["longer"], looked["style"]
    if longer:
        total = sum(longer.values())
        side = "longer" if longer["chosen"] >= longer["rejected"] else "shorter"
        count = max(longer["chosen"], longer["rejected"])
        told = f"the chosen answer is the {side} one in {count:,} of {total:,} pairs ({share_of(count, total)})"
        remedy = f"Read accuracies against {share_of(count, total)}, which always taking the {side} one reaches"
        yield from _made("longer_chosen", bounds, count, count / total, told, remedy)
    if style and (worst := max(style["bag_of_words"]["mean"], style["length_rule"]["mean"])) > spec.style.threshold:
        told = (
            f"style alone tells chosen from rejected in {worst:.1%} of {style['pairs']:,} pairs, without the prompt "
            f"(single words {style['bag_of_words']['mean']:.1%}, length {style['length_rule']['mean']:.1%})"
        )
        remedy = "A reward model may learn that instead: make pairs that differ in content (`rlhf pairs`)"
        yield Finding(STYLE, "warning", round(worst * style["pairs"]), worst, told, remedy)


def _contents(closely: Mapping[str, Any], bounds: FindingsSpec) -> Iterator[Finding]:
    rows = closely["rows"]
    known = [one for one in closely["languages"] if one["value"] != "unknown"]
    total = sum(one["count"] for one in known)
    if total:
        others = total - known[0]["count"]
        share, main = share_of(others, total), known[0]["value"]
        told = f"{others:,} of {total:,} prompts ({share}) seem to be in other languages than {main}"
        remedy = "Check that the model's tokenizer and judge know them; short texts are told wrongly now and then"
        yield from _made("other_languages", bounds, others, others / total, told, remedy)
    held = closely["personal"]["rows"]
    kinds = ", ".join(
        one["kind"] for one in closely["personal"]["kinds"] if one["kind"] not in ("placeholder", "invented")
    )
    told = f"{held:,} of {rows:,} rows ({share_of(held, rows)}) hold personal data: {kinds}"
    remedy = "A model repeats what it was taught: take it out of the file, or leave those rows out"
    yield from _made("personal_data", bounds, held, held / rows, told, remedy)
    for one in closely["toxic"]:
        if one["part"] in ("answer", "chosen"):
            what = "answers" if one["part"] == "answer" else "chosen answers"
            share = share_of(one["rows"], one["texts"])
            told = f"{one['rows']:,} of {one['texts']:,} {what} ({share}) hold rude words"
            remedy = "Read some of them: a list of words knows no context"
            yield from _made("toxic_words", bounds, one["rows"], one["rows"] / one["texts"], told, remedy)


def as_values(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return findings as plain values."""
    return [asdict(finding) for finding in findings]
