"""Share of predictions that are recognisably in the language of their reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.data.detect.language import language
from rlhf.evaluation.modules import described
from rlhf.evaluation.text.words import same_language


class SameLanguage(evaluate.Metric):
    """`compute(predictions=, references=)` -> {"same_language"}; None where no reference's language is recognised."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float | None]:
        each = same_language([language(text)[0] for text in predictions], [language(text)[0] for text in references])
        told = [value for value in each if value is not None]
        return {"same_language": sum(told) / len(told) if told else None}
