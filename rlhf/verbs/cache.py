"""`rlhf cache`: what lies in the store of finished stages, whether it is whole, and room made in it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.errors import UserError
from rlhf.store import Entry, age, damage, entries, in_use, needed_by, remove, sweep_up, trained_on
from rlhf.suggest import did_you_mean
from rlhf.terminal import make_console

EXAMPLES = """examples
  rlhf cache list                                   what is there, and what it takes
  rlhf cache verify                                 read every byte; exit code 1 where something is damaged
  rlhf cache prune --partial --older-than 7d        unfinished stages that nobody went on with for a week
  rlhf cache prune --older-than 30d --keep-used --dry-run
                                                    what would go, without what other stages were trained on
  rlhf cache list --store /shared/stages
"""
ACTIONS = ("list", "verify", "prune")
SPANS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
STYLES = {"complete": "green", "partial": "yellow", "damaged": "red"}


class OneLine(argparse.ArgumentParser):
    """Refuses in one line, as the rest of the command line does."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` with argparse's finding."""
        raise UserError("rlhf cache", message, "`rlhf cache --help` shows examples")


def run(words: list[str]) -> int:
    """List, verify or prune the store; returns the exit code."""
    asked = _parser().parse_args(words)
    if asked.action not in ACTIONS:
        raise UserError(f"rlhf cache {asked.action}", "there is no such action", did_you_mean(asked.action, ACTIONS))
    narrowing = asked.partial or asked.damaged or asked.keep_used or asked.older_than is not None
    if asked.action != "prune" and (narrowing or asked.dry_run):
        problem = "--older-than, --partial, --damaged, --keep-used and --dry-run belong to prune"
        raise UserError(f"rlhf cache {asked.action}", problem, "Leave them out, or use `rlhf cache prune`")
    if asked.action == "prune" and not (asked.partial or asked.damaged or asked.older_than is not None):
        problem = "it is not said what may go"
        raise UserError("rlhf cache prune", problem, "Add --older-than 30d, --partial or --damaged")
    store = _store(asked.store)
    console = make_console()
    found = entries(store)
    if asked.store is not None and not found and asked.action != "list":
        raise UserError(f"--store {asked.store}", "it holds no stage", "Give the folder that `store` names")
    if asked.action == "list":
        return _list(store, found, console)
    if asked.action == "verify":
        return _verify(found, console)
    return _prune(store, found, asked, console)


