"""What a reader must be told beside the numbers: what taught a run, an equal baseline, a gain that is noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rlhf.alike import all_alike
from rlhf.config import DPO, PPO, SFT, MethodSpec, Reward, Run

LN2 = math.log(2)
FAR_OFF = 0.3  # share of the target by which a KL may end beside it, unmentioned
KINDS = {"stage": "reward stage", "gold": "gold reward", "linear": "linear model"}  # others are called by their name
JUDGES = {"gold": "the gold reward (evaluation.judge=gold)", "reward": "the reward stage (evaluation.judge=reward)"}

Curves = Mapping[str, Sequence[Sequence[float]]]  # metric, such as train/loss -> (training step, value) in order


def no_learning_loss(method: MethodSpec) -> float | None:
    """The loss of a model that tells no answer from another, where the method has such a line: ln 2 for pairs."""
    if isinstance(method, Reward) or (isinstance(method, DPO) and method.loss_type == ["sigmoid"]):
        return LN2
    return None


def loss_baseline(method: MethodSpec) -> dict[str, float]:
    """The same by the name that a plot gives it; empty where there is no such line."""
    loss = no_learning_loss(method)
    return {} if loss is None else {"ln 2, nothing learned": loss}


def loss_unit(method: MethodSpec) -> str:
    """What the method's loss is measured in; for losses without a likelihood of pairs, just that it is one."""
    if isinstance(method, SFT):
        return "nats per token"
    return "loss" if no_learning_loss(method) is None else "nats per pair"


def kl_target(method: MethodSpec) -> dict[str, float]:
    """The KL that the method steers to, by the name that a plot gives it; empty where it steers to none."""
    return {"KL target": method.kl.target} if isinstance(method, PPO) and method.kl.target is not None else {}


def trained_on(method: MethodSpec) -> str:
    """The weighted sum of reward sources that teaches the method: each by name, kind and weight; empty without any."""
    parts = []
    for name, source in method.reward_sources.items():
        kind = KINDS.get(source.kind, source.kind)
        if source.kind == "stage" and source.folder is not None:
            kind += f" {source.folder}"
        parts.append(f"{name} ({kind}) x {source.weight}")
    return " + ".join(parts)


def judged_by(run: Run) -> str:
    """Whose scores of a policy's answers are called its reward; empty where nobody judges."""
    return JUDGES.get(run.evaluation.judge, "") if run.method.trains_policy else ""


def notes_before(method: MethodSpec) -> list[str]:
    """Return what the settings say before anything is trained: controls that cannot do anything in this run."""
    if not isinstance(method, PPO) or method.kl.target is None:
        return []
    responses = _responses(method)
    if method.kl.ramp > responses:
        return [
            f"method.kl.ramp={method.kl.ramp:g} is longer than the run, which samples {responses} responses "
            "(method.trainer.max_steps x method.prompts_per_step): the KL is steered to "
            f"{_target_at_end(method):.2g} at its end, not to method.kl.target={method.kl.target:g}. "
            "Lower the ramp or raise the steps"
        ]
    if method.kl.horizon <= responses:
        return []
    return [
        f"method.kl.horizon={method.kl.horizon:g} is longer than the run, which samples {responses} responses "
        "(method.trainer.max_steps x method.prompts_per_step): the KL coefficient stays near "
        f"{method.kl.coefficient:g} and will hardly steer to method.kl.target. Lower the horizon or raise the steps"
    ]


def _target_at_end(method: PPO) -> float | None:
    """The KL that the last step is steered to: all of the target, or as far as the ramp has come."""
    if method.kl.target is None:
        return None
    return method.kl.target * min(1.0, _responses(method) / method.kl.ramp if method.kl.ramp else 1.0)


def _responses(method: PPO) -> int:
    """How many answers the run samples, over all of its steps."""
    return int(method.trainer["max_steps"] * method.prompts_per_step)


