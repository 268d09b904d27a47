r"""QA-Feedback (Wu et al. 2023, arXiv 2306.01693): four predictions to a question, compared two by two.

{"question": "What is brine?", "passages": [["Brine", "Brine\n\nBrine is salty water.", "It is used on roads."]],
 "gold": "Salty water.", "prediction 1": "Water.", "prediction 2": "Salty water.", "prediction 3": "Salt.",
 "prediction 4": "Ice.", "feedback": "{}", "preference": [2, 1, 1, 2, 2, 0]}
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from rlhf.data.columns import clean, group_key, items, pair, shown, text, user_prompt
from rlhf.data.rows import Drop, Parts, Row
from rlhf.dataset_spec import FileDataset
from rlhf.errors import UserError

COMPARED = tuple(combinations((1, 2, 3, 4), 2))  # the order of `preference`: 1v2, 1v3, 1v4, 2v3, 2v4, 3v4
TIE = "tie"


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Parts:
    """Make a pair of each comparison: 1 says that the first is better, 2 the second, 0 that they are alike.

    The prompt is the passages and then the question; the group is the question.
    """
    question = text(raw, "question").strip()
    prompt = user_prompt("\n\n".join([*map(_passage, items(raw, "passages", list)), f"Question: {question}"]))
    if not question:
        raise Drop("the prompt is empty")
    said = {number: text(raw, f"prediction {number}") for number in (1, 2, 3, 4)}
    votes = items(raw, "preference", int)
    if len(votes) != len(COMPARED) or not set(votes) <= {0, 1, 2}:
        raise UserError("column 'preference'", f"{shown(votes)} is not six of 0, 1 and 2", "Mend the row")
    made, dropped = [], dict[str, int]()
    for (first, second), vote in zip(COMPARED, votes, strict=True):
        try:
            if vote == 0:
                raise Drop(TIE)
            better, worse = (first, second) if vote == 1 else (second, first)
            chosen, rejected = pair(said[better], said[worse])
            made.append(Row(prompt, group_key(question), chosen=chosen, rejected=rejected))
        except Drop as reason:
            dropped[str(reason)] = dropped.get(str(reason), 0) + 1
    return Parts(made, dropped)


def _passage(passage: list[Any]) -> str:
    r"""Write `[title, "title\n\nfirst sentence", more sentences]` as a title and a paragraph."""
    title, *sentences = (clean(part, "passages").strip() for part in passage) if passage else ("",)
    paragraph = " ".join(sentences).removeprefix(title).strip()
    return f"{title}\n{paragraph}".strip()
