"""How long the texts of a stage are in tokens, and how many steps it makes over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from rlhf.config import PPO, EvaluationSpec, MethodSpec, ModelSpec
from rlhf.data.rows import Corpus, Row
from rlhf.models.codec import Codec
from rlhf.models.quiet import quiet
from rlhf.models.tiny import TOY_VOCABULARY
from rlhf.models.tokenizers import ensure_padding, train_toy_tokenizer
from rlhf.plan.settings import trainer_argument
from rlhf.plan.steps import Shape

CHARACTERS_PER_TOKEN = 3.5  # of English under the usual tokenizers, where the model's own is not here
LONGEST_READ, OTHERS_READ = 200, 800  # rows of a large data set that are tokenised: the longest, and some of all


@dataclass(frozen=True)
class Work:
    """What one stage goes through."""

    steps: int  # optimizer steps; PPO: rollouts
    epochs: float  # passes over the rows
    rows: int  # of one pass
    mean_prompt: float  # tokens
    mean_response: float
    batch: Shape  # the widest that is likely to be seen, all rows of one forward pass counted
    evaluated: Shape  # the widest of an evaluation
    measured: bool  # by the model's own tokenizer


@cache
def tokenizer_of(spec_json: str) -> Any:
    """Return the model's tokenizer if it is on this machine, else None; nothing is downloaded or written."""
    spec = ModelSpec.model_validate_json(spec_json)
    if spec.init in ("tiny", "random") and spec.path is None and spec.tokenizer is None:
        size = int(spec.architecture.get("vocab_size", TOY_VOCABULARY))
        return ensure_padding(train_toy_tokenizer(spec.family, min(size, TOY_VOCABULARY)), spec.family)
    name = spec.tokenizer or spec.path or spec.hub_id
    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(
                str(Path(str(name)).expanduser()) if Path(str(name)).expanduser().exists() else name,
                local_files_only=True,
                trust_remote_code=spec.trust_remote_code,
            )
    except (OSError, ValueError):
        return None
    return ensure_padding(found, spec.family)


def work_of(model: ModelSpec, method: MethodSpec, corpus: Corpus, evaluation: EvaluationSpec, processes: int) -> Work:
    """Measure the rows of a stage and count its steps."""
    codec = _codec(model, method)
    triples = [_lengths(row, method, codec) for row in _some(corpus.train)]
    answers = [(prompt, answer) for prompt, *both in triples for answer in both]
    mean_prompt = sum(prompt for prompt, _ in answers) / len(answers)
    mean_response = sum(response for _, response in answers) / len(answers)
    rows = len(corpus.train)
    if isinstance(method, PPO):
        steps = int(method.trainer["max_steps"])
        seen = min(rows, steps * method.prompts_per_step)
        longest = _largest([prompt for prompt, *_ in triples], seen)
        share = method.prompts_per_step // processes
        batch = Shape(share, longest, method.max_response_tokens)
        held = Shape(
            min(int(trainer_argument(method, "per_device_eval_batch_size")), evaluation.prompts),
            longest,
            batch.response,
        )
        return Work(
            steps,
            steps * method.prompts_per_step / rows,
            rows,
            mean_prompt,
            batch.response,
            batch,
            held,
            codec is not None,
        )
    per_step = int(trainer_argument(method, "per_device_train_batch_size")) * processes
    accumulated = int(trainer_argument(method, "gradient_accumulation_steps"))
    epochs = float(trainer_argument(method, "num_train_epochs"))
    a_pass = math.ceil(math.ceil(rows / per_step) / accumulated)
    limit = int(trainer_argument(method, "max_steps"))
    steps = limit if limit > 0 else math.ceil(a_pass * epochs)
    both = 2 if method.data_shape == "preference" else 1
    seen = min(rows, steps * accumulated * per_step)
    batch, held = [
        Shape(both * count, *_widest(triples, of))
        for count, of in (
            (min(per_step // processes, rows), seen),
            (min(int(trainer_argument(method, "per_device_eval_batch_size")), max(1, len(corpus.validation))), rows),
        )
    ]
    return Work(steps, steps / a_pass, rows, mean_prompt, mean_response, batch, held, codec is not None)


def _codec(model: ModelSpec, method: MethodSpec) -> Codec | None:
    tokenizer = tokenizer_of(model.model_dump_json())
    return tokenizer and Codec(tokenizer, model, method.max_prompt_tokens, method.max_response_tokens)


def _some(rows: Sequence[Row]) -> list[Row]:
    """The longest rows by characters, which decide the widest batch, and evenly spaced ones of the others."""
    if len(rows) <= LONGEST_READ + OTHERS_READ:
        return list(rows)
    longest = sorted(range(len(rows)), key=lambda index: -_characters(rows[index]))[:LONGEST_READ]
    spaced = range(0, len(rows), max(1, len(rows) // OTHERS_READ))
    return [rows[index] for index in [*spaced, *longest]]


def _characters(row: Row) -> int:
    answer = max(len(row.completion or ""), len(row.chosen or ""), len(row.rejected or ""))
    return sum(len(message["content"]) for message in row.prompt) + answer


def _lengths(row: Row, method: MethodSpec, codec: Codec | None) -> tuple[int, ...]:
    """Tokens of the prompt and of each answer."""
    answers = [row.completion] if method.data_shape == "demonstration" else [row.chosen, row.rejected]
    if codec is not None:
        prompt = len(codec.prompt_ids(row.prompt))
        return prompt, *(len(codec.response_ids(answer or "")) for answer in answers)
    prompt = math.ceil(sum(len(message["content"]) + 12 for message in row.prompt) / CHARACTERS_PER_TOKEN)
    return min(prompt, method.max_prompt_tokens), *(
        min(math.ceil(len(answer or "") / CHARACTERS_PER_TOKEN) + 1, method.max_response_tokens) for answer in answers
    )


def _widest(triples: Sequence[tuple[int, ...]], seen: int) -> tuple[int, int]:
    """Prompt and response of the widest batch: the longest of `seen` rows, prompt and answer taken together."""
    whole = _largest([prompt + max(answers) for prompt, *answers in triples], seen)
    response = _largest([max(answers) for _, *answers in triples], seen)
    return max(1, whole - response), response


def _largest(values: Sequence[int], drawn: int) -> int:
    """The value that the largest of `drawn` draws is expected to reach: the quantile drawn / (drawn + 1)."""
    ordered = sorted(values)
    return max(1, ordered[min(len(ordered) - 1, math.ceil(len(ordered) * drawn / (drawn + 1)) - 1)])
