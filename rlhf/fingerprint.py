"""A hash of everything that can change a stage's result, and of nothing else.

Left out is what changes no more than the order of a sum: the number of threads, the kind of GPU, evaluation's batches.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from rlhf import ranks
from rlhf.config import Method, ModelSpec, Run
from rlhf.sources import source_digest

ALWAYS = ("torch", "transformers", "accelerate", "tokenizers")
TRAINERS = {"sft": ("trl",), "reward": ("trl", "scikit-learn"), "dpo": ("trl",)}  # reward: a baseline beside it
OPTIMIZERS = {  # part of `method.trainer.optim` -> the library that it comes from
    "bnb": "bitsandbytes",
    "paged": "bitsandbytes",
    "adamw_8bit": "bitsandbytes",
    "ademamix": "bitsandbytes",
    "lion": "bitsandbytes",
    "torch_4bit": "torchao",
    "torch_8bit": "torchao",
    "galore": "galore-torch",
    "apollo": "apollo-torch",
    "lomo": "lomo-optim",
    "grokadamw": "grokadamw",
    "schedule_free": "schedulefree",
    "stable_adamw": "torch-optimi",
}
SWITCHES = {"deepspeed": "deepspeed", "use_liger_kernel": "liger-kernel"}  # of `method.trainer`
IN_FILES = ("deepspeed", "fsdp_config", "accelerator_config", "chat_template_path")  # of `method.trainer`: may be paths
NUMERIC_VARIABLES = (  # beginnings of environment variables that change more than the order of a sum
    "ACCELERATE_MIXED_PRECISION",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_DEEPSPEED_",
    "ACCELERATE_USE_FSDP",
    "FSDP_",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
    "PARALLELISM_CONFIG_",
    "ACCELERATE_DYNAMO_BACKEND",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
OFF = ("", "0", "no", "none", "false")  # as `accelerate launch` writes what was not asked for


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-able value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_files(folder: Path) -> str:
    """Return the sha256 of the names, sizes and bytes of all files below `folder` (or of the file itself)."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if file.is_file():
            total.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    return total.hexdigest()


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file below `folder`: a cheap test of whether it is still what was written."""
    return {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


@cache
def installed(package: str) -> str | None:
    """Return the version of a library, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of `packages`."""
    return {name: installed(name) for name in sorted(set(packages))}


def loading_packages(run: Run) -> set[str]:
    """Name the libraries that the run's model is loaded with."""
    needed = set(ALWAYS)
    if run.adapter.name != "none" or (run.model.path and _is_adapter(Path(run.model.path))):
        needed.add("peft")
    if run.quantization.name != "none":
        needed.add("bitsandbytes")
    return needed


def stage_packages(run: Run, method: Any) -> set[str]:
    """Name the libraries that a stage computes with."""
    needed = loading_packages(run) | set(TRAINERS.get(method.name, ()))
    optimizer = str(method.trainer.get("optim", ""))
    needed |= {package for word, package in OPTIMIZERS.items() if word in optimizer}
    needed |= {package for key, package in SWITCHES.items() if method.trainer.get(key)}
    for source in method.reward_sources.values():
        if source.kind == "linear":
            needed.add("scikit-learn")
        if source.kind == "stage" and source.folder is not None:  # which may have been trained as this one is not
            needed |= {"peft", "bitsandbytes"}
    return needed


@cache
def environment() -> dict[str, str]:
    """Return the environment variables that change results, as they were when this process first asked.

    Trainers set some of them by themselves, from settings that are in the fingerprint already.
    """
    return {
        name: digest_files(Path(value)) if Path(value).is_file() else value  # DeepSpeed's settings are in a file
        for name, value in sorted(os.environ.items())
        if name.startswith(NUMERIC_VARIABLES) and value.lower() not in OFF
    }


