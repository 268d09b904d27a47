"""What is in a data set, as tables for the terminal (`rlhf.data.inspect.whole` gives the values)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
WORDS = {"error": "error", "warning": "warning", "info": "note"}
BLOCKS = "▁▂▃▄▅▆▇█"
LINES = 30  # of a table of kinds; the page shows more
WIDE = 100  # columns from which histograms are drawn


def show(told: Mapping[str, Any], console: Console) -> None:
    """Print everything, the findings first and last: what scrolled away is told again in one line."""
    parts = ", ".join(f"{name} {rows:,}" for name, rows in told["parts"].items())
    console.print(
        f"[bold]{escape(told['name'])}[/] as {told['shape']} rows: {told['rows']:,} ({parts}), "
        f"from {escape(told['source'])}, data {told['fingerprint'][:8]}",
        soft_wrap=False,
    )
    for made in _parts(told, console.width):
        console.print()
        console.print(made)
    console.print()
    counts = [one["severity"] for one in told["findings"]]
    told_of = ", ".join(f"{counts.count(name)} {word}{'s' * (counts.count(name) != 1)}" for name, word in WORDS.items())
    console.print(f"findings {told_of}")


def _parts(told: Mapping[str, Any], width: int) -> Iterator[RenderableType]:
    yield _findings(told["findings"])
    yield _account(told["account"])
    if told["schema"]:
        yield _schema(told["schema"])
    yield _lengths(told, width)
    if told["labels"]:
        total = sum(told["labels"].values())
        yield _kinds("labels", [(name, count, count / total) for name, count in told["labels"].items()], "")
    for table in told["counted"]["tables"]:
        lines = [(one["value"], one["count"], one["share"]) for one in table["lines"]]
        left = f"{table['distinct'] - LINES} more in the page" if table["distinct"] > LINES else ""
        many = f"{table['distinct']:,} of {table['of']}" if table["of"] != "rows" else f"{table['distinct']:,}"
        yield _kinds(f"{table['name']} ({many})", lines[:LINES], left)
    yield _overlap(told)
    yield _contents(told)
    if told["cleaning"]:
        yield _cleaning(told["cleaning"])


def _table(title: str, columns: Sequence[tuple[str, bool]], lines: Sequence[Sequence[str]], note: str = "") -> Table:
    """A table whose numbers (True) are on the right; texts fold."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, number in columns:
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    if note:
        table.caption, table.caption_justify = Text(note, style="dim"), "left"
    return table


