"""`rlhf data`: what is in a data set, what of it is lost, what would mislead: a table, a page and a tracked run."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rlhf.errors import UserError, refuse_unwritable
from rlhf.loading import loading
from rlhf.terminal import make_console, quiet_libraries

if TYPE_CHECKING:
    from rlhf.config import Run
    from rlhf.data.inspect.whole import Tokens
    from rlhf.data.rows import Corpus

HELP = """Usage: rlhf data [KEY=VALUE ...] [--json] [--output FILE.html] [--export-test FILE.jsonl [--rows N]]

Composes and checks the words as training does, reads the data and shows what is in it: columns, what became of every
row, lengths (in tokens of model=NAME), kinds, languages, duplicates, what held-out rows share with training, personal
data (kinds and numbers, never the values), rude words, and what style alone gives away of pairs. Findings come with
a remedy. Writes one page that needs no network; with tracking=mlflow, page and numbers go into a run, too.

  method=NAME        whose view is taken: sft sees demonstrations, reward and dpo see pairs. Default: by the data
  dataset.strict=true    a warning or an error ends with exit code 2, here and before training
  inspection.KEY=VALUE   thresholds and sizes (conf/inspection/default.yaml)
  --json             the numbers instead of tables
  --output           where the page goes. Default: outputs/data/<dataset>-<fingerprint>.html
  --export-test      a seeded choice of --rows (500) rows of the test part, as a file that dataset=table reads

Examples
  rlhf data
  rlhf data dataset=bitext dataset.path=FILE model=gpt2
  rlhf data dataset=hh_rlhf dataset.path=FILE method=sft dataset.strict=true
  rlhf data dataset=synthetic_persona_chat dataset.path=FILE --export-test consistency.jsonl --rows 500
"""
VALUED = ("--output", "--export-test", "--rows")
PASSED = {"--config-dir", "-cd"}
FOLDER, SPOOL = Path("outputs/data"), Path("outputs/runs/data")  # where pages go; where a run waits for its store
SHOWN = 8  # digits of the fingerprint in the page's name
ROWS = 500  # of an exported test set (STUDIES D20)
WHOLE = 10**9  # tokens: lengths are measured uncut


def run(words: list[str]) -> int:
    """Inspect the data set; returns 0. Raises `UserError` for wrong words, unreadable data, and what strict refuses."""
    if {"--help", "-h"} & set(words):
        sys.stdout.write(HELP)
        return 0
    as_json = "--json" in words
    given, words = _options([word for word in words if word != "--json"])
    composed = _composed(words)
    from rlhf.door import check_readable

    check_readable([composed], 1)
    if (output := given.get("--output")) is not None and not output.endswith(".html"):
        raise UserError(output, "is not the name of a page", "End --output in .html")
    if (exported := given.get("--export-test")) is not None and not exported.endswith(".jsonl"):
        raise UserError(exported, "is not the name of a jsonl file", "End --export-test in .jsonl")
    if exported is not None and os.path.lexists(exported):
        raise UserError(exported, "there is such a file already", "Name another one, or remove it")
    count = _count(given)
    quiet_libraries()
    console = make_console()
    return _inspect(composed, words, console, as_json, output, exported, count)


def _inspect(
    run: Run, words: list[str], console: Console, as_json: bool, output: str | None, exported: str | None, count: int
) -> int:
    with Console(stderr=True).status("loading transformers"), loading():
        from rlhf.data import load_corpus
        from rlhf.data.inspect.findings import refuse_findings
        from rlhf.data.inspect.whole import inspect
        from rlhf.report.data_page import render_data
        from rlhf.report.data_table import show
    quiet = Console(stderr=True)
    with quiet.status("reading"):
        shape = run.method.data_shape
        corpus = load_corpus(run.dataset, shape, Path(run.store))
    with quiet.status("looking at every row"):
        tokens, note = _tokens(run)
        told, findings = inspect(run.dataset, corpus, shape, run.inspection, tokens, lambda own: _style(own, run))
    page = Path(output) if output else FOLDER / f"{corpus.name}-{corpus.fingerprint[:SHOWN]}.html"
    told |= {"words": words, "command": _command(words), "page": str(page)}
    told |= {"tokens_note": note, "source": _source(run)}
    refuse_unwritable(page.parent, "--output FILE")
    _replace(page, render_data(told))
    written = {"page": str(page)}
    if exported is not None:
        written["test set"] = _export(corpus, Path(exported), count, run.dataset.split.seed)
    written |= _track(run, told, page, words)
    if as_json:
        sys.stdout.write(json.dumps(told | {"written": written}, indent=1, ensure_ascii=False) + "\n")
    else:
        show(told, console)
        for name, value in written.items():
            console.print(f"{name:<8} {value}", soft_wrap=True, markup=False)
    if run.dataset.strict:
        refuse_findings(findings, run.dataset.name)
    return 0


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take `--output FILE` and its like off the words."""
    given: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        flag, joined, value = word.partition("=")
        if flag not in VALUED:
            rest.append(word)
            continue
        given[flag] = value if joined else waiting.pop() if waiting else ""
        if not given[flag] or given[flag].startswith("--"):
            raise UserError(flag, "it needs a value", f"Write {flag} {'N' if flag == '--rows' else 'FILE'}")
    return given, rest


