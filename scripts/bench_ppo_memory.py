"""Peak memory of PPO: four copies of a model beside adapters on one base. Run: python scripts/bench_ppo_memory.py.

Runs `rlhf method=ppo` once per way, each in a process of its own, at a real architecture's size with random weights (no
hub), and prints a table of peak memory and seconds per step with the ratio to four copies. The stage's own meter gives
the numbers: device memory on a GPU, resident memory of the process on a CPU. `--output FILE` keeps them as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

WAYS = {  # what it is called -> the words that make it
    "four copies (policy, reference, critic, reward)": ["method.critic.kind=separate"],
    "three copies (critic on the policy's trunk)": ["method.critic.kind=shared"],
    "LoRA, one base": ["adapter=lora", "method.critic.kind=separate"],
    "QLoRA, one int8 base": ["adapter=lora", "quantization=int8", "method.critic.kind=separate"],
    "QLoRA, one nf4 base": ["adapter=lora", "quantization=nf4", "method.critic.kind=separate"],
}
COMMON = [
    "method=ppo", "model.init=random", "method.starts_from=base", "upstream.reward.starts_from=base",
    "dataset.rows=120", "dataset.split.test=0.1", "upstream.reward.trainer.num_train_epochs=1",
    "++upstream.reward.trainer.max_steps=1", "upstream.reward.trainer.per_device_train_batch_size=2",
    "method.normalize_rewards=0", "method.trainer.eval_steps=1000", "method.trainer.save_steps=1000",
    "evaluation.judge=none", "evaluation.prompts=2", "evaluation.max_new_tokens=4", "tracking=none",
    "method.guard.on_collapse=warn", "method.critic.learning_rate=1e-5", "evaluation.suites=[]",
]  # fmt: skip


def main() -> None:
    """Run every way, print the table, keep the numbers if asked."""
    arguments = parse()
    console, found = Console(), {}
    for name, words in WAYS.items():
        with console.status(name):
            found[name] = measure(words, arguments)
        console.print(f"{name}: {found[name].get('error') or gib(found[name]['peak_bytes'])}", highlight=False)
    console.print(table(found, arguments))
    if arguments.output:
        packages = {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")}
        record = {"command": sys.argv, "date": time.strftime("%Y-%m-%d"), "machine": platform.platform()}
        record |= {"cores": os.cpu_count(), "versions": packages, "settings": vars(arguments), "ways": found}
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments.output).write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """What can be set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2", help="an option of conf/model (default: gpt2)")
    parser.add_argument("--steps", type=int, default=3, help="PPO steps (default: 3)")
    parser.add_argument("--batch", type=int, default=8, help="responses per step (default: 8)")
    parser.add_argument("--response", type=int, default=32, help="longest response in tokens (default: 32)")
    parser.add_argument("--output", help="JSON file to keep the numbers in")
    return parser.parse_args()


def measure(words: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one way in a process of its own; return its peak memory and seconds per step, or what went wrong."""
    own = [f"model={arguments.model}", f"method.trainer.max_steps={arguments.steps}"]
    own += [f"method.prompts_per_step={arguments.batch}", f"method.max_response_tokens={arguments.response}"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rlhf", *COMMON, *own, *words]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        results = list(Path(folder).glob("outputs/stages/ppo-*/result.json"))
        if run.returncode or not results:
            return {"error": (run.stderr.strip().splitlines() or ["no result"])[-1]}
        result = json.loads(results[0].read_text(encoding="utf-8"))
    phases = [result["curves"][f"train/seconds/{phase}"] for phase in ("generate", "score", "update")]
    seconds = [sum(value for _, value in step) for step in zip(*phases, strict=True)]
    return {
        "peak_bytes": result["metrics"]["cost/peak_memory_bytes"],
        "trainable": result["metrics"]["cost/trainable_parameters"],
        "seconds_per_step": median(seconds[1:] or seconds),
    }


def table(found: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> Table:
    """One line per way, the first is what the others are compared with."""
    title = f"PPO on {arguments.model}, {arguments.batch} responses of up to {arguments.response} tokens"
    shown = Table(title=title, title_justify="left")
    for column in ("way", "peak memory", "of four copies", "trained parameters", "s per step"):
        shown.add_column(column, justify="left" if column == "way" else "right")
    first = next(iter(found.values())).get("peak_bytes")
    for name, way in found.items():
        if "error" in way:
            shown.add_row(name, f"[red]{way['error']}[/]")
            continue
        ratio = f"{way['peak_bytes'] / first:.2f}" if first else "-"
        trained = f"{way['trainable'] / 1e6:.2f} M"
        shown.add_row(name, gib(way["peak_bytes"]), ratio, trained, f"{way['seconds_per_step']:.1f}")
    return shown


def gib(size: float) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
