"""Specs of the evaluation: how answers are sampled and judged, and the settings of every suite that reads them.

A suite adds its spec's class here and one field of its own name to `EvaluationSpec`; its values lie in
`conf/suite/<name>.yaml`, which `conf/evaluation/default.yaml` composes at that field.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from rlhf.endpoint_spec import EndpointSpec
from rlhf.spec import Fraction, Seed, Share, Spec, StageFolder, WeightsFolder


def _names(value: Any) -> Any:
    """One name is a list of it; a name that is given twice counts once."""
    names = [value] if isinstance(value, str) else value
    return list(dict.fromkeys(names)) if isinstance(names, list | tuple) else value


class EngagementWeights(Spec):
    """What the parts of study S1's engagement score weigh."""

    questions: Annotated[float, Field(ge=0, le=1)]
    empathy: Annotated[float, Field(ge=0, le=1)]
    length: Annotated[float, Field(ge=0, le=1)]
    variety: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _whole(self) -> EngagementWeights:
        if abs(self.questions + self.empathy + self.length + self.variety - 1) > 1e-6:
            raise ValueError("the weights must add up to 1")
        return self


class EngagementSpec(Spec):
    """Study S1's engagement score: weights of its parts, and what earns the whole of one."""

    weights: EngagementWeights
    full_length: PositiveInt  # words
    full_empathy: PositiveInt  # markers
    empathy_markers: list[str]


class NLISpec(Spec):
    """A model of natural language inference: which one, how it is read, when its word counts. `model: null` is none."""

    model: WeightsFolder | None
    revision: str | None
    labels: list[Literal["entailment", "neutral", "contradiction"]] | None
    batch_size: PositiveInt
    max_tokens: Annotated[int, Field(ge=16)]
    device: Literal["auto", "cpu", "cuda"]
    entailment: Share
    contradiction: Share


class PersonaSpec(Spec):
    """Persona consistency and engagement of answers."""

    consistency_rows: PositiveInt
    engagement_rows: PositiveInt
    keyword_letters: PositiveInt
    engagement: EngagementSpec
    nonsense: str  # a line that shows what the engagement score can be had for
    nli: NLISpec


class HitsSpec(Spec):
    """How often a model ranks the true answer first (ConvAI2)."""

    candidates: Annotated[int, Field(ge=2)]
    rows: PositiveInt
    batch_size: PositiveInt


class SimulationSpec(Spec):
    """Conversations of a policy with a user, scripted (`user: null`) or another policy."""

    dialogues: PositiveInt
    turns: PositiveInt
    user: StageFolder | None
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    persona: PersonaSpec


NAMED, ENDPOINT = "named", "endpoint"  # judges that are no folder; a folder of such a name is ./endpoint


class JudgeEndpoint(EndpointSpec):
    """A chat model that is shown two answers and says which is better."""

    place: ClassVar[str] = "evaluation.preference.endpoint"

    questions: PositiveInt
    seed: Seed
    system: str | None
    instruction: str  # with {conversation}, {first} and {second}

    @field_validator("instruction")
    @classmethod
    def _slots(cls, value: str) -> str:
        missing = [slot for slot in ("{conversation}", "{first}", "{second}") if slot not in value]
        if missing:
            raise ValueError(f"does not say where {missing[0]} goes")
        return value


class PreferenceSpec(Spec):
    """Which answers are preferred, by whom, and how a reward model is measured on held-out pairs."""

    judge: StageFolder  # named: by evaluation.judge | endpoint | folder of a finished reward stage
    bins: PositiveInt
    binning: Literal["fixed", "adaptive"]
    subsets: list[str]  # keys of a row's meta
    least: PositiveInt
    shown: NonNegativeInt
    endpoint: JudgeEndpoint


class ImplicitSpec(Spec):
    """On which held-out pairs a policy's implicit reward is measured."""

    beta: PositiveFloat
    pairs: PositiveInt
    batch_size: PositiveInt


class BestOfNSpec(Spec):
    """How many answers of a policy the judge chooses from."""

    numbers: Annotated[list[PositiveInt], Field(min_length=1)]
    questions: PositiveInt
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat


class TaskSpec(Spec):
    """What an answer must serve and keep: its question's intent, placeholders, numbers and names."""

    intent: str | None  # name in the rows' meta; None leaves it out
    category: str | None
    train_rows: PositiveInt
    shared_answers: Annotated[float, Field(ge=0, le=1)]
    classes: PositiveInt
    digits: PositiveInt
    similarity: Annotated[float, Field(gt=0, le=1)]


class LatencySpec(Spec):
    """How answers are timed, one at a time and many together."""

    questions: PositiveInt
    warmup: NonNegativeInt
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    bins: PositiveInt


# how sacreBLEU cuts texts into words: those of its tokenizers that ask for no download and no other package
Tokenizer = Literal["13a", "intl", "char", "zh", "none"]


class TextSpec(Spec):
    """What texts tell by themselves and beside their references."""

    tokenize: Tokenizer | Literal["auto"]
    self_bleu_answers: Annotated[int, Field(ge=2)]
    window: PositiveInt  # words
    encoder: WeightsFolder | None
    revision: str | None
    layer: PositiveInt | None
    batch_size: PositiveInt
    device: Literal["auto", "cpu", "cuda"]


class ToxicitySpec(Spec):
    """A sequence classifier that reads answers, for example for toxicity. `model: null` is none."""

    model: WeightsFolder | None
    revision: str | None
    label: str | None  # name or number of the class that counts; null for a single output
    threshold: Share
    batch_size: PositiveInt
    max_tokens: Annotated[int, Field(ge=8)]
    device: Literal["auto", "cpu", "cuda"]


class SafetySpec(Spec):
    """What answers ask for and reveal, how rude they are, and what they refuse."""

    languages: Annotated[list[Literal["en", "es", "zh", "de", "fr"]], Field(min_length=1)]
    region: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None  # ISO 3166
    public: list[str]
    opening: PositiveInt  # sentences
    rude: Fraction
    least_recall: Share
    classifier: ToxicitySpec


class EvaluationSpec(Spec):
    """How every policy is measured: the same prompts, sampling settings, judge and suites whatever trained it."""

    name: str
    prompts: PositiveInt
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    judge: Literal["gold", "reward", "none"]
    table_rows: PositiveInt
    bootstrap: PositiveInt
    baseline_pairs: PositiveInt  # training pairs, at most, that a reward model's bag-of-words baseline learns from
    seed: Seed
    suites: Annotated[list[str], BeforeValidator(_names)]  # names of the fields below
    text: TextSpec
    preference: PreferenceSpec
    implicit: ImplicitSpec
    best_of_n: BestOfNSpec
    persona: PersonaSpec
    hits: HitsSpec
    simulation: SimulationSpec
    task: TaskSpec
    safety: SafetySpec
    latency: LatencySpec


def suite_names() -> list[str]:
    """Return the names of all suites: the fields of `EvaluationSpec` that hold a suite's settings."""
    fields = EvaluationSpec.model_fields.items()
    return [name for name, field in fields if isinstance(field.annotation, type) and issubclass(field.annotation, Spec)]
