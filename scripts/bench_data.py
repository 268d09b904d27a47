"""Rows per second and peak memory of reading and tokenising a large file of pairs, beside a plain `datasets.map`.

python scripts/bench_data.py [--rows 1000000] [--workers N] [--cleaning NAME] [--output benchmarks/results/data.json]

Both read the same jsonl with the same format and cleaning function, codec and number of processes, each in a fresh
process and with empty caches; `rlhf` also looks for duplicates, cuts by group and takes a fingerprint. The third line
is `rlhf` again, with what the first left in its store. Memory is the peak of the whole tree of processes, sampled five
times a second: resident (RSS: what processes share counts once for each), and its share (PSS: it counts once). On a
machine that others use, compare rows per second of processor time, which all processes of a way take together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from make_big_jsonl import write
from rich.console import Console
from rich.table import Table

from rlhf.compose import jobs, parse_words
from rlhf.config import FileDataset, Run
from rlhf.data.workers import cores
from rlhf.fingerprint import versions

SEED, REPEATED = 0, 0.01
QUIET = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
WAYS = ("rlhf", "datasets.map", "rlhf, from its store")


def configured(file: Path, workers: int, cleaning: str) -> Run:
    """Compose the run whose data is measured."""
    words = ["method=dpo", "dataset=ultrafeedback_binarized", f"dataset.path={file}", "evaluation.judge=reward"]
    words += [f"dataset.reading.workers={workers}", f"cleaning@dataset.cleaning={cleaning}", "tracking=none"]
    ((_, run),) = jobs(parse_words([*words, "dataset.reading.stream_over_mb=0"]))
    return run


def codec_of(run: Run) -> Any:
    """Return the codec of the run's model, without its weights."""
    from rlhf.models.codec import Codec
    from rlhf.models.tiny import TOY_VOCABULARY
    from rlhf.models.tokenizers import ensure_padding, train_toy_tokenizer

    tokenizer = ensure_padding(train_toy_tokenizer(run.model.family, TOY_VOCABULARY), run.model.family)
    return Codec(tokenizer, run.model, run.method.max_prompt_tokens, run.method.max_response_tokens)


def ours(run: Run, folder: Path) -> int:
    """Read, cut and tokenise as a stage does; returns the number of rows of token ids."""
    from rlhf.data import load_corpus
    from rlhf.stages.tokens import pair_tokens

    corpus, codec = load_corpus(run.dataset, "preference", folder), codec_of(run)
    return sum(len(pair_tokens(codec, part, folder)) for part in (corpus.train, corpus.validation, corpus.test))


def baseline(run: Run, folder: Path, workers: int) -> int:
    """Do the same with the library alone, one record at a time as its documentation shows."""
    from datasets import load_dataset

    from rlhf.data.records import formatted
    from rlhf.stages.rows_as_ids import pair

    spec, codec = run.dataset, codec_of(run)
    assert isinstance(spec, FileDataset)

    def tokenised(record: dict[str, Any]) -> dict[str, Any]:
        (row,) = formatted("a record", record, spec, "preference").rows
        return pair(codec, row)

    rows = load_dataset("json", data_files=spec.path, cache_dir=str(folder), split="train")
    return len(rows.map(tokenised, num_proc=workers, remove_columns=rows.column_names))


def measured(command: list[str]) -> dict[str, float]:
    """Run a command that prints a line of JSON at its end; returns that with the peak memory of its processes."""
    peaks = {"resident_bytes": 0.0, "share_bytes": 0.0}
    before = _processor_seconds()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | QUIET)
    while child.poll() is None:
        found = list(_memory(child.pid))
        for name, value in zip(peaks, map(sum, zip(*found, strict=True)), strict=False):
            peaks[name] = max(peaks[name], value)
        time.sleep(0.2)
    assert child.stdout is not None
    said = child.stdout.read().decode().strip().splitlines()
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed with {child.returncode}")
    return json.loads(said[-1]) | peaks | {"processor_seconds": _processor_seconds() - before}


def _processor_seconds() -> float:
    """Seconds of all processes that this one started and that have ended, with those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> Iterator[tuple[int, int]]:
    """Yield (RSS, PSS) of a process and of those below it, in bytes; without Linux's /proc the second is 0."""
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            yield process.memory_info().rss, _share(process.pid)
        except (psutil.NoSuchProcess, OSError):
            continue


def _share(pid: int) -> int:
    file = Path(f"/proc/{pid}/smaps_rollup")
    lines = file.read_text().splitlines() if file.exists() else []
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def child(way: str, file: Path, folder: Path, workers: int, cleaning: str) -> None:
    """Do the work of one way in this process and print what it took."""
    run = configured(file, workers, cleaning)
    began = time.perf_counter()
    made = baseline(run, folder, workers) if way == "datasets.map" else ours(run, folder)
    print(json.dumps({"seconds": time.perf_counter() - began, "rows": made}))


def compare(file: Path, rows: int, workers: int, cleaning: str, home: Path) -> dict[str, dict[str, float]]:
    """Measure all ways, one after the other."""
    found = {}
    for way in WAYS:
        folder = home / ("library" if way == "datasets.map" else "store")
        words = ["--way", way, "--file", str(file), "--folder", str(folder), "--cleaning", cleaning]
        found[way] = measured([sys.executable, __file__, *words, "--workers", str(workers)])
        for unit in ("seconds", "processor_seconds"):
            found[way][f"rows_per_{unit.removesuffix('s')}"] = rows / found[way][unit]
    return found


def table(found: dict[str, dict[str, float]], title: str) -> Table:
    """One line per way; ratios are to the library's own map, of time and of processor time."""
    shown = Table(title=title, title_justify="left")
    names = ("way", "seconds", "rows/s", "ratio", "rows/s of processor", "ratio", "peak RSS", "peak PSS", "rows out")
    for column in names:
        shown.add_column(column, justify="left" if column == "way" else "right")
    for way, of in found.items():
        cells = [f"{of['seconds']:.1f}"]
        for unit in ("rows_per_second", "rows_per_processor_second"):
            cells += [f"{of[unit]:,.0f}", f"{of[unit] / found['datasets.map'][unit]:.2f}"]
        memory = [f"{of[name] / 2**20:.0f} MiB" for name in ("resident_bytes", "share_bytes")]
        shown.add_row(way, *cells, *memory, f"{of['rows']:,.0f}")
    return shown


def main() -> None:
    """Read the command line; make the file, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--cleaning", default="none")
    parser.add_argument("--output", type=Path)
    for name in ("--way", "--file", "--folder"):  # of the processes that this one starts
        parser.add_argument(name, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        child(asked.way, Path(asked.file), Path(asked.folder), asked.workers, asked.cleaning)
        return
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "big.jsonl"
        write(file, asked.rows, SEED, REPEATED)
        size = file.stat().st_size
        found = compare(file, asked.rows, asked.workers, asked.cleaning, Path(home))
    title = f"{asked.rows:,} pairs, {size / 1e6:.0f} MB of jsonl, {asked.workers} processes, cleaning={asked.cleaning}"
    Console(width=None if sys.stdout.isatty() else 140).print(table(found, title))
    if asked.output:
        where = {"date": str(date.today()), "cores": cores(), "machine": platform.processor() or platform.machine()}
        settings = {"rows": asked.rows, "bytes": size, "workers": asked.workers, "cleaning": asked.cleaning}
        packages = versions(("datasets", "pyarrow", "transformers", "tokenizers"))
        result = where | {"load_average": os.getloadavg()[0]} | settings | {"packages": packages, "ways": found}
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
