"""A stage's fingerprint moves with all that can change its weights and with nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rlhf.fingerprint import base_identity, digest, digest_files, stage_fingerprint
from tests.bench import run_of, toy


def fingerprint(run, data: str = "data", upstream: str = "upstream", device: str = "cpu", precision: str = "fp32"):
    return stage_fingerprint(run, run.method, data, upstream, device, precision)


@pytest.fixture(scope="module")
def plain():
    return run_of("method=dpo")


@pytest.mark.parametrize(
    "change",
    [
        ["method.beta=0.2"],
        ["method.label_smoothing=0.1", "method.loss_type=[robust]"],
        ["method.max_prompt_tokens=64"],
        ["++method.trainer.learning_rate=1e-5"],
        ["++method.trainer.adam_beta2=0.98"],
        ["seed=43"],
        ["adapter=lora"],
        ["adapter=lora", "quantization=nf4"],
    ],
    ids=" ".join,
)
def test_what_changes_training_changes_it(change: list[str], plain) -> None:
    assert fingerprint(run_of("method=dpo", *change)) != fingerprint(plain)


@pytest.mark.parametrize(
    "change",
    [
        ["evaluation.prompts=5", "evaluation.judge=none", "evaluation.temperature=0.5"],
        ["tracking=mlflow", "tracking.experiment=other"],
        ["hardware.usd_per_hour=9.0", "hardware.watts=1"],
        ["reuse=false"],
        ["store=elsewhere"],
    ],
    ids=" ".join,
)
def test_what_only_looks_at_the_result_does_not(change: list[str], plain) -> None:
    assert fingerprint(run_of("method=dpo", *change)) == fingerprint(plain)


def test_data_start_device_and_precision_change_it(plain) -> None:
    found = {
        fingerprint(plain),
        fingerprint(plain, data="other data"),
        fingerprint(plain, upstream="other start"),
        fingerprint(plain, device="cuda"),
        fingerprint(plain, precision="bf16"),
    }
    assert len(found) == 5


def test_another_method_with_the_same_settings_is_another_stage() -> None:
    assert fingerprint(run_of("method=sft")) != fingerprint(run_of("method=reward", "method.starts_from=base"))


def test_the_base_is_known_by_its_architecture_and_not_by_its_name() -> None:
    model = run_of("method=dpo").model
    assert digest(base_identity(model.model_copy(update={"name": "mine"}))) == digest(base_identity(model))
    deeper = run_of("method=dpo", "model.architecture.n_layer=3").model
    assert digest(base_identity(deeper)) != digest(base_identity(model))
    assert digest(base_identity(run_of("method=dpo", "model=tiny_mt5").model)) != digest(base_identity(model))


def test_a_local_folder_is_known_by_its_bytes_and_not_by_its_path(tmp_path: Path) -> None:
    for name, content in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    model = run_of("method=dpo").model
    one, same, other = (
        digest(base_identity(model.model_copy(update={"path": str(tmp_path / name)})))
        for name in ("one", "same", "other")
    )
    assert one == same != other


def test_data_settings_change_the_corpus_fingerprint() -> None:
    prints = [
        toy(run_of("method=dpo", *change)).fingerprint
        for change in (
            [], [], ["dataset.seed=1"], ["dataset.annotator_noise=0.2"], ["dataset.rows=201"], ["dataset.split.seed=1"],
        )
    ]  # fmt: skip
    assert prints[0] == prints[1]
    assert len(set(prints)) == 5


def test_digest_files_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    assert digest_files(tmp_path / "a") == hashlib.sha256(b".\x001\x001").hexdigest()  # name, size, bytes
    before = digest_files(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_files(tmp_path) != before


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": [2, 3]}) != digest({"a": [3, 2]})