def _command(words: list[str]) -> str:
    return shlex.join(["rlhf", "data", *words])


def _count(given: Mapping[str, str]) -> int:
    rows = given.get("--rows", str(ROWS))
    if not rows.isdecimal() or int(rows) == 0:
        raise UserError(f"--rows {rows}", "is not a number of rows", "Write --rows 500")
    if "--rows" in given and "--export-test" not in given:
        raise UserError("--rows", "it says how many rows --export-test writes", "Add --export-test FILE.jsonl")
    return int(rows)


def _composed(words: list[str]) -> Run:
    """Compose and check one run; where the words name no method or judge, one that the data serves is taken."""
    from rlhf.command_words import refuse_contradictions
    from rlhf.compose import jobs, parse_words

    parsed = parse_words(words)
    if wrong := next((flag for flag in parsed.flags if flag.startswith("-") and flag not in PASSED), None):
        problem = "one data set at a time" if wrong in ("-m", "--multirun") else "rlhf data has no such flag"
        raise UserError(wrong, problem, "See `rlhf data --help`")
    refuse_contradictions(parsed.overrides, parsed.config_dir)
    said = {word.partition("=")[0].lstrip("+") for word in parsed.overrides}
    if not said & {"experiment", "evaluation", "evaluation.judge"}:
        words = ["evaluation.judge=none", *words]  # nothing is judged here
    if several := next((word for word in parsed.overrides if word.startswith("dataset=") and "," in word), None):
        raise UserError(several, "one data set at a time", "Run `rlhf data` for each")
    if not said & {"experiment", "method"}:
        try:
            ((_, run),) = jobs(parse_words([*words]))
        except UserError as error:
            if " holds " not in str(error):  # told alone or beside what else is wrong
                raise
            words = ["method=sft", *words]
        else:
            return run
    ((_, run),) = jobs(parse_words(words))
    return run


def _tokens(run: Run) -> tuple[Tokens | None, str]:
    """Return the model's way of counting tokens, or None and why there is none."""
    from rlhf.data.inspect.texts import answers
    from rlhf.data.inspect.whole import Tokens
    from rlhf.models.codec import Codec
    from rlhf.models.load import Source, load_tokenizer
    from rlhf.plan.lengths import tokenizer_of

    model, method = run.model, run.method
    tokenizer = tokenizer_of(model.model_dump_json())
    if tokenizer is None and model.path is None and model.hub_id is not None:
        try:
            tokenizer = load_tokenizer(model, Source(model.hub_id, None, "hub"))
        except UserError as error:
            return None, f"not measured: {error.problem}"
    if tokenizer is None:
        return None, f"not measured: the tokenizer of {model.name} could not be read"
    codec = Codec(tokenizer, model.model_copy(update={"context_length": 3 * WHOLE}), WHOLE, WHOLE)

    def count(row: Any) -> dict[str, int]:
        lengths = {part: len(codec.response_ids(text)) for part, text in answers(row).items()}
        return {"prompt": len(codec.prompt_ids(row.prompt))} | lengths

    together = model.family != "seq2seq"
    limits = (method.max_prompt_tokens, method.max_response_tokens, model.context_length)
    return Tokens(model.name, count, *limits, together), ""


