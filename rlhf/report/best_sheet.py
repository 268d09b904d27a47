"""Which line is best, column by column, as a table: the leader beside the line that is hardest to tell from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rlhf.evaluation.comparison.compare import Difference
from rlhf.report.best import Ranked
from rlhf.report.rows import Line, Lines
from rlhf.report.sheets import Sheet, SheetCell, SheetColumn, sheet
from rlhf.report.shown import GOLD, GOLDEN_GAIN, REWARD, REWARD_GAIN, Shown

ABOUT = (
    "Who leads, and the one of the others that is hardest to tell from it. The difference has its 95% interval, on the "
    "same prompts or over seeds; p is corrected for all such comparisons (Bonferroni). A leader is clearly best where "
    "it is clearly better than every other."
)
TWICE = {REWARD: GOLD, REWARD_GAIN: GOLDEN_GAIN}  # the same numbers where the gold reward is the judge
COLUMNS = (
    SheetColumn("", number=False), SheetColumn("leader", number=False), SheetColumn("rival", number=False),
    SheetColumn("difference"), SheetColumn("p"), SheetColumn("verdict", number=False),
)  # fmt: skip


def best_sheets(lines: Lines) -> list[Sheet]:
    """The table; none where no two finished lines have a column that can be ranked and that is shown at first."""
    finished = [line for line in lines.lines if line.role == "policy"]
    names = _names(finished, lines)
    told = {one.shown: one for one in lines.ranked}
    rows = [_row(one, names) for one in lines.ranked if one.shown.first and _says_something(one, told)]
    return [sheet("best", "Which is best", ABOUT, COLUMNS, rows, ())] if rows else []


def _says_something(one: Ranked, told: Mapping[Shown, Ranked]) -> bool:
    """Not so costs that can't be told apart by any test, and the judge's scores where those are the gold ones."""
    twin = told.get(TWICE[one.shown]) if one.shown in TWICE else None
    if twin is not None and replace(twin.difference, metric="") == replace(one.difference, metric=""):
        return False
    return one.difference.p is not None or not one.shown.metric.name.startswith("cost/")


def _names(finished: list[Line], lines: Lines) -> list[str]:
    """How each line is called: by the settings that vary, else by its label."""
    own = [
        " ".join(f"{title}={line.params.get(key) or '-'}" for key, title in lines.params.items()) for line in finished
    ]
    return [told or line.label for told, line in zip(own, finished, strict=True)]


def _row(one: Ranked, names: list[str]) -> tuple[SheetCell, ...]:
    gap = one.difference
    leader, rival = SheetCell(names[one.leader], tone="good" if one.clear else ""), SheetCell(names[one.rival])
    p = "–" if gap.p_holm is None else f"{gap.p_holm:.2g}"
    verdict = "clearly best" if one.clear else "not tested" if gap.p is None else "no clear difference"
    return (
        SheetCell(one.shown.title), leader, rival, _difference(one, gap), SheetCell(p, gap.test),
        SheetCell(verdict, tone="good" if one.clear else "soft"),
    )  # fmt: skip


def _difference(one: Ranked, gap: Difference) -> SheetCell:
    """Leader minus rival, in the metric's own unit, and below it the interval."""
    text = one.shown.text
    ends = "" if gap.low is None or gap.high is None else f"{text(gap.low)} to {text(gap.high)}"
    return SheetCell(text(gap.value), ends, "" if one.clear else "unclear")
