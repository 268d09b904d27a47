"""The parts of `method=ppo`: KL control, critic, reward sources, collapse guard and sample table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, NonNegativeFloat, PositiveFloat, PositiveInt

from rlhf.spec import Share, Spec, StageFolder


def _refuse_k3(value: Any) -> Any:
    if value == "k3":
        raise ValueError(
            "k3 is a monitor, not an objective: penalised with it, the best policy is not reference x exp(reward / "
            "coefficient), and PPO ends on few strings (PPO with k3 in the reward on an enumerable language model ends "
            "0.25 to 0.42 below the optimum). Use k1 (in the reward) or k2 (as a loss)"
        )
    return value


class KLSpec(Spec):
    """How far the policy may go from its start. Nats per response unless said otherwise."""

    estimator: Annotated[Literal["k1", "k2"], BeforeValidator(_refuse_k3)]  # k1 in the reward, k2 as a loss
    coefficient: NonNegativeFloat  # at the start
    target: PositiveFloat | None  # KL per response that the coefficient is steered to; null: it stays as it is
    horizon: PositiveFloat  # responses in which the coefficient can change by a factor of about 1.2
    ramp: NonNegativeFloat  # responses in which the target rises from 0, as the KL does
    max_update: PositiveFloat | None  # KL(old || new) per token at which a step's update ends early


class CriticSpec(Spec):
    """The value function: a head on the policy's own states (`shared`), or on a trunk (or adapter) of its own."""

    kind: Literal["shared", "separate"]
    learning_rate: PositiveFloat
    coefficient: NonNegativeFloat  # weight of its loss beside the policy's
    clip: PositiveFloat | None


class StageReward(Spec):
    """A reward stage's score: the one trained upstream, or a finished one of any model family in `folder`."""

    kind: Literal["stage"]
    weight: FiniteFloat
    folder: StageFolder | None


class GoldReward(Spec):
    """The toy world's known true reward."""

    kind: Literal["gold"]
    weight: FiniteFloat


class ClassifierReward(Spec):
    """The logit (of two classes or more: the log-odds) of `label` under a sequence classifier on disk or on the hub.

    `output: decision` is +1 if `label` is the predicted class, else -1. It says nothing about how good an answer is, so
    nearly all of a rollout's answers get the same score and nothing is learned: kept to show that, not to be used.
    """

    kind: Literal["classifier"]
    weight: FiniteFloat
    path: str  # folder or hub id
    revision: str | None
    label: str | None  # of two or more classes the accepted one, by name or number; null for a single output
    reads: Literal["answer", "prompt_and_answer", "chat"]  # chat: the conversation in the tokenizer's own template
    output: Literal["logit", "decision"]


class LinearReward(Spec):
    """A scikit-learn linear model on words, fitted when the stage starts to rows of text and +1 or -1."""

    kind: Literal["linear"]
    weight: FiniteFloat
    path: str  # any kind of file that a data set may be
    text: str  # column
    label: str  # column with 1 and -1, 1 and 0, or true and false
    ridge: NonNegativeFloat  # weight of the squared coefficients; 0: ordinary least squares, which learns rows by heart
    output: Literal["score", "decision"]


def _module_and_function(value: str) -> str:
    module, colon, function = value.partition(":")
    if colon and module.endswith(".py"):
        right = f"{module.removesuffix('.py').strip('./').replace('/', '.')}:{function}"
        raise ValueError(f"names a module without its ending. Write {right}")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError("not of the form module:function, for example rlhf.ppo.builtin:length_penalty")
    return value


class FunctionReward(Spec):
    """A Python function of ours or yours: `name` is `module:function`, called as f(prompts, answers) -> numbers.

    `prompts` are conversations, each a list of {"role", "content"}; `answers` are texts; one number for each answer.
    """

    kind: Literal["function"]
    weight: FiniteFloat
    name: Annotated[str, AfterValidator(_module_and_function)]


def place(name: str, key: str | None = None) -> str:
    """Return the config key of reward source `name`, or of one of its settings."""
    return f"method.rewards.{name}" if key is None else f"method.rewards.{name}.{key}"


RewardSourceSpec = Annotated[
    StageReward | GoldReward | ClassifierReward | LinearReward | FunctionReward, Field(discriminator="kind")
]


class GuardSpec(Spec):
    """When a policy counts as collapsing: means over the last `window` steps against the first ones."""

    on_collapse: Literal["warn", "stop", "rollback"]
    window: PositiveInt  # steps
    max_kl_per_token: PositiveFloat  # nats
    min_negative_kl: Annotated[float, Field(lt=0)]  # k1 per response below this is no noise but a fault
    min_entropy: Share  # share of the first steps' entropy
    min_distinct_2: Share  # share of the first steps' distinct-2
    max_length_drift: Annotated[float, Field(gt=1)]  # factor, either way
    min_eos_share: Share  # share of the first steps' share of responses that end by themselves
    min_explained_variance: float  # of the critic, once warm
    max_clip_fraction: Share
    max_ratio: Annotated[float, Field(gt=1)]  # typical factor, either way, between new and old token probabilities
    rollback_factor: Annotated[float, Field(gt=1)]  # the KL coefficient is multiplied by it on a rollback


class SampleTableSpec(Spec):
    """The same held-out prompts answered again every `every` steps, in a table with their scores."""

    every: PositiveInt
    prompts: PositiveInt
