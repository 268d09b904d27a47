"""Examples of cleaning hold no personal data: not in what `rlhf data` tells, nor in what training prints and tracks."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from rlhf.data import load_corpus
from rlhf.data.inspect.whole import inspect
from rlhf.inspection_spec import InspectionSpec
from rlhf.pipeline import Job


def test_a_text_with_personal_data_is_no_example_by_either_door(
    spec_of: Any, jsonl: Any, inspection: InspectionSpec
) -> None:
    """Without its colon "password hunter2" is told by nothing, so masking what is left would be too late."""
    secret = {"instruction": "My password: hunter2!", "response": "Write to maria.lopez@gmail.com, please!"}
    plain = {"instruction": "How do I pay {{Order Number}}?", "response": "Like this: with a card!"}
    more = {"category": "ORDER", "flags": "B", "intent": "pay"}
    records = [
        one | more | {"instruction": f"{one['instruction']} {word}.", "response": f"{one['response']} {word}."}
        for word in "ant bee cat dog eel fox gnu hen ibis jay kid lark mole newt owl pig".split()  # noqa: SIM905
        for one in (secret, plain)
    ]
    cleaning = {"name": "s4", "steps": ["punctuation"], "examples": 20}
    split = {"validation": 0.3, "test": 0.3, "seed": 0, "folds": None, "fold": 0}
    spec = spec_of("bitext", path=jsonl(records), split=split, cleaning=cleaning)
    corpus = load_corpus(spec, "demonstration")
    assert corpus.cleaned is not None

    inspection = inspection.model_copy(update={"examples": 20})
    told, _ = inspect(spec, corpus, "demonstration", inspection, None, lambda own: None)
    console, tables = Console(record=True, file=io.StringIO(), width=200), list[Any]()
    tracked = SimpleNamespace(table=lambda *given: tables.append(given))
    door: Any = SimpleNamespace(run=SimpleNamespace(dataset=spec), console=console, tracked=tracked)
    Job._tell_cleaning(door, corpus.cleaned)

    for said in (json.dumps(told), console.export_text(), str(tables)):
        assert "How do I pay" in said
        assert "hunter2" not in said and "maria" not in said and "lopez" not in said
