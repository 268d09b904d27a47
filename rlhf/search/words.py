"""Words of the command line as Hydra reads them: which of them a search holds fixed, and which are its parameters."""

from __future__ import annotations

from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from hydra.errors import HydraException
from pydantic import ValidationError

from rlhf.errors import UserError
from rlhf.search.spec import CategoricalParam, FloatParam, IntParam, ParamSpec

OWN = ("search=", "search.", "+search.", "++search.", "hydra.", "hydra/", "+hydra.", "++hydra.")


def parted(overrides: tuple[str, ...]) -> tuple[list[str], dict[str, ParamSpec]]:
    """Part the words that hold in all jobs from those that name several values, which become parameters."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    fixed: list[str] = []
    swept: dict[str, ParamSpec] = {}
    for word in overrides:
        try:
            (parsed,) = parser.parse_overrides([word])
        except HydraException:
            raise UserError(word, "this is not KEY=VALUE", "Quote values with spaces: 'key=\"a b\"'") from None
        if not parsed.is_sweep_override():
            fixed.append(word)
        elif word.startswith(OWN):
            raise UserError(word, "a search has one value of it", "Give one")
        else:
            swept[parsed.get_key_element()] = _param(parsed)
    return fixed, swept


def _param(override: Any) -> ParamSpec:
    """Turn a swept word (`a,b`, `interval(1,2)`, `range(1,8)`, `tag(log, interval(1,2))`) into a parameter."""
    sweep = override.value()
    word, tags = override.input_line, {str(tag) for tag in getattr(sweep, "tags", ())}
    if unknown := tags - {"log", "int", "float"}:
        raise UserError(word, f"there is no tag {sorted(unknown)[0]}", "Write tag(log, interval(LOW, HIGH))")
    log = "log" in tags
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None and sweep.end is not None
        whole = "int" in tags or (isinstance(sweep.start, int) and isinstance(sweep.end, int))
        return _number(word, whole, sweep.start, sweep.end, log, None)
    if isinstance(sweep, RangeSweep):
        assert sweep.start is not None and sweep.stop is not None
        values = list(sweep.range())
        whole = all(isinstance(value, int) for value in values)
        return _number(word, whole, min(values), max(values), log, None if log else abs(sweep.step))
    assert isinstance(sweep, ChoiceSweep)
    choices = [getattr(choice, "text", choice) for choice in override.sweep_iterator()]
    return _made(word, CategoricalParam, {"type": "categorical", "choices": choices})


def _number(word: str, whole: bool, low: float, high: float, log: bool, step: float | None) -> ParamSpec:
    if whole:
        values = {"type": "int", "low": int(low), "high": int(high), "log": log, "step": int(step or 1)}
        return _made(word, IntParam, values)
    return _made(word, FloatParam, {"type": "float", "low": float(low), "high": float(high), "log": log, "step": step})


def _made(word: str, kind: type[FloatParam | IntParam | CategoricalParam], values: dict[str, Any]) -> ParamSpec:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(word, error.errors()[0]["msg"].removeprefix("Value error, "), "Write other values") from None
