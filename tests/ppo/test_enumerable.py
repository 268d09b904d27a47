"""PPO reaches the exact optimum beta log Z of a language model whose 1296 strings are all enumerated.

GPT-2 in full on rewards drawn for each string by itself; adapters and MT5 on rewards of letters and pairs, since models
of this size cannot express the best policy for the others. How near TRL 1.12 comes: scripts/bench_ppo_optimum.py.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.ppo.enumerable import (
    RATES,
    ROW,
    codec,
    learner_of,
    measure,
    method_of,
    reached,
    scorer,
    settings,
    string_logprobs,
    trainer_of,
)
from tests.ppo.enumerable_model import BETA, LETTERS, STRINGS, TABLES, Family, Table

FAMILIES: tuple[Family, ...] = ("causal", "seq2seq")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (2, 3, 4))])
@pytest.mark.parametrize(
    ("family", "adapter", "table"),
    [
        ("causal", "full", "strings"),
        ("causal", "lora", "pairs"),
        ("seq2seq", "full", "pairs"),
        ("seq2seq", "lora", "pairs"),
    ],
)
def test_ppo_reaches_the_optimum(family: Family, adapter: str, table: Table, seed: int, tmp_path: Path) -> None:
    found = reached(family, adapter, table, seed, tmp_path)
    assert found.mass == pytest.approx(1.0, abs=1e-9)
    assert 0 <= found.gap < 0.02
    assert found.kl > 0.4  # far from the reference, so that it is no wonder that it is near


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_k2_as_a_loss_reaches_the_same_optimum(family: Family, tmp_path: Path) -> None:
    assert 0 <= reached(family, "full", "pairs", 0, tmp_path, "kl.estimator=k2").gap < 0.02


@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_strings_are_sampled_as_often_as_the_trained_policy_says(family: Family, adapter: str, tmp_path: Path) -> None:
    """Chi-square over the strings after a few steps: rollouts come from the policy as it is now, not as it was."""
    method = settings("pairs")
    learner = learner_of(family, adapter, method)
    trainer = trainer_of(learner, method, tmp_path, max_steps=4, learning_rate=RATES[family, adapter])
    trainer.train()
    assert measure(learner).kl > 0.01
    index = {string: place for place, string in enumerate(STRINGS)}
    drawn = trainer.rollouts.collect([ROW] * 4000, 0, 10).response_ids
    counts = torch.bincount(torch.tensor([index[tuple(ids)] for ids in drawn]), minlength=len(STRINGS))
    for role, fits in (("policy", True), ("reference", False)):
        expected = 4000 * string_logprobs(learner, role).exp()
        often = expected > 5
        cells = int(often.sum())
        excess = float(((counts - expected).square() / expected)[often].sum()) - cells
        assert (abs(excess) < 4 * math.sqrt(2 * cells)) == fits, (role, excess, cells)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gap_is_beta_times_the_kl_to_the_optimum(family: Family) -> None:
    """And the model writes letters only: its strings' probabilities sum to 1."""
    learner = learner_of(family, "full", method_of())
    with torch.no_grad():
        learner.roles.policy.get_output_embeddings().weight *= 1.5
    found = measure(learner)
    logp, reference = string_logprobs(learner, "policy"), string_logprobs(learner, "reference")
    tilted = reference + TABLES["pairs"] / BETA
    best = tilted - torch.logsumexp(tilted, 0)
    assert found.mass == pytest.approx(1.0, abs=1e-9)
    assert found.kl > 0.01
    assert found.gap == pytest.approx(BETA * float(logp.exp() @ (logp - best)), abs=1e-9)
    assert found.reward == pytest.approx(
        sum(math.exp(p) * r for p, r in zip(logp.tolist(), TABLES["pairs"].tolist(), strict=True))
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_looked_up_by_their_text(family: Family) -> None:
    """The codec's text of every string leads to its own reward."""
    texts = [codec(family).decode(list(string)) for string in STRINGS[::97]]
    assert texts[1] == " ".join(LETTERS[place] for place in STRINGS[97])
    for table, rewards in TABLES.items():
        assert scorer(table)([], texts) == rewards[::97].tolist()
