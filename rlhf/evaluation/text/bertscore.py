"""BERTScore (Zhang et al. 2020, arXiv 1904.09675) by any encoder of transformers, with the library bert-score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlhf.errors import UserError, one_line

PLACE = "evaluation.text.encoder"


def check_encoder(name: str, revision: str | None) -> None:
    """Raise `UserError` where bert-score is not installed, or `name` is no folder with a model and no id of the hub.

    Of the latter its config alone is fetched.
    """
    from rlhf.models.folder import NOT_FOUND, refuse_no_model

    if find_spec("bert_score") is None:
        raise UserError(PLACE, "bert-score is not installed", f"`pip install 'rlhf[bertscore]'`, or set {PLACE}=null")
    folder = Path(name).expanduser()
    if folder.is_dir():
        refuse_no_model(folder, PLACE)
        return
    from transformers import AutoConfig

    from rlhf.models.quiet import quiet

    try:
        with quiet():
            AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, AttributeError, TypeError) as error:  # it may hold anything
        raise UserError(PLACE, f"{name} could not be loaded ({one_line(error)})", NOT_FOUND) from error


class Encoder:
    """An encoder that stands ready: BERTScore of answers beside their references."""

    def __init__(self, name: str, revision: str | None, layer: int | None, *, device: str, batch_size: int) -> None:
        """Load the folder or hub id `name` up to `layer` (None: bert-score's choice, else all).

        `device` is a device of torch's or "auto". Raises `UserError` where that does not work.
        """
        import torch

        check_encoder(name, revision)
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.model, self.tokenizer = _load(name, revision, layer, self.device)
        self.batch_size = batch_size

    def f1(self, answers: Sequence[str], references: Sequence[str]) -> list[float]:
        """Return the F1 of each answer, without idf weights and without rescaling; 0 where either text is empty."""
        from bert_score.utils import bert_cos_score_idf

        given = [
            place
            for place, (answer, reference) in enumerate(zip(answers, references, strict=True))
            if answer.strip() and reference.strip()
        ]
        scores = [0.0] * len(answers)
        if not given:
            return scores
        weights: dict[Any, float] = defaultdict(lambda: 1.0)  # of tokens; those around a text count for nothing
        weights |= {self.tokenizer.sep_token_id: 0.0, self.tokenizer.cls_token_id: 0.0}
        found = bert_cos_score_idf(
            self.model,
            [references[place] for place in given],
            [answers[place] for place in given],
            self.tokenizer,
            weights,
            batch_size=self.batch_size,
            device=self.device,
        )
        for place, score in zip(given, found[:, 2].tolist(), strict=True):
            scores[place] = float(score)
        return scores


def _load(name: str, revision: str | None, layer: int | None, device: str) -> tuple[Any, Any]:
    """Load model and tokenizer: safetensors only, no code from elsewhere, the layers that are read alone."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from rlhf.models.classifiers import UNLOADABLE, longest_input
    from rlhf.models.folder import NO_SAFETENSORS, NOT_FOUND
    from rlhf.models.quiet import quiet

    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name
    options: dict[str, Any] = {"trust_remote_code": False} | ({} if folder.is_dir() else {"revision": revision})
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source, **options)
            config.num_hidden_layers = _layers(name, layer, config)
            model, found = AutoModel.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except UserError:
        raise
    except UNLOADABLE as error:
        remedy = NO_SAFETENSORS if "safetensors" in str(error) else NOT_FOUND
        raise UserError(PLACE, f"{name} could not be loaded ({one_line(error)})", remedy) from error
    if untrained := sorted(key for key in found["missing_keys"] if "pooler" not in key):  # which nothing here reads
        problem = f"{name} has no trained {', '.join(untrained[:3])}"
        raise UserError(PLACE, problem, "Name the folder or id of a whole model")
    if tokenizer.pad_token_id is None:
        raise UserError(PLACE, f"{name} has no padding token: it is no encoder", "Name one such as BERT or RoBERTa")
    model = model.get_encoder() if config.is_encoder_decoder else model
    if (longest := longest_input(model, tokenizer)) is not None:
        tokenizer.model_max_length = longest  # bert-score cuts there
    return model.to(device).requires_grad_(False).eval(), tokenizer


def _layers(name: str, layer: int | None, config: Any) -> int:
    """Return the number of layers up to the one that is read."""
    from bert_score.utils import model2layers

    most = int(config.num_hidden_layers)
    if layer is not None and layer > most:
        raise UserError("evaluation.text.layer", f"{name} has {most} layers, not {layer}", "Name one of them")
    return layer or min(most, model2layers.get(name, most))
