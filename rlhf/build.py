"""The door of the framework: a composed mapping becomes a frozen `Run`, or a `UserError` names every wrong key.

Nothing heavy is imported here, so that a refusal costs well under a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from rlhf.config import DPO, PPO, FileDataset, MethodSpec, Run, Spec
from rlhf.errors import UserError
from rlhf.evaluation_clashes import evaluation_clashes
from rlhf.ppo_clashes import ppo_clashes
from rlhf.ppo_spec import RewardSourceSpec
from rlhf.spec import STARTS
from rlhf.suggest import did_you_mean
from rlhf.trainer_fields import check_architecture, check_losses, check_trainer

Built = TypeVar("Built", bound=Spec)
TAGS = {"method": "name", "adapter": "name", "quantization": "name", "dataset": "format", "pairs": "name"}
REWARD_KINDS = ", ".join(
    get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(RewardSourceSpec)[0])
)
SOURCES = (["method", "rewards"], ["pairs", "judges"])  # of each member, `kind` tells which spec it has


def build(values: Mapping[str, Any], *, to_train: bool = True) -> Run:
    """Return the `Run` that `values` (the composed configuration, interpolations resolved) describes.

    A run that is not `to_train` is finished and only measured. Raises `UserError` with every unknown key, wrong type,
    value out of bounds and clash between settings, each with its full dotted path and what to write instead.
    """
    run = validated(Run, values)
    problems = list(_clashes(run) if to_train else evaluation_clashes(run))
    if problems:
        raise _refusal(problems)
    return run


def validated(root: type[Built], values: Mapping[str, Any]) -> Built:
    """Return the spec `root` that `values` describe; raises `UserError` with all that pydantic finds, clashes apart."""
    try:
        return root.model_validate(values)
    except ValidationError as error:
        raise _refusal([_explain(item, values, root) for item in _without_echoes(error.errors())]) from None


def _without_echoes(findings: Sequence[Any]) -> list[Any]:
    """Leave out a key whose wrong value the YAML takes from a key of the same name higher up: that one is told."""
    wrong = [repr((item["loc"][-1], item["msg"], item["input"])) for item in findings]
    depths = [_dotted(item["loc"]).count(".") for item in findings]
    highest: dict[str, int] = {}
    for what, depth in zip(wrong, depths, strict=True):
        highest[what] = min(depth, highest.get(what, depth))
    return [item for item, what, depth in zip(findings, wrong, depths, strict=True) if depth == highest[what]]


def _refusal(lines: list[str]) -> UserError:
    place, _, rest = lines[0].partition(": ")
    more = f" (and {len(lines) - 1} more: {' '.join(lines[1:])})" if len(lines) > 1 else ""
    problem, _, remedy = rest.partition(". ")
    return UserError(place, problem, (remedy or "See `rlhf --cfg job` for the composed value") + more)


def _explain(item: Any, values: Mapping[str, Any], root: type[BaseModel] = Run) -> str:
    """Say one pydantic finding as `path: problem. remedy`."""
    path = _dotted(item["loc"])
    if item["type"] == "extra_forbidden":
        *parents, word = path.split(".")
        if path == "pairs":
            return "pairs: the group makes pairs and trains nothing. Write `rlhf pairs pairs=NAME dataset=NAME`."
        return f"{path}: unknown key. {did_you_mean(word, _known_keys(parents, values, root))}"
    if item["type"] == "missing":
        *above, word = path.split(".")
        if above[:2] in SOURCES:  # a key of a mapping that was given as a whole
            return f"{path}: has no value. Write {word}: VALUE between the braces of {'.'.join(above)}."
        if _known_keys(path.split("."), values, root) != _known_keys(above, values, root):  # a group of keys
            return f"{path}: is missing, with all of its keys. Give it, or leave ~{path} out."
        return f"{path}: has no value. Give it one: {path}=VALUE."
    if item["type"].startswith("union_tag"):
        group, *rest = path.split(".")
        tag, known = item["ctx"].get("tag"), str(item["ctx"].get("expected_tags", "")).replace("'", "").split(", ")
        near = did_you_mean(str(tag), known) if tag else ""
        if rest and tag is None:
            return f"{path}.kind: has no value. Write kind: KIND between the braces of {path}, one of {REWARD_KINDS}."
        if rest:
            kinds = ", ".join(known)
            return f"{path}.kind: there is no {tag!r}. Write one of {kinds}: {path}.kind=KIND. {near}".strip()
        return f"{path}.{TAGS.get(group, 'name')}: there is no {tag!r}. Choose with {group}=NAME. {near}".strip()
    got = "null" if item["input"] is None else repr(item["input"])
    if item["type"] == "model_type":
        keys = ", ".join(_known_keys(path.split("."), values, root))
        return f"{path}: is a group of keys, got {got}. Set {path}.KEY=VALUE, with KEY one of {keys}."
    if item["type"] == "dict_type" and path.split(".") in SOURCES:
        shape = f"'{path}={{NAME: {{kind: KIND, weight: 1.0}}}}'"
        return f"{path}: holds reward sources by name, got {got}. Write {shape}, with KIND one of {REWARD_KINDS}."
    near = did_you_mean(str(item["input"]), _literals(item))
    near = near if near.startswith("Did") else ""  # pydantic's message lists them all
    problem = item["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if item["type"] == "value_error" and ". " in problem:  # it says what to write instead
        return f"{path}: {problem}."
    if not problem.startswith(f"{item['input']} "):  # it names the value itself
        problem += f", got {got}"
    if item["type"] == "list_type" and isinstance(item["input"], str | int | float):
        return f"{path}: {problem}. Write a list: '{path}=[{item['input']}]'."
    place = path.removesuffix(".[key]")
    key = path.partition("[")[0] if place == path else path.rsplit(".", 2)[0]  # items and keys are set as a whole
    return f"{place}: {problem}. {near or f'Write another value: {key}=VALUE.'}"


def _literals(item: Any) -> list[str]:
    """Return the words that a finding would have accepted, none where it was not about words."""
    return re.findall(r"'([^']+)'", item["ctx"]["expected"]) if item["type"] == "literal_error" else []


def refuse_wrong_names(values: Any) -> None:
    """Raise `UserError` where the name of a method, adapter, quantization or data format is none: `values` unresolved.

    Other settings are looked up by these names, so a wrong one is told before the look-ups that fail because of it.
    """
    try:
        Run.model_validate(values)
    except ValidationError as error:
        wrong = [_explain(item, values) for item in error.errors() if item["type"].startswith("union_tag")]
        if wrong:
            raise _refusal(wrong) from None


def _dotted(location: tuple[int | str, ...]) -> str:
    """Join a pydantic location, leaving out the union tags that follow `method`, `adapter`, ... ."""
    parts: list[str] = []
    skip = False
    for index, part in enumerate(location):
        if skip:
            skip = False
            continue
        if isinstance(part, int):
            parts[-1] += f"[{part}]"
            continue
        parts.append(str(part))
        skip = (index == 0 and part in TAGS and len(location) > 2) or (parts[:2] in SOURCES and len(parts) == 3)
    return ".".join(parts)


def _known_keys(parents: list[str], values: Mapping[str, Any], root: type[BaseModel]) -> list[str]:
    """Return the field names of the spec at `parents`; for a union, those of the member that `values` chooses."""
    spec = root
    node: Any = values
    if parents[:2] in SOURCES and len(parents) == 3:
        kind = values[parents[0]][parents[1]][parents[2]].get("kind")
        return list(_member(list(get_args(get_args(RewardSourceSpec)[0])), "kind", kind).model_fields)
    for name in parents:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
        field = spec.model_fields.get(name)
        if field is None:
            break
        members = [t for t in (get_args(field.annotation) or (field.annotation,)) if _is_spec(t)]
        key = TAGS.get(name, "name")
        tag = node.get(key) if isinstance(node, Mapping) else None
        spec = _member(members, key, tag) if len(members) > 1 else (members or [spec])[0]
    return list(spec.model_fields)


def _member(members: list[type[BaseModel]], key: str, tag: Any) -> type[BaseModel]:
    """Return the member of a union whose `key` may be `tag`; the first one when the tag itself is wrong."""
    return next((member for member in members if tag in get_args(member.model_fields[key].annotation)), members[0])


def _is_spec(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Spec)


def _clashes(run: Run) -> Iterator[str]:
    """Yield one line per pair of settings that cannot go together: `key: what clashes. what to write instead`."""
    model, method = run.model, run.method
    if model.family == "encoder" and method.trains_policy:
        yield (
            f"model: {model.name} is an encoder and cannot be a policy ({method.name}). "
            "Use a causal or seq2seq model, or method=reward."
        )
    if model.family == "encoder" and method.starts_from == "sft":
        yield (
            f"method.starts_from: {model.name} is an encoder, there is no SFT policy to start from. "
            "Use method.starts_from=base."
        )
    if run.quantization.name != "none" and run.adapter.name == "none":
        yield (
            f"quantization: {run.quantization.name} weights cannot be trained without an adapter. "
            "Add adapter=lora, or use quantization=none."
        )
    if run.precision == "fp16" and (why := _against_fp16(run)):
        yield f"precision: fp16 {why}. Use precision=bf16 or precision=fp32."
    for place, stage in needed_stages(run):
        if stage.starts_from not in STARTS and not Path(stage.starts_from).is_dir():
            yield (
                f"{place}.starts_from: {stage.starts_from} is neither base, sft nor a folder with a model. "
                f"{did_you_mean(stage.starts_from, STARTS)}"
            )
        elif place == "upstream.sft" and stage.starts_from == "sft":
            yield "upstream.sft.starts_from: SFT cannot start from itself. Use base or a folder with a model."
    yield from evaluation_clashes(run)
    yield from _source_clashes(run)
    yield from _token_clashes(run)
    yield from check_architecture(model.architecture)
    if isinstance(method, DPO):
        yield from check_losses(method.loss_type, method.label_smoothing)
    if isinstance(method, PPO):
        yield from ppo_clashes(run, method)
    for place, spec in _stages(run):
        yield from check_trainer(spec.name, spec.trainer, f"{place}.trainer")


def _against_fp16(run: Run) -> str | None:
    """Say why this run cannot compute in fp16: one reason, as each has the same remedy."""
    if run.model.architecture.get("model_type") in ("mt5", "t5"):
        return "overflows to inf and NaN in T5 and MT5 (transformers issue 10956)"
    if run.method.learns_from_samples:
        return "overflows in PPO's probability ratios, and its gradient scaler cannot skip the rest of an update"
    return "training needs a GPU's gradient scaler" if run.hardware.device == "cpu" else None


def _stages(run: Run) -> tuple[tuple[str, MethodSpec], ...]:
    return (("method", run.method), ("upstream.sft", run.upstream.sft), ("upstream.reward", run.upstream.reward))


def needed_stages(run: Run) -> list[tuple[str, MethodSpec]]:
    """Return the stages that this run trains, with their places."""
    judged = run.method.uses_reward_stage or (run.method.trains_policy and run.evaluation.judge == "reward")
    wanted = {"method": True, "upstream.reward": judged}
    wanted["upstream.sft"] = run.method.starts_from == "sft" or (judged and run.upstream.reward.starts_from == "sft")
    return [(place, stage) for place, stage in _stages(run) if wanted[place]]


def _source_clashes(run: Run) -> Iterator[str]:
    """Tell what is missing of weights and data, and data that cannot teach what is asked of it."""
    model, dataset = run.model, run.dataset
    if model.init in ("random", "tiny") and "model_type" not in model.architecture:
        yield f"model.architecture.model_type: model.init={model.init} builds from a config class. Name its model_type."
    own = model.path is not None or model.tokenizer is not None or model.init == "pretrained"
    if model.template.chat and not own:
        yield (
            f"model.template: model.init={model.init} makes a toy tokenizer, which has no chat template. "
            "Add template@model.template=human_assistant, or name a tokenizer that has one: model.tokenizer=FOLDER."
        )
    if model.init == "tiny" and model.hub_id is not None:
        yield f"model.hub_id: {model.name} is built here and takes no hub id. Choose a model of the hub: model=gpt2."
    if model.init == "pretrained" and model.hub_id is None and model.path is None:
        yield "model.path: no weights are named. Set model.path=FOLDER or model.hub_id=OWNER/NAME."
    if not isinstance(dataset, FileDataset):
        return
    pairs = dataset.has_pairs
    if not pairs and run.method.data_shape == "preference":
        yield (
            f"dataset: {dataset.name} holds {dataset.content}, {run.method.name} learns from pairs of a chosen and a "
            "rejected answer. Use method=sft, a dataset of pairs, or dataset=table whose dataset.columns name both."
        )
    elif not pairs and run.method.trains_policy and run.evaluation.judge == "reward":
        yield (
            f"evaluation.judge: a reward model needs pairs and {dataset.name} holds {dataset.content}. "
            "Use evaluation.judge=none."
        )
    elif not pairs and run.method.uses_reward_stage:
        yield (
            f"method.rewards: a reward model needs pairs and {dataset.name} holds {dataset.content}. Give reward "
            "source `judge` a finished stage (method.rewards.judge.folder=FOLDER), or use another kind of reward."
        )


def _token_clashes(run: Run) -> Iterator[str]:
    model = run.model
    for place, stage in needed_stages(run):
        total = stage.max_prompt_tokens + stage.max_response_tokens
        longest = max(stage.max_prompt_tokens, stage.max_response_tokens) if model.family == "seq2seq" else total
        if longest > model.context_length:
            yield (
                f"{place}.max_prompt_tokens: {longest} tokens do not fit {model.name}'s context of "
                f"{model.context_length}. Lower {place}.max_prompt_tokens or {place}.max_response_tokens."
            )
