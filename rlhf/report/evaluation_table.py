"""An evaluation as tables for the terminal, Markdown and CSV: a table per suite, a line per speaker.

The data is what evaluation.json holds (`rlhf.evaluation.result.Evaluation.dump`, and what the run adds):

    questions   their number
    speakers    [{name, role, label, group, seed}]: runs that differ only in their seed share a group
    metrics     {metric: {speaker: {value, n, low, high, each, draws, questions}}}, as `rlhf.evaluation.contract.Scores`
    suites      {suite: {metrics: [name], tables: {title: {speaker: {columns, rows}}}, notes: [sentence]}}
    notes       [sentence] of the whole evaluation
    failures    {suite: one line} of suites that found nothing
    settings    {bootstrap, seed, ...} of the evaluation
    samples     [{prompt, reference, answers: {speaker: text}}], for the page; may be absent
    baseline    name of the speaker that others are compared with; the base model where absent, else the first one
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rlhf.report.evaluation_cells import Cell, Column, SuiteTable, suite_tables
from rlhf.report.evaluation_notes import MARK, facts, reading

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from rlhf.evaluation.comparison.pooled import Line
    from rlhf.evaluation.comparison.verdicts import Flag

UNCLEAR = "bright_black"
NARROWEST = 9  # of a column of numbers
GAP = 2  # between columns
NARROWEST_LABEL = 28  # most characters of a label before it goes on in the next line, on narrow screens
NAMED = 2  # metrics that a warning names
SHARED = 3  # metrics from which on their flags are told in one sentence
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def evaluation_table(data: Mapping[str, Any], width: int) -> Group:
    """Return all suites for a screen of `width`, what nonsense scores well on first in each suite's notes.

    No number is cut: metrics that don't fit beside one another go on in a further table below.
    """
    from rich.console import Group
    from rich.text import Text

    from rlhf.report.evaluation_extras import extra_tables

    parts: list[Any] = []
    suites = suite_tables(data)
    for suite in suites:
        blocks = list(_blocks(suite, width))
        for number, places in enumerate(blocks, start=1):
            title = suite.name if len(blocks) == 1 else f"{suite.name} ({number} of {len(blocks)})"
            parts += [Text(title, style="bold"), _table(suite, places, _label_width(suite, width))]
        parts += [Text(flag, style="yellow") for flag in footnotes(suite)]
        parts += [Text(note, style="dim") for note in (*suite.notes, *facts(suite))]
        parts += [Text(), *extra_tables(data, suite.name, width)]
    parts += [Text(note, style="dim") for note in (*data.get("notes", ()), *reading(suites, "Below a value:"))]
    parts += [Text(f"{name} failed: {told}", style="red") for name, told in data.get("failures", {}).items()]
    return Group(*parts)


def _blocks(suite: SuiteTable, width: int) -> Iterator[list[int]]:
    """Places of the columns that fit beside one another, block by block; a block has at least one."""
    left = width - _label_width(suite, width) - GAP - 1
    block: list[int] = []
    used = 0
    for place in range(len(suite.columns)):
        need = _column_width(suite, place) + GAP
        if block and used + need > left:
            yield block
            block, used = [], 0
        block.append(place)
        used += need
    if block:
        yield block


def _label_width(suite: SuiteTable, width: int) -> int:
    longest = max(len(label(line)) for line, _ in suite.lines)
    return min(longest, max(NARROWEST_LABEL, width // 4))


def _column_width(suite: SuiteTable, place: int) -> int:
    texts = [text for cell in suite.numbers(place) for text in (_value(cell), interval(cell))]
    column = suite.columns[place]
    return max(NARROWEST, len(suite.n(place)), *map(len, texts), *map(len, _title(column).split("\n")))


def _table(suite: SuiteTable, places: Sequence[int], wide_label: int) -> Table:
    from rich import box
    from rich.align import Align
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold", vertical="bottom", min_width=wide_label, max_width=wide_label)
    for place in places:
        column, wide = suite.columns[place], _column_width(suite, place)
        head = Text(_title(column), justify="right")
        head.append("\n" + "\n".join(wrap(unit(column), wide) or [""]), style="dim not bold")
        table.add_column(head, justify="right", no_wrap=True, vertical="bottom", min_width=wide)
    told = False
    for line, cells in suite.lines:
        if line.nonsense and not told:
            table.add_section()
            table.add_row(Text("controls: nonsense", style="dim italic"))
            told = True
        name = Text(label(line), style="dim" if line.nonsense else "")
        table.add_row(Align.left(name, vertical="top"), *(_shown(cells[place], line) for place in places))
    table.add_section()
    table.add_row(Text("n", style="dim"), *(Text(suite.n(place), style="dim") for place in places))
    return table


def unit(column: Column) -> str:
    """The unit without its conditions: `nats` of `nats (SFT: per token; DPO: per pair)`."""
    return re.split(r"[(;,]", column.metric.unit)[0].strip()


def _shown(cell: Cell | None, line: Line) -> Any:
    """A number and, of a line that is no nonsense, its interval below it."""
    from rich.align import Align
    from rich.text import Text

    if cell is None:
        return Align.right(Text("-", style="dim"), vertical="top")
    plainly = "dim" if line.nonsense else ""
    shown = Text(_value(cell), style=UNCLEAR if cell.unclear else "bold" if cell.best else plainly, justify="right")
    if interval(cell) and not line.nonsense:
        shown.append("\n" + interval(cell), style="dim not bold")
    return Align.right(shown, vertical="top")


def _value(cell: Cell) -> str:
    return (MARK if cell.unclear else "") + cell.texts[0]


def interval(cell: Cell) -> str:
    """The interval of a cell's value; a mere range of two seeds has dots."""
    low, high = cell.measured.low, cell.measured.high
    if low is None or high is None:
        return ""
    between = ".." if cell.measured.kind == "range" else "–" if low >= 0 else " to "
    return between.join(cell.texts[1:])


