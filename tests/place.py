"""A folder in which tests run small jobs one after another, with a database of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from rlhf.job import execute
from tests.bench import QUIET, run_of

SMALL = {"max_steps": 2, "per_device_train_batch_size": 4, "logging_steps": 1}
ROLLOUTS = [
    "method.prompts_per_step=4",
    "method.epochs=1",
    "method.max_response_tokens=8",
    "method.normalize_rewards=4",
]
ROLLOUTS += ["method.samples.every=2", "method.samples.prompts=2", "++method.trainer.warmup_steps=0"]
CAUSES = ("usd", "seconds", "kwh", "tokens", "flops", "gpu_seconds", "artifact_bytes")


@dataclass
class Place:
    """A folder in which jobs run one after another, with a database of its own."""

    folder: Path
    count: int = 0

    def job(self, *words: str) -> dict[str, Any]:
        """Run one small job here; returns its outcome."""
        method = next(word.partition("=")[2] for word in words if word.startswith("method="))
        settings = ["evaluation.prompts=4", "evaluation.max_new_tokens=4", "evaluation.bootstrap=10"]
        for place in ("method", "upstream.sft", "upstream.reward"):
            settings += [f"++{place}.trainer.{key}={value}" for key, value in SMALL.items()]
        if method == "sft":
            settings += ["++method.trainer.learning_rate=5e-3"]
        if method == "ppo":
            settings = [word for word in settings if not word.startswith("++method.trainer.per_device")] + ROLLOUTS
        tracking = ["tracking=mlflow", f"tracking.uri=sqlite:///{self.folder / 'mlflow.db'}"]
        run = run_of(*settings, *tracking, *words, store=self.folder / "stages")
        self.count += 1
        return execute(run, self.folder / f"job{self.count}", list(words), None, QUIET)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def tracked(self, outcome: dict[str, Any]):
        return self.client.get_run(outcome["run_id"])

    def stages(self) -> dict[str, float]:
        """Finished stages with the time of their result."""
        found = self.folder.glob("stages/*-*-*/result.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    def stage_metrics(self, method: str) -> dict[str, float]:
        [file] = self.folder.glob(f"stages/{method}-*/result.json")
        return json.loads(file.read_text())["metrics"]
