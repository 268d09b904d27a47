"""What the tests of text metrics share: tools that need no model, and texts of every kind."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Tools

WORDS = (
    "the",
    "order",
    "arrives",
    "on",
    "Monday.",
    "¿Dónde",
    "está?",
    "您的订单",
    "到了。",
    "ご注文",
    "🙂",
    "5,50",
    "a",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join) | st.text(max_size=12)
PLAIN = st.text(alphabet="abcAB01 .,'-_!", max_size=40)


def pairs_of(texts: st.SearchStrategy[str], least: int = 1) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(texts, texts), min_size=least, max_size=6)


def tools(resamples: int = 50, seed: int = 0, logprob: float = -1.0) -> Tools:
    """The base model gives every word, and the end of the answer, the same log-prob."""
    return Tools(
        train=lambda shape: [],
        logprobs=lambda questions, texts: ([logprob] * (len(text.split()) + 1) for text in texts),
        judge=lambda: None,
        resamples=resamples,
        seed=seed,
        store=Path("unused"),
        say=lambda line: None,
    )


def row(answer: str | None, **fields) -> Row:
    return Row(({"role": "user", "content": "?"},), "group", completion=answer, **fields)
