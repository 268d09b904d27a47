"""What happens around each PPO step: costs are counted, samples shown, and a collapse is told, ended or rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file

from rlhf.alike import all_alike
from rlhf.config import PPO
from rlhf.errors import RunFailure
from rlhf.evaluation.cost.flops import MODEL_TYPES
from rlhf.evaluation.ppo import metrics as names
from rlhf.evaluation.prompts import distinct_prompts
from rlhf.models.load import trainable_parameters
from rlhf.models.states import plain_model
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.experience import Experience
from rlhf.ppo.guard import Symptom
from rlhf.ppo.rollout import HELD_OUT
from rlhf.ppo.trainer import PPOTrainer
from rlhf.stages.context import StageContext
from rlhf.stages.costs import ppo_step_flops
from rlhf.stages.training import WHOLE

WEIGHTS = "model.safetensors"
BINS = 20  # of the histograms of rewards
MOST_ROLLBACKS = 5  # a run that still collapses after them is not healed by another


def flat_rewards(logs: Mapping[str, float]) -> str | None:
    """Return the remedy where a step's answers were all scored alike; None where that is not what its logs say."""
    score, spread = logs.get(names.REWARD_SCORE.name), logs.get(names.REWARD_SCORE_STD.name)
    if score is None or spread is None or not all_alike(score, spread):
        return None
    return f"Check the sources of method.rewards: all answers were scored {score:.4g} (standard deviation 0)"


