"""What tracking costs a job, on a new database file, on one that exists and on a server.

Run: python scripts/bench_tracking.py

Each job is `rlhf method=dpo` (tiny GPT-2: trains the SFT model, then DPO on it) in a process forked from a parent that
has imported everything, as jobs of a sweep are; the stores take turns with `tracking=none`. Shown are CPU and wall
seconds and their ratio to none (noisy: a busy machine moves them by more than tracking does) and, exactly, the seconds
spent inside of the tracker's own calls and of its thread, as a share of that very job. What is paid once per command,
importing mlflow and making or opening the store, is measured in fresh processes and shown apart. `--output FILE` keeps
the numbers as JSON.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
JOB = ["method=dpo", "dataset.rows=1000", "hydra.run.dir=job", "store=stages"]
ONCE = ("importing mlflow (after torch, trl, datasets)", "making a new database", "opening a database that exists")
FRESH = """
import sys, time; from pathlib import Path
import rlhf.job; from trl import DPOTrainer, SFTTrainer
import rlhf.tracking as T; from rlhf.config import TrackingSpec
spec = TrackingSpec(name='mlflow', uri='sqlite:///mlflow.db', experiment='rlhf', flush_seconds=5.0)
out = []
for step in ('import mlflow; from mlflow import MlflowClient', 'T.prepare_store(spec)'):
    wall, cpu = time.perf_counter(), time.process_time()
    exec(step)
    out += [time.process_time() - cpu, time.perf_counter() - wall]
print(*out)
"""
_inside = threading.local()
spent = {"cpu_in_tracking": 0.0, "training_wall": 0.0}  # seconds: of all threads, and of the training thread


def main() -> None:
    """Run all stores in turn, print the table, keep the numbers if asked."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped, too
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="rlhf-bench-tracking-", dir="/var/tmp"))
    folder.chmod(0o755)  # PostgreSQL's user has to enter
    server = start_server(folder) if not arguments.server else None
    try:
        uri = arguments.server or (server and server[1])
        starts = once(folder / "fresh")
        warm()
        stores = {"none": ["tracking=none"], "new file": ["tracking.uri=sqlite:///mlflow.db"]}
        stores["file"] = [f"tracking.uri=sqlite:///{folder}/fresh/mlflow.db"]
        if uri:
            stores["server"] = [f"tracking.uri={uri}"]
        found: dict[str, list[dict[str, float]]] = {name: [] for name in stores}
        for turn in range(arguments.rounds):
            for name, words in stores.items():
                place = folder / f"{name}-{turn}"
                found[name].append(forked([*JOB, *arguments.words, *words], place))
                console.print(f"round {turn + 1}, {name}: {found[name][-1]}", highlight=False)
                shutil.rmtree(place)
    finally:
        if server:
            server[0].terminate()
            server[0].wait(timeout=60)
        shutil.rmtree(folder)
    console.print(table(found))
    console.print("once per command: " + "; ".join(f"{k} {c:.2f} s CPU, {w:.2f} s" for k, (c, w) in starts.items()))
    if arguments.output:
        record = {"command": sys.argv, "date": time.strftime("%Y-%m-%d"), "once": starts, "jobs": found}
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments.output).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each store has its turn")
    parser.add_argument("--server", help="an MLflow server that runs already; default: one is started if it can be")
    parser.add_argument("--output", help="where to keep the numbers as JSON")
    parser.add_argument("words", nargs="*", help="more words for the job, such as method.trainer.logging_steps=1")
    return parser.parse_args()


def start_server(folder: Path) -> tuple[subprocess.Popen[str], str] | None:
    """Start scripts/mlflow_server.sh on a private PostgreSQL; None, with its own words, where it refuses."""
    words = ["bash", str(ROOT / "scripts" / "mlflow_server.sh"), "--local-postgres", str(folder / "server")]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RLHF_VENV": "/nowhere"}
    server = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("export MLFLOW_TRACKING_URI="):
            return server, line.strip().partition("=")[2]
    server.wait()
    return None


