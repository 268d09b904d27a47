"""One pass over all rows: lengths, turns, speakers, kinds (intents, categories, ...), traits, distinct texts."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from typing import Any

from rlhf.data.inspect.numbers import summary
from rlhf.data.inspect.texts import answers, asked, rows_of, short_hash, words
from rlhf.data.rows import Corpus, Row
from rlhf.inspection_spec import InspectionSpec

UNITS = ("characters", "words")
FIRST = ("intent", "category", "language", "source")  # tables that a reader looks for, in this order
HIDDEN = ("persona", "links", "flags", "time")  # traits have a table of their own; digests and times are no kinds


class Counted:
    """Counters that rows are added to; what they keep grows with distinct values, and by eight bytes a text."""

    def __init__(self, spec: InspectionSpec) -> None:
        self.spec = spec
        self.lengths: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)  # (part, unit)
        self.kinds: dict[str, Counter[str] | None] = {}  # None: too many distinct values for a table
        self.figures: dict[str, list[float]] = {}  # number, sum, least and most of a field of numbers
        self.traits: Counter[str] = Counter()
        self.personas: set[int] = set()
        self.several = False  # whether any persona has more than one trait
        self.longer = {"chosen": 0, "rejected": 0, "equal": 0}
        self.seen = {"prompts": array("Q"), "answers": array("Q")}

    def add(self, row: Row) -> None:
        """Count one row."""
        question, replies = asked(row), answers(row)
        for part, text in (("prompt", question), *replies.items()):
            self.lengths[part, "characters"][len(text)] += 1
            self.lengths[part, "words"][words(text)] += 1
        spoken = [turn["role"] for turn in row.prompt if turn["role"] != "system"]
        self.lengths["dialogue", "turns"][len(spoken) + 1] += 1
        self.lengths["dialogue", "speakers"][len({*spoken, "assistant"})] += 1
        self.seen["prompts"].append(short_hash(question))
        self.seen["answers"].extend(short_hash(reply) for reply in replies.values())
        if row.chosen is not None:
            ahead = len(row.chosen) - len(row.rejected or "")
            self.longer["equal" if ahead == 0 else "chosen" if ahead > 0 else "rejected"] += 1
        self._meta(row)

    def _meta(self, row: Row) -> None:
        for key, value in row.meta.items():
            if key == "persona":
                self._persona(value)
            elif key in HIDDEN or value is None or value == "":
                continue
            elif isinstance(value, str | bool):
                self._kind(key, str(value).lower() if isinstance(value, bool) else value)
            elif isinstance(value, int | float):
                number, total, least, most = self.figures.get(key, [0, 0.0, value, value])
                self.figures[key] = [number + 1, total + value, min(least, value), max(most, value)]

    def _kind(self, key: str, value: str) -> None:
        table = self.kinds.setdefault(key, Counter())
        if table is not None:
            table[value] += 1
            if len(table) > self.spec.distinct:
                self.kinds[key] = None

    def _persona(self, value: Any) -> None:
        """Count the traits of a persona once, in however many rows it speaks."""
        traits = value if isinstance(value, list | tuple) else str(value).split("\n")
        traits = [str(trait).strip() for trait in traits if str(trait).strip()]
        if len(traits) == 1:
            self._kind("persona", traits[0])
        self.several |= len(traits) > 1
        if (known := short_hash("\n".join(traits))) not in self.personas:
            self.personas.add(known)
            self.traits.update(dict.fromkeys(traits, 1))

    def told(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        import numpy

        bars = self.spec.bins
        lengths = [{"part": p, "unit": u} | summary(counts, bars) for (p, u), counts in self.lengths.items()]
        shown = [key for key in self.kinds if key != "persona" or not self.several]
        kinds = sorted(shown, key=lambda key: (FIRST.index(key) if key in FIRST else len(FIRST), key))
        tables = [self._table(key, counts, "rows") for key in kinds if (counts := self.kinds[key]) is not None]
        if self.several:
            tables.append(self._table("persona trait", self.traits, f"{len(self.personas)} personas"))
        figures = [
            {"field": key, "rows": int(number), "mean": total / number, "min": least, "max": most}
            for key, (number, total, least, most) in self.figures.items()
        ]
        return {
            "lengths": lengths,
            "tables": tables,
            "no_tables": [key for key in kinds if self.kinds[key] is None],
            "figures": figures,
            "longer": self.longer if sum(self.longer.values()) else None,
            "distinct": {name: len(numpy.unique(seen)) for name, seen in self.seen.items()},
        }

    def _table(self, name: str, counts: Counter[str], of: str) -> dict[str, Any]:
        total = sum(counts.values()) if of == "rows" else len(self.personas)
        shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        lines = [{"value": v, "count": n, "share": n / total} for v, n in shown[: self.spec.table_lines]]
        rest = sum(n for _, n in shown[self.spec.table_lines :])
        return {"name": name, "of": of, "total": total, "distinct": len(counts), "lines": lines, "rest": rest}


def count(corpus: Corpus, spec: InspectionSpec) -> dict[str, Any]:
    """Count all rows of a corpus."""
    counted = Counted(spec)
    for _, row in rows_of(corpus):
        counted.add(row)
    return counted.told()