def _title(column: Column) -> str:
    """A metric's name over several lines, with which way is better and the number of its footnote."""
    number = raised(column.footnote) if column.footnote else ""
    lines = [""]
    for piece in re.findall(r"[^_/]+[_/]?", column.title):
        if lines[-1] and len(lines[-1]) + len(piece) > NARROWEST:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines) + (f" {column.arrow}" if column.arrow else "") + number


def label(line: Line) -> str:
    """A line's name, with the number of its seeds; good answers are a control, too."""
    remark = f"{len(line.runs)} seeds" if len(line.runs) > 1 else "control" if line.role == "reference" else ""
    return f"{line.label} ({remark})" if remark else line.label


def footnotes(suite: SuiteTable) -> list[str]:
    """What is said of the flagged metrics, numbered as in the heads; of three or more at once what they share."""
    titles = {column.metric.name: column.title for column in suite.columns}
    numbers = {flag.metric: raised(number) for number, flag in zip(count(1), suite.flags, strict=False)}
    told = []
    for together, some in _alike(suite.flags).items():
        if len(some) < SHARED:
            told += [f"{numbers[flag.metric]} {flag.told}" for flag in some]
        else:
            names = ", ".join(f"{titles[flag.metric]}{numbers[flag.metric]}" for flag in some)
            told.append(f"{names}: {together}")
    return told


def flag_lines(data: Mapping[str, Any]) -> list[str]:
    """One line for a run's warnings on metrics that nonsense does well on, which names the page that tells of each.

    None of those that count what should not be there: nonsense always lacks it. None at all where no other has a flag.
    """
    names = [flag.metric for suite in suite_tables(data) for flag in suite.flags if not flag.absent]
    if not names:
        return []
    named = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return [f"nonsense does well on {named}: see evaluation.html"]


def _alike(flags: Sequence[Flag]) -> dict[str, list[Flag]]:
    alike: dict[str, list[Flag]] = {}
    for flag in flags:
        alike.setdefault(flag.together, []).append(flag)
    return alike


def raised(number: int) -> str:
    """A number as a footnote's mark."""
    return "".join(RAISED[int(digit)] for digit in str(number))


def to_markdown(data: Mapping[str, Any], suites: Sequence[SuiteTable]) -> str:
    """Return the tables (`suite_tables` of the data) for a report: unclear differences in italics, the best bold."""
    parts = []
    for suite in suites:
        heads = ["", *(_flat(column) for column in suite.columns)]
        lines = [_row(heads), "|---|" + "---:|" * len(suite.columns)]
        for line, cells in suite.lines:
            lines.append(_row([label(line), *(_marked(cell) for cell in cells)]))
        lines.append(_row(["n", *(suite.n(place) for place in range(len(suite.columns)))]))
        notes = [f"- {note}" for note in (*footnotes(suite), *suite.notes, *facts(suite))]
        parts.append("\n".join([f"## {suite.name}", "", *lines, "", *notes]))
    told = [*reading(suites, "Behind a value:"), *data.get("notes", ())]
    told += [f"{name} failed: {why}" for name, why in data.get("failures", {}).items()]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in told)]) + "\n"


def _flat(column: Column) -> str:
    name = _title(column).replace("\n", "")
    return f"{name} ({unit(column)})" if unit(column) else name


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    told = _value(cell) + (f" [{interval(cell)}]" if interval(cell) else "")
    return f"*{told}*" if cell.unclear else f"**{told}**" if cell.best else told


CSV = (
    "suite", "metric", "unit", "better", "speaker", "label", "role", "seeds", "value", "low", "high", "interval_over",
    "n", "baseline", "difference", "difference_low", "difference_high", "n_compared", "test", "p", "p_holm", "verdict",
    "nonsense_that_is_not_clearly_worse",
)  # fmt: skip


def to_csv(suites: Sequence[SuiteTable]) -> str:
    """Return one line per number in full precision, with its comparison; what isn't known is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV)
    for suite in suites:
        fooled = {flag.metric: " ".join(flag.roles) for flag in suite.flags}
        for place, column in enumerate(suite.columns):
            for line, cells in suite.lines:
                if (cell := cells[place]) is not None:
                    writer.writerow([*_record(suite, column, line, cell), fooled.get(column.metric.name, "")])
    return stream.getvalue()


def _record(suite: SuiteTable, column: Column, line: Line, cell: Cell) -> list[Any]:
    metric, own, gap = column.metric, cell.measured, cell.difference
    record: list[Any] = [suite.name, metric.name, metric.unit, metric.better, line.name, line.label, line.role]
    record += [len(line.runs), own.value, own.low, own.high, own.kind, own.n]
    if gap is None or suite.baseline is None:
        record += [None] * 9
    else:
        record += [suite.baseline.name, gap.value, gap.low, gap.high, gap.n, gap.test, gap.p, gap.p_holm, gap.told]
    return ["" if value is None else value for value in record]
