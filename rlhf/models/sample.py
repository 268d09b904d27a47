"""Plain ancestral sampling of answers, and log-probs of given answers, for both policy families."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from rlhf.models.codec import Codec
from rlhf.models.score import left_padded, right_padded
from rlhf.models.states import plain_model, response_states


@dataclass(frozen=True)
class Samples:
    """Answers in the order of their prompts."""

    texts: list[str]
    ids: list[list[int]]  # response ids, with the eos of a finished answer
    finished: list[bool]  # False: cut at max_new_tokens
    prompt_ids: list[list[int]]
    seconds: float


@dataclass(frozen=True)
class Drawn:
    """Responses in the order of their prompts."""

    ids: list[list[int]]  # cut behind the first stop token
    finished: list[bool]  # whether it ended by one
    logp: Tensor  # (prompts, steps) float64, of each token where it was drawn; noise behind a response's end


class InverseCdf(LogitsProcessor):
    """Chooses each next token by where a uniform number falls in the cumulative distribution softmax(logits / T).

    All other tokens get -inf, so the generation loop has nothing left to decide. `uniforms` is (batch, steps), and so
    is `logp`: the log-probs that the chosen tokens were drawn with, 0 at steps that have not come.
    """

    def __init__(self, uniforms: Tensor, temperature: float) -> None:
        self.uniforms = uniforms
        self.temperature = temperature
        self.logp = torch.zeros_like(uniforms)
        self.step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores (batch, vocabulary) of which one entry per row is 0 and the others -inf."""
        chances = torch.softmax(scores.double() / self.temperature, dim=-1)
        cumulative = chances.cumsum(dim=-1)
        point = self.uniforms[:, self.step, None] * cumulative[:, -1:]  # the sum is 1 up to rounding
        chosen = torch.searchsorted(cumulative, point, right=True)
        self.logp[:, self.step] = chances.gather(1, chosen).squeeze(1).log()
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def sample(
    model: Any,
    codec: Codec,
    prompts: Sequence[Sequence[Mapping[str, str]]],
    *,
    max_new_tokens: int,
    temperature: float,
    batch_size: int,
    seed: int,
    progress: Callable[[int], None] | None,
) -> Samples:
    """Draw one answer per prompt from softmax(logits / temperature), with no truncation and no penalty of any kind.

    The random numbers belong to (seed, prompt's index, step): an answer does not depend on the batch size (up to
    rounding of batched arithmetic), and two policies sampled with one seed share their luck, which takes noise out of
    their comparison. Prompts are padded on the left for causal models, on the right for encoders. `progress` is told
    the number of answers done after each batch.
    """
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(len(prompts), max_new_tokens, generator=generator, dtype=torch.float64)
    prompt_ids = [codec.prompt_ids(messages) for messages in prompts]
    drawn = sample_ids(
        model, codec, prompt_ids, uniforms, temperature=temperature, batch_size=batch_size, progress=progress
    )
    texts = [codec.decode(row) for row in drawn.ids]
    return Samples(texts, drawn.ids, drawn.finished, prompt_ids, time.perf_counter() - began)


def sample_ids(
    model: Any,
    codec: Codec,
    prompt_ids: Sequence[list[int]],
    uniforms: Tensor,
    *,
    temperature: float,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> Drawn:
    """Draw one response per prompt by the random numbers `uniforms` (prompts, steps), in eval mode."""
    base = plain_model(model)
    stop = stop_ids(base, codec)
    was_training, own_config = model.training, base.generation_config
    model.eval()
    base.generation_config = plain_generation(base, codec, uniforms.shape[1], stop)  # generate fills gaps from this one
    responses: list[list[int]] = []
    logp = torch.zeros_like(uniforms, device=base.device)
    try:
        for first in range(0, len(prompt_ids), batch_size):
            chooser = InverseCdf(uniforms[first : first + batch_size].to(base.device), temperature)
            responses += _generate(base, codec, prompt_ids[first : first + batch_size], chooser)
            logp[first : first + batch_size] = chooser.logp
            if progress is not None:
                progress(len(responses))
    finally:
        base.generation_config = own_config
        model.train(was_training)
    ids = [_until_stop(row, stop) for row in responses]
    return Drawn(ids, [bool(row) and row[-1] in stop for row in ids], logp)


def plain_generation(model: Any, codec: Codec, max_new_tokens: int, stop: Sequence[int]) -> GenerationConfig:
    """Return settings under which `generate` changes no logit; published models ship penalties, top_p and the like."""
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,  # InverseCdf samples
        num_beams=1,
        use_cache=True,
        repetition_penalty=1.0,
        pad_token_id=codec.pad_id,
        eos_token_id=list(stop),
        bos_token_id=codec.bos_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )


def stop_ids(model: Any, codec: Codec) -> list[int]:
    """Return the ids that end an answer: the codec's eos, and what the model's own generation config adds to it."""
    own = model.generation_config.eos_token_id
    extra = own if isinstance(own, list) else [own]
    return sorted({codec.eos_id, *(token for token in extra if token is not None)})


@torch.no_grad()
def _generate(base: Any, codec: Codec, rows: Sequence[list[int]], chooser: InverseCdf) -> list[list[int]]:
    """Generate for one batch; return the new ids per row, still padded after their end."""
    seq2seq = codec.spec.family == "seq2seq"
    ids, mask = (right_padded if seq2seq else left_padded)(rows, codec.pad_id)
    # one that grows: transformers 5.23 makes as many layers as the encoder has, too few for a deeper decoder
    cache = {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())} if seq2seq else {}
    output = base.generate(
        input_ids=ids.to(base.device),
        attention_mask=mask.to(base.device),
        generation_config=base.generation_config,
        logits_processor=LogitsProcessorList([chooser]),
        **cache,
    )
    skipped = 1 if seq2seq else ids.shape[1]  # the decoder's start token, or the prompt
    return output[:, skipped:].tolist()


def _until_stop(row: list[int], stop: Sequence[int]) -> list[int]:
    ends = [place for place, token in enumerate(row) if token in stop]
    return row[: ends[0] + 1] if ends else row


@torch.no_grad()
def response_logprobs(
    model: nn.Module,
    codec: Codec,
    prompt_ids: Sequence[Sequence[int]],
    response_ids: Sequence[Sequence[int]],
    *,
    batch_size: int,
    temperature: float,
) -> list[Tensor]:
    """Return, per row, the log-probs (response length,) of the response tokens under softmax(logits / temperature).

    Float32 on the CPU, without gradient, in eval mode. Every prompt has at least one token.
    """
    was_training = model.training
    model.eval()
    result: list[Tensor] = []
    for first in range(0, len(prompt_ids), batch_size):
        prompts, responses = prompt_ids[first : first + batch_size], response_ids[first : first + batch_size]
        logits = response_logits(model, codec, prompts, responses).float() / temperature
        labels, _ = right_padded(responses, codec.pad_id)
        labels = labels.to(logits.device)[..., None]
        logprobs = (logits.gather(-1, labels) - logits.logsumexp(dim=-1, keepdim=True)).squeeze(-1).cpu()
        result += [row[: len(response)] for row, response in zip(logprobs, responses, strict=True)]
    model.train(was_training)
    return result


def response_logits(
    model: Any, codec: Codec, prompt_ids: Sequence[Sequence[int]], response_ids: Sequence[Sequence[int]]
) -> Tensor:
    """Return logits (rows, longest response, vocabulary): entry t predicts response token t; padding rows are noise.

    One forward in the caller's grad and train mode; only the responses' logits are computed.
    """
    return plain_model(model).get_output_embeddings()(response_states(model, codec, prompt_ids, response_ids).states)
