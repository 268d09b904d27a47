"""Savings as a table: each way of training beside the full fine-tune, at the same tokens and to the same loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rlhf.evaluation import metrics as names
from rlhf.evaluation.comparison.compare import Difference, fair
from rlhf.report.best import JUDGED
from rlhf.report.cells import duration, memory
from rlhf.report.compared import beside_start, compare_pairs, known_values, measured
from rlhf.report.outcome import asked
from rlhf.report.ratios import ENOUGH, Missing, Ratio
from rlhf.report.record import JobRecord
from rlhf.report.rows import judges_of
from rlhf.report.savings import COSTS, Savings, Way, find_savings
from rlhf.report.seeds import Estimate, ends, estimate
from rlhf.report.sheets import NOTHING, Sheet, SheetCell, SheetColumn, sheet
from rlhf.report.shown import COLUMNS, Shown, plain, usd

ABOUT = (
    "Each run against the full fine-tune made beside it on the same data: the factor of its cost, with what is saved. "
    "Below a factor stands its 95% interval over seeds (Student t of the log ratio), of two seeds their range, and p, "
    "paired by seed and corrected for all ratios of these runs, of which a cost that repeats another counts once. "
    "Where the interval holds 1x, or p is not below 0.05, the saving is grey: within noise; so is one of fewer than "
    "three seeds, which is not tested. Grey is a quality, too, that is no clear difference from the full one's: p is "
    "of paired tests on the n prompts and of seeds, corrected for their number. Costs to a loss take the stage's cost "
    "as spent evenly over its steps."
)
OTHER_JUDGES = "different judges scored the runs: rewards, reward gains and win rates are left out"
TITLES = {
    names.COST_SECONDS.name: "time", names.COST_CPU_SECONDS.name: "CPU time", names.COST_USD.name: "USD",
    names.COST_KWH.name: "kWh", names.COST_FLOPS.name: "FLOPs", names.COST_PEAK_MEMORY_BYTES.name: "memory",
    names.COST_PEAK_HOST_BYTES.name: "host memory", names.COST_MODEL_BYTES.name: "weights",
    names.COST_ARTIFACT_BYTES.name: "on disk",
    names.COST_TRAINABLE_PARAMETERS.name: "trained",
}  # fmt: skip
QUALITY = (  # of each the first kind that the runs have
    ("final/nll",), ("final/accuracy",), ("final/reward_gold", "final/reward"),
    ("final/reward_gold_difference", "final/reward_difference"),
)  # fmt: skip
BY_DESIGN = {  # costs that no seed changes
    names.COST_FLOPS.name, names.COST_MODEL_BYTES.name, names.COST_ARTIFACT_BYTES.name,
    names.COST_TRAINABLE_PARAMETERS.name,
}  # fmt: skip
LOSS_COSTS = (names.COST_SECONDS.name, names.COST_FLOPS.name)  # money and rated energy follow time


def savings_sheets(jobs: Sequence[JobRecord]) -> list[Sheet]:
    """A table per full fine-tune that has others beside it."""
    return [_sheet(found, place) for place, found in enumerate(find_savings(jobs))]


def _sheet(found: Savings, place: int) -> Sheet:
    """A line per cost and measure of quality, a column per way of training."""
    had = [job.outcome["metrics"] for way in found.ways for job in way.group.finished]
    gpu = any(metrics.get(names.COST_GPU_SECONDS.name) for metrics in had)
    costs = [cost for cost in COSTS if gpu or cost is not names.COST_PEAK_HOST_BYTES]  # on a CPU it is the peak itself
    rows = [(SheetCell("seeds"), *(_seeds(way) for way in found.ways))]
    rows += [(SheetCell(TITLES[cost.name]), *(_cost(cost.name, way) for way in found.ways)) for cost in costs]
    rows.append((SheetCell("n"), *(_asked(way) for way in found.ways)))
    common = "" if found.common_loss is None else plain(found.common_loss)
    for name in LOSS_COSTS if common else ():
        head = SheetCell(f"{TITLES[name]} to loss {common}", "the best that all of them reach")
        rows.append((head, *(_to_loss(way, way.to_common.get(name)) for way in found.ways)))
    if found.best_loss is not None:
        head = SheetCell(f"time to loss {plain(found.best_loss)}", "the best of the full fine-tune")
        rows.append((head, *(_to_loss(way, way.to_best.get(LOSS_COSTS[0])) for way in found.ways)))
    judges = {judges_of(way.group) for way in found.ways}
    qualities = [shown for shown in _quality_columns(had) if len(judges) == 1 or shown not in JUDGED]
    notes = [*found.notes, *([OTHER_JUDGES] if len(judges) > 1 else [])]
    tests = _tests(found, [shown.metric.name for shown in qualities])
    for shown in qualities:
        own = (
            _quality(shown, way, found.ways[0], tests.get((at, shown.metric.name))) for at, way in enumerate(found.ways)
        )
        rows.append((SheetCell(shown.title), *own))
    rows = [row for row in rows if any(cell.text != NOTHING.text for cell in row[1:])]
    columns = [SheetColumn("", number=False), *(SheetColumn(way.label) for way in found.ways)]
    title = f"Savings: {found.name.replace('-', ' ', 1)}"
    return sheet("savings" if not place else f"savings-{place + 1}", title, ABOUT, columns, rows, notes)


def _quality_columns(measured: Sequence[Mapping[str, float]]) -> list[Shown]:
    had = {name for metrics in measured for name in metrics}
    chosen = [next((name for name in kinds if name in had), "") for kinds in QUALITY]
    return [shown for shown in COLUMNS if shown.metric.name in chosen]


def _cost(name: str, way: Way) -> SheetCell:
    measured = [job.outcome["metrics"].get(name) for job in way.group.finished]
    values = [value for value in measured if value is not None]
    told = _amount(name, fmean(values)) if values else ""
    if way.baseline or not told:
        return SheetCell(told) if told else NOTHING
    return _factor(way.ratios[name], told, name in BY_DESIGN)


def _to_loss(way: Way, found: Ratio | Missing | None) -> SheetCell:
    return SheetCell("1x", tone="soft") if way.baseline else _factor(found, "", by_design=False)


def _seeds(way: Way) -> SheetCell:
    done, planned = len(way.group.finished), len(way.group.jobs)
    return SheetCell(str(done) if done == planned else f"{done} of {planned}")


def _factor(found: Ratio | Missing | None, told: str, by_design: bool) -> SheetCell:
    """`0.31x`, and below it how much less that is, its interval over seeds and the amount itself.

    What is not so `by_design` is grey on fewer seeds than a test takes, and called so.
    """
    if found is None:
        return NOTHING
    if isinstance(found, Missing):
        return SheetCell(found.why, told, "bad" if found.why == "never" else "soft")
    words = "within noise" if found.within_noise else less(found.value) if found.value < 2 else ""
    low, high = factor(found.low), factor(found.high)
    spread = f"{'range ' if found.is_range else ''}{low} to {high}" if low != high else ""
    range_told = f"{words} ({spread})" if words and spread else words or spread
    tested = by_design or found.seeds >= ENOUGH
    p = "" if found.p_holm is None else f"p {found.p_holm:.2g}"
    sure = "" if tested or found.within_noise else "not tested"
    below = ", ".join(part for part in (range_told, p, sure, told) if part)
    return SheetCell(factor(found.value), below, "unclear" if found.within_noise else "" if tested else "soft")


def factor(value: float) -> str:
    """`0.31x`, `12x`, `0.0042x`: two digits or three; `0.997x`: one more where two would hide that it is not 1."""
    if 0.0005 < abs(value - 1) < 0.015:
        return f"{value:.3f}x"
    return f"{value:.2f}x" if 0.095 <= value < 10 else f"{value:.2g}x" if value < 0.095 else f"{value:.0f}x"


def less(ratio: float) -> str:
    """`69% less`, `80% more`, `3.1 times as much`, `the same`."""
    if abs(ratio - 1) < 0.005:
        return "the same"
    if ratio < 1:
        return f"{1 - ratio:.0%} less" if ratio > 0.015 else f"{1 - ratio:.1%} less"
    return f"{ratio - 1:.0%} more" if ratio < 2 else f"{ratio:.1f} times as much"


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return memory(value) if value >= 100 * 2**20 else f"{value / 2**20:.2f} MiB"
    if name in (names.COST_SECONDS.name, names.COST_CPU_SECONDS.name):
        return duration(value)
    if name == names.COST_USD.name:
        return usd(value)
    return f"{value:,.0f}" if name == names.COST_TRAINABLE_PARAMETERS.name else f"{value:.2g}"


def _asked(way: Way) -> SheetCell:
    n = min(asked(job.outcome) for job in way.group.finished)
    return SheetCell(str(n)) if n else NOTHING


def _tests(found: Savings, metrics: Sequence[str]) -> dict[tuple[int, str], Difference]:
    """Each way's quality against that of the full fine-tune, by its place and the metric; corrected together."""
    beside = [[beside_start(job.outcome) for job in way.group.finished] for way in found.ways]
    if len({one.asked for seeds in beside for one in seeds}) > 1:  # nothing to compare on the same questions
        return {}
    pairs = {}
    for name in metrics:
        values = [_values(way, name) for way in found.ways]
        for place in range(1, len(found.ways)):
            if values[0] and values[place]:
                ours, theirs = (measured(beside[at], name, values[at]) for at in (place, 0))
                pairs[place, name] = (ours, theirs)
    tested = compare_pairs(pairs)
    return {key: one for key, one in tested.items() if one.p is not None and fair(one, *pairs[key])}


