"""What `method=ppo` refuses at the door: each in one line with its mend, exit code 2, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import QUICK, Here

from rlhf.compose import jobs, parse_words

HH = "dataset=hh_rlhf evaluation.judge=reward"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            "method.kl.estimator=k3",
            ("method.kl.estimator: k3 is a monitor, not an objective", "Use k1 (in the reward)"),
        ),
        ("precision=fp16", ("precision: fp16 overflows in PPO's probability ratios", "Use precision=bf16")),
        ("++method.trainer.num_train_epochs=1", ("num_train_epochs: is set by method.trainer.max_steps and",)),
        ("++method.trainer.per_device_train_batch_size=4", ("is set by method.prompts_per_step. Set it there.",)),
        ("++method.trainer.gradient_accumulation_steps=2", ("is set by method.microbatch_tokens. Set it there.",)),
        ("method.trainer.max_steps=-1", ("max_steps: should be above 0, got -1", "method.trainer.max_steps=100")),
        (
            f"{HH} method.rewards={{g:{{kind:gold,weight:1.0}}}}",
            ("method.rewards.g.kind: the gold reward is known only",),
        ),
        ("method.rewards={g:{kind:godl,weight:1.0}}", ("method.rewards.g.kind: there is no 'godl'", "mean `gold`?")),
        ("method.rewards.judge.folder=nowhere", ("method.rewards.judge.folder: there is no nowhere",)),
        ("method.rewards.juge.weight=2", ("method.rewards.juge: there is no such source; known are judge",)),
        ("method.rewards.judge.weight=0", ("method.rewards.judge.weight: it is 0, so nothing is rewarded",)),
        (
            "method.rewards={}",
            ("method.rewards: it is empty, so nothing is rewarded", "Name a source: method.rewards="),
        ),
        ("~method.rewards.judge", ("method.rewards: it is empty",)),
        ("dataset=bitext evaluation.judge=none", ("method.rewards: a reward model needs pairs and bitext holds",)),
        (
            "+method.rewards.f={kind:function,weight:1.0,name:short}",
            ("rewards.f.name: not of the form module:function",),
        ),
        ("method.minibatches=65", ("method.minibatches: 64 prompts do not make 65 minibatches. Lower method.mini",)),
        ("method.kl.coefficient=0", ("method.kl.coefficient: from 0 neither a target nor a rollback can raise it",)),
        ("model=tiny_bert method.starts_from=base", ("model: tiny_bert is an encoder and cannot be a policy (ppo)",)),
        ("method.max_prompt_tokens=500", ("564 tokens do not fit tiny_gpt2's context of 256", "max_response_tokens")),
        ("method.kl.coeficient=0.2", ("method.kl.coeficient: unknown key", "Did you mean `coefficient`?")),
        ("method.guard.windw=3", ("method.guard.windw: unknown key", "Did you mean `window`?")),
        ("method.prompt_per_step=3", ("method.prompt_per_step: unknown key", "Did you mean `prompts_per_step`?")),
        ("method.rewards.judge.wieght=2", ("method.rewards.judge.wieght: unknown key", "Did you mean `weight`?")),
        ("++method.trainer.learning_rat=1", ("the ppo trainer has no such argument", "Did you mean `learning_rate`?")),
        ("method.guard.on_collapse=stopp", ("should be 'warn', 'stop' or 'rollback'", "Did you mean `stop`?")),
    ],
)
def test_a_mistake_about_ppo_is_refused_before_anything_is_made(
    words: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    here("method=ppo", *words.split(), folder=tmp_path).refused(2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_rewards_given_as_one_mapping_replace_those_of_the_yaml() -> None:
    """Hydra alone would add them to the judge."""
    [(_, run)] = jobs(parse_words(["method=ppo", "method.rewards={mine: {kind: gold, weight: 2.0}}"]))
    assert {name: (source.kind, source.weight) for name, source in run.method.rewards.items()} == {
        "mine": ("gold", 2.0)
    }


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (
            "{kind: function, weight: 1.0, name: 'no_such_module:f'}",
            ("method.rewards.own.name: there is no module no_s",),
        ),
        (
            "{kind: stage, weight: 1.0, folder: nothing}",
            ("rewards.own.folder: nothing is not the folder of a finished",),
        ),
    ],
)
def test_a_source_that_is_not_there_is_told_before_anything_is_trained(
    source: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    done = here("method=ppo", *QUICK, "tracking=none", f"method.rewards={{own: {source}}}", folder=tmp_path)
    done.refused(2, *parts)
    assert not list((tmp_path / "outputs/stages").glob("sft-*"))
