"""PersonaChat, true-cased (Zhang et al. 2018, arXiv 1801.07243): one turn per record; the last candidate was said.

{"personality": ["I have a dog.", "I am a cook."], "candidates": ["I fly planes.", "Hello, I am cooking."],
 "history": ["Hi, what are you doing?"], "conv_id": 0, "utterance_idx": 0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import answer, as_prompt, group_key, items, merge
from rlhf.data.rows import Drop, Row
from rlhf.dataset_spec import FileDataset


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take what was said, with the speaker's persona as the system message; the group is that persona.

    Every dialogue is there twice, once from each side. The side that opens it (its partner is silent at first) is
    left out, so that no dialogue stands on both sides of a split.
    """
    persona = "\n".join(line.strip() for line in items(raw, "personality", str) if line.strip())
    history, candidates = items(raw, "history", str), items(raw, "candidates", str)
    if not persona:
        raise Drop("the persona is empty")
    if history and "SILENCE" in history[0].upper() and len(history[0].split()) <= 3:
        raise Drop("the same dialogue from the side that opens it")
    if not candidates:
        raise Drop("the answer is empty")
    # the partner speaks last in `history`, so that roles are counted from its end
    turns = [
        {"role": ("user", "assistant")[(len(history) - 1 - at) % 2], "content": said.strip()}
        for at, said in enumerate(history)
    ]
    prompt = as_prompt(merge([{"role": "system", "content": persona}, *turns]))
    meta = {"persona": persona, "language": "en"}
    return Row(prompt, group_key(persona), completion=answer(candidates[-1]), meta=meta)
