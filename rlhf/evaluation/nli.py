"""Natural language inference by any sequence classifier: whether one text entails or contradicts another.

Persona consistency as inference is from Welleck et al. 2019, "Dialogue Natural Language Inference" (arXiv 1811.00671).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig

from rlhf.errors import UserError, one_line
from rlhf.evaluation_spec import NLISpec
from rlhf.models.classifiers import (
    UNLOADABLE,
    Plain,
    load_classifier,
    longest_input,
    pad_of,
    reads_pairs,
    reads_segments,
)
from rlhf.models.folder import NOT_FOUND
from rlhf.models.quiet import quiet
from rlhf.models.score import right_padded

MEANINGS = ("entailment", "neutral", "contradiction")
SPELLINGS = {"entail": "entailment", "entails": "entailment", "contradict": "contradiction"}
SPELLINGS |= {"contradicts": "contradiction", "contradictory": "contradiction"} | {name: name for name in MEANINGS}


@dataclass(frozen=True)
class Inference:
    """What a model makes of a premise and a hypothesis: probabilities, which leave the rest to neutral."""

    entailment: float
    contradiction: float


NOTHING = Inference(0.0, 0.0)  # what an empty text says of any other


def label_places(id2label: Mapping[Any, str], given: Sequence[str] | None, model: str, place: str) -> dict[str, int]:
    """Return where each of `MEANINGS` stands among the classes of `model`: as `given`, else as its labels say.

    Raises `UserError` at `place` where the three cannot be told apart.
    """
    count = len(id2label)
    remedy = "Name a model trained on MNLI or the like, or give what its classes mean as `labels`, beside `model`"
    if given is not None:
        if sorted(given) != sorted(MEANINGS) or count != len(MEANINGS):
            problem = f"labels are {', '.join(given)}, and {model} tells {count} classes apart"
            raise UserError(place, problem, f"Give {', '.join(MEANINGS)} once each, for a model of three classes")
        return {meaning: given.index(meaning) for meaning in MEANINGS}
    named = {int(number): re.sub(r"[\W_]+", " ", str(label)).strip().casefold() for number, label in id2label.items()}
    places = {SPELLINGS[label]: number for number, label in named.items() if label in SPELLINGS}
    if count != len(MEANINGS) or len(places) != len(MEANINGS):
        problem = f"{model} has the labels {', '.join(map(str, id2label.values()))}, not {', '.join(MEANINGS)}"
        raise UserError(place, problem, remedy)
    return places


def check_nli(spec: NLISpec, place: str) -> None:
    """Raise `UserError` at `place` where the model named is not there or has other labels; reads its config alone."""
    assert spec.model is not None
    try:
        with quiet():
            source = os.path.expanduser(spec.model)
            config = AutoConfig.from_pretrained(source, revision=spec.revision, trust_remote_code=False)
    except UNLOADABLE as error:
        raise UserError(place, f"{spec.model} could not be loaded ({one_line(error)})", NOT_FOUND) from error
    label_places(config.id2label, spec.labels, spec.model, place)


class NLI:
    """Reads pairs of texts in batches, float32, each pair once however often it is asked for."""

    def __init__(self, spec: NLISpec, place: str) -> None:
        assert spec.model is not None
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        device = wanted if spec.device == "auto" else spec.device
        model, tokenizer = load_classifier(spec.model, spec.revision, place, dtype=torch.float32, device=device)
        if not reads_pairs(tokenizer):
            problem = f"the tokenizer of {spec.model} puts nothing between two texts"
            raise UserError(place, problem, "Name a model trained on pairs of texts, such as BERT's or RoBERTa's kind")
        self.model, self.tokenizer = model, tokenizer
        self.places = label_places(model.config.id2label, spec.labels, spec.model, place)
        self.limit = min(spec.max_tokens, longest_input(model, tokenizer) or spec.max_tokens)
        self.pad = pad_of(model, tokenizer)
        self.batch_size = 1 if self.pad is None else spec.batch_size
        self.segments = reads_segments(model, tokenizer)
        self.plain = Plain(tokenizer)
        self.known: dict[tuple[str, str], Inference] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Inference]:
        """Return what the model makes of each (premise, hypothesis); a blank text entails and contradicts nothing."""
        clean = [(self.plain(premise).strip(), self.plain(hypothesis).strip()) for premise, hypothesis in pairs]
        fresh = [pair for pair in dict.fromkeys(clean) if all(pair) and pair not in self.known]
        encoded = {pair: self._encode(pair) for pair in fresh}
        fresh.sort(key=lambda pair: len(encoded[pair][0]))  # rows of one length need no padding
        for first in range(0, len(fresh), self.batch_size):
            batch = fresh[first : first + self.batch_size]
            self.known |= zip(batch, self._infer([encoded[pair] for pair in batch]), strict=True)
        return [self.known[pair] if all(pair) else NOTHING for pair in clean]

    def _encode(self, pair: tuple[str, str]) -> tuple[list[int], list[int]]:
        """Return ids and segment ids."""
        found = self.tokenizer(
            [pair[0]],
            [pair[1]],
            return_token_type_ids=self.segments,
            truncation="longest_first",
            max_length=self.limit,
        )
        return list(found["input_ids"][0]), list(found["token_type_ids"][0]) if self.segments else []

    @torch.no_grad()
    def _infer(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[Inference]:
        ids, mask = right_padded([row for row, _ in rows], self.pad or 0)
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.segments:
            batch["token_type_ids"] = right_padded([segments for _, segments in rows], 0)[0]
        logits = self.model(**{key: value.to(self.model.device) for key, value in batch.items()}).logits
        chances = logits.float().softmax(dim=-1).tolist()
        return [Inference(row[self.places["entailment"]], row[self.places["contradiction"]]) for row in chances]
