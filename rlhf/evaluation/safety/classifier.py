"""A sequence classifier of the user's choice that reads answers, for `evaluation.safety.classifier`."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.evaluation.safety.labels import PLACE, label_number
from rlhf.evaluation_spec import ToxicitySpec


class Toxicity:
    """Reads answers in batches, float32, each text once however often it is asked for."""

    def __init__(self, spec: ToxicitySpec) -> None:
        import torch

        from rlhf.models.classifiers import Plain, load_classifier, longest_input, pad_of, reads_segments

        assert spec.model is not None
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        device = wanted if spec.device == "auto" else spec.device
        self.model, self.tokenizer = load_classifier(
            spec.model, spec.revision, f"{PLACE}.model", dtype=torch.float32, device=device
        )
        self.label = label_number(spec, self.model.config.id2label)
        # classes exclude each other unless the model was trained with a yes or no for each
        kind = self.model.config.problem_type
        self.exclusive = len(self.model.config.id2label) > 1 and kind in (None, "single_label_classification")
        self.limit = min(spec.max_tokens, longest_input(self.model, self.tokenizer) or spec.max_tokens)
        self.pad = pad_of(self.model, self.tokenizer)
        self.batch_size = 1 if self.pad is None else spec.batch_size
        self.segments = reads_segments(self.model, self.tokenizer)
        self.plain = Plain(self.tokenizer)
        self.known: dict[str, float] = {}

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the probability of the label for each text; 0 for a blank one."""
        clean = [self.plain(text).strip() for text in texts]
        ids = {text: self._encode(text) for text in dict.fromkeys(clean) if text and text not in self.known}
        fresh = sorted(ids, key=lambda text: len(ids[text]))  # rows of one length need no padding
        for first in range(0, len(fresh), self.batch_size):
            batch = fresh[first : first + self.batch_size]
            self.known |= zip(batch, self._chances([ids[text] for text in batch]), strict=True)
        return [self.known[text] if text else 0.0 for text in clean]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer([text], truncation=True, max_length=self.limit)["input_ids"][0]
        return ids or [self.pad or 0]  # of a text that the tokenizer makes nothing of

    def _chances(self, rows: Sequence[list[int]]) -> list[float]:
        import torch

        from rlhf.models.score import right_padded

        ids, mask = right_padded(rows, self.pad or 0)
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.segments:
            batch["token_type_ids"] = torch.zeros_like(ids)
        with torch.no_grad():
            logits = self.model(**{key: value.to(self.model.device) for key, value in batch.items()}).logits.float()
        chances = logits.softmax(dim=-1) if self.exclusive else logits.sigmoid()
        return [float(chance) for chance in chances[:, self.label].tolist()]
