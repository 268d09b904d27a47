r"""Anthropic/hh-rlhf: two whole transcripts that part at the last Assistant turn (Bai et al. 2022, arXiv 2204.05862).

{"chosen": "\n\nHuman: How tall is K2?\n\nAssistant: 8,611 metres.", "rejected": "\n\nHuman: How tall is K2?\n\nAssistant: Tall."}
"""  # noqa: E501

from __future__ import annotations

import os.path
from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, group_key, pair, text
from rlhf.data.rows import Drop, Row
from rlhf.data.transcripts import TURN, parse
from rlhf.dataset_spec import FileDataset

NEEDS = ("chosen", "rejected")


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Cut both transcripts after the last Assistant turn that they share; the group is the first human turn.

    Cutting both at the chosen prompt's length would corrupt the rows whose prompts differ; those are dropped.
    """
    chosen, rejected = (text(raw, column) for column in NEEDS)
    shared = os.path.commonprefix([chosen, rejected])
    ends = [turn.end() for turn in TURN.finditer(shared) if turn[1] == "Assistant"]
    if not ends or TURN.search(chosen, ends[-1]) or TURN.search(rejected, ends[-1]):
        raise Drop("prompts differ")
    better, worse = pair(chosen[ends[-1] :], rejected[ends[-1] :])
    prompt = as_prompt(parse(shared[: ends[-1]]))
    return Row(prompt, group_key(prompt[0]["content"]), chosen=better, rejected=worse)
