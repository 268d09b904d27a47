"""`kind: classifier`: any sequence classifier of transformers, from a folder or the hub, as a judge of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.models.classifiers import Plain, load_classifier, longest_input, pad_of, reads_pairs, reads_segments
from rlhf.models.score import right_padded
from rlhf.ppo.rewards.base import RewardParts, Scorer
from rlhf.ppo.sources.classifier import label_number, refuse_stage
from rlhf.ppo_spec import ClassifierReward, place


def classifier_scorer(name: str, spec: ClassifierReward, parts: RewardParts) -> Scorer:
    """Return the scorer of the classifier at `spec.path`; raises `UserError` where there is none or no such label."""
    here = place(name, "path")
    refuse_stage(name, spec)
    model, tokenizer = load_classifier(spec.path, spec.revision, here, dtype=parts.dtype, device=parts.device)
    if spec.reads == "chat" and tokenizer.chat_template is None:
        remedy = "Use reads: prompt_and_answer"
        raise UserError(place(name, "reads"), f"the tokenizer of {spec.path} has no chat template", remedy)
    labels = {label: number for number, label in model.config.id2label.items()}  # label2id is not always there
    number = label_number(name, spec, labels, len(labels))
    return Classifier(model, tokenizer, spec, number, parts.batch_size)


class Classifier:
    """Reads texts with the classifier's own tokenizer, cut at the longest that it can read, and scores one label."""

    def __init__(self, model: Any, tokenizer: Any, spec: ClassifierReward, label: int, batch_size: int) -> None:
        self.model, self.tokenizer, self.spec, self.label = model, tokenizer, spec, label
        # classes exclude each other unless the model was trained with a yes or no, or a number, for each
        self.exclusive = model.config.problem_type in (None, "single_label_classification")
        self.limit = longest_input(model, tokenizer)
        self.pad = pad_of(model, tokenizer)
        self.batch_size = 1 if self.pad is None else batch_size
        self.types, self.pairs = reads_segments(model, tokenizer), reads_pairs(tokenizer)
        self.plain = Plain(tokenizer)
        if spec.reads != "answer":
            tokenizer.truncation_side = "left"  # the end of the conversation is what is judged

    @torch.no_grad()
    def __call__(self, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        """Return one score per answer, the same whatever else is in the call; sorted by length to save padding."""
        inputs = [self.encode(row, answer) for row, answer in zip(rows, answers, strict=True)]
        scores = [0.0] * len(inputs)
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index][0]))
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            logits = self.model(**self._batch([inputs[index] for index in chosen])).logits.float()
            for index, value in zip(chosen, self._values(logits).tolist(), strict=True):
                scores[index] = value
        return scores

    def encode(self, row: Row, answer: str) -> tuple[list[int], list[int]]:
        """Return ids and segment ids of what the classifier reads. Special tokens written in a text are taken out."""
        answer, turns = self.plain(answer), [{**turn, "content": self.plain(turn["content"])} for turn in row.prompt]
        prompt, single, second = "\n".join(turn["content"] for turn in turns), answer, None
        if self.spec.reads == "chat":
            turns.append({"role": "assistant", "content": answer})
            single = self.tokenizer.apply_chat_template(turns, tokenize=False)
        elif self.spec.reads == "prompt_and_answer":
            single, second = (prompt, answer) if self.pairs else (f"{prompt}\n{answer}", None)
        # as lists: given an empty second text by itself, transformers leaves out the pair's special tokens
        found = self.tokenizer(
            [single],
            None if second is None else [second],
            add_special_tokens=self.spec.reads != "chat",  # a template writes its own
            return_token_type_ids=self.types,
            truncation=self.limit is not None,
            max_length=self.limit,
        )
        ids = list(found["input_ids"][0]) or [self.pad or 0]  # of an empty text, models want something to look at
        return ids, list(found["token_type_ids"][0]) if self.types else []

    def _batch(self, chosen: Sequence[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
        ids, mask = right_padded([row for row, _ in chosen], self.pad or 0)
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.types:
            batch["token_type_ids"] = right_padded([types for _, types in chosen], 0)[0]
        return {key: value.to(self.model.device) for key, value in batch.items()}

    def _values(self, logits: torch.Tensor) -> torch.Tensor:
        odds = log_odds(logits, self.label, exclusive=self.exclusive)
        if self.spec.output == "logit":
            return odds
        several = self.exclusive and logits.shape[1] > 1
        accepted = logits.argmax(dim=1) == self.label if several else odds > 0
        return accepted.float() * 2 - 1


def log_odds(logits: torch.Tensor, label: int, *, exclusive: bool) -> torch.Tensor:
    """Return log(p / (1 - p)) of class `label` for each of (rows, classes) logits.

    Of exclusive classes (softmax) it is the label's logit minus the logsumexp of the others: for two, their difference.
    A single output, or one of several independent ones (sigmoid), is its own log-odds already.
    """
    if logits.shape[1] == 1 or not exclusive:
        return logits[:, label]
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return logits[:, label] - others.logsumexp(dim=1)
