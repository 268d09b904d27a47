"""How near PPO comes to the best policy there is, ours beside TRL 1.12's, on a language model that can be summed over.

    python scripts/bench_ppo_optimum.py                     # about 25 minutes on one core
    python scripts/bench_ppo_optimum.py --seeds 1 --rates 1e-3

Six letters, four steps: 1296 strings, each with a reward drawn for it. Both sides train the same GPT-2 on as many
samples at the same KL coefficient (0.5), so the best possible J* = 0.5 log Z is the same number, and the gap J* - J is
exact. Ours has the settings of tests/ppo/enumerable.py; TRL gets its defaults with lambda 1, at several learning
rates of which the best counts, and once more at each with k3 in the reward, which we refuse. TRL's environment is that
of scripts/bench_ppo.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from bench_ppo import cache_folder, machine, make_environment, pins
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the tests' model

console = Console()
Setting = tuple[int, float, str]  # of TRL: epochs, learning rate, KL estimator


def main() -> None:
    """Train both sides, print the gaps."""
    asked = arguments()
    ours: list[dict[str, float]] = []
    trl: dict[Setting, list[dict[str, float]]] = {}
    environment = make_environment(asked.venv, pins())
    for seed in range(asked.seeds):
        with console.status(f"ours, seed {seed}"):
            ours.append(run_ours(seed))
        for setting in product(asked.epochs, asked.rates, ("k1", "k3")):
            with console.status(f"{told(setting)}, seed {seed}"):
                trl.setdefault(setting, []).append(run_trl(environment, seed, setting))
    table = Table("", "J* - J: mean", "largest", "KL", title=f"start: {ours[0]['start']:.3f}; {asked.seeds} seeds")
    for name, found in {"ours": ours, **{told(setting): found for setting, found in trl.items()}}.items():
        gaps = [one["end"] for one in found]
        table.add_row(name, f"{fmean(gaps):.4f}", f"{max(gaps):.4f}", f"{fmean(one['kl'] for one in found):.2f}")
    console.print(table)
    best = min(fmean(one["end"] for one in found) for found in trl.values())
    console.print(f"ours / TRL's best: {fmean(one['end'] for one in ours) / best:.2f}")
    if asked.output:
        report: dict[str, Any] = {"machine": machine(), "pins": pins(), "ours": ours}
        report["trl"] = [
            {"epochs": epochs, "learning_rate": rate, "estimator": estimator, "runs": found}
            for (epochs, rate, estimator), found in trl.items()
        ]
        asked.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=cache_folder(), help="environment for TRL")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 4], help="of TRL; ours are 2")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3], help="of TRL; ours is 1e-3")
    parser.add_argument("--output", type=Path, help="JSON file, for example benchmarks/results/ppo_optimum.json")
    return parser.parse_args()


def run_ours(seed: int, steps: int | None = None) -> dict[str, float]:
    """Train with this repository's trainer in this process; all steps unless told how many."""
    from tests.ppo.enumerable import learner_of, measure, reached, settings

    start = measure(learner_of("causal", "full", settings("strings"), seed, "strings"), "strings")
    with tempfile.TemporaryDirectory() as folder:
        found = reached("causal", "full", "strings", seed, Path(folder), steps=steps)
    return {"start": start.gap, "end": found.gap, "kl": found.kl}


def told(setting: Setting) -> str:
    """A setting of TRL's in words."""
    epochs, rate, estimator = setting
    return f"TRL, {epochs} epochs, rate {rate:g}, {estimator}"


def run_trl(python: Path, seed: int, setting: Setting) -> dict[str, float]:
    """Train with TRL's trainer in its environment, on as many samples."""
    from tests.ppo.enumerable import SAMPLES
    from tests.ppo.enumerable_model import ASK

    steps, prompts = SAMPLES["strings"]
    task = {"seed": seed, "prompt": [ASK], "steps": steps, "batch": prompts}
    task |= dict(zip(("epochs", "learning_rate", "estimator"), setting, strict=True))
    command = [str(python), "-W", "ignore", str(ROOT / "scripts" / "bench_ppo_optimum_trl.py"), json.dumps(task)]
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


if __name__ == "__main__":
    main()
