"""What is measured of a data set, and from what share on something is reported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from rlhf.spec import Seed, Share, Spec

Severity = Literal["info", "warning", "error"]
Bound = Annotated[float, Field(ge=0, le=1)] | None  # share above which; null: never


class Bounds(Spec):
    """The shares above which a finding is worth a word, a warning and an error."""

    info: Bound
    warning: Bound
    error: Bound

    @model_validator(mode="after")
    def _rise(self) -> Bounds:
        given = [bound for bound in (self.info, self.warning, self.error) if bound is not None]
        if given != sorted(given):
            raise ValueError("should rise from info over warning to error")
        return self

    def severity(self, share: float) -> Severity | None:
        """Return the highest severity whose bound `share` exceeds; None below all of them."""
        if self.error is not None and share > self.error:
            return "error"
        if self.warning is not None and share > self.warning:
            return "warning"
        return "info" if self.info is not None and share > self.info else None


class FindingsSpec(Spec):
    """One kind of finding each; what its share is of stands in the YAML."""

    broken_rows: Bounds
    empty_texts: Bounds
    equal_pairs: Bounds
    ties: Bounds
    dropped_rows: Bounds
    duplicates: Bounds
    near_duplicates: Bounds
    leaked_prompts: Bounds
    leaked_dialogues: Bounds
    leaked_near_duplicates: Bounds
    leaked_answers: Bounds
    long_prompts: Bounds
    long_answers: Bounds
    over_context: Bounds
    label_imbalance: Bounds
    longer_chosen: Bounds
    other_languages: Bounds
    personal_data: Bounds
    toxic_words: Bounds


class LeakSpec(Spec):
    """How it is measured what style alone gives away of which answer is the chosen one."""

    folds: Annotated[int, Field(ge=2)]
    pairs: PositiveInt  # about so many are measured, whole groups drawn by the seed
    threshold: Share  # accuracy above which the pair set is warned of
    resamples: PositiveInt  # behind the 95% interval
    seed: Seed


class NearDuplicatesSpec(Spec):
    """Prompts that share most of their overlapping pieces of `characters` letters (MinHash, Broder 1997)."""

    characters: PositiveInt
    similarity: Annotated[float, Field(gt=0, le=1)]
    bands: PositiveInt
    band_values: PositiveInt


class InspectionSpec(Spec):
    """How a data set is looked at (`rlhf data`); decides nothing that is trained."""

    name: str
    seed: Seed
    sample: PositiveInt
    bins: PositiveInt
    table_lines: PositiveInt
    distinct: PositiveInt
    examples: PositiveInt
    near_duplicates: NearDuplicatesSpec
    style: LeakSpec
    findings: FindingsSpec
