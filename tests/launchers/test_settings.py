"""Launchers' settings on the command line: composed, refused where wrong, and passed on in the engine's own words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commandline import Here

from rlhf.launchers.on_ray import RayLauncher
from rlhf.launchers.on_slurm import SlurmSettings, _parameters


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("hydra/launcher=locla",), "hydra/launcher=locla: there is no such option. Did you mean `local`?"),
        (("hydra/launcher=local", "hydra.launcher.job=3"), "hydra.launcher.job: unknown key. Did you mean `jobs`?"),
        (("hydra/launcher=local", "hydra.launcher.jobs=few"), "hydra.launcher.jobs=few: Value 'few' of type"),
        (("hydra/launcher=local", "hydra.launcher.jobs=0"), "hydra.launcher.jobs=0: should be greater than 0"),
    ],
)
def test_a_wrong_setting_is_refused(words: tuple[str, ...], told: str, here: Here, tmp_path: Path) -> None:
    here("-m", "method.beta=0.1,0.2", *words, folder=tmp_path).refused(2, told)
    assert list(tmp_path.iterdir()) == []


def test_slurm_is_asked_in_its_own_words() -> None:
    own = SlurmSettings(partition="gpu", gpus=1, cores=8, minutes=240, more={"qos": "high"}, setup=["module load cuda"])
    assert _parameters(own) == {
        "timeout_min": 240,
        "cpus_per_task": 8,
        "gpus_per_node": 1,
        "name": "rlhf",
        "slurm_partition": "gpu",
        "slurm_array_parallelism": 256,
        "slurm_setup": ["module load cuda"],
        "slurm_additional_parameters": {"qos": "high"},
    }


def test_ray_is_told_no_secrets_where_others_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime environment is shown by the cluster's dashboard and in its logs."""
    told: dict[str, Any] = {}
    ray = SimpleNamespace(init=lambda **words: told.update(words), exceptions=SimpleNamespace(RayError=OSError))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    RayLauncher(None, cores=2, gpus=0)._connect(ray)
    shown = told["runtime_env"]["env_vars"]
    assert "hf_secret" not in shown.values()
    assert (shown["OPENBLAS_NUM_THREADS"], shown["RAYON_NUM_THREADS"]) == ("3", "2")


def test_the_script_for_sbatch_holds_them(tmp_path: Path) -> None:
    """What submitit writes for SLURM, without a SLURM to hand it to."""
    slurm = pytest.importorskip("submitit.slurm.slurm")
    own = SlurmSettings(partition="gpu", gpus=1, cores=8, minutes=240, more={"qos": "high"}, setup=["module load cuda"])
    words = {name.removeprefix("slurm_"): value for name, value in _parameters(own).items()}
    words |= {"time": words.pop("timeout_min"), "job_name": words.pop("name")}
    words.pop("array_parallelism")
    script = slurm._make_sbatch_string("run it", tmp_path, **words)
    for line in ("--partition=gpu", "--gpus-per-node=1", "--cpus-per-task=8", "--time=240", "--qos=high"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load cuda\n" in script