def _style(corpus: Corpus, run: Run) -> dict[str, Any] | None:
    """What single words and the length tell of pairs, by whole groups drawn from all parts."""
    from rlhf.data.inspect.texts import rows_of
    from rlhf.data.splits import draw
    from rlhf.evaluation.preference.leaks import style_leak

    spec, total = run.inspection.style, len(corpus.train) + len(corpus.validation) + len(corpus.test)
    share = min(1.0, spec.pairs / total)
    if not len(corpus.train) or corpus.train[0].chosen is None:
        return None
    rows = [row for _, row in rows_of(corpus) if share == 1 or draw("style", spec.seed, row.group) < share]
    found = style_leak(rows, folds=spec.folds, seed=spec.seed, resamples=spec.resamples)
    return None if found is None else asdict(found) | {"of": total, "threshold": spec.threshold}


def _source(run: Run) -> str:
    dataset = run.dataset
    path, hub = getattr(dataset, "path", None), getattr(dataset, "hub_id", None)
    return str(path or hub or "generated from its seed, no file")


def _export(corpus: Corpus, file: Path, count: int, seed: int) -> str:
    """Write rows of the test part, drawn by seed, in the columns that dataset=table reads."""
    from rlhf.data.splits import draw

    part = corpus.test
    ranked = sorted(range(len(part)), key=lambda at: draw("export", seed, f"{part[at].group}\n{at}"))
    refuse_unwritable(file.parent, "--export-test FILE")
    new = file.with_name(file.name + ".new")
    with new.open("w", encoding="utf-8") as stream:
        for at in sorted(ranked[:count]):
            row = part[at]
            answer = {"completion": row.completion} if row.chosen is None else {}
            pair = {} if row.chosen is None else {"chosen": row.chosen, "rejected": row.rejected}
            line = {"prompt": list(row.prompt), **answer, **pair, "meta": dict(row.meta)}
            stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    new.replace(file)
    return f"{file}, {min(count, len(part))} of {len(part)} rows of the test part"


def _track(run: Run, told: Mapping[str, Any], page: Path, words: list[str]) -> dict[str, str]:
    """Record page and numbers in a run of the experiment; returns how to open it."""
    from rlhf.tracking import open_tracker

    if run.tracking.name == "none":
        return {}
    tracker = open_tracker(run.tracking, SPOOL)
    params = {
        "dataset": run.dataset.model_dump(),
        "inspection": run.inspection.model_dump(),
        "model": {"name": run.model.name},
    }
    tags = {"command": _command(words)}
    tracked = tracker.start_run(f"data-{told['name']}", role="data", tags=tags, params=params)
    tracked.dataset(f"{told['name']}-{told['shape']}", told["fingerprint"], told["parts"])
    severities = [finding["severity"] for finding in told["findings"]]
    counts = {f"findings/{severity}": float(severities.count(severity)) for severity in ("error", "warning", "info")}
    tracked.metrics(counts | {f"rows/{part}": float(rows) for part, rows in told["parts"].items()}, step=None)
    columns = ["severity", "kind", "told", "remedy"]
    tracked.table("findings", columns, [[one[column] for column in columns] for one in told["findings"]])
    tracked.text("data.json", json.dumps(told, indent=1, ensure_ascii=False))
    tracked.file(page)
    tracked.end("FINISHED")
    with suppress(OSError):  # it waits there for a store that is down
        SPOOL.rmdir()
    return {"tracked": tracked.url, "browse": tracker.ui_command}


def _replace(file: Path, text: str) -> None:
    new = file.with_name(file.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
