"""Fail unless the newest sweep shows what the quickstart promises: DPO beats SFT on the gold reward, beyond its noise.

python scripts/check_quickstart.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Check the gain of every job and the plots of the newest sweep below multirun/."""
    newest = max(Path("multirun").glob("*/*/comparison.csv"), key=lambda file: file.stat().st_mtime).parent
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(newest.glob("*/result.json"))]
    problems = [] if len(results) == 2 else [f"{len(results)} results instead of 2"]
    for result in results:
        metrics = result["metrics"]
        gain, low = metrics["final/reward_gold_difference"], metrics["final/reward_gold_difference_low"]
        print(f"{result['name']}: gold gain over SFT {gain:+.3f}, 95% interval from {low:+.3f}")
        if low <= 0:
            problems.append(f"{result['name']}: the gain's interval holds 0")
    problems += [
        f"no {name}" for name in ("curves.png", "stages.png", "0/plots/loss.png") if not (newest / name).exists()
    ]
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
