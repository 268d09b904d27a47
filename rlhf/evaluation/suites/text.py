"""What texts tell alone and beside their references; also as modules of `evaluate`, in rlhf/evaluation/modules."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from rlhf.data.detect.language import UNKNOWN, language
from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Scores, Suite, Table, Tools, mean_scores
from rlhf.evaluation.text import diversity, metrics, overlap
from rlhf.evaluation.text.bertscore import Encoder, check_encoder
from rlhf.evaluation.text.resample import left_out_scores, summed_scores
from rlhf.evaluation.text.self_bleu import self_bleu
from rlhf.evaluation.text.words import reference_of, same_language, tokenizer_for, words
from rlhf.evaluation_spec import TextSpec, Tokenizer

METRICS = metrics.METRICS
QUANTILES = {"min": 0, "25%": 25, "median": 50, "75%": 75, "95%": 95, "max": 100}
Part = tuple[dict[str, Scores], dict[str, Table], list[str]]  # of findings


def build(spec: TextSpec, tools: Tools) -> Suite:
    """Return the suite. Raises `UserError` where BERTScore is asked for and cannot be had."""
    if spec.encoder is not None:
        check_encoder(spec.encoder, spec.revision)
    encoder = cache(lambda: _encoder(spec))  # loaded once, for the first speaker

    def measure(questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        if not texts:
            return Findings({}, notes=("There are no answers.",))
        references = [reference_of(row) for row in questions]
        languages = [language(reference)[0] if reference else UNKNOWN for reference in references]
        tokenize = tokenizer_for(languages) if spec.tokenize == "auto" else spec.tokenize
        parts = [
            _beside_references(spec, tools, texts, references, tokenize, encoder),
            _languages(tools, texts, languages),
            _variety(spec, tools, texts, tokenize),
            _lengths(tools, texts),
            _likelihood(tools, questions, texts),
        ]
        return Findings(
            {name: scores for part in parts for name, scores in part[0].items()},
            {title: table for part in parts for title, table in part[1].items()},
            tuple(note for part in parts for note in part[2]),
        )

    return measure


def _encoder(spec: TextSpec) -> Encoder:
    assert spec.encoder is not None, "asked before"
    return Encoder(spec.encoder, spec.revision, spec.layer, device=spec.device, batch_size=spec.batch_size)


def _beside_references(
    spec: TextSpec,
    tools: Tools,
    texts: Sequence[str],
    references: Sequence[str | None],
    tokenize: Tokenizer,
    encoder: Callable[[], Encoder],
) -> Part:
    """BLEU, chrF, ROUGE, exact match, F1 and BERTScore over the questions that have a reference."""
    pairs = [(text, reference) for text, reference in zip(texts, references, strict=True) if reference is not None]
    if not pairs:
        return (
            {},
            {},
            ["No question has a reference answer: BLEU, chrF, ROUGE, exact match, F1 and BERTScore are left out."],
        )
    answers, known = [text for text, _ in pairs], [reference for _, reference in pairs]
    counts = overlap.bleu_statistics(answers, known, tokenize)
    found = {
        metrics.BLEU.name: summed_scores(counts, overlap.bleu_formula, tools),
        metrics.CHRF.name: summed_scores(overlap.chrf_statistics(answers, known), overlap.chrf_formula, tools),
    }
    rouge = [overlap.rouge(*pair) for pair in pairs]
    each: dict[str, list[float]] = {
        metrics.ROUGE_1.name: [own["rouge1"] for own in rouge],
        metrics.ROUGE_2.name: [own["rouge2"] for own in rouge],
        metrics.ROUGE_L.name: [own["rougeL"] for own in rouge],
        metrics.EXACT_MATCH.name: [overlap.exact_match(*pair) for pair in pairs],
        metrics.F1.name: [overlap.word_f1(*pair) for pair in pairs],
    }
    notes = [f"BLEU is sacreBLEU's: {overlap.signature(tokenize)}."]
    if len(pairs) < len(texts):
        notes.append(f"{len(pairs)} of {len(texts)} questions have a reference answer; what needs one is over those.")
    if spec.encoder is None:
        notes.append("BERTScore is left out: evaluation.text.encoder names no encoder.")
    else:
        each[metrics.BERTSCORE_F1.name] = encoder().f1(answers, known)
    for name, values in each.items():
        found[name] = mean_scores(_at(references, values), tools)
    return found, {}, notes


def _at(references: Sequence[str | None], values: Sequence[float]) -> list[float | None]:
    """Put values, one per reference that there is, at their questions."""
    left = iter(values)
    return [None if reference is None else next(left) for reference in references]


def _languages(tools: Tools, texts: Sequence[str], languages: Sequence[str]) -> Part:
    """Whether answers are in their references' languages (`languages`), and which they are in."""
    own = [language(text)[0] for text in texts]
    asked, given = Counter(languages), Counter(own)
    rows = sorted(asked | given, key=lambda code: (-asked[code], -given[code], code))
    table = Table(("language", "answers", "references"), tuple((code, given[code], asked[code]) for code in rows))
    tables = {"Languages of answers and references": table}
    if set(languages) == {UNKNOWN}:
        name = metrics.SAME_LANGUAGE.name
        return {}, tables, [f"No reference answer's language is recognised: {name} is left out."]
    return {metrics.SAME_LANGUAGE.name: mean_scores(same_language(own, languages), tools)}, tables, []


