"""rlhf's own PPO on the enumerable language model; only the data are made by hand: a tokenizer and one prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, TrainingArguments

from rlhf.config import PPO, LoraAdapter, NoAdapter
from rlhf.data.rows import Row
from rlhf.models.bridge import as_causal
from rlhf.models.codec import Codec
from rlhf.models.states import response_states
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.control import KLControl
from rlhf.ppo.guard import CollapseGuard
from rlhf.ppo.rewards import Combined
from rlhf.ppo.rollout import Rollouts, Share
from rlhf.ppo.trainer import PPOTrainer
from rlhf.stages.ppo import load_roles
from tests.models.conftest import model_spec, read_group
from tests.ppo.enumerable_model import (
    BETA,
    LETTERS,
    STEPS,
    STRINGS,
    TABLES,
    Family,
    Found,
    Table,
    base_model,
    exact,
    of_strings,
)

TEXTS = {" ".join(LETTERS[place] for place in string): index for index, string in enumerate(STRINGS)}
ROW = Row(prompt=({"role": "user", "content": "?"},), group="?")
SPECS = {"causal": "tiny_gpt2", "seq2seq": "tiny_mt5"}
ADAPTERS = {
    "full": NoAdapter(name="none"),
    "lora": LoraAdapter(name="lora", r=16, alpha=32.0, dropout=0.0, targets=None, use_rslora=False),
}
TARGETS = {"causal": ["c_attn", "c_proj", "c_fc"], "seq2seq": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]}

SETTINGS = ["epochs=2", "gae_lambda=1.0", "kl.max_update=0.05"]
SETTINGS += ["critic.kind=separate", "critic.clip=null", "critic.coefficient=1.0", "critic.learning_rate=5e-3"]
SAMPLES = {"pairs": (60, 256), "strings": (100, 512)}  # steps, prompts per step
RATES = {("causal", "full"): 1e-3, ("causal", "lora"): 3e-3, ("seq2seq", "full"): 3e-3, ("seq2seq", "lora"): 5e-3}


@cache
def codec(family: Family) -> Codec:
    """A real codec over a tokenizer whose words are the letters."""
    words = {word: index for index, word in enumerate([*LETTERS, "<pad>", "<eos>", "?"])}
    core = Tokenizer(models.WordLevel(words, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")
    spec = model_spec(SPECS[family], "template@model.template=plain", f"model.lora_targets={TARGETS[family]}")
    return Codec(tokenizer, spec, 4, STEPS)


def bridged_model(family: Family, table: Table) -> Any:
    """The enumerable model as rlhf loads it."""
    model = base_model(family, table)
    if family == "seq2seq":
        as_causal(model)
    return model


def scorer(table: Table) -> Callable[[Sequence[Row], Sequence[str]], list[float]]:
    """A reward source that looks each answer up by its text."""
    return lambda rows, texts: [float(TABLES[table][TEXTS[text]]) for text in texts]


@torch.no_grad()
def string_logprobs(learner: ActorCritic, role: Literal["policy", "reference"]) -> Tensor:
    """Log-probabilities of all strings (1296,) in float64, written out from the logits of all steps."""
    prompt = learner.codec.prompt_ids(ROW.prompt)
    with learner.roles.acting(role) as model:
        states = response_states(model, learner.codec, [prompt] * len(STRINGS), [list(s) for s in STRINGS]).states
        logits = model.get_output_embeddings()(states).double() / learner.temperature
    return of_strings(logits)


def measure(learner: ActorCritic, table: Table = "pairs") -> Found:
    """What the learner's policy reaches, exactly."""
    return exact(string_logprobs(learner, "policy"), string_logprobs(learner, "reference"), table)


def method_of(*overrides: str) -> PPO:
    """`method=ppo` as it ships, at a fixed KL coefficient and with the table's rewards as they are."""
    own = ["starts_from=base", f"max_response_tokens={STEPS}", "max_prompt_tokens=4", f"kl.coefficient={BETA}"]
    own += ["kl.target=null", "normalize_rewards=0", "reward_clip=null", "missing_eos_penalty=0"]
    own += ["critic.learning_rate=1e-3", "trainer.learning_rate=1e-3"]
    return PPO.model_validate(read_group("method", "ppo", *(f"method.{word}" for word in [*own, *overrides])))


def learner_of(family: Family, adapter: str, method: PPO, seed: int = 0, table: Table = "pairs") -> ActorCritic:
    """Policy, reference and critic as the PPO stage makes them, of one base."""
    shared = method.critic.kind == "shared"
    run = SimpleNamespace(adapter=ADAPTERS[adapter], model=codec(family).spec, seed=seed)
    stage: Any = SimpleNamespace(run=run, load=lambda _: bridged_model(family, table), judge=None)
    roles, _ = load_roles(stage, shared=shared)
    return ActorCritic(
        roles,
        codec(family),
        shared=shared,
        temperature=method.temperature,
        control=KLControl(method.kl),
        guard=CollapseGuard(method.guard),
    ).eval()


def trainer_of(
    learner: ActorCritic, method: PPO, folder: Path, *, table: Table = "pairs", seed: int = 0, **arguments: Any
) -> PPOTrainer:
    """The real trainer on the real rollouts, every prompt of a step being the same."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "lr_scheduler_type": "linear",
        "adam_epsilon": 1e-5,
        "remove_unused_columns": False,
    }
    reward = Combined({"table": (1.0, scorer(table))})
    rollouts = Rollouts(learner, learner.codec, [ROW], reward, None, method, seed=seed, share=Share(0, 1))
    return PPOTrainer(learner, TrainingArguments(**settings | arguments), rollouts, [ROW], method, lambda *_: None)


def settings(table: Table, *overrides: str) -> PPO:
    """The method of these runs."""
    return method_of(*SETTINGS, f"prompts_per_step={SAMPLES[table][1]}", *overrides)


def reached(
    family: Family, adapter: str, table: Table, seed: int, folder: Path, *overrides: str, steps: int | None = None
) -> Found:
    """Train from the reference with these settings, `steps` of them if not all, and measure the policy exactly."""
    torch.set_num_threads(1)
    method = settings(table, *overrides)
    learner = learner_of(family, adapter, method, seed, table)
    start = measure(learner, table)
    assert start.kl == 0.0 and start.gap > 0.4
    rate = {"learning_rate": RATES[family, adapter], "warmup_steps": 0.05}
    most = SAMPLES[table][0] if steps is None else steps
    trainer_of(learner, method, folder, table=table, seed=seed, max_steps=most, **rate).train()
    found = measure(learner, table)
    print(f"{family} {adapter} {table} {overrides} seed {seed}: J* - J = {found.gap:.4f}, at first {start.gap:.4f}")
    return found
