"""JSON without what json.loads passes over: equal keys, NaN, infinite numbers, and nesting that no row needs."""

from __future__ import annotations

import json
from typing import Any

from rlhf.data.reading.base import has_nul, not_utf8
from rlhf.data.reading.lines import BOM
from rlhf.errors import UserError

DEEPEST = 100  # levels of lists and objects
REMEDY = "Mend the row"


class Faulty(ValueError):
    """JSON that is well-formed but says something twice, or nothing."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Faulty(f"the key {twice[:100]!r} stands twice in one object")
    return made


def _constant(name: str) -> Any:
    raise Faulty(f"{name} is no JSON")


def _number(digits: str) -> float:
    found = float(digits)
    if found in (float("inf"), float("-inf")):
        raise Faulty(f"{digits[:40]} is too large a number")
    return found


STRICT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_number)
LAX = json.JSONDecoder(parse_int=lambda digits: 0)  # only to find where a faulty value ends


def fault(error: Exception) -> str:
    """Say in one sentence what the decoder stumbled upon."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, column {error.colno})"
    if isinstance(error, RecursionError):
        return f"not JSON that can be read (nested more than {DEEPEST} deep)"
    if isinstance(error, Faulty):
        return str(error)
    return "a whole number of thousands of digits"  # Python refuses to read one, for it takes forever


def too_deep(text: str | bytes, value: Any) -> bool:
    """Whether a value, read from this text, is nested deeper than `DEEPEST`; nearly all are told by counting."""
    opened = text.count("{") + text.count("[") if isinstance(text, str) else text.count(b"{") + text.count(b"[")
    if opened <= DEEPEST:
        return False
    level, depth = [value], 0
    while level:
        depth += any(isinstance(one, dict | list) for one in level)
        if depth > DEEPEST:
            return True
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
    return False


def parse_line(place: str, line: bytes) -> Any:
    """Return what a line of JSON says, or the UserError that describes it."""
    try:
        text = line.rstrip().removeprefix(BOM).decode("utf-8")  # files that were put together keep their marks inside
        value = STRICT.decode(text)
    except UnicodeDecodeError as error:
        return not_utf8(place, error.start + 1)
    except (ValueError, RecursionError) as error:
        if b"\0" in line:
            return has_nul(place, line.index(b"\0") + 1)
        remedy = "Write one JSON object per line" if isinstance(error, json.JSONDecodeError) else REMEDY
        return UserError(place, fault(error), remedy)
    if too_deep(line, value):
        return UserError(place, fault(RecursionError()), REMEDY)
    return value
