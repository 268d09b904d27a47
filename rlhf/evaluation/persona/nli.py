"""Natural language inference by any sequence classifier: whether one text entails or contradicts another.

Persona consistency as inference is from Welleck et al. 2019, "Dialogue Natural Language Inference" (arXiv 1811.00671).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlhf.errors import UserError
from rlhf.evaluation.persona.nli_labels import label_places
from rlhf.evaluation_spec import NLISpec
from rlhf.models.classifiers import (
    Plain,
    load_classifier,
    longest_input,
    pad_of,
    reads_pairs,
    reads_segments,
)
from rlhf.models.score import right_padded


@dataclass(frozen=True)
class Inference:
    """What a model makes of a premise and a hypothesis: probabilities, which leave the rest to neutral."""

    entailment: float
    contradiction: float


NOTHING = Inference(0.0, 0.0)  # what an empty text says of any other


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
