"""`rlhf pairs`: make preference pairs out of a data set, measured for style leaks, into a jsonl with its manifest."""

from __future__ import annotations

import os
import re
import sys

from rlhf.errors import UserError
from rlhf.loading import loading
from rlhf.terminal import make_console, quiet_libraries

HELP = """Usage: rlhf pairs pairs=MAKER dataset=NAME [output=FILE.jsonl] [KEY=VALUE ...]

Makes pairs of a chosen and a rejected answer, each with where it came from, and measures what style alone gives away.
A killed call goes on where it was when it is given again. Makers (conf/pairs):

  degrade    the data set's answer against a generic, truncated or persona-contradicting one
  rules      against a rude one or one that asks for sensitive data, in balanced halves by intent
  sample     the best against the worst of several answers of a policy, ranked by judges
  endpoint   against one that a model behind an OpenAI-compatible endpoint writes
  votes      the pairs of a data set as they are, such as those of the feedback store

Examples
  rlhf pairs pairs=degrade dataset=synthetic_persona_chat dataset.path=FILE output=persona_pairs.jsonl
  rlhf pairs pairs=degrade pairs.shares.generic=0 pairs.shuffles=2
  rlhf pairs pairs=rules dataset=bitext dataset.path=FILE output=support_pairs.jsonl
  rlhf pairs pairs=sample pairs.policy=outputs/stages/sft-tiny_gpt2-0123456789ab pairs.answers=8
  rlhf pairs pairs=sample 'pairs.judges={judge: {kind: stage, weight: 1.0, folder: outputs/stages/reward-...}}'
  rlhf pairs pairs=endpoint pairs.base_url=http://127.0.0.1:8000/v1 pairs.model=NAME dataset=bitext dataset.path=FILE
  rlhf pairs pairs=endpoint pairs.base_url=https://api.example.com/v1 pairs.api_key_env=MY_KEY
  rlhf pairs pairs=votes dataset=feedback dataset.path=votes.jsonl
  rlhf --cfg job pairs=degrade        print all settings of a maker
  rlhf method=reward dataset=pairs dataset.path=pairs.jsonl      train on what was made
"""
FLAGS = {"--config-dir", "-cd"}
USED = {"pairs", "dataset", "inspection", "model", "quantization", "hardware", "precision", "store", "seed"}
KEY = re.compile(r"[+~]*([A-Za-z_]+)")
PLACED = re.compile(r"@(\w+)")  # template@model.template=NAME sets a part of the model


def run(words: list[str]) -> int:
    """Make the pairs; returns 0."""
    if {"--help", "-h"} & set(words):
        sys.stdout.write(HELP)
        return 0
    made = _built(words)
    quiet_libraries()
    with loading():
        from rlhf.pairs.make import make_pairs

    console = make_console()
    make_pairs(made, os.environ, console)
    return 0


def _built(words: list[str]):  # type: ignore[no-untyped-def]  # a PairsRun, whose import costs a moment
    """Compose and check the words; raises `UserError` for the first that is wrong or says nothing here."""
    from rlhf.build import validated
    from rlhf.command_words import refuse_contradictions
    from rlhf.compose import composed, parse_words, plain
    from rlhf.pairs.spec import PairsRun

    words = [f"pairs.{word}" if word.startswith("output=") else word for word in words]
    parsed = parse_words(words)
    if wrong := next((flag for flag in parsed.flags if flag.startswith("-") and flag not in FLAGS), None):
        raise UserError(wrong, "rlhf pairs takes KEY=VALUE words and --config-dir", "See `rlhf pairs --help`")
    for word in parsed.overrides:
        _refuse_unused(word)
    refuse_contradictions(parsed.overrides, parsed.config_dir)
    if not any(re.match(r"\+?pairs=", word) for word in parsed.overrides):
        makers = "degrade, rules, sample, endpoint or votes"
        raise UserError("pairs", "no maker is named", f"Add pairs=NAME, one of {makers}: `rlhf pairs --help`")
    ((_, config),) = composed(parsed)
    values = plain(config)
    return validated(PairsRun, {key: values[key] for key in PairsRun.model_fields})


def _refuse_unused(word: str) -> None:
    """Refuse a setting of training: it would change nothing here."""
    key = word.partition("=")[0]
    placed = PLACED.search(key)
    found = placed or KEY.match(key)
    name = found.group(1) if found else key
    if name not in USED:
        used = ", ".join(sorted(USED))
        raise UserError(word, "it says nothing to a maker of pairs", f"Leave it out; used here are output, {used}")
