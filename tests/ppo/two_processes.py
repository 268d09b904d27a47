"""Two steps of PPO, alone or as one of several processes: `python [-m accelerate.commands.launch ...] THIS MODEL OUT`.

Writes each step's measurements and the sums of all trained weights to OUT, from the first process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from tests.ppo.tiny import learner_of, method, trainer_of


def main(model: str, adapter: str, out: Path) -> None:
    torch.set_num_threads(1)
    asked = method("critic.kind=separate", "epochs=2", "kl.max_update=null", "microbatch_tokens=100")
    learner = learner_of(model, asked, lora=adapter == "lora")
    trainer = trainer_of(learner, asked, out.parent / "output", per_device_train_batch_size=3)
    steps: list[dict[str, float]] = []
    trainer.watch = lambda _, metrics, __: steps.append(dict(metrics))
    trainer.train()
    state = PartialState()
    weights = {name: weight.detach().double().reshape(-1)[:50].tolist() for name, weight in learner.trained()}
    found = {"processes": state.num_processes, "steps": steps, "weights": weights}
    (out.parent / f"{out.name}.{state.process_index}").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
