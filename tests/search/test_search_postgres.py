"""The same studies on PostgreSQL: made, gone on with by another process, shared by two at once, pruned through it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_search_engine import PLANE, sampler, spec_of, square

from rlhf.search.engine import Engine, Outcome
from rlhf.search.space import Space
from rlhf.search.study import open_study, storage_url

WORKER = """
import sys
sys.path.insert(0, {folder!r})
from test_search_engine import PLANE, finish, sampler, spec_of, square
from rlhf.search.engine import Engine
from rlhf.search.space import Space
from rlhf.search.study import open_study
spec = spec_of(PLANE, 12, sampler=sampler("random"))
engine = Engine(open_study(spec, {url!r}, "shared", {{"space": "same"}}), spec, Space(spec.params), private=False)
while (setting := engine.ask()) is not None:
    finish(engine, setting, square)
    print(setting.number)
"""


def binary(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(folders[0]) if folders else shutil.which(name)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A cluster of its own, reached by a socket; PostgreSQL refuses root, so there it belongs to `postgres`."""
    if not importlib.util.find_spec("psycopg"):
        pytest.skip("psycopg is not installed (pip install 'rlhf[postgres]')")
    initdb, control = binary("initdb"), binary("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="rlhf-search-", dir="/var/tmp"))
    folder.chmod(0o777)
    data = str(folder / "data")

    def call(*words: str) -> None:
        subprocess.run([*owner, *words], check=True, cwd="/", stdout=subprocess.DEVNULL)

    try:
        call(initdb, "-D", data, "-U", "rlhf", "--auth=trust", "--encoding=UTF8", "--locale=C")
        options = f"-c listen_addresses='' -k '{folder}'"
        call(control, "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start")
        yield f"postgresql://rlhf@/postgres?host={folder}"
    finally:
        subprocess.run([*owner, control, "-D", data, "-m", "fast", "-w", "stop"], cwd="/", stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def engine_of(url: str, name: str, trials: int) -> Engine:
    spec = spec_of(PLANE, trials, sampler=sampler("tpe"))
    return Engine(open_study(spec, url, name, {"space": "same"}), spec, Space(spec.params), private=False)


def test_a_study_goes_on_where_it_was(url: str) -> None:
    assert storage_url(url, Path()) == url
    for total in (3, 5):
        engine = engine_of(url, "goes on", total)
        while (setting := engine.ask()) is not None:
            engine.tell(setting.number, Outcome("finished", square(setting.params), None, 1.0))
        assert len(engine.counted) == total
        assert [trial.values for trial in engine.trials] == [square(trial.params) for trial in engine.trials]


@pytest.mark.slow
def test_two_processes_share_a_study_to_one_total_and_run_nothing_twice(url: str) -> None:
    script = WORKER.format(folder=str(Path(__file__).parent), url=url)
    spec = spec_of(PLANE, 12, sampler=sampler("random"))
    study = open_study(spec, url, "shared", {"space": "same"})  # tables and study are there before several begin
    workers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    numbers = [[int(line) for line in worker.communicate(timeout=300)[0].split()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    ran = sorted(numbers[0] + numbers[1])
    assert len(ran) == len(set(ran))
    assert len(ran) == 12
    settings = {tuple(study.trials[number].params.values()) for number in ran}
    assert len(settings) == len(ran)