def once(folder: Path) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of what a command pays once: two fresh processes, the second finds the database."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    lines = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FRESH], cwd=folder, env=environment, capture_output=True, text=True
        )
        lines.append([float(word) for word in done.stdout.split()[-4:]])
    first, second = lines
    imports = ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
    return dict(zip(ONCE, (imports, (first[2], first[3]), (second[2], second[3])), strict=True))


def warm() -> None:
    """Import in this process what the warm parent of a sweep's jobs does, so that its forks don't."""
    sys.path.insert(0, str(ROOT))
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from rlhf.__main__ import SPIN
    from rlhf.launchers.zygote import PRELOADED

    os.environ.setdefault("GOMP_SPINCOUNT", SPIN)

    for name in PRELOADED:
        importlib.import_module(name)


def forked(words: list[str], place: Path) -> dict[str, float]:
    """Run one job in a fork; its CPU and wall seconds, and those spent in tracking."""
    place.mkdir()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = in_child(words, place)
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"the job failed: {(place / 'out').read_text()[-2000:]}")
    told = json.loads((place / "spent.json").read_text())
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall} | told


def in_child(words: list[str], place: Path) -> int:
    """Run the job with every call into the tracker timed."""
    os.chdir(place)
    out = os.open("out", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    import rlhf.job
    from rlhf import __main__ as command
    from rlhf import tracking
    from rlhf.tracking.channel import Writer
    from rlhf.tracking.tracker import TrackedRun, Tracker

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    for owner in (TrackedRun, Tracker):
        for name, part in list(vars(owner).items()):
            if callable(part) and not name.startswith("_"):
                setattr(owner, name, timed(part))
    Writer._loop = timed(Writer._loop)  # type: ignore[method-assign]
    tracking.prepare_store = timed(tracking.prepare_store)
    rlhf.job.deliver_spool = timed(rlhf.job.deliver_spool)  # type: ignore[attr-defined]
    code = command.train(words)
    spent["cpu_in_tracking"] += (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    )  # git, asked for the commit
    Path("spent.json").write_text(json.dumps(spent))
    return code


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that the seconds it takes are added to `spent`; what it calls in turn counts once."""

    @functools.wraps(function)
    def call(*positions: Any, **names: Any) -> Any:
        if getattr(_inside, "depth", 0):
            return function(*positions, **names)
        _inside.depth = 1
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            return function(*positions, **names)
        finally:
            _inside.depth = 0
            took = time.thread_time() - cpu
            spent["cpu_in_tracking"] += took
            if threading.current_thread() is threading.main_thread():
                spent["training_wall"] += time.perf_counter() - wall

    return call


def table(found: dict[str, list[dict[str, float]]]) -> Table:
    """One row per store: medians, ratios to none of the same round, and the exact shares."""
    shown = Table(title="a job of SFT + DPO on tiny GPT-2 (medians)")
    for column in ("store", "CPU s", "wall s", "CPU to none", "wall to none", "CPU in tracking", "training waited"):
        shown.add_column(column, justify="left" if column == "store" else "right")
    for name, jobs in found.items():
        ratios = [
            median(job[unit] / none[unit] for job, none in zip(jobs, found["none"], strict=True))
            for unit in ("cpu", "wall")
        ]
        inside, waited = (median(job[part] for job in jobs) for part in ("cpu_in_tracking", "training_wall"))
        cpu, wall = (median(job[unit] for job in jobs) for unit in ("cpu", "wall"))
        shares = [f"{inside:.2f} s, {inside / cpu:.2%}", f"{waited:.2f} s, {waited / wall:.2%}"]
        shown.add_row(name, f"{cpu:.1f}", f"{wall:.1f}", *(f"{ratio:.3f}" for ratio in ratios), *shares)
    return shown


if __name__ == "__main__":
    main()
