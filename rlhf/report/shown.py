"""Which metrics the report page has columns for, how each is written, and what its interval and its zero are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rlhf.evaluation import metrics as names
from rlhf.report.cells import duration, memory


@dataclass(frozen=True)
class Shown:
    """A metric as a column: `null` is the value of a comparison that says "no difference", None for no comparison."""

    title: str
    metric: names.Metric
    interval: tuple[names.Metric, names.Metric] | None
    null: float | None
    first: bool  # shown without being asked for
    text: Callable[[float], str]
    what: str  # number | money | seconds | bytes: what a spreadsheet formats it as


def plain(value: float) -> str:
    """Four digits, as many as a reader can use."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "-infinite"}.get(value, "NaN")
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 10000 else f"{value:.3g}"


def gain(value: float) -> str:
    """The same with its sign."""
    return ("+" if value >= 0 else "") + plain(value)


def usd(value: float) -> str:
    """`$3.20`, `$0.0031`, `$2.3e-05`, `-$0.40`."""
    size = abs(value)
    text = f"{size:.2f}" if size >= 1 or size == 0 else f"{size:.4f}" if size >= 0.0005 else f"{size:.1e}"
    return f"{'-' if value < 0 else ''}${text}"


def energy(value: float) -> str:
    """Four digits, also of a run that took seconds."""
    return f"{value:.4g}"


GAIN = (names.FINAL_REWARD_DIFFERENCE_LOW, names.FINAL_REWARD_DIFFERENCE_HIGH)
GOLD_GAIN = (names.FINAL_REWARD_GOLD_DIFFERENCE_LOW, names.FINAL_REWARD_GOLD_DIFFERENCE_HIGH)
WINS = (names.FINAL_WIN_RATE_LOW, names.FINAL_WIN_RATE_HIGH)
RIGHT = (names.FINAL_ACCURACY_LOW, names.FINAL_ACCURACY_HIGH)
LOSS = Shown("loss", names.FINAL_LOSS, None, None, True, plain, "number")
NLL = Shown("nll", names.FINAL_NLL, None, None, False, plain, "number")
DISTINCT = Shown("distinct", names.FINAL_DISTINCT_2, None, None, False, plain, "number")
MARGIN = Shown("margin", names.FINAL_MARGIN, None, None, False, gain, "number")
REWARD = Shown("reward", names.FINAL_REWARD, None, None, True, plain, "number")
GOLD = Shown("gold", names.FINAL_REWARD_GOLD, None, None, True, plain, "number")
KL = Shown("KL", names.FINAL_KL, None, None, True, plain, "number")
WIN_RATE = Shown("win rate", names.FINAL_WIN_RATE, WINS, 0.5, True, plain, "number")
REWARD_GAIN = Shown("reward gain", names.FINAL_REWARD_DIFFERENCE, GAIN, 0.0, True, gain, "number")
GOLDEN_GAIN = Shown("gold gain", names.FINAL_REWARD_GOLD_DIFFERENCE, GOLD_GAIN, 0.0, True, gain, "number")
USD = Shown("USD", names.COST_USD, None, None, False, usd, "money")
_PIPELINE = {metric.name: metric for metric in names.PIPELINE_COSTS}
PIPELINE_USD = Shown("total USD", _PIPELINE["cost/pipeline_usd"], None, None, True, usd, "money")
PIPELINE_TIME = Shown("total time", _PIPELINE["cost/pipeline_seconds"], None, None, True, duration, "seconds")
COLUMNS: tuple[Shown, ...] = (
    LOSS,
    NLL,
    REWARD,
    REWARD_GAIN,
    GOLD,
    GOLDEN_GAIN,
    WIN_RATE,
    Shown("accuracy", names.FINAL_ACCURACY, RIGHT, 0.5, True, plain, "number"),
    Shown("by length", names.FINAL_ACCURACY_LENGTH_RULE, None, None, True, plain, "number"),
    Shown("by words", names.FINAL_ACCURACY_BAG_OF_WORDS, None, None, True, plain, "number"),
    KL,
    Shown("KL per token", names.FINAL_KL_PER_TOKEN, None, None, False, plain, "number"),
    MARGIN,
    Shown("length", names.FINAL_RESPONSE_TOKENS, None, None, False, plain, "number"),
    Shown("ended", names.FINAL_EOS_SHARE, None, None, False, plain, "number"),
    DISTINCT,
    USD,
    PIPELINE_USD,
    Shown("time", names.COST_SECONDS, None, None, False, duration, "seconds"),
    PIPELINE_TIME,
    Shown("memory", names.COST_PEAK_MEMORY_BYTES, None, None, False, memory, "bytes"),
    Shown("kWh", names.COST_KWH, None, None, False, energy, "number"),
    Shown("samples/s", names.COST_SAMPLES_PER_SECOND, None, None, False, plain, "number"),
)
