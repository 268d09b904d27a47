"""What changes which fingerprint: every config key, a byte of data, a line of every module, every library's version.

A stale hit is the worst mistake that reuse can make, a needless miss the second worst; the tables say both by hand.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from rlhf import fingerprint
from rlhf.compose import jobs, parse_words
from rlhf.config import Run
from rlhf.data import load_corpus
from rlhf.lineage import Lineage
from rlhf.sources import LEFT_OUT, PACKAGE, source_digest, stage_files

KEYS = (Path(__file__).parent / "config_keys.txt").read_text().split()
ALL = frozenset({"sft", "reward", "dpo", "ppo"})
NONE: frozenset[str] = frozenset()
OWN = "own"  # the stage of the method that the job asks for

# Beginnings of keys -> the stages whose fingerprints move with them; the longest beginning counts.
EXPECTED: dict[str, frozenset[str] | str] = {
    "adapter": ALL,
    "dataset": ALL,
    "dataset.annotator_noise": frozenset({"reward", "dpo", "ppo"}),  # demonstrations are always right
    "dataset.name": NONE,
    "dataset.path": NONE,  # a copy of the same rows
    "dataset.hub_id": NONE,  # where a path is given
    "dataset.hub_config": NONE,
    "dataset.revision": NONE,
    "dataset.max_bad_rows": NONE,  # none is bad
    "dataset.cleaning.name": NONE,
    "dataset.cleaning.examples": NONE,  # printed
    "dataset.reading": NONE,  # how, and what is too large: nothing here is
    "dataset.strict": NONE,  # tells more, changes nothing
    "evaluation": NONE,
    "evaluation.baseline_pairs": frozenset({"reward", "ppo"}),  # a number of the reward stage's own result
    "evaluation.prompts": frozenset({"ppo"}),  # its progress is measured on these held-out prompts
    "evaluation.seed": frozenset({"ppo"}),
    "inspection": NONE,  # looks at the data
    "hardware": NONE,  # the kind of device is given beside it
    "method": OWN,
    "model": ALL,
    "model.name": NONE,
    "model.learning_rates": NONE,  # `trainer.learning_rate` has taken the one that counts
    "model.template.name": NONE,
    "model.path": NONE,  # a copy of the same folder
    "precision": NONE,  # as resolved for the device it is given beside it
    "quantization": ALL,
    "reuse": NONE,
    "seed": ALL,
    "store": NONE,
    "tracking": NONE,
    "upstream.sft": ALL,
    "upstream.reward": frozenset({"reward", "ppo"}),
}
# Keys that another value of makes another spec or that only some models read: mutated by hand below.
BY_HAND = {
    "adapter.name", "dataset.format", "method.name", "method.rewards.judge.kind", "quantization.name",
    "upstream.reward.name", "upstream.sft.name", "method.rewards.judge.folder", "method.starts_from",
    "upstream.reward.starts_from", "upstream.sft.starts_from", "model.hub_id", "model.revision", "model.tokenizer",
    "model.trust_remote_code", "evaluation.judge", "model.path",
    "model.lora_targets", "model.classifier_head", "dataset.split.folds", "dataset.split.fold",
    # of formats whose rows they change, which their tests show: rows are hashed themselves
    "dataset.api_calls", "dataset.comparisons", "dataset.placeholders", "dataset.placeholder_seed", "dataset.turns",
}  # fmt: skip


BY_HAND |= {key for key in KEYS if key.startswith("inspection.")}  # bounds that must rise from one to the next
BY_HAND |= {key for key in KEYS if ".engagement.weights." in key}  # which must add up to 1


NUMBERS = {
    "dataset.reading.workers",
    "dataset.limit",
    "hardware.usd_per_hour",
    "hardware.watts",
    "hardware.memory_gb",
}  # null may be a number there


@cache
def corpus_print(spec: str, shape: str) -> str:
    run = Run.model_validate(composed("toy") | {"dataset": json.loads(spec)})
    return load_corpus(run.dataset, shape).fingerprint  # type: ignore[arg-type]


@cache
def table_file() -> str:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="rlhf-mutations-"))
    rows = [{"q": f"Question {n}?", "good": f"Yes {n}.", "bad": f"No {n}."} for n in range(60)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("pairs.jsonl", "copy.jsonl"):
        (folder / name).write_text(text)
    return str(folder / "pairs.jsonl")


JUDGED = ("evaluation.judge=reward",)
VARIANTS: dict[str, Callable[[], tuple[str, ...]]] = {
    "toy": lambda: ("method=dpo", *JUDGED, "dataset.rows=60"),
    "ppo": lambda: ("method=ppo", "dataset.rows=60", "hardware=t4"),
    "nf4": lambda: ("method=dpo", *JUDGED, "model=tiny_llama", "adapter=lora", "quantization=nf4", "dataset.rows=60"),
    "int8": lambda: (
        "method=ppo",
        "model=tiny_llama",
        "adapter=lora",
        "quantization=int8",
        "dataset.rows=60",
        "hardware=h100",
    ),
    "file": lambda: (
        "method=dpo",
        *JUDGED,
        "dataset=table",
        f"dataset.path={table_file()}",
        "dataset.columns={prompt: q, chosen: good, rejected: bad}",
    ),
}


@cache
def _composed(variant: str) -> str:
    [(_, run)] = jobs(parse_words(["tracking=none", *VARIANTS[variant]()]))
    return run.model_dump_json()


def composed(variant: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_composed(variant))
    return found


def prints(values: Mapping[str, Any], device: str = "cpu", precision: str = "fp32") -> dict[str, str]:
    """The fingerprint of each stage of a job, by the stage's name."""
    run = Run.model_validate(values)
    lineage = Lineage(run, device, precision, lambda shape: corpus_print(run.dataset.model_dump_json(), shape))
    return {link.method.name: link.fingerprint for link in lineage.stages()}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def other(key: str, value: Any) -> Any:
    """Another value of the same type that the specs take."""
    special = {
        "dataset.format": None, "dataset.languages": ["en", "es"] if value == ["en"] else ["en"],
        "method.kl.estimator": "k2", "method.critic.kind": "separate", "method.guard.on_collapse": "stop",
        "model.family": "encoder" if value != "encoder" else "causal", "model.init": "random",
        "quantization.compute_dtype": "float16", "precision": "bf16",
        "hardware.energy": "codecarbon",
        "tracking.name": "mlflow", "reuse": ["sft"], "method.loss_type": ["hinge"], "adapter.targets": ["q_proj"],
        "dataset.path": table_file().replace("pairs", "copy"), "dataset.columns": {**value, "prompt": "bad"}
        if key == "dataset.columns" else None, "method.trainer.lr_scheduler_type": "constant",
        "method.kl.target": 1.5, "model.template.chat": True, "dataset.cleaning.steps": ["lowercase"],
        "evaluation.text.tokenize": "intl", "evaluation.text.layer": 1, "evaluation.preference.binning": "fixed",
        "evaluation.best_of_n.numbers": [1, 2], "evaluation.safety.languages": ["en"], "evaluation.safety.region": "DE",
    }  # fmt: skip
    special |= {key: "cpu" if value == "cuda" else "cuda"} if key.endswith(".device") else {}
    special |= {key: ["neutral", "entailment", "contradiction"]} if key.endswith(".nli.labels") else {}
    if special.get(key) is not None:
        return special[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.9 + 0.0123 if value >= 0 else value * 0.9
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value, "another"]
    if value == {}:
        return {"fp32": 1e12}
    if isinstance(value, dict):
        name = next(iter(value))
        return {**value, name: other(f"{key}.{name}", value[name])}
    return 50 if key in NUMBERS else "x"  # null


