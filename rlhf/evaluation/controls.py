"""Control lines: what good answers score, and what nonsense scores, on the same questions as every policy.

A metric on which nonsense does as well as the reference answers measures something else than good answers.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from rlhf.data.rows import Row

Role = Literal["reference", "base", "start", "sft", "policy", "echo", "polite", "shuffled", "random"]
NONSENSE: tuple[Role, ...] = ("echo", "polite", "shuffled", "random")
FALLBACK = "en"  # the language of the polite answer where none is written in that of the references
READ = 64  # references, at most, whose language is looked at


def references(questions: Sequence[Row]) -> list[str]:
    """Return the reference answers, empty where a row has none."""
    return [row.completion or "" for row in questions]


def echoes(questions: Sequence[Row]) -> list[str]:
    """Answer each question with its own last user turn."""
    return [next((turn["content"] for turn in reversed(row.prompt) if turn["role"] == "user"), "") for row in questions]


def polite(questions: Sequence[Row]) -> list[str]:
    """Answer every question with one polite sentence, in the language that most references are in."""
    phrases = _phrases()
    return [phrases.get(_language(questions), phrases[FALLBACK])] * len(questions)


def shuffled(texts: Sequence[str], seed: int) -> list[str] | None:
    """Give each question the text of another one; None for fewer than two.

    No question gets its own text, nor one that is equal to it as long as enough others are different: equal texts are
    put side by side on a circle, which is turned by the length of the longest run of them.
    """
    if len(texts) < 2:
        return None
    rng = random.Random(seed)
    alike: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        alike[text.strip()].append(place)
    runs = list(alike.values())
    for run in runs:
        rng.shuffle(run)
    rng.shuffle(runs)
    circle = [place for run in runs for place in run]
    turn = max(map(len, runs)) % len(texts) or 1
    answers = dict(zip(circle, circle[turn:] + circle[:turn], strict=True))
    return [texts[answers[place]] for place in range(len(texts))]


def random_tokens(
    lengths: Sequence[int], vocabulary: Sequence[int], decode: Callable[[list[int]], str], seed: int
) -> list[str]:
    """Draw answers of these many tokens, each token uniformly from the `vocabulary`, and `decode` them."""
    rng = random.Random(seed)
    return [decode(rng.choices(vocabulary, k=length)) for length in lengths]


def ordinary_tokens(tokenizer: Any) -> list[int]:
    """Return the ids of a tokenizer that stand for text: neither special nor reserved."""
    special = {*tokenizer.all_special_ids, *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special)}
    return [index for index in range(len(tokenizer)) if index not in special]


def nonsense(questions: Sequence[Row], codec: Any, seed: int) -> tuple[dict[Role, list[str]], list[str]]:
    """Return the answers of the nonsense lines by role, and a sentence for each that is left out.

    `codec` (`rlhf.models.codec.Codec`) counts the references' tokens and makes text of random ones.
    """
    good = references(questions)
    lines: dict[Role, list[str]] = {"echo": echoes(questions), "polite": polite(questions)}
    notes = []
    turned = shuffled(good, seed)
    if turned is not None:
        lines["shuffled"] = turned
    else:
        notes.append("there is no control line `shuffled`: with one question, no other one has an answer to give")
    lengths = [len(codec.response_ids(text, eos=False)) for text in good]
    lines["random"] = random_tokens(lengths, ordinary_tokens(codec.tokenizer), codec.decode, seed)
    return lines, notes


def _language(questions: Sequence[Row]) -> str:
    """Return the language of most references: what the rows say of it, else what their texts look like."""
    said = Counter(str(row.meta["language"]) for row in questions if row.meta.get("language"))
    if not said:
        from rlhf.data.detect.language import language

        said = Counter(language(text)[0] for text in references(questions)[:READ] if text.strip())
    return said.most_common(1)[0][0] if said else FALLBACK


@cache
def _phrases() -> dict[str, str]:
    import yaml

    text = (files(__package__) / "controls.yaml").read_text(encoding="utf-8")
    return {str(language): str(phrase) for language, phrase in yaml.safe_load(text).items()}