class Watch:
    """Called after every step with its measurements."""

    def __init__(self, context: StageContext, learner: ActorCritic, method: PPO) -> None:
        self.context = context
        self.learner = learner
        self.method = method
        self.config = plain_model(learner.roles.policy).config
        self.adapters = trainable_parameters(learner)[0] if context.run.adapter.name != "none" else 0
        self.start = self._weights() if method.guard.on_collapse == "rollback" else {}
        self.told: set[str] = set()

    def __call__(self, trainer: PPOTrainer, metrics: dict[str, float], experience: Experience) -> None:
        """Count, show and judge one step; adds speed and settings to `metrics`.

        A collapse may end the run as `RunFailure`.
        """
        self._count(metrics, experience)
        self._add_settings(trainer, metrics)
        step = trainer.state.global_step + 1
        if step == 1 or step % self.method.samples.every == 0:
            self._show_samples(trainer, step)
            self._show_rewards(trainer, step, experience)
        symptoms = self.learner.guard.check(metrics)
        if symptoms:
            self.learner.progress.symptom_steps += 1
            self._act(trainer, step, symptoms)

    def _count(self, metrics: dict[str, float], experience: Experience) -> None:
        progress = self.learner.progress
        own = [(len(a), len(b)) for a, b in zip(experience.prompt_ids, experience.response_ids, strict=True)]
        shapes = [shape for part in gather_object([own]) for shape in part]
        progress.tokens += sum(map(sum, shapes))
        if self.config.model_type in MODEL_TYPES:
            progress.flops += ppo_step_flops(
                self.config,
                shapes,
                epochs=round(metrics[names.UPDATE_PASSES.name]),
                separate_critic=not self.learner.shared,
                adapter_parameters=self.adapters,
            )
        spent = sum(value for name, value in metrics.items() if name.startswith("seconds/"))
        tokens = metrics[names.RESPONSE_TOKENS.name] * self.method.prompts_per_step
        metrics[names.SPEED_TOKENS_PER_SECOND.name] = tokens / spent

    def _add_settings(self, trainer: PPOTrainer, metrics: dict[str, float]) -> None:
        """What changes from step to step besides the coefficient."""
        assert trainer.optimizer is not None
        metrics[names.VALUE_LEARNING_RATE.name] = float(trainer.optimizer.param_groups[1]["lr"])
        if (aim := self.learner.control.aim) is not None:
            metrics[names.KL_TARGET.name] = aim

    def _show_samples(self, trainer: PPOTrainer, step: int) -> None:
        rows = distinct_prompts(self.context.corpus.validation, self.context.run.evaluation)
        found = trainer.rollouts.collect(rows[: self.method.samples.prompts], HELD_OUT, 0, whole=True)
        columns = ["prompt", "answer", "score", "gold"] if found.gold is not None else ["prompt", "answer", "score"]
        table: list[list[Any]] = []
        for index, row in enumerate(found.rows):
            cells: list[Any] = [row.prompt[-1]["content"], found.texts[index], round(float(found.scores[index]), 3)]
            table.append([*cells, round(float(found.gold[index]), 3)] if found.gold is not None else cells)
        self.context.tracked.table(f"samples_step_{step:05d}", columns, table)

    def _show_rewards(self, trainer: PPOTrainer, step: int, experience: Experience) -> None:
        """A histogram of the step's scores, and of the gold reward where it is known, over all processes."""
        columns = {"score": experience.scores} | ({} if experience.gold is None else {"gold": experience.gold})
        table: list[list[Any]] = []
        for name, values in columns.items():
            whole = trainer.rollouts.gathered(values.double())
            counts, edges = torch.histogram(whole, bins=BINS)
            bounds = zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
            table += [[name, round(low, 4), round(high, 4), int(count)] for count, low, high in bounds]
        self.context.tracked.table(f"rewards_step_{step:05d}", ["reward", "from", "to", "responses"], table)

    def _act(self, trainer: PPOTrainer, step: int, symptoms: list[Symptom]) -> None:
        """Do what `guard.on_collapse` says; a symptom is printed once."""
        new = [symptom for symptom in symptoms if symptom.name not in self.told]
        self.told |= {symptom.name for symptom in symptoms}
        for symptom in new:
            self.context.console.print(
                f"  [yellow]ppo step {step}[/] {symptom.message}", highlight=False, soft_wrap=True
            )
            self.context.tracked.tags({f"collapse.{symptom.name}": f"step {step}: {symptom.message}"})
        action, message = self.method.guard.on_collapse, symptoms[0].message
        if action == "rollback" and self.learner.progress.rollbacks >= MOST_ROLLBACKS:
            action, message = "stop", f"{message}, and {MOST_ROLLBACKS} rollbacks have not healed it"
        if action == "stop":
            folder, kept = Path(str(trainer.args.output_dir)), "Change what it names and run again"
            kept += f"; checkpoints stay in {folder}" if any(folder.glob("checkpoint-*")) else ""
            raise RunFailure(f"ppo step {step}", message, kept, resumable=True)
        if action == "rollback":
            self._roll_back(trainer, step)

    def _roll_back(self, trainer: PPOTrainer, step: int) -> None:
        """Take back the newest healthy checkpoint's weights (or the start's) under tighter KL control."""
        control, guard, progress = self.learner.control, self.learner.guard, self.learner.progress
        # the samples of this step are those of checkpoint `step - 1`, which is thus as sick, whatever it was called
        folder = newest_healthy(Path(str(trainer.args.output_dir)), before=step - 1)
        restored = self.start if folder is None else load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, weight in self.learner.trained():
                weight.copy_(restored[name])
        assert trainer.optimizer is not None
        trainer.optimizer.state.clear()  # Adam's moments are those of the steps that are taken back
        control.tighten(self.method.guard.rollback_factor, float(restored.get("control.seen", 0.0)))
        guard.forget()
        trainer.healed = True
        progress.rollbacks += 1
        place = "the start" if folder is None else folder.name.replace("checkpoint-", "step ")
        now = f"KL coefficient now {control.value:.3g}"
        now += f", its target {float(control.target):.3g} nats" if control.target is not None else ""
        self.told.clear()
        self.context.console.print(f"  [yellow]ppo step {step}[/] rolled back to {place}, {now}", highlight=False)
        self.context.tracked.tags({f"rollback.{step}": f"to {place}, {now}"})

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.learner.trained()}


def newest_healthy(folder: Path, before: int) -> Path | None:
    """The newest whole checkpoint of a step before `before` that was written while the guard saw no symptom."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        step = int(checkpoint.name.rpartition("-")[2])
        if step < before and (checkpoint / WHOLE).exists() and bool(load_file(checkpoint / WEIGHTS)["guard.healthy"]):
            found.append((step, checkpoint))
    return max(found)[1] if found else None
