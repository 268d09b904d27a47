"""Which line of a comparison is clearly best in which column, and in which columns none can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rlhf.evaluation.comparison.compare import Difference, leading
from rlhf.report.compared import RESAMPLES, SEED, Beside, known_values, measured
from rlhf.report.seeds import Group
from rlhf.report.shown import DISTINCT, LOSS, MARGIN, NLL, REWARD, REWARD_GAIN, WIN_RATE, Shown

if TYPE_CHECKING:
    from rlhf.report.rows import Line

JUDGED = (REWARD, REWARD_GAIN, WIN_RATE)  # not to be compared where another judge scored
OBJECTIVE, TRAINER = ("method", "experiment", "search"), "method.trainer."  # settings that change what a loss is


def on_other_scales(groups: Sequence[Group], params: Iterable[str], judges_differ: bool) -> set[Shown]:
    """The columns in which these groups are not to be ranked: other judges, objectives or tokenizers measured them."""
    names = [str(group.jobs[0].outcome["name"]).partition("-") for group in groups if group.finished]
    methods, models = {method for method, _, _ in names}, {model for _, _, model in names}
    objectives = len(methods) > 1 or any(key.startswith(OBJECTIVE) and not key.startswith(TRAINER) for key in params)
    apart = set(JUDGED) if judges_differ else set()
    apart |= {NLL, DISTINCT} if len(models) > 1 else set()  # per token, and models cut texts into other tokens
    apart |= {LOSS, MARGIN} if objectives else set()
    return apart | ({LOSS} if len(models) > 1 and methods == {"sft"} else set())


@dataclass(frozen=True)
class Ranked:
    """The leader of a column, and the rival that is hardest to tell from it: the difference is leader minus rival."""

    shown: Shown
    leader: int  # place among the finished lines
    rival: int
    difference: Difference
    clear: bool  # whether the leader is clearly better than every other line that has a value


def mark_best(finished: Sequence[Line], scored: Sequence[Sequence[Beside]], columns: Sequence[Shown]) -> list[Ranked]:
    """Mark in each column the line that is clearly better than every other that has one; return what was compared.

    Scores of single questions are paired; where there are none, seeds of both sides must tell. Quality on other
    questions is not ranked at all. All tests are corrected for their number (Bonferroni).
    """
    rankable = {shown: known for shown in columns if len(known := _known(finished, scored, shown)) > 1}
    family = sum(len(known) - 1 for known in rankable.values())
    ranked = [_ranked(shown, known, scored, family) for shown, known in rankable.items()]
    for one in ranked:
        if one.clear:
            finished[one.leader].best.add(one.shown.metric.name)
    return ranked


def _known(finished: Sequence[Line], scored: Sequence[Sequence[Beside]], shown: Shown) -> dict[int, list[float]]:
    """The values of each line that has some, by its place; none of quality that was measured on other questions."""
    name = shown.metric.name
    known = {place: own for place, line in enumerate(finished) if (own := known_values(line.each.get(name, ())))}
    other_questions = len({one.asked for place in known for one in scored[place]}) > 1
    return {} if other_questions and not name.startswith("cost/") else known


def _ranked(shown: Shown, known: Mapping[int, list[float]], scored: Sequence[Sequence[Beside]], family: int) -> Ranked:
    values = {place: measured(scored[place], shown.metric.name, own) for place, own in known.items()}
    leader, rivals = leading(values, str(shown.metric.better), family, RESAMPLES, SEED)
    hardest = max(rivals, key=lambda place: _doubt(rivals[place]))
    clear = all(one.clear for one in rivals.values())
    return Ranked(shown, leader, hardest, replace(rivals[hardest], metric=shown.metric.name), clear)


def _doubt(one: Difference) -> tuple[float, float]:
    """How far one is from telling the leader from a rival: untested most of all, then by p, then by nearness."""
    return (2.0 if one.p_holm is None else one.p_holm, -abs(one.value))
