"""The inspection of samples of the public data sets, whose quirks their README counts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlhf.data import load_corpus
from rlhf.data.inspect.counted import count
from rlhf.data.inspect.findings import cheap_findings, labels_of
from rlhf.data.inspect.schema import schema
from rlhf.data.inspect.whole import inspect
from rlhf.inspection_spec import InspectionSpec


def lost(corpus: Any, *words: str) -> int:
    return sum(one.before - one.after for one in corpus.counts if any(word in one.step for word in words))


def records(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_the_34_equal_pairs_of_hh_rlhf_are_told(shared_data: Path, spec_of: Any, inspection: InspectionSpec) -> None:
    counts = {}
    for name in ("helpful_base", "harmless_base", "helpful_online", "helpful_rejection_sampled"):
        spec = spec_of("hh_rlhf", path=str(shared_data / "preference" / f"hh_rlhf_{name}.jsonl.gz"))
        found = cheap_findings(load_corpus(spec, "preference"), inspection.findings)
        told = [one for one in found if one.kind == "equal_pairs"]
        assert all(one.severity == "info" and "answers are equal" in one.told for one in told)
        counts[name] = sum(one.count for one in told)
    assert (counts["helpful_rejection_sampled"], sum(counts.values())) == (30, 34)


def test_ties_of_qa_feedback_are_told(shared_data: Path, spec_of: Any, inspection: InspectionSpec) -> None:
    spec = spec_of("qa_feedback", path=str(shared_data / "preference" / "qa_feedback_dev.jsonl.gz"))
    (ties,) = [
        one for one in cheap_findings(load_corpus(spec, "preference"), inspection.findings) if one.kind == "ties"
    ]
    assert (ties.count, ties.told) == (322, "322 of 2,520 rows (12.8%) left out: tie")


def test_labels_of_taskmaster_4_are_those_of_its_texts(shared_data: Path, spec_of: Any) -> None:
    """Steps that call an API are left out, and what is left is counted here again."""
    file = shared_data / "reward" / "taskmaster4_reward.jsonl.gz"
    corpus = load_corpus(spec_of("taskmaster_reward", path=str(file)), "demonstration")
    labels = labels_of(corpus)
    assert labels is not None
    texts = [one for one in records(file) if "api" not in json.loads(one["generation"])]
    judged = Counter(one["reward"] for one in texts)
    assert labels["bad"] == judged[0.0]
    assert labels["good"] == judged[1.0] - lost(corpus, "empty", "begin and end", "system message")


def test_bitext_has_its_27_intents_and_11_categories(
    shared_data: Path, spec_of: Any, inspection: InspectionSpec
) -> None:
    """The tables of the support study; the counts are those of the raw rows."""
    file = shared_data / "derived" / "bitext_27k_schema.jsonl.gz"
    corpus = load_corpus(spec_of("bitext", path=str(file)), "demonstration")
    raw = records(file)
    assert lost(corpus, "duplicates", "empty") == 0
    tables = {table["name"]: table for table in count(corpus, inspection)["tables"]}
    for column, distinct in (("intent", 27), ("category", 11)):
        truth = Counter(one[column] for one in raw)
        assert tables[column]["distinct"] == distinct == len(truth)
        assert {one["value"]: one["count"] for one in tables[column]["lines"]} == truth
        assert sum(one["share"] for one in tables[column]["lines"]) == pytest.approx(1)


def test_the_tourism_conversations_have_their_intents_counted(
    shared_data: Path, spec_of: Any, inspection: InspectionSpec
) -> None:
    file = shared_data / "derived" / "tourism_user_chatbot_pairs.jsonl.gz"
    corpus = load_corpus(spec_of("tourism_pairs", path=str(file)), "demonstration")
    (intents,) = [table for table in count(corpus, inspection)["tables"] if table["name"] == "intent"]
    assert intents["total"] == len(corpus.train) + len(corpus.validation) + len(corpus.test)
    most = Counter(one["intent"] for one in records(file)).most_common(1)[0][0]
    assert intents["lines"][0]["value"] == most


def test_columns_of_bitext_are_empty_where_it_names_no_entity(shared_data: Path) -> None:
    raw = records(shared_data / "support" / "bitext_customer_support_4514.jsonl.gz")
    told = schema((str(at), record) for at, record in enumerate(raw))
    columns = {one["column"]: one for one in told["columns"]}
    assert told["records"] == 4062 and len(columns) == 11
    assert columns["entity_type"]["empties"] == sum(not one["entity_type"] for one in raw) > 0
    assert columns["response"]["longest"] == max(len(one["response"]) for one in raw)


def test_revision_pairs_are_given_away_by_their_length(
    shared_data: Path, spec_of: Any, inspection: InspectionSpec
) -> None:
    """The README: length alone predicts the label in 99.6% of rows."""
    file = shared_data / "derived" / "bitext_revision_pairs.jsonl.gz"
    columns = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    spec = spec_of("table", path=str(file), columns=columns, limit=1000)
    few = inspection.model_copy(update={"sample": 50})
    told, findings = inspect(spec, load_corpus(spec, "preference"), "preference", few, None, lambda c: None)
    (longer,) = [one for one in findings if one.kind == "longer_chosen"]
    assert longer.severity == "warning" and longer.share > 0.98
    assert told["looked_at"] == 50 and told["rows"] == 1000


def test_chinese_dialogues_are_told_as_chinese_and_counted_by_signs(
    shared_data: Path, spec_of: Any, inspection: InspectionSpec
) -> None:
    spec = spec_of("crosswoz", path=str(shared_data / "tourism" / "crosswoz_zh.jsonl.gz"), limit=300)
    few = inspection.model_copy(update={"sample": 60})
    told, _ = inspect(spec, load_corpus(spec, "demonstration"), "demonstration", few, None, lambda c: None)
    assert told["closely"]["languages"][0]["value"] == "zh" and told["closely"]["languages"][0]["count"] >= 58
    lengths = {(one["part"], one["unit"]): one["mean"] for one in told["counted"]["lengths"]}
    assert lengths["answer", "words"] > 0.6 * lengths["answer", "characters"]
