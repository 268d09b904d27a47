"""What a finished set of pairs looks like: counts and lengths by source, losses, style leaks; and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.data.rows import Row
from rlhf.data.splits import draw
from rlhf.evaluation.preference.leaks import StyleLeak, style_leak
from rlhf.pairs.spec import LeakSpec

PARTS = ("train", "validation", "test")
SHOWN = 3  # pairs
CUT = 100  # characters of a text that are shown


def read_pairs(output: Path) -> Iterator[dict[str, Any]]:
    """Yield the pairs of a finished file."""
    with output.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def as_row(pair: Mapping[str, Any]) -> Row:
    """Return a pair of the output as a row."""
    meta = pair["meta"]
    return Row(tuple(pair["prompt"]), meta["group"], chosen=pair["chosen"], rejected=pair["rejected"], meta=meta)


def by_source(output: Path) -> dict[str, dict[str, float]]:
    """Return, for each source and generator, how many pairs there are and the means of lengths and margin."""
    sums: dict[str, dict[str, float]] = {}
    for pair in read_pairs(output):
        meta = pair["meta"]
        generator = meta["parameters"].get("generator")
        name = f"{meta['source']}, {generator}" if generator else meta["source"]
        own = sums.setdefault(name, {"pairs": 0, "chosen_characters": 0, "rejected_characters": 0})
        own["pairs"] += 1
        own["chosen_characters"] += len(pair["chosen"])
        own["rejected_characters"] += len(pair["rejected"])
        if "margin" in meta:
            own["margin"] = own.get("margin", 0.0) + meta["margin"]
    return {
        name: {key: value if key == "pairs" else round(value / own["pairs"], 4) for key, value in own.items()}
        for name, own in sorted(sums.items())
    }


def measure(output: Path, spec: LeakSpec, total: int) -> StyleLeak | None:
    """Return the style leaks of a finished file; of a large one, those of whole groups drawn by the seed."""
    share = min(1.0, spec.pairs / max(total, 1))
    rows = [row for row in map(as_row, read_pairs(output)) if draw("leaks", spec.seed, row.group) < share]
    return style_leak(rows, folds=spec.folds, seed=spec.seed, resamples=spec.resamples)


def leak_values(leak: StyleLeak | None, spec: LeakSpec) -> dict[str, Any]:
    """Return the leaks as plain values for the manifest."""
    if leak is None:
        return {"measured": False, "reason": "too few groups"}
    rounded = json.loads(json.dumps(asdict(leak)), parse_float=lambda text: round(float(text), 4))
    return {"measured": True, **rounded, "threshold": spec.threshold, "above_threshold": leak.worst > spec.threshold}


def show(manifest: Mapping[str, Any], output: Path, console: Console) -> None:
    """Print the counts, the leaks and a few pairs."""
    table = Table(title=f"{manifest['count']} pairs by {manifest['maker']}, in {output}", title_justify="left")
    margins = any("margin" in own for own in manifest["sources"].values())
    for name in ("source", "pairs", "characters chosen", "rejected", *(["margin"] if margins else [])):
        table.add_column(name, justify="left" if name == "source" else "right")
    for name, own in manifest["sources"].items():
        cells = [f"{own['pairs']:.0f}", f"{own['chosen_characters']:.0f}", f"{own['rejected_characters']:.0f}"]
        margin = [f"{own['margin']:.3f}" if "margin" in own else ""] if margins else []
        table.add_row(escape(name), *cells, *margin)
    console.print(table)
    rows = manifest["input"]["rows"]
    name = escape(manifest["input"]["dataset"])
    console.print(f"{name}: {escape(read_story(manifest['counts']))}; {rows} rows", soft_wrap=True)
    console.print(f"from {rows} rows: {escape(story(manifest))}", soft_wrap=True)
    _show_leaks(manifest["leaks"], console)
    for pair in _few(output, manifest["count"]):
        meta = pair["meta"]
        console.print(f"[bold]{escape(_cut(pair['prompt'][-1]['content']))}[/]", soft_wrap=True)
        console.print(f"  chosen    {escape(_cut(pair['chosen']))}", soft_wrap=True)
        console.print(f"  rejected  {escape(_cut(pair['rejected']))}  [dim]{escape(meta['source'])}[/]", soft_wrap=True)


def story(manifest: Mapping[str, Any]) -> str:
    """Say what became of all that could have been a pair."""
    lost = [f"{count} without ({reason})" for reason, count in manifest["lost"].items()]
    noted = [f"{name}: {count}" for name, count in manifest["noted"].items()]
    return ", ".join([f"{manifest['count']} pairs", *lost, *noted])


def read_story(counts: Sequence[tuple[str, int, int]]) -> str:
    """Say how many records the data set read, and what it left out before any pair was made."""
    left_out = [f"{before - after} {step}" for step, before, after in counts if step not in PARTS and before > after]
    return ", ".join([f"read {counts[0][2]}", *(f"left out {lost}" for lost in left_out)])


def _show_leaks(leaks: Mapping[str, Any], console: Console) -> None:
    if not leaks["measured"]:
        console.print("style leaks: not measured, too few groups")
        return
    parts = []
    for name in ("bag_of_words", "length_rule"):
        own = leaks[name]
        parts.append(f"{name.replace('_', ' ')} {own['mean']:.3f} ({own['low']:.3f} to {own['high']:.3f})")
    told = f"{leaks['pairs']} pairs, {leaks['groups']} groups, {leaks['folds']} folds"
    console.print(
        f"style leaks, accuracy without the prompt (0.5 is chance): {', '.join(parts)}; {told}", soft_wrap=True
    )
    if leaks["above_threshold"]:
        console.print(
            f"[yellow]warning[/]: style alone tells chosen from rejected in over {leaks['threshold']:.0%} of pairs. "
            "A reward model trained on them may learn the maker's style: compare its accuracy with these two numbers",
            soft_wrap=True,
        )


def _few(output: Path, total: int) -> list[dict[str, Any]]:
    """Return a few pairs, spread over the file."""
    wanted = {total * at // SHOWN for at in range(SHOWN)}
    return [pair for at, pair in enumerate(read_pairs(output)) if at in wanted]


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CUT else f"{line[: CUT - 3]}..."
