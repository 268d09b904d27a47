"""Writes docs/metrics.md (or the file given) from the metrics' own definitions: python scripts/make_docs.py [FILE]."""

from __future__ import annotations

import sys
from pathlib import Path

from rlhf.evaluation.metrics import ALL_METRICS, metrics_markdown
from rlhf.evaluation.ppo_metrics import PPO_METRICS

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Metrics

<!-- Written by scripts/make_docs.py from rlhf/evaluation/metrics.py and ppo_metrics.py: change it there. -->

What a run ends with. The reference model is the policy that training started from: the SFT model for DPO, the base
model for SFT. All policies of a study are sampled on the same held-out prompts with the same settings. Training
curves (`train/...`, `eval/...`) carry the trainer's own names; PPO adds its own, below.

"""
PPO = """
## Every step of PPO

Curves of `method=ppo`, with `train/` before the name: one point per step, which is one rollout and its update. The
same names with `eval/` before them are of responses to held-out prompts, where they apply. The reference is the frozen
policy that PPO started from. KLs, entropy and quantiles are of the policy that sampled, before the step's update.

"""


def main() -> None:
    """Write the page."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "metrics.md"
    page.write_text(
        INTRODUCTION + metrics_markdown(ALL_METRICS) + PPO + metrics_markdown(PPO_METRICS), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