def _values(way: Way, name: str) -> list[float]:
    return known_values([job.outcome["metrics"].get(name) for job in way.group.finished])


def _quality(shown: Shown, way: Way, full: Way, test: Difference | None) -> SheetCell:
    """A measure of quality with its interval, grey where it is no clear difference from the full fine-tune's.

    Where nothing could be tested that is said, and their intervals decide.
    """
    own, theirs = (_estimate(shown, each) for each in (way, full))
    if own is None:
        return NOTHING
    below = [" to ".join(shown.text(end) for end in ends(own))] if ends(own) else []
    if way.baseline or theirs is None:
        return SheetCell(shown.text(own.value), "".join(below))
    if test is None:
        meet = not ends(own) or _overlap(own, theirs)
        return SheetCell(shown.text(own.value), ", ".join([*below, "not tested"]), "unclear" if meet else "")
    below += [f"p against full {test.p_holm:.2g}"]
    return SheetCell(shown.text(own.value), ", ".join(below), "" if test.clear else "unclear")


def _estimate(shown: Shown, way: Way) -> Estimate | None:
    return estimate(shown, [dict(job.outcome["metrics"]) for job in way.group.finished])


def _overlap(one: Estimate, other: Estimate) -> bool:
    low, high = ends(other) or [other.value, other.value]
    assert one.low is not None and one.high is not None
    return one.low <= high and low <= one.high
