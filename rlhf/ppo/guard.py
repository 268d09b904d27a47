"""The collapse guard: reads every step's measurements and says which symptom a sick policy shows, and what to turn.

Levels are means over the last `window` steps; what is normal is what the first `window` steps showed. Nothing is judged
before those are over, but two things: a metric that is no number, and a sudden fall of diversity or entropy, which two
steps in a row must show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf.evaluation.ppo import metrics as names
from rlhf.ppo_spec import GuardSpec

WATCHED = tuple(
    metric.name
    for metric in (
        names.KL_K1, names.KL_K1_PER_TOKEN, names.POLICY_ENTROPY, names.RESPONSE_DISTINCT_2, names.RESPONSE_REPETITION,
        names.RESPONSE_TOKENS, names.RESPONSE_EOS_SHARE, names.VALUE_EXPLAINED_VARIANCE, names.POLICY_CLIP_FRACTION,
        names.POLICY_LOG_RATIO_SIZE,
    )
)  # fmt: skip
LOUDER_KL = "raise method.kl.coefficient, set or lower method.kl.target"
SMALLER_STEPS = "lower method.trainer.learning_rate or method.epochs"

Values = dict[str, float]  # by metric name; NaN where nothing was measured


@dataclass(frozen=True)
class Symptom:
    """One sign of a collapse: `message` is a sentence with the numbers, what they mean and the knob to turn."""

    name: str
    message: str


@dataclass(frozen=True)
class Fall:
    """A metric that should not sink below a share of what the first steps showed."""

    symptom: str
    metric: str
    bound: str  # the share's name in `GuardSpec`
    meaning: str  # and the knob to turn


DIVERSITY = (
    Fall(
        "entropy",
        names.POLICY_ENTROPY.name,
        "min_entropy",
        f"the policy has stopped exploring; {LOUDER_KL} or {SMALLER_STEPS}",
    ),
    Fall(
        "distinct_2",
        names.RESPONSE_DISTINCT_2.name,
        "min_distinct_2",
        f"responses repeat themselves or one another, the reward is exploited; {LOUDER_KL} or {SMALLER_STEPS}",
    ),
)
ENDING = Fall(
    "eos_share",
    names.RESPONSE_EOS_SHARE.name,
    "min_eos_share",
    "responses no longer end; raise method.missing_eos_penalty or method.max_response_tokens",
)


class CollapseGuard(nn.Module):
    """Judges each step. A module, so that a resumed or rolled back run remembers what the guard had seen."""

    first: Tensor  # (window, watched) float64: the first steps, NaN before they are there
    recent: Tensor  # (window, watched) float64: the newest steps, the newest last
    known: Tensor  # () int64: rows of `first` that are there
    seen: Tensor  # () int64: steps since the start or the last rollback
    healthy: Tensor  # () bool: the newest step was judged by every sign and showed none

    def __init__(self, spec: GuardSpec) -> None:
        super().__init__()
        self.spec = spec
        nothing = torch.full((spec.window, len(WATCHED)), math.nan, dtype=torch.float64)
        self.register_buffer("first", nothing)
        self.register_buffer("recent", nothing.clone())
        self.register_buffer("known", torch.tensor(0))
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("healthy", torch.tensor(False))

    def check(self, metrics: Mapping[str, float]) -> list[Symptom]:
        """Take in one step's metrics (see `ppo_metrics`) and return its symptoms: none if healthy."""
        step = self._remember(metrics)
        found = [*self._not_finite(metrics), *self._sudden_falls()]
        judgeable = step >= self.spec.window
        if judgeable:
            start, level = _named(self.first.nanmean(dim=0)), _named(self.recent.nanmean(dim=0))
            told = {symptom.name for symptom in found}
            judged = [*self._distance(level), *self._answers(start, level), *self._update(level, step)]
            found += [symptom for symptom in judged if symptom.name not in told]
        self.healthy.fill_(judgeable and not found)
        return found

    def forget(self) -> None:
        """Forget the newest steps after a rollback; what is normal stays known, if that many steps were seen."""
        self.recent.fill_(math.nan)
        self.seen.zero_()
        self.healthy.fill_(False)  # until a window is full again, nobody can know
        if int(self.known) < self.spec.window:
            self.first.fill_(math.nan)
            self.known.zero_()

    def _remember(self, metrics: Mapping[str, float]) -> int:
        """Take a step into the buffers; what is not finite counts as not measured. Returns the steps seen."""
        numbers = [metrics[name] if math.isfinite(metrics[name]) else math.nan for name in WATCHED]
        row = self.recent.new_tensor(numbers)
        self.recent.copy_(torch.cat([self.recent[1:], row[None]]))
        if int(self.known) < self.spec.window:
            self.first[int(self.known)] = row
            self.known += 1
        self.seen += 1
        return int(self.seen)

    def _not_finite(self, metrics: Mapping[str, float]) -> Iterator[Symptom]:
        if lost := sorted(name for name, value in metrics.items() if not math.isfinite(value)):
            yield Symptom(
                "not_finite",
                f"{', '.join(lost)}: no finite number, so the update overflowed or met an empty batch; lower "
                "method.trainer.learning_rate, and use bf16 or fp32 instead of fp16",
            )

    def _sudden_falls(self) -> Iterator[Symptom]:
        """The newest step against the best of the first ones, as far as they are there: collapse can be quick.

        The step before must have come half the way: one odd step of few answers is no collapse.
        """
        if self.spec.window == 1:  # levels are single steps then
            return
        before, newest = (_named(row) for row in self.recent[-2:])
        best = _named(self.first.nan_to_num(-math.inf).amax(dim=0))
        for fall in DIVERSITY:
            if before[fall.metric] < (1 + getattr(self.spec, fall.bound)) / 2 * best[fall.metric]:
                yield from self._fallen(fall, best, newest)

    def _fallen(self, fall: Fall, start: Values, level: Values) -> Iterator[Symptom]:
        bound, usual, value = getattr(self.spec, fall.bound), start[fall.metric], level[fall.metric]
        if value < bound * usual:
            yield Symptom(
                fall.symptom,
                f"{fall.metric} fell to {value:.3g} from {usual:.3g} in the first steps, below method.guard."
                f"{fall.bound}={bound:g} of it: {fall.meaning}",
            )

    def _distance(self, level: Values) -> Iterator[Symptom]:
        """How far from the reference."""
        spec = self.spec
        value = level[names.KL_K1_PER_TOKEN.name]
        if value > spec.max_kl_per_token:
            yield Symptom(
                "kl_per_token",
                f"{names.KL_K1_PER_TOKEN.name} is {value:.3g} nats, above method.guard.max_kl_per_token="
                f"{spec.max_kl_per_token:g}: the policy has left the reference's language, where rewards mislead; "
                f"{LOUDER_KL}",
            )
        value = level[names.KL_K1.name]
        if value < spec.min_negative_kl:
            yield Symptom(
                "negative_kl",
                f"{names.KL_K1.name} is {value:.3g} nats, below method.guard.min_negative_kl={spec.min_negative_kl:g}: "
                "a KL cannot be negative, so responses are not drawn from the distribution that log-probs are taken "
                "of; look at method.temperature and at the model's generation settings, and use fp32",
            )

    def _answers(self, start: Values, level: Values) -> Iterator[Symptom]:
        """What the responses look like against the first ones."""
        spec = self.spec
        for fall in DIVERSITY:
            yield from self._fallen(fall, start, level)
        name = names.RESPONSE_REPETITION.name
        if 1 - level[name] < spec.min_distinct_2 * (1 - start[name]):
            yield Symptom(
                "repetition",
                f"{name} is {level[name]:.3g} after {start[name]:.3g} in the first steps, and the rest below "
                f"method.guard.min_distinct_2={spec.min_distinct_2:g} of its start: responses loop; {LOUDER_KL}",
            )
        name = names.RESPONSE_TOKENS.name
        shortest, longest = start[name] / spec.max_length_drift, start[name] * spec.max_length_drift
        if level[name] < shortest or level[name] > longest:
            yield Symptom(
                "length",
                f"{name} is {level[name]:.3g} after {start[name]:.3g} in the first steps, more than a factor "
                f"method.guard.max_length_drift={spec.max_length_drift:g}: the reward follows length; {LOUDER_KL}, or "
                "add a length penalty to method.rewards",
            )
        yield from self._fallen(ENDING, start, level)

    def _update(self, level: Values, step: int) -> Iterator[Symptom]:
        """How the optimizer fares."""
        spec = self.spec
        value = level[names.VALUE_EXPLAINED_VARIANCE.name]
        warm = step >= 2 * spec.window  # none of the first steps, whose critic knows nothing yet, is in the mean
        if warm and value < spec.min_explained_variance:
            yield Symptom(
                "explained_variance",
                f"{names.VALUE_EXPLAINED_VARIANCE.name} is {value:.3g}, below method.guard.min_explained_variance="
                f"{spec.min_explained_variance:g}: the critic misleads the policy; change method.critic.learning_rate, "
                "or set method.critic.kind=separate",
            )
        value = level[names.POLICY_CLIP_FRACTION.name]
        if value > spec.max_clip_fraction:
            yield Symptom(
                "clip_fraction",
                f"{names.POLICY_CLIP_FRACTION.name} is {value:.3g}, above method.guard.max_clip_fraction="
                f"{spec.max_clip_fraction:g}: an update moves the policy too far from the one that sampled; "
                f"{SMALLER_STEPS}, or lower method.kl.max_update",
            )
        value = math.exp(level[names.POLICY_LOG_RATIO_SIZE.name])  # the plain ratio is 1 on average whatever happens
        if value > spec.max_ratio:
            yield Symptom(
                "ratio",
                f"exp({names.POLICY_LOG_RATIO_SIZE.name}) is {value:.3g}, above method.guard.max_ratio="
                f"{spec.max_ratio:g}: the policy outran its samples; {SMALLER_STEPS}, or lower method.kl.max_update",
            )


def _named(row: Tensor) -> Values:
    return dict(zip(WATCHED, row.tolist(), strict=True))
