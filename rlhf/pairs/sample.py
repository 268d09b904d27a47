"""`pairs=sample`: several answers of a policy to each prompt, ranked by judges: the best against the worst.

The random numbers of an answer belong to the seed, the row and the answer's number. Prompts are taken in batches with
fixed borders, so a resumed run computes each batch as an uninterrupted one does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.data.rows import Row
from rlhf.errors import RunFailure, UserError
from rlhf.pairs.made import Chunk, Made, Numbered, Pair, Work, row_key
from rlhf.pairs.policies import Policy
from rlhf.pairs.spec import PairsRun, Sample

if TYPE_CHECKING:
    from rlhf.ppo.rewards.base import Scorer

Answering = Callable[[Sequence[Row]], list[list[str]]]  # several answers to each row's prompt
SAME = "all answers are the same text"
EMPTY = "no two answers with words in them"
TIE = "tie: all answers have the same score"
CLOSE = "the margin is below pairs.minimum_margin"


def sample_work(spec: Sample, answering: Answering, scorer: Scorer) -> Work:
    """Return the work of the maker, given who answers and who judges."""
    rows_at_once = max(1, spec.batch_size // spec.answers)

    def work(todo: Iterable[Numbered]) -> Iterator[Chunk]:
        for _, batch in groupby(todo, key=lambda numbered: numbered[0] // rows_at_once):
            numbered = list(batch)
            rows = [row for _, row in numbered]
            answers = answering(rows)
            flat = [(row, text) for row, texts in zip(rows, answers, strict=True) for text in texts]
            scores = scorer([row for row, _ in flat], [text for _, text in flat])
            taken = iter(scores)
            judged = [[(text, next(taken)) for text in texts] for texts in answers]
            yield [(at, best_and_worst(row, own, spec)) for (at, row), own in zip(numbered, judged, strict=True)]

    return work


def best_and_worst(row: Row, judged: Sequence[tuple[str, float]], spec: Sample) -> Made:
    """Return the pair of the answers with the highest and the lowest score, of equals the one that came first.

    Answers without a word are no choice for anybody and left aside; their number is noted.
    """
    spoken = [(text, score) for text, score in judged if text.strip()]
    empty = len(judged) - len(spoken)
    noted = {"empty answers, left aside": empty} if empty else {}
    if len(spoken) < 2:
        return Made(lost={EMPTY: 1}, noted=noted)
    if len({text for text, _ in spoken}) == 1:
        return Made(lost={SAME: 1}, noted=noted)
    scores = [score for _, score in spoken]
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    if scores[best] == scores[worst]:
        return Made(lost={TIE: 1}, noted=noted)
    if scores[best] - scores[worst] < spec.minimum_margin:
        return Made(lost={CLOSE: 1}, noted=noted)
    parameters = {"answers": len(judged), "temperature": spec.temperature, "scores": [score for _, score in judged]}
    pair = Pair(row.prompt, spoken[best][0], spoken[worst][0], "sampled", parameters, (scores[best], scores[worst]))
    return Made([pair], noted=noted)


def load_answering(run: PairsRun, spec: Sample, policy: Policy) -> Answering:
    """Load the policy; return what draws `spec.answers` answers to each prompt."""
    import torch

    from rlhf.models.codec import Codec
    from rlhf.models.load import load_policy, load_tokenizer, resolve_base
    from rlhf.models.sample import sample_ids
    from rlhf.ppo.rewards.stage import stage_source
    from rlhf.stages.device import choose_device

    device = choose_device(run)  # type: ignore[arg-type]  # it asks for precision and hardware alone
    if policy.folder is None:
        source = resolve_base(policy.model, Path(run.store) / "models")
    else:
        source = stage_source(policy.model, policy.folder)
    model: Any = load_policy(
        policy.model, source, policy.quantization, dtype=device.dtype, device=device.kind, seed=policy.seed
    )
    model.requires_grad_(False)
    tokenizer = load_tokenizer(policy.model, source)
    codec = Codec(tokenizer, policy.model, spec.max_prompt_tokens, spec.max_new_tokens)

    def answering(rows: Sequence[Row]) -> list[list[str]]:
        prompts = [codec.prompt_ids(row.prompt) for row in rows for _ in range(spec.answers)]
        generators = [torch.Generator().manual_seed(_seed(spec.seed, row)) for row in rows]
        size = (spec.answers, spec.max_new_tokens)
        uniforms = torch.cat([torch.rand(*size, generator=own, dtype=torch.float64) for own in generators])
        drawn = sample_ids(model, codec, prompts, uniforms, temperature=spec.temperature, batch_size=len(prompts))
        texts = [codec.decode(ids) for ids in drawn.ids]
        return [texts[first : first + spec.answers] for first in range(0, len(texts), spec.answers)]

    return answering


def _seed(seed: int, row: Row) -> int:
    digest = hashlib.sha256(f"pairs/sample/{seed}/{row_key(row)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def load_judges(run: PairsRun, spec: Sample, gold: Callable[[Row, str], float] | None) -> Scorer:
    """Load the judges; return their weighted sum. What goes wrong is told at `pairs.judges`."""
    from rlhf.ppo.rewards import RewardParts, build_rewards
    from rlhf.stages.device import choose_device

    device = choose_device(run)  # type: ignore[arg-type]
    parts = RewardParts(gold, None, device.kind, device.dtype, spec.batch_size)
    with at_judges():
        judges = build_rewards(spec.judges, parts)

    def scorer(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        with at_judges():
            return judges(rows, answers)

    return scorer


def check_judges(spec: Sample) -> dict[str, str]:
    """Return a digest of the files behind each judge; raises `UserError` at `pairs.judges` where one is not there."""
    from rlhf.ppo.sources import check_sources
    from rlhf.ppo.sources.identity import identities

    with at_judges():
        check_sources(spec.judges)
        return identities(spec.judges)


@contextmanager
def at_judges() -> Iterator[None]:
    """Tell of a judge by its key here: it is read and loaded as PPO's reward sources are, under their name there."""
    try:
        yield
    except UserError as error:
        raise UserError(_here(error.place), _here(error.problem), _here(error.remedy)) from error
    except RunFailure as error:
        raise RunFailure(_here(error.place), _here(error.problem), _mended(error.remedy)) from error


def _here(text: str) -> str:
    return text.replace("method.rewards", "pairs.judges").replace("evaluation.batch_size", "pairs.batch_size")


def _mended(remedy: str) -> str:
    from rlhf.ppo.rewards.base import GO_ON

    return _here(remedy).replace(GO_ON, "run the same command again: it goes on from what is on disk")


def judge_settings(spec: Sample) -> Mapping[str, Any]:
    """Return what of the judges decides a ranking and is in no file: their kinds, weights and ways of reading."""
    return {name: judge.model_dump(exclude={"folder", "path"}) for name, judge in sorted(spec.judges.items())}
