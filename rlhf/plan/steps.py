"""One step of each method on models without data: the same modules and losses as in training, so the same memory.

Rows are as wide as the widest batch will be; what differs per batch (which tokens are padding) does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from trl.trainer.utils import add_fused_lm_head

from rlhf.models.states import plain_model, response_states, token_logprobs
from rlhf.plan.live import Live, Peak

TILE = 32768  # columns of TRL 1.16's buffer for pieces of logits
OUTPUTS = ("log_probs", "entropy", "is_top1")  # of TRL's fused head; what DPO asks beside them is a number per token


@dataclass(frozen=True)
class Shape:
    """One batch: `rows` of `prompt` and `response` tokens, padding included."""

    rows: int
    prompt: int
    response: int

    @property
    def tokens(self) -> int:
        """Tokens in all rows."""
        return self.rows * (self.prompt + self.response)


@dataclass(frozen=True)
class Setting:
    """How a step runs: under autocast to bf16, with activations made again in the backward pass, on a CPU."""

    autocast: torch.dtype | None
    recompute: bool
    passes: int  # backward passes before the optimizer's step: gradients stay between them
    cpu: bool

    def forward(self) -> Any:
        """The span of a forward pass: mixed precision keeps 16-bit copies of the weights it reads."""
        return torch.autocast("cpu", self.autocast or torch.bfloat16, enabled=self.autocast is not None)


def watched(models: Iterable[nn.Module], vocabulary: int, setting: Setting, step: Callable[[], Any]) -> Peak:
    """Run `step` and return the peak of what it makes, the weights of `models` left out."""
    held = [*models]
    weights = [weight for model in held for weight in [*model.parameters(), *model.buffers()]]
    with Live(weights, vocabulary=vocabulary, tile=TILE, touched_only=setting.cpu) as live:
        step()
    for model in held:
        model.zero_grad(set_to_none=True)
    return live.peak


def with_fused_head(models: Iterable[Any]) -> None:
    """Put TRL's fused head on language models, as its trainers do; encoder-decoders are made causal before."""
    for base in {id(base): base for base in map(plain_model, models)}.values():
        if base.config.is_encoder_decoder:
            base.forward = partial(_bridged, base)
        add_fused_lm_head(base, outputs=OUTPUTS)


def language_step(model: Any, reference: Any, shape: Shape, setting: Setting, *, learning: bool) -> Peak:
    """SFT or DPO on models `with_fused_head`: a training step, or (not `learning`) a batch of held-out rows.

    DPO's reference (None: it is not asked in between) reads the same rows after the policy.
    """
    _prepare(model, setting, learning)
    base = plain_model(model)
    ids, mask = _ids(shape.rows, shape.prompt + shape.response)
    given = {"input_ids": ids, "attention_mask": mask, "labels": ids, "fused_lm_head": True}
    if base.config.is_encoder_decoder:
        given["response_mask"] = mask[:, : shape.response]

    def forward() -> Tensor:
        with setting.forward():
            found: Tensor = model(**given).log_probs
            if reference is not None:
                with torch.no_grad():
                    before = reference(**given).log_probs
                found = found - before
        return found

    models = [model] if reference is None or reference is model else [model, reference]
    return watched(models, base.config.vocab_size, setting, _passed(forward, setting, learning))


def reward_step(model: Any, shape: Shape, setting: Setting, *, learning: bool) -> Peak:
    """A pairwise reward model: chosen and rejected rows together (`shape.rows` counts both), learned from or not."""
    _prepare(model, setting, learning)
    ids, mask = _ids(shape.rows, shape.prompt + shape.response)

    def forward() -> Tensor:
        with setting.forward():
            return _scores(model, ids, mask)

    vocabulary = plain_model(model).config.vocab_size
    return watched([model], vocabulary, setting, _passed(forward, setting, learning))


def _passed(forward: Callable[[], Tensor], setting: Setting, learning: bool) -> Callable[[], None]:
    """What is watched: forward and backward passes up to the optimizer's step, or one forward without gradients."""

    def learn() -> None:
        for _ in range(setting.passes):
            forward().float().sum().backward()

    def look() -> None:
        with torch.no_grad():
            forward()

    return learn if learning else look