def _variety(spec: TextSpec, tools: Tools, texts: Sequence[str], tokenize: Tokenizer) -> Part:
    answers = [words(text) for text in texts]
    found = {
        metrics.DISTINCT_1.name: diversity.distinct(answers, 1, tools),
        metrics.DISTINCT_2.name: diversity.distinct(answers, 2, tools),
        metrics.REPEATED.name: diversity.repeated(texts, tools),
        metrics.LEXICAL_DIVERSITY.name: mean_scores([diversity.type_token_ratio(own) for own in answers], tools),
        metrics.UNIQUE_WORDS.name: mean_scores([float(len(set(own))) for own in answers], tools),
        metrics.MATTR.name: diversity.moving_ratio_scores(answers, spec.window, tools),
        metrics.SELF_BLEU.name: _self_bleu(spec, tools, texts, tokenize),
    }
    why = {
        metrics.DISTINCT_1.name: "the answers have no words",
        metrics.DISTINCT_2.name: "no answer has two words",
        metrics.MATTR.name: f"the answers have fewer than {spec.window} words together",
        metrics.SELF_BLEU.name: "there is one answer",
    }
    notes = [f"{name} is left out: {why[name]}." for name, scores in found.items() if scores is None]
    return {name: scores for name, scores in found.items() if scores is not None}, {}, notes


def _self_bleu(spec: TextSpec, tools: Tools, texts: Sequence[str], tokenize: Tokenizer) -> Scores | None:
    """Of all answers, or of as many as the spec allows, the same questions' for every speaker."""
    drawn = range(len(texts))
    if len(texts) > spec.self_bleu_answers:
        drawn = sorted(random.Random(tools.seed).sample(drawn, spec.self_bleu_answers))  # type: ignore[assignment]
    if len(drawn) < 2:
        return None
    scores, without = self_bleu([texts[place] for place in drawn], tokenize)
    value = sum(scores) / len(scores)
    if without is None:
        return Scores(value, len(scores))
    return left_out_scores(value, without, len(scores), 100.0, tools)


def _lengths(tools: Tools, texts: Sequence[str]) -> Part:
    import numpy as np

    lengths = {metrics.WORDS: [len(words(text)) for text in texts], metrics.CHARACTERS: [len(text) for text in texts]}
    rows = tuple(
        (metric.unit, *(round(float(at), 2) for at in np.percentile(own, list(QUANTILES.values()))))
        for metric, own in lengths.items()
    )
    found = {metric.name: mean_scores([float(length) for length in own], tools) for metric, own in lengths.items()}
    found[metrics.EMPTY.name] = mean_scores([float(not text.strip()) for text in texts], tools)
    return found, {"Length of answers": Table(("unit", *QUANTILES), rows)}, []


def _likelihood(tools: Tools, questions: Sequence[Row], texts: Sequence[str]) -> Part:
    statistics = overlap.nll_statistics([list(own) for own in tools.logprobs(questions, texts)])
    tokens = int(statistics[:, 1].sum())
    if not tokens:
        return {}, {}, [f"The answers have no tokens: {metrics.NLL.name} and {metrics.PERPLEXITY.name} are left out."]
    formulas: Mapping[str, Callable] = {
        metrics.NLL.name: overlap.nll_formula,
        metrics.PERPLEXITY.name: overlap.perplexity_formula,
    }
    return {name: summed_scores(statistics, formula, tools, tokens) for name, formula in formulas.items()}, {}, []
