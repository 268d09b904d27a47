"""TRL 1.12's PPOTrainer on the enumerable language model, in TRL's own environment (see bench_ppo_optimum.py).

python scripts/bench_ppo_optimum_trl.py SETTINGS_AS_JSON: prints the gap J* - J at the start and at the end, as JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import GPT2ForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.ppo.enumerable_model import (
    ASK,
    BETA,
    EOS,
    LETTERS,
    STEPS,
    STRINGS,
    TABLES,
    Found,
    base_model,
    exact,
    of_strings,
)


class TableBackbone(nn.Module):
    """Its one hidden number at every place is the reward of the string that the row ends with."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", TABLES["strings"].float())
        self.register_buffer("places", torch.tensor([len(LETTERS) ** turn for turn in reversed(range(STEPS))]))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        """Look the rewards up for ids (rows, prompt + 4)."""
        found = self.table[(input_ids[:, -STEPS:] * self.places).sum(1)]
        return SimpleNamespace(hidden_states=(found[:, None, None].expand(-1, input_ids.shape[1], 1),))


class TableReward(PreTrainedModel):
    """The table in the shape of a reward model."""

    base_model_prefix = "transformer"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.transformer = TableBackbone()
        self.score = nn.Identity()
        self.post_init()


@torch.no_grad()
def string_logprobs(model: Any, prompt: list[int]) -> Tensor:
    """Log-probabilities of all strings (1296,)."""
    ids = torch.cat([torch.tensor(prompt).expand(len(STRINGS), -1), torch.tensor(STRINGS)], 1)
    return of_strings(model.eval()(input_ids=ids).logits[:, len(prompt) - 1 : -1])


def trained(asked: dict[str, Any]) -> tuple[Found, Found]:
    """Train with these settings; what the policy reaches before and after."""
    policy = base_model("causal", "strings")
    torch.manual_seed(asked["seed"])
    critic = GPT2ForSequenceClassification(type(policy.config)(**policy.config.to_dict() | {"num_labels": 1}))
    words = {word: index for index, word in enumerate([*LETTERS, "<pad>", "<eos>", "?"])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="?")),
        pad_token="<pad>",
        eos_token="<eos>",
        padding_side="left",
    )
    reference = string_logprobs(policy, asked["prompt"])
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=tempfile.mkdtemp(prefix="bench_ppo_optimum_"),
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            per_device_train_batch_size=asked["batch"],
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_ppo_epochs=asked["epochs"],
            total_episodes=asked["batch"] * asked["steps"],
            response_length=STEPS,
            local_rollout_forward_batch_size=asked["batch"],
            num_sample_generations=0,
            learning_rate=asked["learning_rate"],
            kl_coef=BETA,
            kl_estimator=asked["estimator"],
            lam=1.0,
            temperature=1.0,
            stop_token=None,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            seed=asked["seed"],
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=TableReward(type(policy.config)()),
        value_model=critic,
        train_dataset=Dataset.from_list([{"input_ids": asked["prompt"]}] * (asked["batch"] * 4)),
    )
    trainer.train()
    return exact(reference, reference, "strings"), exact(string_logprobs(policy, asked["prompt"]), reference, "strings")


def main() -> None:
    """Train as asked and print both gaps."""
    asked = json.loads(sys.argv[1])
    assert asked["prompt"][-1] == ASK and EOS not in asked["prompt"]
    torch.set_num_threads(1)
    before, after = trained(asked)
    print(json.dumps({"start": before.gap, "end": after.gap, "kl": after.kl, "mass": after.mass}))


if __name__ == "__main__":
    main()
