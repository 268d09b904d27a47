"""The specs of data sets: the toy world, and files and published sets by what their format can be told.

A format's own settings stand in the spec of its kind alone, so that a key which says nothing for a format is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rlhf.cleaning_spec import CleaningSpec
from rlhf.spec import Share, Spec

Holds = Literal["pairs", "demonstrations", "labels"]


class SplitSpec(Spec):
    """Shares of groups (not rows) held out; the same group is never on both sides.

    With `folds`, the groups fall into that many parts and part `fold` is the test part: `test` says nothing then.
    """

    validation: Share
    test: Share
    seed: int
    folds: Annotated[int, Field(ge=2)] | None
    fold: NonNegativeInt  # from 0 on

    @model_validator(mode="after")
    def _can_be_cut(self) -> SplitSpec:
        if wrong := self.wrong():
            raise ValueError(". ".join(wrong))
        return self

    def wrong(self) -> tuple[str, str] | None:
        """Say what cannot be cut so, and what to write instead."""
        if self.folds is None and self.fold:
            return f"fold {self.fold} without folds", "Add dataset.split.folds=K, or leave dataset.split.fold out"
        if self.folds is not None and self.fold >= self.folds:
            return f"there is no fold {self.fold} of {self.folds}", f"Take dataset.split.fold=0 to {self.folds - 1}"
        test = self.test if self.folds is None else 1 / self.folds
        if self.validation + test >= 1:
            problem = f"validation {self.validation} and test {test:g} leave nothing to train on"
            return problem, "Make them add up to less than 1"
        return None


class ToyDataset(Spec):
    """The toy world: dialogues, a known gold reward and a noisy annotator, all from one seed."""

    name: str
    format: Literal["support_toy"]
    rows: PositiveInt
    seed: int
    languages: list[Literal["en", "es"]]
    multi_turn_share: Annotated[float, Field(ge=0, le=1)]
    annotator_noise: Annotated[float, Field(ge=0, lt=0.5)]  # share of pairs whose preference is flipped
    limit: PositiveInt | None
    fraction: Annotated[float, Field(gt=0, le=1)]
    strict: bool  # whether warnings of the inspection are errors
    split: SplitSpec


class ReadingSpec(Spec):
    """How files are taken in: bounds against damaged ones and those made to fill a machine; how large ones are read."""

    name: str
    max_row_mb: PositiveFloat  # 10^6 bytes of one line, row or record; a larger one is a broken row
    max_sheet_mb: PositiveFloat  # unpacked size of an xlsx file, part of which is held in memory
    max_unpacked_gb: PositiveFloat  # 10^9 bytes that one packed file may unpack to
    max_unpacked_ratio: PositiveFloat  # and how many times its size, beyond its first 100 MB
    stream_over_mb: NonNegativeFloat  # a source of more 10^6 bytes is not held in memory: it becomes a mapped file
    workers: PositiveInt | None  # processes that read such a source; null: one for each core


class FileDataset(Spec):
    """What every data set from the hub, or from a local copy of it (`path`), is told; each kind below adds its own.

    `format` names a module of `rlhf.data` with a function `rows`.
    """

    holds: ClassVar[Holds]

    name: str
    format: str
    hub_id: str | None
    hub_config: str | None  # data_dir or configuration name on the hub
    revision: str | None
    path: str | None
    cleaning: CleaningSpec
    reading: ReadingSpec
    limit: PositiveInt | None
    fraction: Annotated[float, Field(gt=0, le=1)]
    max_bad_rows: Annotated[int, Field(ge=0)]
    strict: bool  # whether warnings of the inspection are errors
    split: SplitSpec

    @property
    def has_pairs(self) -> bool:
        """Whether its rows hold a chosen and a rejected answer."""
        return self.holds == "pairs"

    @property
    def content(self) -> str:
        """What its rows are, in words for messages."""
        return "answers that were judged one by one" if self.holds == "labels" else self.holds


class PairFile(FileDataset):
    """A prompt with a better and a worse answer."""

    holds: ClassVar[Holds] = "pairs"
    format: Literal[
        "hh_rlhf",
        "rm_single_context",
        "ultrafeedback_binarized",
        "dpo_mix",
        "qa_feedback",
        "feedback_export",
        "feedback",
        "pairs",
    ]


class RankedFile(FileDataset):
    """Answers in order, best first; `comparisons` says which two of them make a pair."""

    holds: ClassVar[Holds] = "pairs"
    format: Literal["oasst"]
    comparisons: Literal["adjacent", "all"]


class LabelFile(FileDataset):
    """One answer with a judgement, good or bad."""

    holds: ClassVar[Holds] = "labels"
    format: Literal["kto_mix"]


class TaskmasterFile(FileDataset):
    """One step of an agent with a judgement; `api_calls` says whether steps that call an API are answers, too."""

    holds: ClassVar[Holds] = "labels"
    format: Literal["taskmaster_reward"]
    api_calls: Literal["drop", "keep"]


class AnswerFile(FileDataset):
    """One prompt and one answer per record."""

    holds: ClassVar[Holds] = "demonstrations"
    format: Literal["tourism_pairs", "personachat"]


PACKAGED = "rlhf:"  # what a path begins with that is a file of this package


def _packaged(value: str | None) -> str | None:
    if value is None or not value.startswith(PACKAGED):
        return value
    return str(Path(__file__).parent / value.removeprefix(PACKAGED))


class AdversarialFile(FileDataset):
    """Prompts that try to make an assistant misbehave, harmless ones that look alike, and a safe answer to each."""

    holds: ClassVar[Holds] = "demonstrations"
    format: Literal["adversarial_prompts"]
    path: Annotated[str | None, AfterValidator(_packaged)]


class DialogueFile(FileDataset):
    """Whole dialogues; `turns` says which of their answers are rows: each of them, or the last."""

    holds: ClassVar[Holds] = "demonstrations"
    format: Literal["synthetic_persona_chat", "blended_skill_talk", "multiwoz", "sgd_travel", "crosswoz"]
    turns: Literal["each", "last"]


class BitextFile(FileDataset):
    """Questions and answers with placeholders such as `{{Order Number}}`, kept or filled with made values."""

    holds: ClassVar[Holds] = "demonstrations"
    format: Literal["bitext"]
    placeholders: Literal["keep", "fill"]
    placeholder_seed: int  # of the values that `fill` writes


class TableFile(FileDataset):
    """Any columns; `columns` names which of the file's hold what."""

    format: Literal["table"]
    columns: dict[str, str | None]  # canonical name -> column of the file, null: none

    @property
    def mapped(self) -> dict[str, str]:
        """The columns that are named."""
        return {name: column for name, column in self.columns.items() if column is not None}

    @property
    def holds(self) -> Holds:  # type: ignore[override]  # of this kind, the columns tell
        """What its columns say that it holds."""
        return "pairs" if "chosen" in self.mapped else "labels" if "label" in self.mapped else "demonstrations"


FileSpec = (
    PairFile
    | RankedFile
    | LabelFile
    | TaskmasterFile
    | AnswerFile
    | AdversarialFile
    | DialogueFile
    | BitextFile
    | TableFile
)
DatasetSpec = Annotated[ToyDataset | FileSpec, Field(discriminator="format")]
FILE_FORMATS: tuple[str, ...] = tuple(
    name for kind in get_args(FileSpec) for name in get_args(kind.model_fields["format"].annotation)
)