def _parser() -> OneLine:
    parser = OneLine(
        "rlhf cache", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", nargs="?", default="list", metavar="{list,verify,prune}")
    parser.add_argument("--store", metavar="DIR", help="the store; default: that of the configuration")
    parser.add_argument(
        "--older-than", type=_span, metavar="AGE", help="prune: not used for so long: 90m, 12h, 30d, 4w"
    )
    parser.add_argument("--partial", action="store_true", help="prune: unfinished stages")
    parser.add_argument("--damaged", action="store_true", help="prune: what is not as it was written")
    parser.add_argument("--keep-used", action="store_true", help="prune: not what other stages were trained on")
    parser.add_argument("--dry-run", action="store_true", help="prune: say what would go")
    return parser


def _span(text: str) -> float:
    """Seconds of `30d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time such as 90m, 12h, 30d or 4w")
    return float(found[1]) * SPANS[found[2]]


def _store(asked: str | None) -> Path:
    if asked is None:
        import yaml

        from rlhf.compose import conf_dir

        asked = str(yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))["store"])
    folder = Path(asked)
    if not folder.is_dir():
        problem = "there is no such folder" if not folder.exists() else "it is no folder"
        raise UserError(f"--store {asked}", problem, "Train something first, or give --store DIR")
    return folder


def _list(store: Path, found: Sequence[Entry], console: Console) -> int:
    if not found:
        told = f"{store} holds no stage: a run leaves its finished stages there with store={store}"
        console.print(escape(told), soft_wrap=True)
        return 0
    needed, busy = needed_by(found), in_use(found)
    table = Table(title=f"store {store}", title_justify="left")
    for name in ("what", "fingerprint", "method", "model"):
        table.add_column(name, overflow="fold")
    for name in ("size", "age", "last used", "needed by"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for entry in found:
        count = str(needed.get(entry.fingerprint, 0)) if entry.kind == "stage" else ""
        state = f"[{STYLES[entry.state]}]{entry.state}[/]" + (", in use" if entry.path in busy else "")
        cells = [entry.kind, entry.fingerprint[:12], entry.method, entry.model, size(entry.bytes)]
        table.add_row(*cells, span(age(entry.made)), span(age(entry.used)), count, state)
    console.print(table)
    kinds = {kind: [entry for entry in found if entry.kind == kind] for kind in dict.fromkeys(e.kind for e in found)}
    parts = [f"{counted(len(members), kind)}, {size(sum(e.bytes for e in members))}" for kind, members in kinds.items()]
    whole = size(sum(entry.bytes for entry in found))
    console.print(f"total {whole}" + (f": {'; '.join(parts)}" if parts else ""), soft_wrap=True)
    return 0


def _verify(found: Sequence[Entry], console: Console) -> int:
    damaged = 0
    for entry in found:
        lines = damage(entry)
        damaged += bool(lines)
        for line in lines:
            console.print(f"[red]damaged[/] {entry.name}: {line}", soft_wrap=True)
    checked = size(sum(entry.bytes for entry in found))
    partial = sum(entry.state == "partial" for entry in found)
    console.print(
        f"{counted(len(found), 'entry')}, {checked} read: {damaged} damaged, {partial} unfinished, "
        f"{len(found) - damaged - partial} whole",
        soft_wrap=True,
    )
    if damaged:
        console.print(
            "`rlhf cache prune --damaged` removes them; what is needed again is trained again", soft_wrap=True
        )
    return 1 if damaged else 0


def _prune(store: Path, found: Sequence[Entry], asked: argparse.Namespace, console: Console) -> int:
    """Every option narrows what goes; nothing that a running job trains or uses goes."""
    busy, gone = in_use(found), list[int]()
    if not asked.dry_run:
        sweep_up(store)
    chosen = [entry for entry in found if _matches(entry, asked)]
    if asked.keep_used:
        staying = [entry for entry in found if entry.kind == "stage" and (entry not in chosen or entry.path in busy)]
        needed = trained_on(staying, found)
        chosen = [entry for entry in chosen if entry.kind != "stage" or entry.fingerprint not in needed]
    for entry in chosen:
        bytes_ = entry.bytes
        if entry.path in busy or not (asked.dry_run or remove(entry)):
            console.print(f"[yellow]kept[/] {entry.name}: in use", soft_wrap=True)
            continue
        gone.append(bytes_)
        console.print(f"{'would remove' if asked.dry_run else 'removed'} {entry.name} ({size(bytes_)})", soft_wrap=True)
    verb = "would be freed" if asked.dry_run else "freed"
    console.print(f"{size(sum(gone))} {verb}, {len(gone)} of {counted(len(found), 'entry')}", soft_wrap=True)
    return 0


def _matches(entry: Entry, asked: argparse.Namespace) -> bool:
    if (asked.partial or asked.damaged) and not (
        (asked.partial and entry.state == "partial") or (asked.damaged and bool(damage(entry)))
    ):
        return False
    return asked.older_than is None or age(entry.used) >= asked.older_than


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def counted(count: int, kind: str) -> str:
    """How many of a kind: `1 stage`, `13 stages`, `2 entries`; kinds that are plural already stay."""
    plural = kind if kind.endswith("s") else f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return f"{count} {kind if count == 1 else plural}"


def span(seconds: float) -> str:
    """A span of time in the largest unit that fits."""
    unit = next((unit for unit in reversed(SPANS) if unit != "w" and seconds >= SPANS[unit]), "m")
    return f"{seconds / SPANS[unit]:.0f} {unit}"
