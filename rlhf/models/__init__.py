"""Models: loading, tiny models and their tokenizers, text codec, seq2seq bridge, quantization, scoring, sampling.

Two messages of bitsandbytes are dropped here, before anything imports it: that an optional CPU kernel package is not
installed (at every import), and that LLM.int8 casts float32 inputs to float16 (at every forward; harmless, see
https://github.com/huggingface/trl/issues/582).
"""

from __future__ import annotations

import logging

_NOT_NEWS = ("Failed to load CPU gemm_4bit_forward", "MatMul8bitLt: inputs will be cast")


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOT_NEWS)


for _module in ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions"):
    logging.getLogger(_module).addFilter(_is_news)
