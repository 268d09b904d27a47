"""Which held-out prompts are sampled: by the evaluation, and on the way by PPO, whose digest has this file alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlhf.config import EvaluationSpec
from rlhf.data.rows import Row


def distinct_prompts(held_out: Sequence[Row], spec: EvaluationSpec) -> list[Row]:
    """Draw up to `spec.prompts` of some rows, each with another prompt; the same ones whatever the rows' order."""
    distinct = {str(row.prompt): place for place, row in enumerate(held_out)}  # places: the rows may fill a disk
    places = [distinct[key] for key in sorted(distinct)]
    random.Random(spec.seed).shuffle(places)
    return [held_out[place] for place in places[: spec.prompts]]
