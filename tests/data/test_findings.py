"""What a finding is called by, and that every key its remedy names is there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rlhf import data
from rlhf.compose import composed, parse_words, plain
from rlhf.data import feedback
from rlhf.data.inspect import findings
from rlhf.data.inspect.findings import Finding, _kind, refuse_findings
from rlhf.errors import UserError
from rlhf.inspection_spec import FindingsSpec

MEANT = {
    "a system message in the middle": "dropped_rows",
    "an answer holds further turns": "dropped_rows",
    "an answer is empty": "empty_texts",
    "answers are equal": "equal_pairs",
    "answers are equal after cleaning": "equal_pairs",
    "empty after cleaning": "empty_texts",
    "fewer than two answers": "dropped_rows",
    "neither answer was selected": "dropped_rows",
    "nobody answers": "dropped_rows",
    "prompts differ": "dropped_rows",
    "text before the first turn": "dropped_rows",
    "the answer is empty": "empty_texts",
    "the answer was judged bad": "dropped_rows",  # never asked: it loses nothing
    "the persona is empty": "empty_texts",
    "the prompt does not begin and end with the user": "dropped_rows",
    "the prompt is empty": "empty_texts",
    "the record holds no rows": "dropped_rows",
    "the same dialogue from the side that opens it": "dropped_rows",
    "the step calls an API": "dropped_rows",
    "tie": "ties",
}


def reasons() -> Iterator[str]:
    """Yield every text that our formats give to `Drop` or count a drop by."""
    root = Path(str(data.__file__)).parent
    for file in sorted(root.rglob("*.py")):
        module = import_module(".".join(["rlhf.data", *file.relative_to(root).with_suffix("").parts]))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Drop":
                said: ast.AST = node.args[0]
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "dropped":
                said = node.slice
            else:
                continue
            if isinstance(said, ast.Constant):
                yield str(said.value)
            elif ast.unparse(said) == "choice":
                yield from (choice for choice in feedback.CHOICES.values() if isinstance(choice, str))
            elif isinstance(said, ast.Name):
                yield str(getattr(module, said.id))
            else:
                assert ast.unparse(said) in ("str(reason)", "str(drop)"), f"{file}: {ast.unparse(said)}"


def test_every_reason_of_a_drop_is_the_finding_that_is_meant() -> None:
    assert set(reasons()) == set(MEANT)
    assert {reason: _kind(reason) for reason in MEANT} == MEANT
    assert _kind("broken rows, first a.jsonl:3, column 'x': the same tie is empty") == "broken_rows"
    assert _kind("duplicates") == "duplicates"
    assert set(findings.KINDS.values()) < set(findings.LOST)


def holds(values: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def test_every_key_that_a_finding_names_is_there() -> None:
    ((_, config),) = composed(parse_words(["dataset=table", "dataset.path=rows.jsonl"]))
    values = plain(config)
    named = set(re.findall(r"\b(?:dataset|method|model|inspection)\.[a-z_.]*[a-z]", inspect.getsource(findings)))
    named -= {"inspection.findings"}  # the bounds' own keys follow
    assert {"dataset.max_bad_rows", "method.max_prompt_tokens", "inspection.style.threshold"} <= named
    for kind in ("style", *FindingsSpec.model_fields):
        with pytest.raises(UserError) as caught:
            refuse_findings([Finding(kind, "warning", 1, 0.5, "told", "remedy")], "table")
        named |= set(re.findall(r"inspection\.[a-z_.]*[a-z]", caught.value.remedy))
    assert "inspection.findings.style" not in named and "inspection.findings.ties" in named
    assert [key for key in sorted(named) if not holds(values, key)] == []
