"""Data sets that do not fit into memory: worker processes make rows of them, which go to one mapped file in order.

What stays in memory is a window of tasks and each row's keys. Whatever the number of workers, the rows, their order,
the account and the first error are those of reading one record after the other.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import Any

from rlhf.config import FileDataset
from rlhf.data.arrow import batch_bytes, encode, write_batches
from rlhf.data.cleaning.tally import loaded
from rlhf.data.files import Unparsed, data_files, may_swell, parsed, unpacked_bytes
from rlhf.data.kept import kept
from rlhf.data.records import Account, gather
from rlhf.data.rows import Shape
from rlhf.data.splits import KEYS, Keys, keys_of
from rlhf.data.workers import cores, ordered
from rlhf.errors import UserError
from rlhf.fingerprint import digest, digest_files, versions
from rlhf.sources import closure
from rlhf.store import VALUES

FOLDER = "rows"  # of the store
ROWS, KEYS_FILE = "rows.arrow", "keys.bin"  # below `values`: rows as JSON in Arrow batches, KEYS one after the other
TASK_BYTES, TASK_RECORDS = 1 << 20, 1000  # what a worker is handed at a time: lines up to so many bytes, or records
SHOWN_DIGITS = 12
MB = 1e6


def weighed(records: Iterator[Unparsed], spec: FileDataset) -> tuple[Iterator[Unparsed], bool]:
    """Return the records, and whether they are more than `stream_over_mb`.

    Local files are weighed on disk. Where more may come out of them than they tell, and of a data set on the hub,
    records are read until they are too many.
    """
    most = spec.reading.stream_over_mb * MB
    if spec.path is not None:
        files = data_files(spec.path)
        if sum(map(unpacked_bytes, files)) > most:
            return records, True
        if not any(map(may_swell, files)):
            return records, False
    head: deque[Unparsed] = deque()
    size = 0
    try:
        for record in records:
            head.append(record)
            size += len(record[1] if isinstance(record[1], bytes) else str(record[1]))
            if size > most:
                return _rest(head, records), True
    except UserError as error:  # of the file: what lies before it is told first
        return _rest(head, iter(()), error), False
    return _rest(head, iter(())), False


def _rest(head: deque[Unparsed], records: Iterator[Unparsed], error: UserError | None = None) -> Iterator[Unparsed]:
    """Hand on what was read, letting go of it, then what was not; then raises the error."""
    while head:
        yield head.popleft()
    yield from records
    if error is not None:
        raise error


def read_large(
    records: Iterable[Unparsed], spec: FileDataset, shape: Shape, store: Path | None
) -> tuple[Path, Keys, Account, Any]:
    """Return the file of rows, their keys, the account, and what must be kept alive as long as the file is read.

    With a `store` the file of a local source is kept there for the next reader; otherwise it goes with the last one
    who holds it.
    """
    import numpy

    def make(folder: Path) -> Mapping[str, Any]:
        account = _write(records, spec, shape, folder)
        return {"method": shape, "model": spec.name, "account": _dump(account)}

    keeper: Any = None
    if store is None or spec.path is None:  # what a name on the hub stands for may change
        keeper = TemporaryDirectory(prefix="rlhf-rows-")
        name, folder = "", Path(keeper.name) / FOLDER
    else:
        name = _identity(spec, shape)
        folder = store / FOLDER / name[:SHOWN_DIGITS]
    result, hold = kept(folder, name, make)
    account = _load(result["account"])
    return folder / VALUES / ROWS, numpy.fromfile(folder / VALUES / KEYS_FILE, KEYS), account, (keeper, hold)


def _write(records: Iterable[Unparsed], spec: FileDataset, shape: Shape, folder: Path) -> Account:
    account = Account()
    found = ordered("rlhf.data.stream:work", (spec, shape), _tasks(records), workers_of(spec))
    with closing(found) as results, (folder / KEYS_FILE).open("wb") as keys_file:

        def batches() -> Iterator[bytes]:
            for batch, keys, more in results:
                account.add(more)
                account.settle(spec.max_bad_rows)
                keys_file.write(keys)
                yield batch

        write_batches(folder / ROWS, batches())
    return account


def workers_of(spec: FileDataset) -> int:
    """Return how many processes work through a large source."""
    return spec.reading.workers or cores()


def _tasks(records: Iterable[Unparsed]) -> Iterator[list[Unparsed]]:
    task: list[Unparsed] = []
    size = 0
    try:
        for record in records:
            task.append(record)
            size += len(record[1]) if isinstance(record[1], bytes) else TASK_BYTES // TASK_RECORDS
            if size >= TASK_BYTES:
                yield task
                task, size = [], 0
    except Exception:  # of the file: what lies before it is told first
        if task:
            yield task
        raise
    if task:
        yield task


def work(setup: tuple[FileDataset, Shape], task: list[Unparsed]) -> tuple[bytes, bytes, Account]:
    """Return the rows of some records as an Arrow batch, their keys, and the account (in a worker)."""
    spec, shape = setup
    rows, account = gather(map(parsed, task), spec, shape)
    stored = [encode(row) for row in rows]
    return batch_bytes(stored), keys_of(rows, stored, spec.split.seed).tobytes(), account


def _identity(spec: FileDataset, shape: Shape) -> str:
    """Hash all that rows and account depend on: bytes, settings and code. How the rows are cut is no part of it."""
    settings = spec.model_dump(exclude={"split", "fraction", "limit", "strict", "reading"})
    bounds = spec.reading.model_dump(exclude={"name", "workers", "stream_over_mb"})
    code = closure((f"rlhf.data.{spec.format}", "rlhf.data.stream"))
    texts = [[file.name, file.read_text(encoding="utf-8")] for file in code]
    source = [[file.name, digest_files(file)] for file in data_files(str(spec.path))]
    return digest([settings, bounds, spec.split.seed, shape, source, texts, versions(LIBRARIES), python_version()])


# libraries that rows go through: those of cleaning, and those that say what a cell of a table holds
LIBRARIES = ("ftfy", "emoji", "pyspellchecker", "py3langid", "pyarrow", "openpyxl")


def _dump(account: Account) -> dict[str, Any]:
    broken = [[error.place, error.problem, error.remedy] for error in account.broken]
    last = json.loads(json.dumps(account.last, default=str))
    return {
        "read": account.read,
        "parts": account.parts,
        "dropped": dict(account.dropped),
        "broken": broken,
        "last": last,
        "tally": account.tally.dump(),
    }


def _load(values: Mapping[str, Any]) -> Account:
    broken = [UserError(*error) for error in values["broken"]]
    tally = loaded(values["tally"])
    return Account(values["read"], values["parts"], Counter(values["dropped"]), broken, values["last"], tally)
