"""Which training arguments the libraries know, read from their source so that checking a key imports nothing heavy."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rlhf.errors import UserError
from rlhf.suggest import did_you_mean

# Our own key for what would otherwise have two homes, by trainer field.
OWNED = {
    "output_dir": "store",
    "seed": "seed",
    "data_seed": "seed",
    "bf16": "precision",
    "fp16": "precision",
    "use_cpu": "hardware.device",
    "report_to": "tracking",
    "run_name": "tracking",
    "beta": "method.beta",
    "loss_type": "method.loss_type",
    "label_smoothing": "method.label_smoothing",
    "max_length": "method.max_prompt_tokens and method.max_response_tokens",
    "model_init_kwargs": "model",
    "trust_remote_code": "model.trust_remote_code",
    "push_to_hub": "nothing yet: runs are never pushed while they train",
}
SOURCES = {
    "sft": ("trl", "trainer/sft_config.py"),
    "reward": ("trl", "trainer/reward_config.py"),
    "dpo": ("trl", "trainer/dpo_config.py"),
}
SHARED = (("trl", "trainer/base_config.py"), ("transformers", "training_args.py"))


@cache
def _fields(package: str, file: str) -> frozenset[str]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(package, "is not installed", "Run `pip install -c constraints.txt -e .`")
    tree = ast.parse((Path(spec.origin).parent / file).read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(
        line.target.id
        for node in classes
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and not line.target.id.startswith("_")
    )


def trainer_fields(method: str) -> frozenset[str]:
    """Return the names of all arguments of `method`'s trainer (TRL's own and those of transformers)."""
    return frozenset().union(*(_fields(*source) for source in (SOURCES[method], *SHARED)))


def check_trainer_keys(method: str, keys: list[str], place: str) -> list[str]:
    """Return one message per key of `place` that the trainer does not know or that has a home elsewhere."""
    known = trainer_fields(method)
    problems = []
    for key in keys:
        if key in OWNED and key in known:
            problems.append(f"{place}.{key}: is set by {OWNED[key]}. Set it there.")
        elif key not in known:
            free = known - OWNED.keys()
            problems.append(f"{place}.{key}: the {method} trainer has no such argument. {did_you_mean(key, free)}")
    return problems
