"""Specs of the evaluation: how answers are sampled and judged, and the settings of every suite that reads them.

A suite adds its spec's class here and one field of its own name to `EvaluationSpec`; its values lie in
`conf/suite/<name>.yaml`, which `conf/evaluation/default.yaml` composes at that field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, PositiveInt

from rlhf.spec import Spec


def _names(value: Any) -> Any:
    """One name is a list of it; a name that is given twice counts once."""
    names = [value] if isinstance(value, str) else value
    return list(dict.fromkeys(names)) if isinstance(names, list | tuple) else value


class EvaluationSpec(Spec):
    """How every policy is measured: the same prompts, sampling settings, judge and suites whatever trained it."""

    name: str
    prompts: PositiveInt
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    judge: Literal["gold", "reward", "none"]
    table_rows: PositiveInt
    bootstrap: PositiveInt
    baseline_pairs: PositiveInt  # training pairs, at most, that a reward model's bag-of-words baseline learns from
    seed: int
    suites: Annotated[list[str], BeforeValidator(_names)]  # names of the fields below


def suite_names() -> list[str]:
    """Return the names of all suites: the fields of `EvaluationSpec` that hold a suite's settings."""
    fields = EvaluationSpec.model_fields.items()
    return [name for name, field in fields if isinstance(field.annotation, type) and issubclass(field.annotation, Spec)]
