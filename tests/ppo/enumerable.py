"""A language model whose whole output space is enumerated: six letters, four steps, 1296 strings.

With a fixed reward r for each string, the policy that maximises J = E[r] - beta KL(policy || reference) is known, and
so is what it reaches: J* = beta log sum_y reference(y) exp(r(y) / beta). The gap J* - J of a trained policy is
beta KL(policy || optimum), a number without any noise of sampling. Everything that trains is rlhf's own; only the
data are made by hand: a tokenizer of six letters, one prompt, and a bias that keeps pad and eos from being sampled.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

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

Family = Literal["causal", "seq2seq"]

LETTERS, STEPS = "abcdef", 4
PAD, EOS, ASK = 6, 7, 8  # ids behind the letters; ASK is all that the prompt says
NEVER = -1e4  # a logit whose probability is 0 in float32
BETA = 0.5
STRINGS = tuple(itertools.product(range(len(LETTERS)), repeat=STEPS))


def rewards() -> Tensor:
    """Rewards of all strings (1296,), mean 0 and variance 1: letters and pairs of neighbours have values of their own.

    So a small network finds the best policy: on values drawn for each string by itself, 60 steps of gradient ascent on
    the exact objective end 0.1 to 0.3 below the optimum, and a gap of that size would say nothing about PPO.
    """
    generator = torch.Generator().manual_seed(1)
    one = torch.randn(len(LETTERS), generator=generator).double()
    two = torch.randn(len(LETTERS), len(LETTERS), generator=generator).double()
    ids = torch.tensor(STRINGS)
    values = one[ids].sum(1) + two[ids[:, :-1], ids[:, 1:]].sum(1)
    return (values - values.mean()) / values.std()


TABLE = rewards()
REWARDS = {" ".join(LETTERS[place] for place in string): float(r) for string, r in zip(STRINGS, TABLE, strict=True)}
ROW = Row(prompt=({"role": "user", "content": "?"},), group="?")
SPECS = {"causal": "tiny_gpt2", "seq2seq": "tiny_mt5"}
ADAPTERS = {
    "full": NoAdapter(name="none"),
    "lora": LoraAdapter(name="lora", r=16, alpha=32.0, dropout=0.0, targets=None, use_rslora=False),
}
TARGETS = {"causal": ["c_attn", "c_proj", "c_fc"], "seq2seq": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]}


@cache
def codec(family: Family) -> Codec:
    """A real codec over a tokenizer whose words are the letters."""
    words = {word: index for index, word in enumerate([*LETTERS, "<pad>", "<eos>", "?"])}
    core = Tokenizer(models.WordLevel(words, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")
    spec = model_spec(SPECS[family], "template@model.template=plain", f"model.lora_targets={TARGETS[family]}")
    return Codec(tokenizer, spec, 4, STEPS)


def base_model(family: Family, seed: int = 0) -> Any:
    """A small model with random weights that writes letters only, and not all of them equally often."""
    ids = {"vocab_size": len(LETTERS) + 3, "pad_token_id": PAD, "eos_token_id": EOS}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if family == "causal":
            sizes = {"n_positions": 8, "n_embd": 64, "n_layer": 2, "n_head": 2, "initializer_range": 0.2}
            model: Any = GPT2LMHeadModel(GPT2Config(bos_token_id=EOS, **sizes, **ids))
        else:
            sizes = {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2, "initializer_factor": 0.4}
            model = MT5ForConditionalGeneration(MT5Config(decoder_start_token_id=PAD, **sizes, **ids))
            for name, weight in model.named_parameters():
                if "relative_attention_bias" in name:  # as in a trained model, heads look at different distances
                    nn.init.normal_(weight, std=2.0)
            as_causal(model)
        head = nn.Linear(64, len(LETTERS) + 3)
        nn.init.normal_(head.weight, std=0.08 if family == "causal" else 0.15)
    head.bias.data = torch.tensor([0.0] * len(LETTERS) + [NEVER] * 3)
    head.bias.requires_grad_(False)
    model.all_tied_weights_keys.clear()
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(head)
    return model.eval()


def score(rows: Sequence[Row], texts: Sequence[str]) -> list[float]:
    """Look each answer up in the table of rewards."""
    return [REWARDS[text] for text in texts]


@torch.no_grad()
def string_logprobs(learner: ActorCritic, role: Literal["policy", "reference"]) -> Tensor:
    """Log-probabilities of all strings (1296,) in float64, written out from the logits of all steps."""
    prompt = learner.codec.prompt_ids(ROW.prompt)
    with learner.roles.acting(role) as model:
        states = response_states(model, learner.codec, [prompt] * len(STRINGS), [list(s) for s in STRINGS]).states
        logits = model.get_output_embeddings()(states).double() / learner.temperature
    return torch.log_softmax(logits, -1).gather(2, torch.tensor(STRINGS)[..., None]).squeeze(-1).sum(1)


@dataclass(frozen=True)
class Found:
    """What a policy reaches, and what could be reached."""

    objective: float  # J
    optimum: float  # J*
    reward: float
    kl: float
    mass: float  # probability of all strings together: 1 if nothing else can be written

    @property
    def gap(self) -> float:
        return self.optimum - self.objective


def measure(learner: ActorCritic, beta: float = BETA) -> Found:
    """Sum over every string."""
    logp, reference = string_logprobs(learner, "policy"), string_logprobs(learner, "reference")
    reward, kl = float(logp.exp() @ TABLE), float(logp.exp() @ (logp - reference))
    optimum = beta * float(torch.logsumexp(reference + TABLE / beta, 0))
    return Found(reward - beta * kl, optimum, reward, kl, float(logp.exp().sum()))


def method_of(*overrides: str) -> PPO:
    """`method=ppo` as it ships, at a fixed KL coefficient and with the table's rewards as they are."""
    own = ["starts_from=base", f"max_response_tokens={STEPS}", "max_prompt_tokens=4", f"kl.coefficient={BETA}"]
    own += ["kl.target=null", "normalize_rewards=0", "reward_clip=null", "missing_eos_penalty=0"]
    own += ["critic.learning_rate=1e-3", "trainer.learning_rate=1e-3"]
    return PPO.model_validate(read_group("method", "ppo", *(f"method.{word}" for word in [*own, *overrides])))


def learner_of(family: Family, adapter: str, method: PPO, seed: int = 0) -> ActorCritic:
    """Policy, reference and critic as the PPO stage makes them, of one base."""
    shared = method.critic.kind == "shared"
    run = SimpleNamespace(adapter=ADAPTERS[adapter], model=codec(family).spec, seed=seed)
    stage: Any = SimpleNamespace(run=run, load=lambda _: base_model(family), judge=None)
    roles, _ = load_roles(stage, shared=shared)
    return ActorCritic(
        roles,
        codec(family),
        shared=shared,
        temperature=method.temperature,
        control=KLControl(method.kl),
        guard=CollapseGuard(method.guard),
    ).eval()


def trainer_of(learner: ActorCritic, method: PPO, folder: Path, *, seed: int = 0, **arguments: Any) -> PPOTrainer:
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
    reward = Combined({"table": (1.0, score)})
    rollouts = Rollouts(learner, learner.codec, [ROW], reward, None, method, seed=seed, share=Share(0, 1))
    return PPOTrainer(learner, TrainingArguments(**settings | arguments), rollouts, [ROW], method, lambda *_: None)
