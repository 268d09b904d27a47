"""Fail unless the newest sweep shows what the quickstart promises: DPO and PPO beat SFT beyond the gold reward's noise.

python scripts/check_quickstart.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

JOBS = {f"{method}-{model}" for method in ("dpo", "ppo") for model in ("tiny_gpt2", "tiny_mt5")}
PLOTS = ("curves.png", "stages.png", "0/plots/loss.png", "1/plots/ppo.png")


def problems_of(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say what is wrong with the results of the quickstart's jobs: missing ones, gains that may be none, SFT twice."""
    finished = {result["name"]: result for result in results if result["status"] == "finished"}
    yield from (f"{name}: no finished job" for name in sorted(JOBS - finished.keys()))
    starts: dict[str, set[str]] = {}  # model -> the SFT stages that its methods started from
    for name, result in sorted(finished.items()):
        metrics = result["metrics"]
        gain, low = metrics["final/reward_gold_difference"], metrics["final/reward_gold_difference_low"]
        print(f"{name}: gold gain over SFT {gain:+.3f}, 95% interval from {low:+.3f}")
        if not low > 0:
            yield f"{name}: the gain's interval holds 0"
        below = [stage["name"] for stage in result["upstream"] if stage["method"] == "sft"]
        starts.setdefault(name.partition("-")[2], set()).update(below or ["nothing"])
    for model, stages in starts.items():
        if len(stages) > 1:
            yield f"{model}: its methods started from different SFT stages: {', '.join(sorted(stages))}"


def main() -> None:
    """Check every job and the plots of the newest sweep below multirun/."""
    newest = max(Path("multirun").glob("*/*/comparison.csv"), key=lambda file: file.stat().st_mtime).parent
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(newest.glob("*/result.json"))]
    problems = [*problems_of(results), *(f"no {name}" for name in PLOTS if not (newest / name).exists())]
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
