"""How texts are cleaned: an ordered list of steps, checked before any of them runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rlhf.spec import Spec

# what the steps do stands in docs/cleaning.md and rlhf/data/cleaning; without a language they are for English
Step = Literal[
    "mojibake", "html", "urls", "whitespace", "lowercase", "punctuation",
    "emoticons", "emoticons_es", "emoticons_de", "emoticons_fr", "emoticons_it", "emoticons_pt", "emoticons_zh",
    "emojis", "emojis_es", "emojis_de", "emojis_fr", "emojis_it", "emojis_pt", "emojis_zh",
    "spelling", "spelling_es", "spelling_de", "spelling_fr", "spelling_it", "spelling_pt",
]  # fmt: skip
NOTHING_LEFT = {"html": "tags", "urls": "addresses", "emoticons": "emoticons"}  # after `punctuation`


class CleaningSpec(Spec):
    """The steps that every text of a data set goes through, in this order; none leaves the texts as they are."""

    name: str
    steps: list[Step]
    examples: Annotated[int, Field(ge=0, le=20)]  # texts before and after that are printed and tracked

    @model_validator(mode="before")
    @classmethod
    def _is_a_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"is a group of keys. Write cleaning@dataset.cleaning={value}")
        return value

    @field_validator("steps")
    @classmethod
    def _order(cls, steps: list[Step]) -> list[Step]:
        kinds = [_kind(step) for step in steps]
        for at, kind in enumerate(kinds):
            if kind in kinds[:at]:
                raise ValueError(f"{steps[at]} finds nothing after {steps[kinds.index(kind)]}. Write one of them")
            if "punctuation" in kinds[:at] and kind in NOTHING_LEFT:
                later = [step for step in steps if step != "punctuation"]
                last = max(index for index, step in enumerate(later) if _kind(step) in NOTHING_LEFT)
                mended = ",".join([*later[: last + 1], "punctuation", *later[last + 1 :]])
                raise ValueError(
                    f"punctuation leaves no {NOTHING_LEFT[kind]} for {steps[at]} to find. "
                    f"Write dataset.cleaning.steps=[{mended}]"
                )
        return steps


def _kind(step: str) -> str:
    """Return a step without its language; spelling is mended in several, one after the other."""
    return step if step.startswith("spelling") else step.partition("_")[0]
