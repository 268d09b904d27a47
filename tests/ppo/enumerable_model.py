"""A language model whose whole output space is enumerated (six letters, four steps, 1296 strings), without rlhf.

With a fixed reward r for each string, the policy that maximises J = E[r] - beta KL(policy || reference) is known, and
so is what it reaches: J* = beta log sum_y reference(y) exp(r(y) / beta). The gap J* - J of a trained policy is
beta KL(policy || optimum), a number without any noise of sampling.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, MT5Config, MT5ForConditionalGeneration

Family = Literal["causal", "seq2seq"]
Table = Literal["pairs", "strings"]

LETTERS, STEPS = "abcdef", 4
PAD, EOS, ASK = 6, 7, 8  # ids behind the letters; ASK is all that the prompt says
NEVER = -1e4  # a logit whose probability is 0 in float32
BETA = 0.5
STRINGS = tuple(itertools.product(range(len(LETTERS)), repeat=STEPS))


def rewards_of_pairs() -> Tensor:
    """Rewards of all strings (1296,), mean 0, variance 1: letters and pairs of neighbours have values of their own.

    An MT5 of this size, and adapters on a frozen GPT-2, can express the best policy for these. On values drawn for each
    string by itself, 240 to 300 steps of gradient ascent on the exact objective left such an MT5 0.06 to 0.5 below it.
    """
    generator = torch.Generator().manual_seed(1)
    one = torch.randn(len(LETTERS), generator=generator).double()
    two = torch.randn(len(LETTERS), len(LETTERS), generator=generator).double()
    ids = torch.tensor(STRINGS)
    values = one[ids].sum(1) + two[ids[:, :-1], ids[:, 1:]].sum(1)
    return (values - values.mean()) / values.std()


TABLES = {
    "pairs": rewards_of_pairs(),
    "strings": torch.randn(len(STRINGS), generator=torch.Generator().manual_seed(1)).double(),
}


def base_model(family: Family, table: Table, seed: int = 0) -> Any:
    """A small model with random weights that writes letters only, and not all of them equally often.

    Its weights are wide where rewards are of pairs. For those of strings narrow ones are the better start, with some
    letters more likely: exact gradient ascent comes within 0.01 from there. An MT5 is not yet bridged (`as_causal`).
    """
    ids = {"vocab_size": len(LETTERS) + 3, "pad_token_id": PAD, "eos_token_id": EOS}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if family == "causal":
            sizes = {"n_positions": 8, "n_embd": 64, "n_layer": 2, "n_head": 2}
            sizes |= {"initializer_range": 0.2 if table == "pairs" else 0.02}
            model: Any = GPT2LMHeadModel(GPT2Config(bos_token_id=EOS, **sizes, **ids))
        else:
            sizes = {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2, "initializer_factor": 0.4}
            model = MT5ForConditionalGeneration(MT5Config(decoder_start_token_id=PAD, **sizes, **ids))
            for name, weight in model.named_parameters():
                if "relative_attention_bias" in name:  # as in a trained model, heads look at different distances
                    nn.init.normal_(weight, std=2.0)
        head = nn.Linear(64, len(LETTERS) + 3)
        with torch.no_grad():
            if table == "strings":
                model.transformer.wte.weight[: len(LETTERS)] += 0.1 * torch.randn(len(LETTERS), 64)
                model.transformer.ln_f.bias += 0.1 * torch.randn(64)
                head.weight.copy_(model.transformer.wte.weight)
            else:
                nn.init.normal_(head.weight, std=0.08 if family == "causal" else 0.15)
    head.bias.data = torch.tensor([0.0] * len(LETTERS) + [NEVER] * 3)
    head.bias.requires_grad_(False)
    model.all_tied_weights_keys.clear()
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(head)
    return model.eval()


def of_strings(logits: Tensor) -> Tensor:
    """Log-probabilities of all strings (1296,) in float64 from the logits (1296, 4, vocabulary) of their steps."""
    return torch.log_softmax(logits.double(), -1).gather(2, torch.tensor(STRINGS)[..., None]).squeeze(-1).sum(1)


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


def exact(logp: Tensor, reference: Tensor, table: Table) -> Found:
    """Sum over every string; both log-probabilities are (1296,)."""
    rewards = TABLES[table]
    reward, kl = float(logp.exp() @ rewards), float(logp.exp() @ (logp - reference))
    optimum = BETA * float(torch.logsumexp(reference + rewards / BETA, 0))
    return Found(reward - BETA * kl, optimum, reward, kl, float(logp.exp().sum()))
