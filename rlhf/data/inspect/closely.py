"""What is slow to tell, looked at in some rows of a large set: tokens, languages, personal data, rude words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlhf.data.detect import personal, toxic
from rlhf.data.detect.language import language
from rlhf.data.inspect.numbers import summary
from rlhf.data.inspect.texts import answers, asked, sides
from rlhf.data.rows import Corpus, Row
from rlhf.inspection_spec import InspectionSpec

HARMLESS = ("placeholder", "invented")  # finds that are nobody's


@dataclass(frozen=True)
class Tokens:
    """A model's way of counting: tokens of the prompt and of each answer, uncut, and how many there is room for."""

    model: str
    count: Callable[[Row], Mapping[str, int]]  # part (prompt, answer, chosen, rejected) -> tokens
    max_prompt: int
    max_response: int
    context: int
    together: bool  # whether prompt and answer share the context (a causal model), or have one each


class Closely:
    """Counters of what was found; no text is kept."""

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens
        self.rows = 0
        self.lengths: dict[str, Counter[int]] = defaultdict(Counter)
        self.over: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal_rows = 0
        self.kinds: dict[str, Counter[str]] = {"rows": Counter(), "found": Counter()}
        self.rude: dict[str, Counter[str]] = {"rows": Counter(), "found": Counter()}
        self.parts: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Look at one row."""
        self.rows += 1
        self.languages[language(asked(row))[0]] += 1
        texts = {"prompt": [turn["content"] for turn in row.prompt]}
        texts |= {part: [text] for part, text in answers(row).items()}
        finds = {part: [_finds(text) for text in own] for part, own in texts.items()}
        found = Counter(kind for own in finds.values() for kinds, _ in own for kind in kinds)
        self.kinds["found"].update(found)
        self.kinds["rows"].update(found.keys())
        self.personal_rows += any(kind not in HARMLESS for kind in found)
        for part, own in finds.items():
            rude = sum(words for _, words in own)
            self.parts[part] += 1
            self.rude["rows"][part] += rude > 0
            self.rude["found"][part] += rude
        if self.tokens is not None:
            self._measure(self.tokens, row)

    def _measure(self, tokens: Tokens, row: Row) -> None:
        counts = dict(tokens.count(row))
        for part, count in counts.items():
            self.lengths[part][count] += 1
        prompt = counts.pop("prompt")
        longest = max(counts.values())
        self.over["prompt"] += prompt > tokens.max_prompt
        self.over["response"] += longest > tokens.max_response
        self.over["context"] += (prompt + longest if tokens.together else max(prompt, longest)) > tokens.context

    def told(self, bars: int) -> dict[str, Any]:
        """Return what was found as plain values."""
        kinds = self.kinds["found"].most_common()
        return {
            "rows": self.rows,
            "languages": [{"value": v, "count": n, "share": n / self.rows} for v, n in self.languages.most_common()],
            "personal": {
                "rows": self.personal_rows,
                "kinds": [
                    {"kind": k, "what": personal.KINDS[k], "found": n, "rows": self.kinds["rows"][k]} for k, n in kinds
                ],
            },
            "toxic": [
                {"part": part, "texts": count, "rows": self.rude["rows"][part], "found": self.rude["found"][part]}
                for part, count in self.parts.items()
            ],
            "tokens": self._tokens(self.tokens, bars) if self.tokens else None,
        }

    def _tokens(self, tokens: Tokens, bars: int) -> dict[str, Any]:
        limits = {"prompt": tokens.max_prompt, "response": tokens.max_response, "context": tokens.context}
        lengths = [
            {"part": part, "unit": "tokens", "limit": tokens.max_prompt if part == "prompt" else tokens.max_response}
            | summary(counts, bars)
            for part, counts in self.lengths.items()
        ]
        over = [{"limit": name, "tokens": limit, "rows": self.over[name]} for name, limit in limits.items()]
        return {"model": tokens.model, "lengths": lengths, "over": over, "together": tokens.together}


@lru_cache(maxsize=4096)  # the turns of a dialogue come again with each of its answers
def _finds(text: str) -> tuple[tuple[str, ...], int]:
    """Return the kinds of personal data in a text, each as often as it is there, and how many rude words."""
    return tuple(one.kind for one in personal.find(text)), len(toxic.find(text))


def look_closely(
    corpus: Corpus, places: Sequence[tuple[str, int]], spec: InspectionSpec, tokens: Tokens | None
) -> dict[str, Any]:
    """Look at the rows at `places`."""
    parts = sides(corpus)
    found = Closely(tokens)
    for name, at in places:
        found.add(parts[name][at])
    return found.told(spec.bins)
