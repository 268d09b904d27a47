"""What the libraries know (training arguments, losses, keywords of architectures), read from their source.

Nothing heavy is imported for it, so that a misspelt key is refused at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlhf.errors import UserError
from rlhf.suggest import did_you_mean

# Our own key for what would otherwise have two homes, by trainer field.
SMOOTHED = {"aot", "aot_unpaired", "exo_pair", "robust"}  # the losses of TRL 1.16 that read label_smoothing
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
AT_LEAST = (
    dict.fromkeys(
        ["num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"]
        + ["logging_steps", "eval_steps", "save_steps"],
        "above 0",
    )
    | dict.fromkeys(["learning_rate", "warmup_steps", "weight_decay", "max_grad_norm"], "0 or more")
    | {"max_steps": "above 0, or -1 to train for epochs"}
)
SOURCES = {
    "sft": ("trl", "trainer/sft_config.py"),
    "reward": ("trl", "trainer/reward_config.py"),
    "dpo": ("trl", "trainer/dpo_config.py"),
}
TRANSFORMERS, TRL = ("transformers", "training_args.py"), ("trl", "trainer/base_config.py")
ENUMERATIONS = ("training_args.py", "trainer_utils.py")  # files of transformers whose classes list words
PPO_OWNED = OWNED | {  # what PPO's own loop decides
    "per_device_train_batch_size": "method.prompts_per_step",
    "gradient_accumulation_steps": "method.microbatch_tokens",
    "num_train_epochs": "method.trainer.max_steps and method.epochs",
}


PLAIN = {"int": int, "float": (int, float), "bool": bool, "str": str}  # annotations whose values are checked


@cache
def _classes(package: str, file: str) -> tuple[ast.ClassDef, ...]:
    """Return the class statements of a library's file; none where it has no such file."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(package, "is not installed", "Run `pip install -c constraints.txt -e .`")
    path = Path(spec.origin).parent / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    return tuple(node for node in tree.body if isinstance(node, ast.ClassDef))


@cache
def _fields(package: str, file: str) -> dict[str, str]:
    """Return field name -> annotation of all dataclasses in a file."""
    return {
        line.target.id: ast.unparse(line.annotation)
        for node in _classes(package, file)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and not line.target.id.startswith("_")
    }


def trainer_fields(method: str) -> dict[str, str]:
    """Return name -> annotation of all arguments of `method`'s trainer (TRL's own and those of transformers)."""
    sources = (TRANSFORMERS, TRL, SOURCES[method]) if method in SOURCES else (TRANSFORMERS,)
    return {name: kind for source in sources for name, kind in _fields(*source).items()}


def owned_fields(method: str) -> dict[str, str]:
    """Return the arguments that a key of ours sets, each with that key."""
    return OWNED if method in SOURCES else PPO_OWNED


def check_trainer(method: str, values: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield one message per key of `place` that the trainer does not know, with a home elsewhere or of a wrong type."""
    known = trainer_fields(method)
    owned = owned_fields(method)
    for key, value in values.items():
        if key in owned and key in known:
            yield f"{place}.{key}: is set by {owned[key]}. Set it there."
        elif key not in known:
            free = known.keys() - owned.keys()
            yield f"{place}.{key}: the {method} trainer has no such argument. {did_you_mean(key, free)}"
        elif not _fits(value, known[key]):
            yield f"{place}.{key}: should be {known[key]}, got {value!r}. Write another value: {place}.{key}=VALUE."
        elif key in AT_LEAST and isinstance(value, int | float) and not _reaches(value, AT_LEAST[key]):
            yield f"{place}.{key}: should be {AT_LEAST[key]}, got {value}. Write such a value: {place}.{key}=VALUE."
        elif isinstance(value, str) and (names := _choices(known[key])) and value not in names:
            yield f"{place}.{key}: transformers knows no {value!r}. {did_you_mean(value, names)}"


def _fits(value: Any, annotation: str) -> bool:
    """Whether `value` is of the annotated type; an annotation that holds more than plain types fits everything."""
    kinds = annotation.split(" | ")
    plain = tuple(PLAIN[kind] for kind in kinds if kind in PLAIN)
    if len(plain) < len([kind for kind in kinds if kind != "None"]):
        return True
    return (value is None and "None" in kinds) or _is(value, plain)


@cache
def _choices(annotation: str) -> frozenset[str]:
    """Return the words of the enumerations that an annotation names (`SchedulerType | str`); none where it has none."""
    kinds = annotation.split(" | ")
    return frozenset(
        line.value.value
        for file in ENUMERATIONS
        for node in _classes("transformers", file)
        if node.name in kinds
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    )


def _reaches(value: float, bound: str) -> bool:
    if bound == "0 or more":
        return value >= 0
    return value > 0 or (value == -1 and "or -1" in bound)


def _is(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether `value` is of one of the types; true and false are no numbers."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


@cache
def _loss_types() -> frozenset[str]:
    """Return the words that TRL's DPO loss compares `loss_type` with."""
    return frozenset(
        side.value
        for node in _classes("trl", "trainer/dpo_trainer.py")
        for test in ast.walk(node)
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "loss_type"
        for side in test.comparators
        if isinstance(side, ast.Constant) and isinstance(side.value, str)
    )


def check_losses(names: Sequence[str], smoothing: float) -> Iterator[str]:
    """Yield one message per loss that TRL's DPO trainer does not have, or whose label smoothing it would not read."""
    for name in names:
        if name not in _loss_types():
            yield f"method.loss_type: TRL has no loss {name!r}. {did_you_mean(name, _loss_types())}"
    if smoothing and not SMOOTHED & set(names):
        yield (
            f"method.label_smoothing: TRL reads it only in {', '.join(sorted(SMOOTHED))}, not in {', '.join(names)}. "
            "Use method.loss_type=[robust], or method.label_smoothing=0."
        )
    if "exo_pair" in names and not smoothing:
        yield "method.label_smoothing: exo_pair needs it above 0. Set method.label_smoothing=0.001."


def check_architecture(keywords: Mapping[str, Any]) -> Iterator[str]:
    """Yield one message per keyword that the config class of `model_type` does not declare.

    transformers takes unknown keywords in silence, and a model of another size would be trained than was asked for.
    """
    kind = str(keywords.get("model_type", "")).replace("-", "_")
    file = f"models/{kind}/configuration_{kind}.py"
    own = _fields("transformers", file) if kind else {}
    if not own:  # a config class from elsewhere (trust_remote_code), or no architecture at all
        return
    known = {"model_type", *own, *_fields("transformers", "configuration_utils.py"), *_aliases(file)}
    known |= {*_attributes(file), *_attributes("configuration_utils.py")}
    for key in keywords:
        if key not in known:
            yield f"model.architecture.{key}: the {kind} config has no such keyword. {did_you_mean(key, known)}"


def _attributes(file: str) -> set[str]:
    """Return the attributes that the config classes of a file set on themselves beside their declared fields."""
    return {
        node.attr
        for source in _classes("transformers", file)
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not node.attr.startswith("_")
    }


def _aliases(file: str) -> set[str]:
    """Return the keys of `attribute_map`: common names that a config class takes for its own."""
    return {
        key.value
        for node in _classes("transformers", file)
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        if line.targets[0].id == "attribute_map" and isinstance(line.value, ast.Dict)
        for key in line.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
