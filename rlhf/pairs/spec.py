"""The frozen spec of `rlhf pairs`: which maker writes which pairs, of which rows, and how style leaks are measured."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rlhf.config import DatasetSpec, HardwareSpec, QuantizationSpec
from rlhf.endpoint_spec import MANNERS, EndpointSpec
from rlhf.inspection_spec import InspectionSpec
from rlhf.inspection_spec import LeakSpec as LeakSpec  # looked for here, too
from rlhf.model_spec import ModelSpec
from rlhf.ppo_spec import RewardSourceSpec
from rlhf.spec import Share, Spec, StageFolder
from rlhf.suggest import did_you_mean

Part = Literal["train", "validation", "test"]
ENDING = ".jsonl"
SLOTS = ("conversation", "answer", "persona")  # of an instruction


def _jsonl(value: str) -> str:
    if not value.endswith(ENDING):
        raise ValueError("is not the name of a jsonl file. Write output=pairs.jsonl")
    return value


class Maker(Spec):
    """What all makers share."""

    shape: ClassVar[Literal["demonstration", "preference"]] = "demonstration"  # of the rows that it reads
    # settings that say how the work is done and change no pair
    indifferent: ClassVar[frozenset[str]] = frozenset({"output", "leaks"})

    output: Annotated[str, AfterValidator(_jsonl)]
    parts: Annotated[list[Part], Field(min_length=1)]  # of the data set, whose rows are used
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    leaks: LeakSpec


class ShareSpec(Spec):
    """How often each kind of bad answer is made; weights, so they need not add up to 1."""

    generic: NonNegativeFloat
    truncated: NonNegativeFloat
    contradiction: NonNegativeFloat

    @model_validator(mode="after")
    def _some(self) -> ShareSpec:
        if not (self.generic or self.truncated or self.contradiction):
            raise ValueError("all of them are 0. Write pairs.shares.generic=1.0")
        return self


class KeptSpec(Spec):
    """The share of an answer's words that is left of it, drawn between two bounds."""

    low: Share
    high: Share

    @model_validator(mode="after")
    def _ordered(self) -> KeptSpec:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high}). Write pairs.kept.low={self.high}")
        return self


class Degrade(Maker):
    """An answer of the data set against a worse one: generic, cut short, or one that contradicts the persona."""

    name: Literal["degrade"]
    shares: ShareSpec
    kept: KeptSpec  # of a truncated answer
    shuffles: NonNegativeInt  # copies of each pair with the persona's sentences in another order
    language: str  # of rows that do not say theirs
    phrases: str | None  # a folder of <language>.yaml files; null: our own, rlhf/pairs/phrases


class Rules(Maker):
    """An answer of the data set against a rude one or one that asks for sensitive data, in balanced halves."""

    name: Literal["rules"]
    language: str
    phrases: str | None


def _judges(value: dict[str, RewardSourceSpec]) -> dict[str, RewardSourceSpec]:
    if not value:
        raise ValueError("nobody judges. Write 'pairs.judges={gold: {kind: gold, weight: 1.0}}'")
    for name, judge in value.items():
        if judge.kind == "stage" and judge.folder is None:
            raise ValueError(f"{name} names no reward stage. Write pairs.judges.{name}.folder=FOLDER")
    return value


class Sample(Maker):
    """The best against the worst of several answers that a policy draws, by what judges say of them."""

    indifferent: ClassVar[frozenset[str]] = Maker.indifferent | {"policy", "judges"}  # whose bytes are compared instead

    name: Literal["sample"]
    policy: StageFolder | None  # a finished stage, or a folder with a model; null: the model of the configuration
    judges: Annotated[dict[str, RewardSourceSpec], AfterValidator(_judges)]  # their weighted sum ranks the answers
    answers: Annotated[int, Field(ge=2)]  # to each prompt
    minimum_margin: NonNegativeFloat  # between the scores of best and worst
    batch_size: PositiveInt  # answers drawn at once
    max_prompt_tokens: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat


def _slots(value: str) -> str:
    for name in re.findall(r"(?<!\{)\{(\w+)\}(?!\})", value):
        if name not in SLOTS:
            raise ValueError(f"there is no slot {name}. {did_you_mean(name, SLOTS)}")
    return value


class Endpoint(Maker, EndpointSpec):
    """Answers that a model behind an OpenAI-compatible chat-completions endpoint writes, by an instruction."""

    place: ClassVar[str] = "pairs"
    # each pair says its own address: an endpoint may come back at another one
    indifferent: ClassVar[frozenset[str]] = Maker.indifferent | MANNERS | {"base_url"}

    name: Literal["endpoint"]
    writes: Literal["rejected", "chosen"]  # which side the model writes; the data set's answer is the other
    system: str | None
    instruction: Annotated[str, AfterValidator(_slots)]  # with {conversation}, {answer}, {persona}


class Votes(Maker):
    """The pairs of a data set as they are: of the feedback store, what people voted for."""

    shape: ClassVar = "preference"
    name: Literal["votes"]


PairsSpec = Annotated[Degrade | Rules | Sample | Endpoint | Votes, Field(discriminator="name")]


class PairsRun(Spec):
    """One call of `rlhf pairs`: the maker, and of the configuration what a maker may need."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    store: str
    model: ModelSpec
    quantization: QuantizationSpec
    dataset: DatasetSpec
    inspection: InspectionSpec  # its bounds are what dataset.strict holds the rows against
    hardware: HardwareSpec
    pairs: PairsSpec
