"""What tests of persona share: specs from conf/, tools, rows, and a BERT with weights set so that it obeys a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from rlhf.compose import jobs, parse_words
from rlhf.data.rows import Row
from rlhf.evaluation.contract import Tools
from rlhf.evaluation_spec import EvaluationSpec

NLI_LABELS = ("contradiction", "entailment", "neutral")
NOT, YES = "not", "indeed"  # what the rule-bound model listens to


def evaluation(*words: str) -> EvaluationSpec:
    """The evaluation's settings as composed from conf/."""
    [(_, run)] = jobs(parse_words(["tracking=none", "hardware=cpu", *words]))
    return run.evaluation


def tools(seed: int = 0) -> Tools:
    def refuse(*_: Any) -> Any:
        raise AssertionError("these measures need neither training rows nor the base model")

    return Tools(refuse, refuse, lambda: None, 200, seed, Path("nowhere"), lambda line: None)


def row(
    *turns: str, persona: Any = None, system: str | None = None, answer: str | None = "Yes.", group: str = "g"
) -> Row:
    """A row whose turns alternate, the user's last."""
    head = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    said = [{"role": roles[(len(turns) - 1 - at) % 2], "content": text} for at, text in enumerate(turns)]
    return Row((*head, *said), group, completion=answer, meta={} if persona is None else {"persona": persona})


def bert_tokenizer(words: Sequence[str] = (NOT, YES)) -> PreTrainedTokenizerFast:
    """Words in small letters, all but the named ones unknown, with BERT's marks and segments."""
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=64,
    )


def bert(labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, **settings: Any) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={label: at for at, label in enumerate(labels)},
        **settings,
    )
    return BertForSequenceClassification(config).eval()


@torch.no_grad()
def obey(model: BertForSequenceClassification, biases: Sequence[float], heard: dict[str, tuple[int, int]]) -> None:
    """Set the weights: logits are `biases`, plus a lot for class c where a word of `heard` = {word: (id, c)} stands.

    All words but those are one vector; [CLS] attends to all places alike and adds up what they hold, so that a heard
    word turns up, however small, in a dimension of its own, which the head multiplies.
    """
    for parameter in model.parameters():
        parameter.zero_()
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)):
        norm.weight.fill_(1.0)
    layer = model.bert.encoder.layer[0]
    for linear in (layer.attention.self.value, layer.attention.output.dense, model.bert.pooler.dense):
        linear.weight.copy_(torch.eye(8))
    words = model.bert.embeddings.word_embeddings.weight
    words[:, 0], words[:, 1] = 1.0, -1.0
    model.classifier.bias.copy_(torch.tensor(biases))
    for dimension, (token, label) in zip((2, 4), heard.values(), strict=False):
        words[token].zero_()
        words[token, dimension], words[token, dimension + 1] = 1.0, -1.0
        model.classifier.weight[label, dimension] = 1e5


def save(folder: Path, model: Any, tokenizer: Any) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def rule_bound(folder: Path) -> str:
    """A saved NLI model: "not" in either text is a contradiction, "indeed" (without it) entailment, else neutral."""
    tokenizer = bert_tokenizer()
    model = bert(NLI_LABELS, tokenizer)
    vocabulary = tokenizer.get_vocab()
    obey(model, [0.0, 0.0, 20.0], {NOT: (vocabulary[NOT], 0), YES: (vocabulary[YES], 1)})
    return save(folder, model, tokenizer)