@cache
def hub_commit(name: str, revision: str | None, file: str) -> str | None:
    """Return the commit that `revision` of a model on the hub is now (`main` moves), `revision` where none can tell."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file, revision=revision)).parent.name
    except (OSError, ValueError):  # no network and no copy here: loading it will say so
        return revision


def base_identity(model: ModelSpec) -> dict[str, Any]:
    """Say what weights, tokenizer and texts a model has before any training, from wherever they come."""
    if model.template.chat:  # the tokenizer's own: the other fields are not read
        template: dict[str, Any] = {"chat": True}
    else:
        template = model.template.model_dump(exclude={"name"})
    values: dict[str, Any] = {"family": model.family, "template": template}
    if model.path is not None:
        values |= {"bytes": _folder_identity(Path(model.path)), "trust_remote_code": model.trust_remote_code}
    elif model.init == "pretrained":
        commit = hub_commit(str(model.hub_id), model.revision, "config.json")
        values |= {"hub": [model.hub_id, commit], "trust_remote_code": model.trust_remote_code}
    else:
        values |= {"init": model.init, "architecture": model.architecture, "context_length": model.context_length}
    if model.tokenizer is not None:
        folder = Path(model.tokenizer)
        hub = None if folder.exists() else [model.tokenizer, hub_commit(model.tokenizer, None, "tokenizer_config.json")]
        values["tokenizer"] = hub or digest_files(folder)
    return values


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _folder_identity(folder: Path) -> list[Any]:
    """Hash a folder of weights, and below an adapter the base that it names."""
    own: list[Any] = [digest_files(folder)]
    if _is_adapter(folder):
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
        below = Path(str(base))
        own += _folder_identity(below) if below.is_dir() else [base, hub_commit(str(base), None, "config.json")]
    return own


def _surgery(run: Run) -> dict[str, Any]:
    """Say how adapter and quantization change the model, with what they ask of it by name."""
    adapter = run.adapter.model_dump()
    if adapter["name"] != "none":
        adapter["targets"] = adapter["targets"] or run.model.lora_targets
    plain = run.adapter.name == "none" and run.quantization.name == "none"
    head = None if plain else run.model.classifier_head
    return {"adapter": adapter, "quantization": run.quantization.model_dump(), "head": head}


def _settings(method: Any, known: Collection[str]) -> dict[str, Any]:
    """Return a method's settings without places whose content is hashed: its start, reward sources in `known`, files.

    A trainer's settings that lie in a file count with its bytes, wherever it lies.
    """
    values: dict[str, Any] = method.model_dump(exclude={"starts_from"})
    for key in IN_FILES:
        named = method.trainer.get(key)
        if isinstance(named, str) and (file := Path(named).expanduser()).exists():
            values["trainer"][key] = digest_files(file)
    for name in known:
        source = values["rewards"][name]
        for key in ("folder", "path"):
            if source.get(key):
                source[key] = "".join(Path(source[key]).suffixes)  # csv and jsonl are read in different ways
    return values


def stage_fingerprint(
    run: Run,
    method: Method,
    data: str,
    upstream: str,
    device: str,
    precision: str,
    known: Collection[str] = (),
) -> str:
    """Hash a stage: its settings, what it starts from (`upstream`), its data's fingerprint, machine kind and code.

    `known` are the reward sources whose bytes `upstream` covers: where they lie does not matter then.
    """
    return digest(
        _surgery(run)
        | {
            "method": _settings(method, known),
            "seed": run.seed,
            "held_out": [run.evaluation.prompts, run.evaluation.seed] if method.learns_from_samples else None,
            "baseline": None if method.trains_policy else run.evaluation.baseline_pairs,
            "processes": ranks.world(),  # each adds a batch of its own
            "upstream": upstream,
            "data": data,
            "device": device,
            "precision": precision,
            "environment": environment(),
            "packages": versions(stage_packages(run, method)),
            "source": source_digest(method.name),  # type: ignore[attr-defined]  # each method has its own literal
        }
    )


def reference_fingerprint(run: Run, method: Any, data: str, origin: str, device: str, precision: str) -> str:
    """Hash what the reference's log-probabilities of a method's pairs depend on: no loss, no learning rate."""
    return digest(
        _surgery(run)
        | {
            "lengths": [method.max_prompt_tokens, method.max_response_tokens],
            "batch": method.trainer.get("per_device_eval_batch_size"),
            "ld_alpha": method.trainer.get("ld_alpha"),
            "seed": run.seed,  # draws the weights of a model that starts at random
            "origin": origin,
            "data": data,
            "device": device,
            "precision": precision,
            "environment": environment(),
            "packages": versions(loading_packages(run) | {"trl"}),
            "source": source_digest(method.name),
        }
    )