def _findings(findings: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not findings:
        return Text("no findings: none of the thresholds in inspection.findings is passed", style="green")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for one in findings:
        grid.add_row(Text(WORDS[one["severity"]], style=STYLES[one["severity"]]), Text(one["told"]))
        grid.add_row("", Text(one["remedy"], style="dim"))
    return grid


def _account(account: Sequence[Mapping[str, Any]]) -> Table:
    lines = []
    for one in account:
        lost = one["before"] - one["after"]
        part = one["step"] in ("train", "validation", "test")
        told = "" if part or one["step"] in ("read", "unfolded") else f"-{lost:,}" if lost else "0"
        lines.append((one["step"], told, f"{one['after']:,}"))
    return _table("every row", (("step", False), ("left out", True), ("rows", True)), lines)


def _schema(schema: Mapping[str, Any]) -> Table:
    records = max(1, schema["records"] - schema["unreadable"])
    lines = [
        (
            one["column"],
            ", ".join(one["types"]) or "null",
            share(one["nulls"], records),
            share(one["empties"], records),
            "" if one["mean_characters"] is None else f"{one['mean_characters']:,.0f}",
            "" if one["longest"] is None else f"{one['longest']:,}",
        )
        for one in schema["columns"]
    ]
    names = (("column", False), ("types", False), ("null", True), ("empty", True), ("mean chars", True), ("max", True))
    return _table(f"columns of {schema['records']:,} records as they were read", names, lines)


def _lengths(told: Mapping[str, Any], width: int) -> Table:
    tokens = told["closely"]["tokens"]
    everything = [*told["counted"]["lengths"], *(tokens["lengths"] if tokens else [])]
    rank = {"characters": 0, "words": 1, "tokens": 2}
    everything.sort(key=lambda one: (one["part"] == "dialogue", one["part"] != "prompt", rank.get(one["unit"], 3)))
    lines, before = [], ""
    for one in everything:
        figures = [f"{one[key]:,}" for key in ("median", "p95", "p99", "max")]
        drawn = [spark(one["bars"])] if width >= WIDE else []
        lines.append(
            (one["part"] if one["part"] != before else "", one["unit"], f"{one['mean']:,.1f}", *figures, *drawn)
        )
        before = one["part"]
    names = [("length of", False), ("in", False), *((key, True) for key in ("mean", "median", "p95", "p99", "max"))]
    names += [("histogram, up to p99", False)] if width >= WIDE else []
    return _table("lengths", names, lines, " ".join(_notes(told)))


def _notes(told: Mapping[str, Any]) -> Iterator[str]:
    tokens = told["closely"]["tokens"]
    looked = "" if told["looked_at"] == told["rows"] else f" of {told['looked_at']:,} rows drawn by seed"
    if tokens is None:
        yield f"Tokens {told['tokens_note']}."
        return
    over = {one["limit"]: one for one in tokens["over"]}
    rows = told["closely"]["rows"]
    keys = {
        "prompt": "method.max_prompt_tokens",
        "response": "method.max_response_tokens",
        "context": "model.context_length",
    }
    passed = ", ".join(
        f"{share(over[name]['rows'], rows)} over {key}={over[name]['tokens']}" for name, key in keys.items()
    )
    yield f"Tokens of {tokens['model']}{looked}: {passed}."


def _kinds(title: str, lines: Sequence[tuple[str, int, float]], note: str) -> Table:
    shown = [(value, f"{count:,}", f"{part:.1%}") for value, count, part in lines]
    return _table(title, (("value", False), ("count", True), ("share", True)), shown, note)


def _overlap(told: Mapping[str, Any]) -> Table:
    near = told["near_duplicates"]
    lines = [
        (one["same"], one["part"], one["other"], f"{one['rows']:,}", share(one["rows"], one["of"]))
        for one in told["overlap"]
        if one["rows"] or one["what"] == "prompt"
    ]
    for part, rows in near["leaked"].items():
        lines.append(("nearly a prompt", part, "before it", f"{rows:,}", share(rows, near["held_out"][part])))
    names = (("the same", False), ("in", False), ("and in", False), ("rows", True), ("share", True))
    note = (
        f"Near-duplicates: {near['rows']:,} of {near['rows_looked_at']:,} rows in {_clusters(near['clusters'])} of "
        f"prompts that share {told['similarity']:.0%} of their pieces of {told['piece']} letters; "
        f"{_clusters(near['clusters_across_parts'])} {'reaches' if near['clusters_across_parts'] == 1 else 'reach'} "
        "over parts."
    )
    return _table("what parts of the split share", names, lines, note)


def _clusters(count: int) -> str:
    return f"{count:,} cluster{'s' * (count != 1)}"


def _contents(told: Mapping[str, Any]) -> Table:
    closely, style = told["closely"], told["style"]
    rows = closely["rows"]
    lines = []
    for one in closely["languages"][:12]:
        lines.append(("language of prompts", one["value"], f"{one['count']:,}", f"{one['share']:.1%}"))
    for one in closely["personal"]["kinds"]:
        lines.append(("personal data, rows", one["kind"], f"{one['rows']:,}", share(one["rows"], rows)))
    if not closely["personal"]["kinds"]:
        lines.append(("personal data, rows", "none", "0", "0%"))
    for one in closely["toxic"]:
        lines.append(("rude words, texts", one["part"], f"{one['rows']:,}", share(one["rows"], one["texts"])))
    if longer := told["counted"]["longer"]:
        total = sum(longer.values())
        lines += [("longer answer", name, f"{count:,}", share(count, total)) for name, count in longer.items()]
    if style:
        for key, name in (("bag_of_words", "by single words"), ("length_rule", "by length")):
            own = style[key]
            interval = f"{own['mean']:.1%} [{own['low']:.1%}, {own['high']:.1%}]"
            lines.append(("chosen told apart", name, f"{style['pairs']:,}", interval))
    note = "" if told["looked_at"] == told["rows"] else f"Looked at: {rows:,} rows drawn by seed."
    return _table("contents", (("what", False), ("kind", False), ("count", True), ("share", True)), lines, note)


def _cleaning(cleaning: Mapping[str, Any]) -> Table:
    lines = [(one["step"], f"{one['changed']:,}", share(one["changed"], one["texts"])) for one in cleaning["steps"]]
    return _table("cleaning", (("step", False), ("texts changed", True), ("share", True)), lines)


def share(count: int, of: int) -> str:
    """A share in percent, one place; "<0.1%" of what is there but little."""
    percent = 100 * count / of if of else 0.0
    return "0%" if count == 0 else "<0.1%" if percent < 0.1 else f"{percent:.1f}%"


def spark(bars: Sequence[int]) -> str:
    """A histogram in one line of block letters; what is there at all shows."""
    top = max(bars, default=0) or 1
    return "".join(" " if not bar else BLOCKS[min(len(BLOCKS) - 1, bar * len(BLOCKS) // top)] for bar in bars)
