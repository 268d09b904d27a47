"""The smallest change that makes a stage fit the device: changes are tried through the same estimate, mildest first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rlhf.compose import Words, jobs
from rlhf.config import PPO, MethodSpec, NoAdapter, Run
from rlhf.errors import UserError
from rlhf.plan.settings import trainer_argument

SHORTEST = 16  # tokens below which texts are not cut


@dataclass(frozen=True)
class Change:
    """Words to add to the command line, and what the stage then needs."""

    words: tuple[str, ...]
    effect: str  # on what is learned
    bytes: int


def smallest_change(
    run: Run,
    words: Sequence[str],
    place: str,
    config_dir: str | None,
    room: int,
    estimate: Callable[[Run, str], int],
) -> Change | None:
    """Return the mildest change under which the stage at `place` of a job fits into `room` bytes; None if none does.

    `estimate(run, place)` gives the bytes that the changed run's stage needs.
    """
    known: dict[tuple[str, ...], int | None] = {}

    def size(added: list[str]) -> int | None:
        """Bytes under a change; None for one that is refused at the door."""
        if tuple(added) not in known:
            try:
                ((_, other),) = jobs(Words(tuple(replaced(words, added)), (), False, config_dir))
                known[tuple(added)] = estimate(other, place)
            except UserError:
                known[tuple(added)] = None
        return known[tuple(added)]

    def enough(added: list[str]) -> bool:
        found = size(added)
        return found is not None and found <= room

    for group, effect in changes(run, _method(run, place), place):
        if not enough(group[-1]):  # the strongest of its kind
            continue
        place_found = bisect_left(group, True, key=enough)
        return Change(tuple(group[place_found]), effect, size(group[place_found]) or 0)
    return None


def _method(run: Run, place: str) -> MethodSpec:
    return {"method": run.method, "upstream.sft": run.upstream.sft, "upstream.reward": run.upstream.reward}[place]


def changes(run: Run, method: MethodSpec, place: str) -> Iterator[tuple[list[list[str]], str]]:
    """Yield groups of changes in order of harm, each from its mildest to its strongest.

    First what leaves the result as it is, then fewer trained weights, coarser weights, shorter texts.
    """
    pieces, held = list(_smaller_pieces(method, place)), list(_smaller_evaluations(method, place))
    recompute = [] if method.trainer.get("gradient_checkpointing") else [f"{place}.trainer.gradient_checkpointing=true"]
    same = "same result, more time"
    least = pieces[-1] if pieces else []
    if held:
        yield held, same
    if pieces:
        yield pieces, same
    if recompute:
        yield [[*piece, *recompute] for piece in [[], *pieces]], same
    lora = ["adapter=lora"] if isinstance(run.adapter, NoAdapter) else []
    if lora:
        yield [[*lora, *piece] for piece in ([], [*least, *recompute])], "trains an adapter instead of all weights"
    for kind in ("int8", "nf4"):
        if run.quantization.name not in ("nf4", kind):
            coarse = [*lora, f"quantization={kind}"]
            yield [[*coarse, *piece] for piece in ([], [*least, *recompute])], f"an adapter on {kind} weights"
    nf4 = [*lora, *([] if run.quantization.name == "nf4" else ["quantization=nf4"]), *least, *recompute]
    shorter = list(_shorter(method, place))
    if shorter:
        yield [[*cut, *least, *recompute] for cut in shorter], "texts are cut"
        yield [[*cut, *nf4] for cut in shorter], "an adapter on nf4 weights, texts are cut"


def _shorter(method: MethodSpec, place: str) -> Iterator[list[str]]:
    prompt, response = method.max_prompt_tokens // 2, method.max_response_tokens // 2
    while min(prompt, response) >= SHORTEST:
        yield [f"{place}.max_prompt_tokens={prompt}", f"{place}.max_response_tokens={response}"]
        prompt, response = prompt // 2, response // 2


def _smaller_pieces(method: MethodSpec, place: str) -> Iterator[list[str]]:
    """The same optimizer step in smaller pieces: gradients of more of them are added up."""
    if isinstance(method, PPO):
        tokens = method.microbatch_tokens // 2
        least = method.max_prompt_tokens + method.max_response_tokens
        while tokens >= least:
            yield [f"{place}.microbatch_tokens={tokens}"]
            tokens //= 2
        return
    batch = int(trainer_argument(method, "per_device_train_batch_size"))
    steps = int(trainer_argument(method, "gradient_accumulation_steps"))
    held = int(trainer_argument(method, "per_device_eval_batch_size"))
    while batch > 1 and batch % 2 == 0:
        batch, steps = batch // 2, steps * 2
        yield [
            f"{place}.trainer.per_device_train_batch_size={batch}",
            f"{place}.trainer.gradient_accumulation_steps={steps}",
            *([f"{place}.trainer.per_device_eval_batch_size={batch}"] if batch < held else []),
        ]


def _smaller_evaluations(method: MethodSpec, place: str) -> Iterator[list[str]]:
    held = int(trainer_argument(method, "per_device_eval_batch_size"))
    while not isinstance(method, PPO) and held > 1:
        held //= 2
        yield [f"{place}.trainer.per_device_eval_batch_size={held}"]


def replaced(words: Sequence[str], added: Sequence[str]) -> list[str]:
    """Return the words of a job with `added` in place of what they said of the same keys."""
    keys = {word.partition("=")[0] for word in added}
    return [*(word for word in words if word.partition("=")[0].lstrip("+") not in keys), *added]
