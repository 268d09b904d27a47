"""Floating-point operations of a model from its transformers config: matrix products, attention scores, output head.

A product of (m, k) and (k, n) counts 2mnk. Everything else (norms, activations, softmax, embeddings' look-up) is
below 1% at real sizes and left out. Attention counts the whole score matrix, as eager and SDPA kernels compute it,
not its causal half. The backward pass of a product is two products of the same size (one for each factor), hence
training = 3 x forward; where the base is frozen, weights need no gradient and only the activations' product remains,
which the first layer's projections do not need either, as nothing below them is trained (Kaplan et al. 2020, arXiv
2001.08361, for the count; Hu et al. 2021, arXiv 2106.09685, for what LoRA leaves out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Head = Literal["lm", "score", "none"]  # next-token logits at every position; a score per sequence; hidden states only
LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2")
T5_LIKE = ("t5", "mt5", "umt5")
BERT_LIKE = ("bert", "roberta", "xlm-roberta")
MODEL_TYPES = ("gpt2", *LLAMA_LIKE, *T5_LIKE, *BERT_LIKE)


@dataclass(frozen=True)
class _Products:
    weights: int  # products with a weight matrix, the head's among them
    scores: int  # products of two activations: queries x keys, probabilities x values
    first: int  # of the weights: those that read the embeddings
    head: int  # of the weights: the head's


def forward_flops(config: PretrainedConfig, *, batch: int, length: int, target_length: int, head: Head) -> int:
    """FLOPs of one forward pass over `batch` rows of `length` tokens, padding included.

    Encoder-decoders read `length` tokens and write `target_length`; others ignore `target_length`. `ValueError` for a
    `model_type` outside `MODEL_TYPES`.
    """
    products = _products(config, batch, length, target_length, head)
    return products.weights + products.scores


def train_flops(
    config: PretrainedConfig,
    *,
    batch: int,
    length: int,
    target_length: int,
    head: Head,
    frozen_base: bool,
    adapter_parameters: int,
) -> int:
    """FLOPs of one forward and backward pass; recomputation by gradient checkpointing is not counted.

    Full training: 3 x forward. Frozen base (LoRA): 2 x the products with weights (the first layer's projections once, a
    score head, which is trained in full, 3 x), 3 x the attention scores, and 3 x the adapters' own products, 2 x
    `adapter_parameters` (the head's left out) per token (encoder-decoder: tokens of both sides averaged, as each
    adapter sees one side). Unpacking quantized weights is not counted.
    """
    products = _products(config, batch, length, target_length, head)
    if not frozen_base:
        return 3 * (products.weights + products.scores)
    tokens = batch * (length + target_length) // 2 if config.model_type in T5_LIKE else batch * length
    trained_head = products.head if head == "score" else 0
    base = 2 * products.weights - products.first + trained_head + 3 * products.scores
    return base + 3 * 2 * adapter_parameters * tokens


def _products(config: PretrainedConfig, batch: int, length: int, target_length: int, head: Head) -> _Products:
    kind = config.model_type
    if kind == "gpt2":
        return _gpt2(config, batch, length, head)
    if kind in LLAMA_LIKE:
        return _llama(config, batch, length, head)
    if kind in T5_LIKE:
        return _t5(config, batch, length, target_length, head)
    if kind in BERT_LIKE:
        return _bert(config, batch, length, head)
    raise ValueError(f"no FLOP formula for model_type '{kind}'; there is one for {', '.join(MODEL_TYPES)}")


def _gpt2(config: PretrainedConfig, batch: int, length: int, head: Head) -> _Products:
    width, inner = config.n_embd, config.n_inner or 4 * config.n_embd
    tokens = batch * length
    layer = 2 * tokens * (4 * width * width + 2 * width * inner)
    scores = 4 * batch * length**2 * width
    last, layers = _per_token_head(config, width, tokens, head), config.n_layer
    return _Products(layers * layer + last, layers * scores, 2 * tokens * 3 * width * width, last)


def _llama(config: PretrainedConfig, batch: int, length: int, head: Head) -> _Products:
    width = config.hidden_size
    head_width = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head_width, config.num_key_value_heads * head_width
    tokens = batch * length
    layer = 2 * tokens * (2 * width * queries + 2 * width * keys + 3 * width * config.intermediate_size)
    scores = 4 * batch * length**2 * queries
    last, layers = _per_token_head(config, width, tokens, head), config.num_hidden_layers
    first = 2 * tokens * width * (queries + 2 * keys)
    return _Products(layers * layer + last, layers * scores, first, last)


def _per_token_head(config: PretrainedConfig, width: int, tokens: int, head: Head) -> int:
    """Decoder-only score heads are applied at every position, though one is read."""
    return {"lm": 2 * tokens * width * config.vocab_size, "score": 2 * tokens * width * _labels(config), "none": 0}[
        head
    ]


def _labels(config: PretrainedConfig) -> int:
    return int(config.num_labels or 1)


def _t5(config: PretrainedConfig, batch: int, source: int, target: int, head: Head) -> _Products:
    width, inner = config.d_model, config.num_heads * config.d_kv
    feed_forward = (3 if config.is_gated_act else 2) * width * config.d_ff
    square = width * inner
    encoder = 2 * batch * source * (4 * square + feed_forward)
    decoder = (
        2 * batch * (target * (6 * square + feed_forward) + source * 2 * square)
    )  # 4 of self, q and o of cross | k, v
    weights = config.num_layers * encoder + config.num_decoder_layers * decoder
    scores = (
        4 * batch * inner * (config.num_layers * source**2 + config.num_decoder_layers * (target**2 + target * source))
    )
    last = {
        "lm": 2 * batch * target * width * config.vocab_size,
        "score": 2 * batch * width * (width + _labels(config)),
        "none": 0,
    }[head]
    return _Products(weights + last, scores, 2 * batch * (source + target) * 3 * square, last)


def _bert(config: PretrainedConfig, batch: int, length: int, head: Head) -> _Products:
    width, layers = config.hidden_size, config.num_hidden_layers
    if head == "lm":
        raise ValueError(f"a {config.model_type} is no policy: it has a score head or none")
    layer = 2 * batch * length * (4 * width * width + 2 * width * config.intermediate_size)
    scores = 4 * batch * length**2 * width
    pooled = 2 * batch * width * (width + _labels(config)) if head == "score" else 0
    return _Products(layers * layer + pooled, layers * scores, 2 * batch * length * 3 * width * width, pooled)
