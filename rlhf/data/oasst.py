"""OpenAssistant's ranked answers, as LLaMA-Factory publishes them: `output` lists answers from best to worst.

{"instruction": "And in feet?", "input": "", "output": ["28,251.", "Many.", "No."], "history": [["How tall is K2?", "8,611 m."]]}
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from rlhf.data.columns import as_prompt, first_turn, items, merge, pair, text
from rlhf.data.rows import Drop, Message, Parts, Row
from rlhf.dataset_spec import RankedFile
from rlhf.errors import UserError


def rows(raw: Mapping[str, Any], spec: RankedFile) -> Parts:
    """Make pairs of `all` answers (n(n-1)/2, each judgement that the order holds) or of `adjacent` ones (n-1).

    `history` holds earlier turns. The group is what the user said first: replies within one conversation tree stay
    together. `meta.margin` is how many ranks lie between the two.
    """
    ranked = items(raw, "output", str)
    asked = "\n".join(part for part in (text(raw, "instruction"), text(raw, "input")) if part.strip())
    prompt = as_prompt(merge([*_history(items(raw, "history", list)), {"role": "user", "content": asked.strip()}]))
    if len(ranked) < 2:
        raise Drop("fewer than two answers")
    places = range(len(ranked))
    made, dropped = [], dict[str, int]()
    for better, worse in combinations(places, 2) if spec.comparisons == "all" else pairwise(places):
        try:
            chosen, rejected = pair(ranked[better], ranked[worse])
        except Drop as reason:
            dropped[str(reason)] = dropped.get(str(reason), 0) + 1
            continue
        meta = {"margin": worse - better}
        made.append(Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected, meta=meta))
    return Parts(made, dropped)


def _history(turns: Sequence[list[Any]]) -> list[Message]:
    said = []
    for turn in turns:
        if len(turn) != 2 or not all(isinstance(side, str) for side in turn):
            raise UserError("column 'history'", "not a list of [question, answer]", "Mend the row")
        for role, content in zip(("user", "assistant"), turn, strict=True):
            said.append({"role": role, "content": text({"history": content}, "history").strip()})
    return said
