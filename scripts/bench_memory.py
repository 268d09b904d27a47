"""Estimated against measured peak memory of every stage in a store, whole and above the process's own.

python scripts/bench_memory.py STORE [STORE ...] [--tiny] [--output benchmarks/results/memory.json]

A stage's measured peak is `cost/peak_memory_bytes` of its result.json; its estimate is what `rlhf plan` would say. With
`--tiny` the tiny families are trained into the (first) store before: DPO and PPO, in full, with LoRA, and with LoRA on
int8 and nf4 weights, each command in a process of its own (about 15 minutes on two cores).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

from rlhf.build import build
from rlhf.config import MethodSpec, Run
from rlhf.fingerprint import versions
from rlhf.plan.lengths import work_of
from rlhf.plan.memory import needs
from rlhf.plan.stages import Corpora, device_of
from rlhf.plan.table import parts_of_needs
from rlhf.plan.whole import imported_bytes, process_bytes

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
NO_TRACKING = {"name": "none", "uri": None, "experiment": "rlhf", "flush_seconds": 5.0}
TINY = ("tiny_gpt2", "tiny_mt5", "tiny_llama")
WAYS = ((), ("adapter=lora",), ("adapter=lora", "quantization=int8"), ("adapter=lora", "quantization=nf4"))
SHORT = ["dataset.rows=400", "evaluation.prompts=16", "evaluation.max_new_tokens=16", "tracking=none", "hardware=cpu"]
SHORT += ["evaluation.suites=[]"]
SHORT += [f"++{place}.trainer.max_steps=6" for place in ("method", "upstream.sft", "upstream.reward")]


def train_tiny(store: Path) -> None:
    """Train every tiny family in every way, as a user would."""
    for model, way, method in product(TINY, WAYS, ("dpo", "ppo")):
        words = [f"method={method}", f"model={model}", *way, *SHORT, f"store={store.resolve()}"]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "rlhf", *words]
            done = subprocess.run(
                command, cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL
            )
        if done.returncode != 0:  # fewer stages would make a smaller largest error
            sys.exit(f"this failed, nothing is compared: rlhf {shlex.join(words)}")
        print("trained", *words, flush=True)


def stages(store: Path) -> list[tuple[Run, MethodSpec, dict[str, float]]]:
    """Return what each finished stage of the store was, and what was measured."""
    found = []
    for file in sorted(store.glob("*/result.json")):
        values = json.loads((file.parent / "run.json").read_text(encoding="utf-8")) | {"tracking": NO_TRACKING}
        values["hardware"] = {"memory_gb": None} | values["hardware"]
        run = build(values)
        name = file.parent.name.partition("-")[0]
        known: dict[str, MethodSpec] = {"sft": run.upstream.sft, "reward": run.upstream.reward}
        method = run.method if run.method.name.startswith(name) else known[name]
        found.append((run, method, json.loads(file.read_text(encoding="utf-8"))["metrics"]))
    return found


def compared(store: Path, baseline: int, corpora: Corpora) -> list[dict[str, Any]]:
    """Estimate each stage of the store and set it beside the measurement."""
    lines = []
    for run, method, metrics in stages(store):
        device, _ = device_of(run)
        work = work_of(run.model, method, corpora.of(run, method.data_shape), run.evaluation, 1)
        own = process_bytes(run, method, device, baseline)
        needed = needs(run, method, work, device, own)
        measured = metrics["cost/peak_memory_bytes"]
        above = measured - own
        lines.append(
            {
                "model": run.model.name,
                "method": method.name,
                "adapter": run.adapter.name,
                "quantization": run.quantization.name,
                "measured_mb": round(measured / 1e6),
                "estimated_mb": round(needed.total / 1e6),
                "error": round(needed.total / measured - 1, 3),
                "error_above_baseline": round((needed.total - own) / above - 1, 3) if above > 0 else None,
                "moment": needed.peak.name,
                "components_mb": {name: round(value / 1e6) for name, value in parts_of_needs(needed).items()},
            }
        )
    return lines


def main() -> None:
    """Print the table and, if asked, record it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="+", type=Path)
    parser.add_argument("--tiny", action="store_true", help="train the tiny families into the first store before")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.tiny:
        train_tiny(given.stores[0])
    baseline = imported_bytes()
    corpora = Corpora()
    lines = [line for store in given.stores for line in compared(store, baseline, corpora)]
    for line in lines:
        print(*(line[key] for key in line if key != "components_mb"), line["components_mb"])
    worst = max(abs(line["error"]) for line in lines)
    print(f"largest error {worst:.1%} of {len(lines)} stages; baseline {baseline / 1e6:.0f} MB")
    if given.output is not None:
        record = {"date": str(date.today()), "machine": platform.platform(), "packages": versions(PACKAGES)}
        record |= {"baseline_mb": round(baseline / 1e6), "largest_error": worst, "stages": lines}
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
