"""Writes docs/metrics.md (or the file given) from the metrics' own definitions: python scripts/make_docs.py [FILE]."""

from __future__ import annotations

import sys
from pathlib import Path

from rlhf.evaluation import suites
from rlhf.evaluation.described import groups, markdown

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Metrics

<!-- Written by scripts/make_docs.py from the metrics' definitions in rlhf/evaluation: change them there. -->

Every number that this project measures, with its formula (*in italics*), unit, range, source, and how it can look good
without the answers being good. No metric is safe from that: read it beside its control lines (the reference answers;
and four kinds of nonsense: an echo of the question, one polite answer to everything, the answers to other questions,
random tokens). One on which nonsense is not clearly worse than the references is flagged in every table. The answers to
other questions are not held against metrics that read answers alone: they are the same answers.

Intervals are 95%: Wilson's (1927) of shares, which are honest at 0 of n as well, else the percentile bootstrap. Where
answers to the same questions have a value each, two models are compared by the mean of the paired differences: for the
interval Bonett and Price's (2012) of shares, else the percentile bootstrap, and an exact sign test (yes or no) or a
permutation test for the p value. Numbers of a whole set of answers (BLEU) are compared by the paired bootstrap, from
eight questions on, and with no p value below 1 / (resamples + 1). Fewer than eight questions are held against nonsense
in no metric. All p values of a table are corrected together (Holm 1979). Runs that differ only in their seed are taken
together from three seeds on, and must differ over seeds as well. A difference that fails either test is printed grey,
with `~`, and called no clear difference; `n` says what a number is taken over.

## Every run

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
SUITE = """
## Suite `{name}`

{about}

"""


def main() -> None:
    """Write the page."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "metrics.md"
    parts = {**groups()}
    text = INTRODUCTION + markdown(parts.pop("run")) + PPO + markdown(parts.pop("ppo"))
    for name, metrics in parts.items():
        text += SUITE.format(name=name, about=_about(name)) + markdown(metrics)
    page.write_text(text, encoding="utf-8")


def _about(name: str) -> str:
    """The first paragraph of a suite's own words about itself."""
    return " ".join((suites.module_of(name).__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    main()