def _scores(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Scores of rows. mT5's classifier looks up where `</s>` is, which needs data; its trunk and head are run here."""
    base = plain_model(model)
    if not base.config.is_encoder_decoder:
        inner = getattr(base, base.base_model_prefix)
        states = inner(input_ids=ids, attention_mask=mask).last_hidden_state
        return _score_head(base)(states[:, -1])
    states = base.transformer(
        input_ids=ids, attention_mask=mask, decoder_input_ids=ids, decoder_attention_mask=mask, use_cache=False
    ).last_hidden_state
    return base.classification_head(states[:, -1])


def _score_head(base: Any) -> Any:
    return getattr(base, "score", None) or (lambda states: states.float().mean(-1))


def policy_step(models: PPOModels, shape: Shape, setting: Setting, temperature: float) -> Peak:
    """One microbatch of a PPO update: log-probs of the responses and values, forward and backward."""
    for model in models.learning:
        _prepare(model, setting, learning=True)
    head = nn.Linear(plain_model(models.policy).config.get_text_config(decoder=True).hidden_size, 1)

    def step() -> None:
        for _ in range(setting.passes):
            with setting.forward():
                logp, _, states = _predicted(models.policy, shape, temperature, with_entropy=False)
                if models.critic is not None:
                    states = _states(models.critic, shape)
            values = head(states.float()).squeeze(-1)
            (torch.exp(logp).mean() + values.square().mean()).backward()

    return watched(models.all, plain_model(models.policy).config.vocab_size, setting, step)


def scoring_step(models: PPOModels, shape: Shape, setting: Setting, temperature: float) -> Peak:
    """Log-probs, entropies and values of a rollout without gradients: the policy's, the critic's, the reference's."""

    def step() -> None:
        with torch.no_grad(), setting.forward():
            _, _, states = _predicted(models.policy, shape, temperature, with_entropy=True)
            if models.critic is not None:
                states = _states(models.critic, shape)
            del states
            if models.reference is not None:
                _predicted(models.reference, shape, temperature, with_entropy=False)

    return watched(models.all, plain_model(models.policy).config.vocab_size, setting, step)


def sampling_step(model: Any, shape: Shape, setting: Setting) -> Peak:
    """The last step of generation, its widest: the cache (counted apart, see `cache_bytes`) grows by one token.

    What a layer reads of the cache is copied once per step where it grows by concatenation.
    """
    base = plain_model(model)
    vocabulary = base.config.vocab_size

    def step() -> None:
        with torch.no_grad():
            scores = torch.empty(shape.rows, vocabulary)
            chances = torch.softmax(scores.double(), dim=-1)
            cumulative = chances.cumsum(dim=-1)
            torch.full_like(scores, -torch.inf).scatter(1, cumulative.argmax(-1, keepdim=True), 0.0)

    return watched([base], vocabulary, setting, step)


def prefill_step(model: Any, shape: Shape, setting: Setting) -> Peak:
    """Reading the prompts before generation, without the cache it fills."""
    base = plain_model(model)
    ids, mask = _ids(shape.rows, shape.prompt)

    def step() -> None:
        with torch.no_grad(), setting.forward():
            trunk = base.encoder if base.config.is_encoder_decoder else base.base_model
            trunk(input_ids=ids, attention_mask=mask)

    return watched([base], base.config.vocab_size, setting, step)


@dataclass(frozen=True)
class PPOModels:
    """Who plays which role; None where another model's adapter or states serve."""

    policy: Any
    reference: Any
    critic: Any

    @property
    def learning(self) -> list[Any]:
        """Models with weights that train."""
        return [model for model in (self.policy, self.critic) if model is not None]

    @property
    def all(self) -> list[Any]:
        """Each model once."""
        found = {id(model): model for model in (self.policy, self.reference, self.critic) if model is not None}
        return list(found.values())


def _predicted(model: Any, shape: Shape, temperature: float, *, with_entropy: bool) -> tuple[Tensor, Any, Tensor]:
    states = _states(model, shape)
    head = plain_model(model).get_output_embeddings()
    flat = states.reshape(-1, states.shape[-1])
    tokens = torch.zeros(len(flat), dtype=torch.long)
    logp, entropy = token_logprobs(flat[:], head, tokens, temperature, with_entropy=with_entropy)
    return logp, entropy, states


def _states(model: Any, shape: Shape) -> Tensor:
    codec: Any = SimpleNamespace(
        pad_id=0, spec=SimpleNamespace(family="seq2seq" if plain_model(model).config.is_encoder_decoder else "causal")
    )
    prompts, responses = [[0] * shape.prompt] * shape.rows, [[0] * shape.response] * shape.rows
    return response_states(model, codec, prompts, responses).states


def _bridged(model: Any, input_ids: Tensor, response_mask: Tensor, **_: Any) -> BaseModelOutput:
    """What `rlhf.models.bridge` makes of an encoder-decoder; `response_mask` is as wide as the response alone."""
    rows, response = response_mask.shape
    ids, mask = _ids(rows, input_ids.shape[1] - response)
    encoded = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    states = model.decoder(
        input_ids=input_ids[:, :response],
        encoder_hidden_states=encoded,
        encoder_attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    laid_out = states.new_zeros(*input_ids.shape, states.size(-1))
    places = torch.arange(rows).repeat_interleave(response), torch.arange(response).repeat(rows)
    return BaseModelOutput(last_hidden_state=laid_out.index_put(places, states.reshape(-1, states.size(-1))))


def _prepare(model: Any, setting: Setting, learning: bool) -> None:
    """Training mode, recomputation switched on as the Trainer does it; or the mode of an evaluation."""
    if not learning:
        model.eval()
        return
    model.train()
    if setting.recompute:
        plain_model(model).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if isinstance(model, PeftModel):
            plain_model(model).enable_input_require_grads()


def _ids(rows: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(rows, width, dtype=torch.long), torch.ones(rows, width, dtype=torch.long)


def cache_bytes(config: Any, shape: Shape, itemsize: int) -> int:
    """Keys and values of all layers for rows of prompt and response: 2 x layers x rows x tokens x width x itemsize.

    Encoder-decoders keep those of the response (self-attention) and of the prompt (cross-attention). The layer that is
    being grown by concatenation lies there twice.
    """
    if config.is_encoder_decoder:
        layers, width = config.num_decoder_layers, config.num_heads * config.d_kv
    else:
        layers = config.num_hidden_layers
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    layer = 2 * shape.tokens * width * itemsize
    return layer * layers + layer // 2
