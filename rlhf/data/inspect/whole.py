"""All that is told of a data set, as plain values: for the terminal, the page, `--json` and the tracked run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rlhf.config import FileDataset, ToyDataset
from rlhf.data.files import read_hub, read_records
from rlhf.data.inspect.alike import look
from rlhf.data.inspect.closely import Tokens, look_closely
from rlhf.data.inspect.counted import count
from rlhf.data.inspect.findings import Finding, all_findings, as_values, labels_of
from rlhf.data.inspect.masked import all_masked
from rlhf.data.inspect.schema import schema
from rlhf.data.inspect.texts import drawn
from rlhf.data.rows import SHARED, Corpus, Shape
from rlhf.inspection_spec import InspectionSpec

Style = Callable[[Corpus], Mapping[str, Any] | None]  # what single words and the length tell of pairs, if there are any
WIDEST = 400  # characters of an example that are shown

__all__ = ["Tokens", "inspect"]


def inspect(
    dataset: ToyDataset | FileDataset,
    corpus: Corpus,
    shape: Shape,
    spec: InspectionSpec,
    tokens: Tokens | None,
    style: Style,
) -> tuple[dict[str, Any], list[Finding]]:
    """Look at a corpus and at the raw records that it was made of; returns plain values, and the findings in order.

    No value of personal data is in either.
    """
    places = drawn(corpus, spec.sample, spec.seed)
    total = len(corpus.train) + len(corpus.validation) + len(corpus.test)
    looked: dict[str, Any] = {
        "schema": schema(_records(dataset)) if isinstance(dataset, FileDataset) else None,
        "counted": count(corpus, spec),
        "closely": look_closely(corpus, places, spec, tokens),
        "near_duplicates": look(corpus, places, spec),
        "style": style(corpus),
    }
    found = [Finding(**all_masked(asdict(finding))) for finding in all_findings(corpus, looked, spec)]
    told = {
        "rows": total,
        "looked_at": len(places),
        "account": [{"step": one.step, "before": one.before, "after": one.after} for one in corpus.counts],
        "parts": {"train": len(corpus.train), "validation": len(corpus.validation), "test": len(corpus.test)},
        "shape": shape,
        "labels": labels_of(corpus),
        "overlap": [{**asdict(one), "same": SHARED[one.what]} for one in corpus.overlap],
        "similarity": spec.near_duplicates.similarity,
        "piece": spec.near_duplicates.characters,
        "cleaning": _cleaning(dataset, corpus, spec),
        **looked,
    }
    told["near_duplicates"]["examples"] = [
        [_short(text) for text in all_masked(cluster)] for cluster in told["near_duplicates"]["examples"]
    ]
    return {"name": corpus.name, "fingerprint": corpus.fingerprint, "findings": as_values(found)} | all_masked(
        told
    ), found


def _records(dataset: FileDataset) -> Any:
    if dataset.path is not None:
        return read_records(dataset.path, dataset.reading)
    return read_hub(str(dataset.hub_id), dataset.hub_config, dataset.revision)


def _cleaning(dataset: ToyDataset | FileDataset, corpus: Corpus, spec: InspectionSpec) -> dict[str, Any] | None:
    """Say how many texts each step changed, with some texts before and after."""
    if corpus.cleaned is None or not isinstance(dataset, FileDataset):
        return None
    steps = dataset.cleaning.steps
    table = [{"step": s, "changed": changed, "texts": texts} for s, changed, texts in corpus.cleaned.table(steps)]
    examples = [[_short(text) for text in pair] for pair in corpus.cleaned.examples(spec.examples)]
    return {"steps": table, "examples": examples}


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
