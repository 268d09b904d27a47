"""A model that generates by other logits than it trains on is stopped at the first rollout, whatever the cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, LogitsProcessorList, TemperatureLogitsWarper

from rlhf.errors import RunFailure
from rlhf.ppo.checks import GAP_EXACT, GAP_ROUNDED, check_generation
from rlhf.ppo.experience import Experience
from tests.ppo.tiny import collected, learner_of, method, trainer_of


class CountsPadding(GPT2LMHeadModel):
    """Positions while generating are columns of the batch, padding included."""

    def prepare_inputs_for_generation(self, input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Overwrite the positions that the parent counts from the mask."""
        found = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        width, fed = input_ids.shape[1], found["input_ids"].shape[1]
        first = 0 if fed > 1 else width - 1
        return found | {"position_ids": torch.arange(first, first + fed).expand(len(input_ids), fed)}


class ForgetsPadding(GPT2LMHeadModel):
    """Generation attends to padding."""

    def generate(self, *given: Any, attention_mask: Tensor, **named: Any) -> Any:
        """Mask nothing."""
        return super().generate(*given, attention_mask=torch.ones_like(attention_mask), **named)


class Sharpens(GPT2LMHeadModel):
    """Generation divides its logits by a temperature of its own."""

    def generate(self, *given: Any, logits_processor: Any, **named: Any) -> Any:
        """Put a processor before those that are given."""
        processors = LogitsProcessorList([TemperatureLogitsWarper(0.7), *logits_processor])
        return super().generate(*given, logits_processor=processors, **named)


def meddling(**settings: Any) -> type[GPT2LMHeadModel]:
    """A model that insists on generation settings of its own."""

    class Meddles(GPT2LMHeadModel):
        def generate(self, *given: Any, generation_config: Any, **named: Any) -> Any:
            generation_config.update(**settings)
            return super().generate(*given, generation_config=generation_config, **named)

    return Meddles


WRONG = {
    "positions": CountsPadding,
    "padding": ForgetsPadding,
    "temperature": Sharpens,
    "suppressed tokens": meddling(suppress_tokens=list(range(20, 200))),
    "repetition penalty": meddling(repetition_penalty=1.5),
    "forced eos": meddling(forced_eos_token_id=3),
}


@pytest.mark.parametrize("cause", WRONG)
def test_a_model_that_generates_otherwise_is_caught(cause: str, tmp_path: Path) -> None:
    asked = method("max_response_tokens=6")
    learner = learner_of("tiny_gpt2", asked)
    learner.roles.policy.__class__ = WRONG[cause]
    with pytest.raises(RunFailure, match="ppo step 0: log-probs of sampled tokens differ by") as caught:
        trainer_of(learner, asked, tmp_path).train()
    assert "generation settings disagree" in str(caught.value) and "\n" not in str(caught.value)


def shifted(found: Experience, by: float) -> Experience:
    return replace(found, logp_generated=torch.where(found.mask, found.logp_old + by, 0.0))


def test_bounds_are_on_every_token_in_float32_and_on_their_mean_where_weights_are_rounded() -> None:
    """Shifts just below and above each bound; one token that is far off is rounding only without `exact`."""
    found = collected(learner_of("tiny_gpt2", method()), method())

    def caught(experience: Experience, *, exact: bool) -> bool:
        try:
            check_generation(experience, lambda values: values, exact=exact, step=7)
        except RunFailure as failure:
            assert str(failure).startswith("ppo step 7: ") and failure.resumable
            return True
        return False

    for exact, bound in ((True, GAP_EXACT), (False, GAP_ROUNDED)):
        assert not caught(shifted(found, 0.9 * bound), exact=exact)
        assert caught(shifted(found, -1.1 * bound), exact=exact)
    one = found.logp_old.clone()
    one[0, 0] += GAP_ROUNDED
    outlier = replace(found, logp_generated=one)
    assert caught(outlier, exact=True) and not caught(outlier, exact=False)
    assert caught(shifted(found, float("nan")), exact=False)