def _kl_beside_target(method: MethodSpec, metrics: Mapping[str, float], curves: Curves) -> str | None:
    """Say that PPO's KL ended far from where it was steered to, and which knob moves it there."""
    if not isinstance(method, PPO):
        return None
    target, ended = _target_at_end(method), metrics.get("final/kl")
    if target is not None and (steered := curves.get("train/kl/target")):
        target = steered[-1][1]  # rollbacks lower it
    if target is None or ended is None or abs(ended / target - 1) <= FAR_OFF:
        return None
    if method.kl.ramp > _responses(method):
        return (
            f"the KL ended at {ended:.2f} nats per response while its target still rose: {target:.2g} at the last "
            f"step, of {method.kl.target:g} (method.kl.ramp={method.kl.ramp:g})"  # what to do was told before the run
        )
    off = f"the KL ended at {ended:.2f} nats per response, {abs(ended / target - 1):.0%} "
    if ended > target:
        return f"{off}above its target of {target:.2g}: raise method.kl.coefficient or method.trainer.max_steps"
    return f"{off}below its target of {target:.2g}: lower method.kl.coefficient or raise method.trainer.max_steps"


def _same_scores(curves: Curves) -> str | None:
    """Say that no answer was scored above another, at each step of PPO or at half of them: nothing is learned there."""
    means = {step: mean for step, mean in curves.get("train/reward/score", ())}
    spreads = curves.get("train/reward/score_std", ())
    flat = [step for step, spread in spreads if all_alike(means[step], spread)]
    if not flat or 2 * len(flat) < len(spreads):
        return None
    when = "every logged step" if len(flat) == len(spreads) else f"{len(flat)} of {len(spreads)} logged steps"
    return (
        f"at {when} the reward gave all answers the same score (mean {means[flat[-1]]:.4g}, standard deviation 0), "
        "from which nothing can be learned: see what the sources of method.rewards say of single answers"
    )


def warnings_of(method: MethodSpec, metrics: Mapping[str, float], curves: Curves) -> list[str]:
    """Return one sentence per finding; an empty list says that none of them applies."""
    found = [same] if (same := _same_scores(curves)) else []
    margin, error = metrics.get("final/margin"), metrics.get("final/margin_se")
    if margin is not None and error is not None and margin <= error:
        found.append(
            f"no preference was learned: held-out margin {margin:.4f} is not above 0 by its standard error {error:.4f}"
        )
    accuracy = metrics.get("final/accuracy")
    for name, words in (("length_rule", "choosing by length"), ("bag_of_words", "single words without the prompt")):
        baseline = metrics.get(f"final/accuracy_{name}")
        if accuracy is not None and baseline is not None and baseline >= metrics["final/accuracy_low"]:
            found.append(f"{words} scores {baseline:.3f}, the reward model {accuracy:.3f}: not clearly better")
    kinds = [("reward_difference", "judge reward"), ("reward_gold_difference", "gold reward")]
    judged = metrics.get("final/reward_difference")
    if judged is not None and judged == metrics.get("final/reward_gold_difference"):
        kinds = kinds[1:]  # the gold reward is the judge
    for name, words in kinds:
        low, high = metrics.get(f"final/{name}_low"), metrics.get(f"final/{name}_high")
        if low is not None and high is not None and low <= 0 <= high:
            found.append(f"the gain in {words} is within its noise: 95% interval [{low:.3f}, {high:.3f}] holds 0")
        elif high is not None and high < 0:
            found.append(f"{words} fell: 95% interval [{low:.3f}, {high:.3f}] lies below 0")
    sick = metrics.get("final/symptom_steps", 0.0)
    if sick:
        found.append(f"the guard saw symptoms of collapse at {sick:.0f} training steps: see the tags collapse.*")
    if beside := _kl_beside_target(method, metrics, curves):
        found.append(beside)
    share = metrics.get("final/eos_share")
    if method.trains_policy and share is not None and share < 0.5:
        found.append(f"only {share:.0%} of the answers end by themselves: raise evaluation.max_new_tokens")
    return found
