"""One call of `rlhf pairs`: read the rows, go on from what is on disk, make the rest, leave file and manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rlhf.data import load_corpus
from rlhf.data.inspect.findings import cheap_findings, refuse_findings
from rlhf.data.rows import Corpus, Row
from rlhf.disk import locked
from rlhf.errors import UserError, refuse_unwritable
from rlhf.fingerprint import digest
from rlhf.pairs.journal import Journal, partial_of
from rlhf.pairs.made import record
from rlhf.pairs.manifest import is_finished, manifest_of, measured, publish, refuse_foreign
from rlhf.pairs.plan import Plan, make_plan
from rlhf.pairs.spec import PairsRun, Sample
from rlhf.pairs.summary import show

ALL = ("train", "validation", "test")


def make_pairs(run: PairsRun, environment: Mapping[str, str], console: Console) -> dict[str, Any]:
    """Make the pairs that `run` describes, or what is missing of them; print and return the manifest.

    A finished file of the same settings is left as it is. Raises `UserError` where the output is of other settings, was
    not made here or changed since, where no pair comes of any row, and for what `dataset.strict` refuses.
    """
    spec = run.pairs
    output = Path(spec.output).expanduser()
    plan = make_plan(run, environment)
    refuse_unwritable(output.parent, "output=FILE")
    with _alone(output):
        corpus = load_corpus(_uncut(run), spec.shape)
        if run.dataset.strict:
            refuse_findings(cheap_findings(corpus, run.inspection.findings), corpus.name)
        rows, repeated = _rows(corpus, run)
        head = _header(run, plan, corpus, len(rows))
        if not is_finished(output, head):
            refuse_foreign(output)
            journal = Journal(output, head)
            try:
                _work_off(rows, plan, corpus, journal, run, console)
                publish(output, head, journal, corpus.counts, repeated)
            finally:
                journal.close()
            partial_of(output).unlink()
        manifest = measured(output, spec.leaks)
    show(manifest, output, console)
    console.print(f"wrote {output} and {manifest_of(output)}", soft_wrap=True)
    split = run.dataset.split  # so that what was held out of the source stays held out
    parts = (
        f"dataset.split.validation={split.validation} dataset.split.test={split.test} dataset.split.seed={split.seed}"
    )
    console.print(f"train on it: rlhf method=reward dataset=pairs dataset.path={output} {parts}", soft_wrap=True)
    console.print("which trains SFT first; with method.starts_from=base it does not", soft_wrap=True)
    return manifest


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    from filelock import Timeout

    try:
        with locked(output.with_name(f"{output.name}.lock"), timeout=0):
            yield
    except Timeout:
        problem = "another process is making these pairs"
        raise UserError(str(output), problem, "Wait for it, or write to another file: output=OTHER.jsonl") from None


def _uncut(run: PairsRun) -> Any:
    """Return the data set's spec; where all of its parts are used, without a split, which few rows may not allow."""
    if set(run.pairs.parts) != set(ALL):
        return run.dataset
    split = run.dataset.split.model_copy(update={"validation": 0.0, "test": 0.0, "folds": None, "fold": 0})
    return run.dataset.model_copy(update={"split": split})


def _rows(corpus: Corpus, run: PairsRun) -> tuple[Sequence[Row], int]:
    """Return the rows that pairs are made of, and how many a sampler leaves out: their prompt was asked before."""
    parts: list[Sequence[Row]] = [getattr(corpus, name) for name in ALL if name in run.pairs.parts]
    parts = [part for part in parts if len(part)]
    if not parts:
        problem = f"the parts {', '.join(run.pairs.parts)} of {corpus.name} hold no row"
        raise UserError("pairs.parts", problem, "Take more rows, or other parts")
    rows = parts[0] if len(parts) == 1 else [row for part in parts for row in part]
    if not isinstance(run.pairs, Sample):
        return rows, 0
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(digest(row.prompt), row)
    return list(first.values()), len(rows) - len(first)


def _header(run: PairsRun, plan: Plan, corpus: Corpus, rows: int) -> dict[str, Any]:
    """Return all that decides the pairs."""
    spec = run.pairs
    own = spec.model_dump(mode="json", exclude={"name", *spec.indifferent})
    return {
        "maker": spec.name,
        "pairs": {**own, **plan.settings},
        "input": {"dataset": corpus.name, "fingerprint": corpus.fingerprint, "rows": rows},
        "files": dict(plan.files),
    }


def _work_off(
    rows: Sequence[Row], plan: Plan, corpus: Corpus, journal: Journal, run: PairsRun, console: Console
) -> None:
    """Make what is missing, chunk by chunk, each on disk before the next."""
    done = frozenset(journal.done)
    if len(done) == len(rows):
        return
    if done:
        console.print(f"going on: {len(done)} of {len(rows)} rows are done", soft_wrap=True)
    todo = ((at, rows[at]) for at in range(len(rows)) if at not in done)
    origin = {"maker": run.pairs.name, "dataset": corpus.name, "seed": run.pairs.seed}
    if isinstance(run.pairs, Sample):
        origin |= {"policy": plan.settings["policy"], "judges": sorted(run.pairs.judges)}
    work = plan.work(rows, corpus)
    columns = (BarColumn(bar_width=32), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(run.pairs.name, total=len(rows), completed=len(journal.done))
        for chunk in work(todo):
            journal.add(chunk, lambda at, made: [record(pair, rows[at], at, origin) for pair in made.pairs])
            bar.update(task, completed=len(journal.done))
