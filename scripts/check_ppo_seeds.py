"""Does PPO learn whatever the seed? Reads finished sweeps, prints a line per run, and fails unless all went well.

rlhf -m experiment=toy_ppo_seeds model=tiny_gpt2
python scripts/check_ppo_seeds.py multirun/DATE/TIME-ID ...

A run went well when its gain in gold reward over its start has a 95% interval above 0, the collapse guard saw no
symptom at any step, and the KL of its answers to the test prompts is within 30% of what it was steered to at the last
step: method.kl.target, unless the ramp or rollbacks kept it lower. The guard is run again here over the recorded
curves, with the settings of the run, so a run that was set not to warn cannot hide one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlhf.build import build
from rlhf.compose import plain
from rlhf.config import PPO
from rlhf.ppo_spec import GuardSpec

KL_TOLERANCE = 0.3  # share of the target that the KL may be off by
COLUMNS = (
    "model", "seed", "gold gain over the start", "KL / target", "KL coefficient", "entropy", "distinct-2", "symptoms",
    "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """What one finished run says."""

    model: str
    seed: int
    gain: float  # mean gold reward minus that of the start, on the same test prompts
    low: float  # of its 95% interval
    high: float
    kl: float  # nats per response, exact per token, on sampled answers to the test prompts
    target: float | None  # that the last step was steered to
    coefficient: float  # of the KL, at the last step
    entropy: float  # of the last step / of the first
    distinct_2: float  # of the answers to the test prompts / of the start's
    symptoms: tuple[str, ...]  # name and step, as the guard found them

    @property
    def faults(self) -> list[str]:
        """What keeps this run from having gone well."""
        found = [] if self.low > 0 else ["no clear gain"]
        found += ["collapsed"] if self.symptoms else []
        if self.target is None or abs(self.kl / self.target - 1) > KL_TOLERANCE:
            found.append("no KL target" if self.target is None else "KL off its target")
        return found

    @property
    def line(self) -> str:
        """The run as a line of a Markdown table."""
        kl = f"{self.kl:.2f} / -" if self.target is None else f"{self.kl:.2f} / {self.target:g}"
        cells = [
            self.model, f"{self.seed}", f"{self.gain:+.3f} [{self.low:.3f}, {self.high:.3f}]", kl,
            f"{self.coefficient:.3f}", f"{self.entropy:.0%} of the start's", f"{self.distinct_2:.0%} of the start's",
            ", ".join(self.symptoms) or "none", ", ".join(self.faults) or "well",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


def read(job: Path) -> Seed:
    """Read the finished PPO job in a folder; raises `ValueError` where there is none."""
    result = json.loads((job / "result.json").read_text(encoding="utf-8"))
    run = build(plain(OmegaConf.load(job / "config" / "config.yaml")))  # type: ignore[arg-type]
    if not isinstance(run.method, PPO):
        raise ValueError(f"{job} holds no PPO but {run.method.name}")
    if result["status"] != "finished":
        raise ValueError(f"{job} failed: {result['error']}")
    metrics, curves, start = result["metrics"], result["curves"], result["rows"][-2]["metrics"]
    entropy = [value for _, value in curves["train/policy/entropy"]]
    return Seed(
        model=run.model.name,
        seed=run.seed,
        gain=metrics["final/reward_gold_difference"],
        low=metrics["final/reward_gold_difference_low"],
        high=metrics["final/reward_gold_difference_high"],
        kl=metrics["final/kl"],
        target=curves["train/kl/target"][-1][1] if "train/kl/target" in curves else run.method.kl.target,
        coefficient=curves["train/kl/coefficient"][-1][1],
        entropy=entropy[-1] / entropy[0],
        distinct_2=metrics["final/distinct_2"] / start["final/distinct_2"],
        symptoms=(*symptoms(curves, run.method.guard), *rollbacks(metrics)),
    )


def symptoms(curves: dict[str, Any], spec: GuardSpec) -> Iterator[str]:
    """Run the collapse guard over the training curves again; a symptom is told at the step where it is first seen."""
    from rlhf.ppo.guard import CollapseGuard  # which imports torch: a wrong folder is told before

    steps: dict[int, dict[str, float]] = {}
    for name, points in curves.items():
        if name.startswith("train/"):
            for step, value in points:
                steps.setdefault(int(step), {})[name.removeprefix("train/")] = value
    guard, told = CollapseGuard(spec), set()
    for step, metrics in sorted(steps.items()):
        for symptom in guard.check(metrics):
            if symptom.name not in told:
                told.add(symptom.name)
                yield f"{symptom.name} at step {step}"


def rollbacks(metrics: dict[str, float]) -> Iterator[str]:
    """What a run took back, which its curves need not show."""
    if count := metrics.get("final/rollbacks", 0.0):
        yield f"{count:.0f} rollbacks"


def main(words: Sequence[str] | None = None) -> None:
    """Print the table and what is wrong; exit with 1 unless every run went well, with 2 where there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of sweeps (each JOB/result.json is read)")
    folders = parser.parse_args(words).folders
    for folder in folders:
        if not any(folder.glob("*/result.json")):
            problem = "holds no JOB/result.json of a finished sweep" if folder.is_dir() else "there is no such folder"
            print(f"check_ppo_seeds: {folder}: {problem}. Give folders such as multirun/DATE/TIME-ID", file=sys.stderr)
            sys.exit(2)
    found = sorted(file.parent for folder in folders for file in folder.glob("*/result.json"))
    seeds: list[Seed] = []
    wrong: list[str] = []
    for job in found:
        try:
            seeds.append(read(job))
        except ValueError as error:
            wrong.append(str(error))
    print(f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", sep="\n")
    for seed in sorted(seeds, key=lambda one: (one.model, one.seed)):
        print(seed.line)
    wrong += [f"{one.model}, seed {one.seed}: {', '.join(one.faults)}" for one in seeds if one.faults]
    print(f"\n{len(seeds) - sum(bool(one.faults) for one in seeds)} of {len(found)} runs went well")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
