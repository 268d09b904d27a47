"""Which line of a comparison is clearly best in which column, and in which columns none can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rlhf.evaluation.comparison.compare import clearly_best
from rlhf.evaluation.comparison.pooled import Line as Speaker
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


def mark_best(finished: Sequence[Line], scored: Sequence[Sequence[Beside]], columns: Sequence[Shown]) -> None:
    """Mark in each column the line that is clearly better than every other that has one, corrected for their number.

    Scores of single questions are paired; where there are none, seeds of both sides must tell. Quality on other
    questions is not ranked at all.
    """
    family = len(columns) * (len(finished) - 1)
    for shown in columns:
        name = shown.metric.name
        known = {place: own for place, line in enumerate(finished) if (own := known_values(line.each.get(name, ())))}
        if not name.startswith("cost/") and len({one.asked for place in known for one in scored[place]}) > 1:
            continue
        speakers = [Speaker(str(place), "policy", finished[place].label, (), ()) for place in known]
        values = {str(place): measured(scored[place], name, own) for place, own in known.items()}
        best = clearly_best(speakers, values, str(shown.metric.better), family, RESAMPLES, SEED)
        if best is not None:
            finished[int(best.name)].best.add(name)
