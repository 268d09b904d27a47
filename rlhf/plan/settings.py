"""A stage's training arguments as the planner reads them: what was set, else the library's own default."""

from __future__ import annotations

from typing import Any

from transformers import TrainingArguments

from rlhf.config import MethodSpec


def trainer_argument(method: MethodSpec, name: str) -> Any:
    """Return `method.trainer.<name>`, or what transformers takes where it is not set."""
    return method.trainer.get(name, TrainingArguments.__dataclass_fields__[name].default)
