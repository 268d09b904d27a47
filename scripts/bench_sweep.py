"""What a sweep saves: the same DPO runs as separate command lines, as sweeps, and as a shell loop over TRL's `trl dpo`.

    python scripts/bench_sweep.py --output benchmarks/results/sweep.json      # about an hour on 2 cores
    python scripts/bench_sweep.py --rows 300 --betas 0.1 --rates 1e-4 3e-4 --prompts 32   # a look

Every way trains one policy per beta and learning rate on the toy world, from an SFT policy, and runs in a folder of
its own. Separate command lines train that SFT policy each, unless they share a store; a sweep trains it once. `trl dpo`
gets the SFT policy of our sweep and the same pairs, batch, lengths and epochs; it samples and measures nothing, so its
time is a lower bound of what a comparison costs. Wall seconds, ratios to the separate command lines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench_ppo import machine
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
console = Console()


def main() -> None:
    """Run every way, print the table, keep the numbers if asked."""
    asked = arguments()
    grid = [(beta, rate) for beta in asked.betas for rate in asked.rates]
    ways: dict[str, Callable[[Path], float]] = {
        "separate command lines": lambda folder: separate(folder, grid, asked, shared=False),
        "separate command lines, one store": lambda folder: separate(folder, grid, asked, shared=True),
        "sweep": lambda folder: sweep(folder, asked),
        "sweep, local launcher": lambda folder: sweep(folder, asked, "hydra/launcher=local", "hydra.launcher.jobs=2"),
    }
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        for name, way in ways.items():
            folder = Path(home) / name.replace(",", "").replace(" ", "_")  # a comma would be a sweep over stores
            folder.mkdir()
            with console.status(name):
                found[name] = way(folder)
            console.print(f"{name}: {found[name]:.0f} s", highlight=False)
        with console.status("trl dpo"):
            found["a shell loop over trl dpo"] = shell_loop(Path(home) / "sweep", Path(home) / "trl", grid, asked)
    console.print(table(found, len(grid)))
    if asked.output:
        report = {"machine": machine(), "settings": vars(asked), "seconds": found}
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.05, 0.1, 0.3])
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 3e-4, 1e-3, 3e-3])
    parser.add_argument("--rows", type=int, default=1200, help="of the toy world (default: 1200)")
    parser.add_argument("--prompts", type=int, default=100, help="answered to compare policies (default: 100)")
    parser.add_argument("--output", type=Path, help="JSON file, for example benchmarks/results/sweep.json")
    return parser.parse_args()


def common(asked: argparse.Namespace) -> list[str]:
    """Words of every one of our jobs."""
    return [
        "method=dpo", "model=tiny_gpt2", "dataset.languages=[en]", f"dataset.rows={asked.rows}",
        f"evaluation.prompts={asked.prompts}", "evaluation.suites=[]", "hardware=cpu",
    ]  # fmt: skip


def separate(folder: Path, grid: Sequence[tuple[float, float]], asked: argparse.Namespace, *, shared: bool) -> float:
    """Seconds of one command line after the other."""
    begun = time.perf_counter()
    for number, (beta, rate) in enumerate(grid):
        store = folder / ("stages" if shared else f"stages-{number}")
        run(folder, *common(asked), f"method.beta={beta}", f"method.trainer.learning_rate={rate}", f"store={store}")
    return time.perf_counter() - begun


def sweep(folder: Path, asked: argparse.Namespace, *launcher: str) -> float:
    """Seconds of all jobs in one command."""
    betas, rates = (",".join(map(str, values)) for values in (asked.betas, asked.rates))
    begun = time.perf_counter()
    run(folder, "-m", *launcher, *common(asked), f"method.beta={betas}", f"method.trainer.learning_rate={rates}")
    return time.perf_counter() - begun


def shell_loop(ours: Path, folder: Path, grid: Sequence[tuple[float, float]], asked: argparse.Namespace) -> float:
    """Seconds of `trl dpo` per setting, on the SFT policy and the pairs of our sweep; making these is not counted."""
    (policy,) = ours.glob("outputs/stages/sft-*/model")
    trainer = export_pairs(folder, asked)
    begun = time.perf_counter()
    for number, (beta, rate) in enumerate(grid):
        words = ["--model_name_or_path", policy, "--dataset_name", folder / "pairs", "--beta", beta]
        words += ["--learning_rate", rate, "--output_dir", folder / str(number), "--report_to", "none"]
        words += ["--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false", "--eval_strategy", "no"]
        words += [word for name, value in trainer.items() for word in (f"--{name}", value)]
        call([str(Path(sys.executable).parent / "trl"), "dpo", *map(str, words)], folder)
    return time.perf_counter() - begun


def export_pairs(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Write our training pairs as texts that TRL reads; returns the settings that both sides share."""
    sys.path.insert(0, str(ROOT))
    from rlhf.compose import jobs, parse_words
    from rlhf.data import load_corpus

    [(_, config)] = jobs(parse_words(common(asked)))
    template = config.model.template
    turns = {"system": template.system, "user": template.user, "assistant": template.assistant}
    (folder / "pairs").mkdir(parents=True)
    with (folder / "pairs" / "train.jsonl").open("w", encoding="utf-8") as file:
        for row in load_corpus(config.dataset, "preference").train:
            prompt = "".join(turns[turn["role"]].replace("{content}", turn["content"]) for turn in row.prompt)
            pair = {"prompt": prompt + template.response_prefix, "chosen": row.chosen, "rejected": row.rejected}
            file.write(json.dumps(pair) + "\n")
    method = config.method
    shared = ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "lr_scheduler_type")
    length = method.max_prompt_tokens + method.max_response_tokens
    return {name: method.trainer[name] for name in shared} | {"max_length": length}


def run(folder: Path, *words: str) -> None:
    """Run `rlhf` with these words in `folder`."""
    call([sys.executable, "-m", "rlhf", *words], folder)


def call(command: Sequence[str], folder: Path) -> None:
    """Run a command; what it printed is shown if it fails."""
    surroundings = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")


def table(found: dict[str, float], jobs: int) -> Table:
    """One line per way; the first is what the others are compared with."""
    shown = Table(title=f"{jobs} DPO jobs", title_justify="left")
    for column in ("way", "seconds", "per job", "ratio"):
        shown.add_column(column, justify="left" if column == "way" else "right")
    first = next(iter(found.values()))
    for name, seconds in found.items():
        shown.add_row(name, f"{seconds:.0f}", f"{seconds / jobs:.1f}", f"{seconds / first:.2f}")
    return shown


if __name__ == "__main__":
    main()
