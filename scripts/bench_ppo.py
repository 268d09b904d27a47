"""Our PPO step beside that of TRL 1.12, the last TRL with a PPOTrainer: seconds by phase, memory, and what is learned.

    python scripts/bench_ppo.py                                   # about 20 minutes on 2 cores
    python scripts/bench_ppo.py --steps 3 --rounds 1 --learning-steps 0   # a look
    python scripts/bench_ppo.py --levers                          # what each part of the difference is worth
    python scripts/bench_ppo.py --size gpt2 --device cuda --precision bf16 --response 128

The first call makes a virtual environment for TRL (--venv; with uv where there is one; pip's own settings hold) and
later calls take it again. Both sides run the same task (bench_ppo_task.py) in processes of their own that alternate, so
that a busy moment of the machine hits both. At one thread CPU seconds are compared, which a neighbour disturbs least.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench_ppo_report import SIDES, Result, console, print_learning, print_levers, print_speed
from bench_ppo_task import SIZES, Task

ROOT = Path(__file__).resolve().parent.parent
PINS = {"torch": "2.13.0", "trl": "1.12.0", "transformers": "5.23.0", "peft": "0.21.2", "accelerate": "1.15.0"}
LEARNING: dict[str, Any] = {"reward": "rule", "learning_rate": 3e-4, "kl_coefficient": 0.05, "warmup": 0}


def main() -> None:
    """Measure, print, write."""
    asked = arguments()
    interpreters = {"ours": Path(sys.executable), "trl": make_environment(asked.venv, pins())}
    base = Task(
        size=asked.size,
        device=asked.device,
        precision=asked.precision,
        response=asked.response,
        steps=asked.steps,
    )

    def measure(label: str, task: Task) -> Result:
        with console.status(label):
            return run_side(task, interpreters[task.side])

    report: dict[str, Any] = {"machine": machine(), "pins": pins(), "task": asdict(base)}

    def keep(name: str, found: Any) -> None:  # at once: a later part may be interrupted
        report[name] = found
        if asked.output:
            asked.output.parent.mkdir(parents=True, exist_ok=True)
            parts = ",\n".join(f"{json.dumps(part)}: {json.dumps(report[part])}" for part in report)
            asked.output.write_text(f"{{\n{parts}\n}}\n", encoding="utf-8")

    for threads in asked.threads if asked.rounds else ():
        results = compare(replace(base, threads=threads), asked.rounds, measure)
        keep(f"speed, {threads} threads", results)
        print_speed(results, threads)
    if asked.levers:
        changed = levers(replace(base, threads=asked.threads[0]), measure)
        keep("levers", changed)
        print_levers(changed)
    if asked.learning_steps:
        task = replace(base, threads=asked.threads[0], **LEARNING, steps=asked.learning_steps)
        learned = learn(task, asked.seeds, measure)
        keep("learning", learned)
        print_learning(learned, task)
    if asked.output:
        console.print(f"written to {asked.output}")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=cache_folder(), help="environment for TRL")
    parser.add_argument("--output", type=Path, help="JSON file, for example benchmarks/results/ppo.json")
    parser.add_argument("--steps", type=int, default=20, help="counted steps of a process, after 2 of warm-up")
    parser.add_argument(
        "--rounds", type=int, default=2, help="processes of each side, in turn; 0: no comparison of speed"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--response", type=int, default=48, help="tokens of a response")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--learning-steps", type=int, default=30, help="0: do not compare what is learned")
    parser.add_argument("--seeds", type=int, default=3, help="of the comparison of learning")
    parser.add_argument("--levers", action="store_true", help="also time both sides with one thing changed at a time")
    return parser.parse_args()


def cache_folder() -> Path:
    """Where TRL's environment is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rlhf" / "bench-trl"


def pins() -> dict[str, str]:
    """The versions that TRL runs with; bitsandbytes, which PEFT imports wherever it is, only where we have it."""
    ours = importlib.util.find_spec("bitsandbytes")
    return PINS | ({"bitsandbytes": version("bitsandbytes")} if ours else {})


def make_environment(folder: Path, pins: Mapping[str, str]) -> Path:
    """Return the interpreter of an environment with exactly `pins` in `folder`; make or mend it if it is not there."""
    python, stamp = folder / "bin" / "python", folder / ".pins.json"
    if python.exists() and stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == dict(pins):
        return python
    console.print(f"installing TRL {pins['trl']} in {folder} (a few minutes, once)")
    wanted = [f"{name}=={number}" for name, number in pins.items()]
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True)
        links = os.environ.get("PIP_FIND_LINKS")  # uv does not read pip's settings
        options = ["--quiet", "--python", str(python), *(["--find-links", links] if links else [])]
        subprocess.run([uv, "pip", "install", *options, *wanted], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    stamp.write_text(json.dumps(dict(pins)), encoding="utf-8")
    return python


def run_side(task: Task, python: Path) -> Result:
    """Run one side's script in a process of its own and return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [str(python), "-W", "ignore", str(ROOT / "scripts" / f"bench_ppo_{task.side}.py")]
        surroundings = os.environ | {
            "OMP_NUM_THREADS": str(task.threads),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "TRL_EXPERIMENTAL_SILENCE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        done = subprocess.run(
            [*command, json.dumps(asdict(task)), str(file)],
            env=surroundings,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        return dict(json.loads(file.read_text(encoding="utf-8")))


def compare(task: Task, rounds: int, measure: Callable[[str, Task], Result]) -> dict[str, list[Result]]:
    """Run both sides in turn, `rounds` times."""
    results: dict[str, list[Result]] = {side: [] for side in SIDES}
    for turn in range(rounds):
        for side in SIDES:
            label = f"{side}, {task.threads} threads, round {turn + 1} of {rounds}"
            results[side].append(measure(label, replace(task, side=side)))
    return results


def levers(task: Task, measure: Callable[[str, Task], Result]) -> list[tuple[str, Result]]:
    """Time either side with one thing changed at a time."""
    ours, trl = replace(task, side="ours"), replace(task, side="trl")
    variants = {
        "TRL": trl,
        "TRL without its gc.collect()": replace(trl, collect_garbage=False),
        "TRL, 1 epoch": replace(trl, epochs=1),
        "TRL, LoRA": replace(trl, lora=True),
        "TRL, fused GELU": replace(trl, fused_gelu=True),
        "ours, own critic trunk": replace(ours, separate_critic=True),
        "ours": ours,
        "ours, GELU unfused": replace(ours, plain_gelu=True),
        "ours, 1 epoch": replace(ours, epochs=1),
        "ours, LoRA": replace(ours, lora=True),
        "ours, LoRA, own critic adapter": replace(ours, lora=True, separate_critic=True),
        "ours, 512-token micro-batches": replace(ours, microbatch_tokens=512),
        "ours, 256-token micro-batches": replace(ours, microbatch_tokens=256),
    }
    return [(name, measure(name, variant)) for name, variant in variants.items()]


def learn(task: Task, seeds: int, measure: Callable[[str, Task], Result]) -> dict[str, list[Result]]:
    """Train both sides on the rule as often as there are seeds."""
    results: dict[str, list[Result]] = {side: [] for side in SIDES}
    for seed in range(seeds):
        for side in SIDES:
            results[side].append(measure(f"learning, {side}, seed {seed}", replace(task, side=side, seed=seed)))
    return results


def machine() -> dict[str, Any]:
    """Where and when."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


if __name__ == "__main__":
    main()