def places(values: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value for all keys of a job that the list of keys names."""
    found = {}
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if dotted in KEYS and not any(
            f"{dotted}.{inner}" in KEYS for inner in (value if isinstance(value, dict) else ())
        ):
            found[dotted] = value
        elif isinstance(value, dict):
            found |= places(value, f"{dotted}.")
    return found


def mutated(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    fresh = copy.deepcopy(values)
    node = fresh
    *parents, last = key.split(".")
    for parent in parents:
        node = node[parent]
    node[last] = value
    return fresh


def expected(key: str, method: str, names: set[str]) -> set[str]:
    beginnings = [key.rsplit(".", cut)[0] for cut in range(key.count(".") + 1)]
    known = next(beginning for beginning in beginnings if beginning in EXPECTED)
    stages = EXPECTED[known]
    return {method} if stages == OWN else set(stages) & names


def test_every_config_key_is_looked_at_once_at_least() -> None:
    seen = {key for variant in VARIANTS for key in places(composed(variant))} | BY_HAND
    assert sorted(set(KEYS) - seen) == []
    for key in KEYS:
        assert any(key == start or key.startswith(f"{start}.") for start in EXPECTED), f"say what {key} changes"


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_key_moves_the_stages_that_it_can_change_and_no_other(variant: str) -> None:
    values = composed(variant)
    before, method = prints(values), values["method"]["name"]
    wrong = {}
    for key, value in places(values).items():
        if key in BY_HAND:
            continue
        fresh = other(key, value)
        assert fresh != value, key
        found = changed(before, prints(mutated(values, key, fresh)))
        hoped = expected(key, method, set(before))
        if found != hoped:
            wrong[key] = (sorted(found), sorted(hoped))
    assert wrong == {}


# --- by hand: what is another spec, or is read by some models only


def moved(variant: str, **changes: Any) -> set[str]:
    """Which fingerprints move when keys (`__` for dots) take these values."""
    values = composed(variant)
    fresh = values
    for key, value in changes.items():
        fresh = mutated(fresh, key.replace("__", "."), value)
    return changed(prints(values), prints(fresh))


def test_how_answers_are_measured_moves_no_stage() -> None:
    weights = {"questions": 0.2, "empathy": 0.4, "length": 0.2, "variety": 0.2}
    for suite in ("persona", "simulation__persona"):
        assert moved("toy", **{f"evaluation__{suite}__engagement__weights": weights}) == set()


def test_another_adapter_or_quantization_moves_all_stages() -> None:
    lora = composed("nf4")
    for key in ("adapter", "quantization"):
        plain = lora | {key: {"name": "none"}}
        assert changed(prints(lora), prints(plain)) == {"sft", "reward", "dpo"}
    int8 = composed("int8")["quantization"]
    assert changed(prints(lora), prints(lora | {"quantization": int8})) == {"sft", "reward", "dpo"}


def test_each_fold_is_another_data_set() -> None:
    three = {"dataset__split__folds": 3}
    assert moved("toy", **three) == {"sft", "reward", "dpo"}
    first, second = (mutated(composed("toy"), "dataset.split.folds", 3) for _ in range(2))
    second["dataset"]["split"]["fold"] = 1
    assert changed(prints(first), prints(second)) == {"sft", "reward", "dpo"}


def test_what_an_inspection_finds_moves_nothing() -> None:
    assert moved("toy", inspection__seed=7, inspection__sample=9, inspection__findings__ties__warning=0.2) == set()


def test_lora_targets_count_where_no_others_are_named() -> None:
    assert moved("nf4", model__lora_targets=["q_proj"]) == {"sft", "reward", "dpo"}
    assert moved("toy", model__lora_targets=["q_proj"]) == set()
    named = mutated(composed("nf4"), "adapter.targets", ["v_proj"])
    assert changed(prints(named), prints(mutated(named, "model.lora_targets", ["q_proj"]))) == set()
    spelt = mutated(composed("nf4"), "adapter.targets", composed("nf4")["model"]["lora_targets"])
    assert changed(prints(composed("nf4")), prints(spelt)) == set()


def test_the_name_of_the_scoring_head_counts_where_adapters_or_quantization_ask_for_it() -> None:
    assert moved("nf4", model__classifier_head="head") == {"sft", "reward", "dpo"}
    assert moved("toy", model__classifier_head="head") == set()


def test_the_judge_of_the_evaluation_adds_a_stage_and_moves_none() -> None:
    judged, alone = prints(composed("toy")), prints(mutated(composed("toy"), "evaluation.judge", "gold"))
    assert judged.keys() - alone.keys() == {"reward"}
    assert alone == {name: judged[name] for name in alone}


def test_a_start_moves_what_starts_there_and_above() -> None:
    assert moved("ppo", method__starts_from="base") == {"ppo"}
    assert moved("toy", method__starts_from="base") == {"dpo"}
    assert moved("ppo", upstream__reward__starts_from="base") == {"reward", "ppo"}


def test_a_folder_is_followed_by_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    for name, content in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    for key, stages in (
        ("method.starts_from", {"dpo"}),
        ("upstream.sft.starts_from", {"sft", "reward", "dpo"}),
        ("model.path", {"sft", "reward", "dpo"}),
        ("model.tokenizer", {"sft", "reward", "dpo"}),
    ):
        one, same, other_bytes = (
            prints(mutated(composed("toy"), key, str(tmp_path / name))) for name in ("one", "same", "other")
        )
        assert one == same, key
        assert changed(one, other_bytes) == stages, key
        assert changed(one, prints(composed("toy"))) == stages, key


def test_settings_of_a_trainer_that_lie_in_a_file_count_with_its_bytes(tmp_path: Path) -> None:
    for name, content in (("one", "{}"), ("same", "{}"), ("other", "{ }")):
        (tmp_path / f"{name}.json").write_text(content)
    for key in fingerprint.IN_FILES:
        one, same, other_bytes = (
            prints(mutated(composed("toy"), f"method.trainer.{key}", str(tmp_path / f"{name}.json")))
            for name in ("one", "same", "other")
        )
        assert one == same, key
        assert changed(one, other_bytes) == {"dpo"}, key


def test_where_a_file_ends_is_part_of_a_folders_digest(tmp_path: Path) -> None:
    for folder, files in (("one", {"a": "bc"}), ("other", {"ab": "c"}), ("third", {"a": "b", "c": ""})):
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
    assert len({fingerprint.digest_files(tmp_path / folder) for folder in ("one", "other", "third")}) == 3


def test_below_an_adapter_the_base_that_it_names_counts(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "own").mkdir()
    named = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "own" / "adapter_config.json").write_text(json.dumps(named))
    values = mutated(composed("toy"), "model.path", str(tmp_path / "own"))
    before = prints(values)
    (tmp_path / "base" / "config.json").write_text("{ }")
    assert changed(before, prints(values)) == {"sft", "reward", "dpo"}


def test_a_model_of_the_hub_is_known_by_the_commit_that_its_revision_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--someone--model"
    (folder / "refs").mkdir(parents=True)
    for commit in ("a" * 40, "b" * 40):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    changes = {"init": "pretrained", "hub_id": "someone/model"}
    values = composed("toy")
    hub = values | {"model": values["model"] | changes}
    found = []
    for commit in ("a" * 40, "b" * 40, "a" * 40):
        (folder / "refs" / "main").write_text(commit)
        fingerprint.hub_commit.cache_clear()
        found.append(prints(hub))
    assert changed(found[0], found[1]) == {"sft", "reward", "dpo"}
    assert found[0] == found[2]
    assert found[0] == prints(mutated(hub, "model.revision", "a" * 40))
    assert changed(found[0], prints(mutated(hub, "model.trust_remote_code", True))) == {"sft", "reward", "dpo"}
    assert changed(found[0], prints(mutated(hub, "model.hub_id", "someone/else"))) == {"sft", "reward", "dpo"}
    assert changed(found[0], prints(mutated(hub, "model.architecture", {}))) == set()  # its own config.json counts
    fingerprint.hub_commit.cache_clear()


def test_a_reward_of_another_kind_moves_ppo_alone(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nfine,1\nbad,-1\n")
    linear = {"kind": "linear", "weight": 1.0, "path": str(rows), "text": "text", "label": "label", "ridge": 1.0}
    own = mutated(composed("ppo"), "method.rewards", {"judge": linear | {"output": "score"}})
    before = prints(own)
    assert before.keys() == {"sft", "ppo"}
    rows.write_text("text,label\nfine,1\nbad,-1.\n")
    assert changed(before, prints(own)) == {"ppo"}
    copied = tmp_path / "copy.csv"
    shutil.copyfile(rows, copied)
    assert prints(own) == prints(mutated(own, "method.rewards.judge.path", str(copied)))


READ_BY_THE_REFERENCE = {
    "method.max_prompt_tokens",
    "method.max_response_tokens",
    "method.trainer.per_device_eval_batch_size",  # in batches of which it is asked
}


def references_of(values: Mapping[str, Any]) -> str:
    run = Run.model_validate(values)
    lineage = Lineage(run, "cpu", "fp32", lambda shape: corpus_print(run.dataset.model_dump_json(), shape))
    links = {link.method.name: link.references for link in lineage.stages()}
    assert links["sft"] is None and links["reward"] is None
    return links["dpo"].name


def test_log_probabilities_of_the_reference_move_with_start_data_and_lengths_and_not_with_the_loss() -> None:
    values = composed("toy")
    before, kept = prints(values), references_of(values)
    for key, value in places(values).items():
        if key not in BY_HAND:
            fresh = mutated(values, key, other(key, value))
            own = key.startswith("method.") and key not in READ_BY_THE_REFERENCE
            hoped = "dpo" in changed(before, prints(fresh)) and not own
            assert (references_of(fresh) != kept) == hoped, key
    assert references_of(mutated(values, "method.starts_from", "base")) != kept
    assert references_of(mutated(values, "method.trainer", {**values["method"]["trainer"], "ld_alpha": 0.5})) != kept


# --- data, machine, libraries, environment, source


def test_one_byte_of_a_data_file_moves_all_stages(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    text = Path(table_file()).read_bytes()
    found = []
    for content in (text, text.replace(b"Question 7?", b"Question 7!"), text):
        file.write_bytes(content)
        corpus_print.cache_clear()
        found.append(prints(mutated(composed("file"), "dataset.path", str(file))))
    corpus_print.cache_clear()
    assert len(text) == len(text.replace(b"Question 7?", b"Question 7!"))
    assert changed(found[0], found[1]) == {"sft", "reward", "dpo"}
    assert found[0] == found[2]


def test_device_precision_and_number_of_processes_move_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    values = composed("ppo")
    before = prints(values)
    assert changed(before, prints(values, device="cuda")) == {"sft", "reward", "ppo"}
    assert changed(before, prints(values, precision="bf16")) == {"sft", "reward", "ppo"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert changed(before, prints(values)) == {"sft", "reward", "ppo"}


VERSIONS: dict[str, dict[str, set[str]]] = {  # library -> variant -> stages that compute with it
    **{name: {"toy": {"sft", "reward", "dpo"}, "ppo": {"sft", "reward", "ppo"}} for name in fingerprint.ALWAYS},
    "trl": {"toy": {"sft", "reward", "dpo"}, "ppo": {"sft", "reward", "ppo"} - {"ppo"}},
    "scikit-learn": {"toy": {"reward"}, "ppo": {"reward"}},
    "peft": {"toy": set(), "ppo": set(), "nf4": {"sft", "reward", "dpo"}},
    "bitsandbytes": {"toy": set(), "nf4": {"sft", "reward", "dpo"}, "int8": {"sft", "reward", "ppo"}},
    "mlflow": {"toy": set(), "ppo": set()},
    "datasets": {"toy": set(), "ppo": set()},
    "torchao": {"toy": set(), "ppo": set()},
}


@pytest.mark.parametrize("library", VERSIONS)
def test_a_library_moves_the_stages_that_compute_with_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = metadata.version
    for variant, stages in VERSIONS[library].items():
        before = prints(composed(variant))
        # what a stage is trained on moves it as well
        with monkeypatch.context() as patched:
            patched.setattr(metadata, "version", lambda name: f"{plain(name)}{'.9' if name == library else ''}")
            fingerprint.installed.cache_clear()
            found = changed(before, prints(composed(variant)))
        fingerprint.installed.cache_clear()
        above = {"ppo"} if variant in ("ppo", "int8") and "reward" in stages else set()
        assert found == stages | above, variant


@pytest.mark.parametrize(
    ("changes", "library"),
    [
        ({"method__trainer": {"optim": "adamw_bnb_8bit"}}, "bitsandbytes"),
        ({"method__trainer": {"optim": "paged_adamw_32bit"}}, "bitsandbytes"),
        ({"method__trainer": {"optim": "adamw_torch_4bit"}}, "torchao"),
        ({"method__trainer": {"use_liger_kernel": True}}, "liger-kernel"),
    ],
)
def test_libraries_that_a_trainer_asks_for_count(changes: dict[str, Any], library: str) -> None:
    values = composed("toy")
    for key, value in changes.items():
        values = mutated(values, key.replace("__", "."), value)
    run = Run.model_validate(values)
    assert library in fingerprint.stage_packages(run, run.method)
    assert library not in fingerprint.stage_packages(run, run.upstream.sft)


def test_the_optimizers_of_transformers_are_known_to_come_from_somewhere() -> None:
    """A new optimizer from another library must be entered in `OPTIMIZERS`."""
    import ast
    from importlib.util import find_spec

    source = Path(str(find_spec("transformers").origin)).parent / "training_args.py"  # type: ignore[union-attr]
    [names] = [
        node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.ClassDef)
        and node.name == "OptimizerNames"
    ]  # fmt: skip
    values = {line.value.value for line in names.body if isinstance(line, ast.Assign)}  # type: ignore[attr-defined]
    own = {name for name in values if not any(word in name for word in fingerprint.OPTIMIZERS)}
    assert own == {
        "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor",
        "adamw_anyprecision", "sgd", "adagrad", "rmsprop",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "moves"),
    [
        ("NVIDIA_TF32_OVERRIDE", "1", True),
        ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1", True),
        ("ACCELERATE_MIXED_PRECISION", "bf16", True),
        ("ACCELERATE_USE_DEEPSPEED", "true", True),
        ("FSDP_VERSION", "2", True),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", True),
        ("ACCELERATE_MIXED_PRECISION", "no", False),  # as accelerate launch says that none is asked for
        ("ACCELERATE_DYNAMO_BACKEND", "NO", False),
        ("OMP_NUM_THREADS", "7", False),
        ("CUDA_VISIBLE_DEVICES", "1", False),
        ("HF_HOME", "/elsewhere", False),
        ("MLFLOW_TRACKING_URI", "http://elsewhere", False),
        ("RLHF_SWEEP_ID", "x", False),
    ],
)
def test_environment_variables(name: str, value: str, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint.environment.cache_clear()
    before = prints(composed("toy"))
    monkeypatch.setenv(name, value)
    assert prints(composed("toy")) == before  # what a trainer sets in this process is no setting of the user's
    fingerprint.environment.cache_clear()
    assert changed(before, prints(composed("toy"))) == ({"sft", "reward", "dpo"} if moves else set())
    monkeypatch.undo()
    fingerprint.environment.cache_clear()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "rlhf"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def source_prints(root: Path) -> dict[str, str]:
    source_digest.cache_clear()
    return {name: source_digest(name, root) for name in ("sft", "reward", "dpo", "ppo", "evaluate")}


def test_a_copy_elsewhere_with_other_times_has_the_same_source(package: Path) -> None:
    assert source_prints(package) == source_prints(PACKAGE)


def test_one_line_of_each_module_moves_the_stages_that_import_it(package: Path) -> None:
    before = source_prints(package)
    members = {name: {str(file.relative_to(PACKAGE)) for file in stage_files(name)} for name in before}
    for file in sorted(package.rglob("*")):
        if file.suffix not in (".py", ".yaml"):
            continue
        text, own = file.read_text(), str(file.relative_to(package))
        file.write_text(f"{text}\n# another line\n")
        found = changed(before, source_prints(package))
        file.write_text(text)
        assert found == {name for name, files in members.items() if own in files}, own
    assert source_prints(package) == before


EVERY = {"sft", "reward", "dpo", "ppo"}
SOURCES: dict[str, set[str]] = {  # by hand: file -> stages that compute with it
    "stages/sft.py": {"sft"},
    "stages/reward.py": {"reward"},
    "stages/dpo.py": {"dpo"},
    "stages/references.py": {"dpo"},
    "stages/ppo.py": {"ppo"},
    "stages/watch.py": {"ppo"},
    "stages/training.py": EVERY,
    "stages/device.py": EVERY | {"evaluate"},
    "stages/start.py": EVERY | {"evaluate"},
    "stages/context.py": EVERY | {"evaluate"},
    "stages/evaluate.py": {"evaluate"},
    "stages/progress.py": set(),
    "ppo/loss.py": {"ppo"},
    "ppo/rewards/linear.py": {"ppo"},
    "ppo/sources/identity.py": set(),
    "losses.py": {"reward", "evaluate"},
    "kl.py": {"ppo", "evaluate"},
    "models/load.py": EVERY | {"evaluate"},
    "models/bridge.py": EVERY | {"evaluate"},
    "models/tiny.py": EVERY | {"evaluate"},
    "models/score.py": {"reward", "ppo", "evaluate"},
    "data/toy_world.py": EVERY | {"evaluate"},  # tiny tokenizers are trained on it
    "data/toy_en.yaml": EVERY | {"evaluate"},
    "data/toy_gold.py": {"ppo", "evaluate"},
    "data/hh_rlhf.py": set(),  # its rows are hashed
    "data/__init__.py": set(),
    "evaluation/reward.py": {"reward"},
    "evaluation/policy.py": {"evaluate"},
    "evaluation/prompts.py": {"ppo", "evaluate"},  # on which its progress is measured
    "evaluation/contract.py": {"evaluate"},
    "evaluation/preference/implicit.py": {"evaluate"},
    "evaluation/preference/metrics.py": {"evaluate"},
    "evaluation/preference/calibration.py": {"evaluate"},
    "evaluation/comparison/statistics.py": {"reward", "evaluate"},
    "evaluation/cost/meter.py": set(),
    "config.py": EVERY | {"evaluate"},
    "ppo_spec.py": set(),  # values are hashed, not their bounds
    "pipeline.py": set(),
    "lineage.py": set(),
    "tracking/tracker.py": set(),
    "report/table.py": set(),
    "job.py": set(),
    "__main__.py": set(),
}


def test_which_stages_a_module_belongs_to() -> None:
    names = ("sft", "reward", "dpo", "ppo", "evaluate")
    members = {name: {str(file.relative_to(PACKAGE)) for file in stage_files(name)} for name in names}
    found = {file: {name for name in names if file in members[name]} for file in SOURCES}
    assert found == SOURCES
    ppo = {file for file in members["ppo"] if file.startswith("ppo/")}
    assert len(ppo) > 15 and not ppo & (members["sft"] | members["reward"] | members["dpo"])


def test_an_import_in_a_function_counts_and_one_for_types_does_not(tmp_path: Path) -> None:
    root = tmp_path / "rlhf"
    (root / "stages").mkdir(parents=True)
    for name in ("stages/device", "stages/start", "inner", "typed", "other"):
        (root / f"{name}.py").write_text("")
    (root / "stages" / "sft.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from rlhf.typed import A\nelse:\n    from rlhf import other\n"
        "def f():\n    from rlhf.inner import b\n"
    )
    found = {str(file.relative_to(root)) for file in stage_files("sft", root)}
    assert found == {"inner.py", "other.py", "stages/device.py", "stages/sft.py", "stages/start.py"}


def test_what_is_left_out_of_the_source_is_there_and_says_why() -> None:
    for module, reason in LEFT_OUT.items():
        place = PACKAGE.joinpath(*module.split(".")[1:])
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), module
        assert reason


def test_specs_that_are_left_out_compute_nothing() -> None:
    import ast

    for name in ("spec", "model_spec", "ppo_spec"):
        classes = [
            node for node in ast.parse((PACKAGE / f"{name}.py").read_text()).body if isinstance(node, ast.ClassDef)
        ]
        assert [line for node in classes for line in node.body if isinstance(line, ast.FunctionDef)] == []
