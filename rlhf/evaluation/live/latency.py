"""How long one person waits for an answer, and how many tokens per second many together get.

Times are of this machine at this moment: compare only what was measured on the same machine with nothing else running.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Scores, Table, Tools, corpus_scores, mean_scores
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation_spec import LatencySpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEEP = False  # times of another day, beside which something else ran, are not compared with those of today
_SHORT = "answer in fewer tokens, or with nothing at all: compare latency/seconds_per_token"
_BUSY = "run on another machine, or on one that is busier or less busy"
_ALONE = "one question at a time (batch 1), tokenizing and decoding included, the warm-up left out; "


def _seconds(name: str, meaning: str, estimator: str, fooled: str) -> Metric:
    return Metric(
        f"latency/{name}", meaning, "seconds", estimator, "lower", "above 0", "monotonic clock", fooled, reads="pair"
    )


SECONDS_MEAN = _seconds("seconds_mean", "time until an answer is there, on average", _ALONE + "mean", _SHORT)
SECONDS_MEDIAN = _seconds("seconds_median", "the same, the middle one", _ALONE + "50% quantile", _SHORT)
SECONDS_P95 = _seconds(
    "seconds_p95",
    "the same, of the slowest one in twenty",
    _ALONE + "95% quantile, linear between the two nearest answers: of fewer than 20 answers almost the slowest one",
    _SHORT,
)
SECONDS_MAX = _seconds("seconds_max", "the same, the slowest one", _ALONE + "maximum; grows with n", _SHORT)
FIRST_TOKEN = _seconds(
    "first_token_seconds",
    "time until the first token of an answer is chosen: reading the question",
    _ALONE + "until the model is called for the second token (or the answer is there, if it is one token long); mean",
    "ask shorter questions; it is no streaming server's number, which network and queue add to",
)
PER_TOKEN = _seconds(
    "seconds_per_token",
    "time of each token after the first: the number that doesn't depend on how long answers are",
    _ALONE + "sum over answers of (seconds - seconds to the first token) / sum of (tokens - 1)",
    _BUSY,
)
TOKENS = Metric(
    "latency/tokens",
    "length of the timed answers, end-of-sequence token included: read the seconds beside it",
    "tokens",
    "mean over the timed answers",
    None,
    "1 to evaluation.latency.max_new_tokens",
    "count of the model's own tokens",
    "another tokenizer cuts the same words into more or fewer tokens",
    reads="pair",
)
TOKENS_PER_SECOND = Metric(
    "latency/tokens_per_second",
    "speed of answers to one person",
    "tokens per second",
    _ALONE + "sum of tokens / sum of seconds",
    "higher",
    "above 0",
    "monotonic clock",
    "a tokenizer that cuts words into more tokens; " + _BUSY,
    reads="pair",
)
THROUGHPUT = Metric(
    "latency/throughput",
    "speed of answers to many at once",
    "tokens per second",
    "all questions in batches of evaluation.latency.batch_size, a short batch before the clock starts left out: sum of "
    "tokens, padding left out / seconds; a batch takes as long as its longest answer",
    "higher",
    "above 0",
    "monotonic clock",
    "a tokenizer that cuts words into more tokens, answers that are all of one length; " + _BUSY,
    reads="pair",
)
METRICS = (
    SECONDS_MEAN, SECONDS_MEDIAN, SECONDS_P95, SECONDS_MAX, FIRST_TOKEN, PER_TOKEN, TOKENS, TOKENS_PER_SECOND,
    THROUGHPUT,
)  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """How long one answer took."""

    seconds: float
    first: float  # of these, until its first token was chosen
    tokens: int


def measure(policy: Any, codec: Any, questions: Sequence[Row], spec: LatencySpec, tools: Tools) -> Findings:
    """Time answers to the first `spec.questions` questions one by one, then to all questions in batches.

    What is answered is fixed by `tools.seed`; how long it takes is not. `each` of the seconds is None for questions
    that are not timed alone.
    """
    alone = list(questions[: spec.questions])
    for place in range(spec.warmup):
        _timed(policy, codec, alone[place % len(alone)], place, spec, tools)
    timings = [_timed(policy, codec, row, place, spec, tools) for place, row in enumerate(alone)]
    scores = summary(timings, len(questions), tools)
    seconds, tokens = _together(policy, codec, questions, spec, tools)
    scores[THROUGHPUT.name] = Scores(tokens / seconds, tokens)
    notes = [_where(policy)]
    if PER_TOKEN.name not in scores:
        notes.append(f"No {PER_TOKEN.name}: no answer is longer than one token.")
    if len(questions) < spec.batch_size:
        notes.append(f"The throughput is of one batch of {len(questions)}, there are no more questions.")
    return Findings(scores, {"seconds per answer": histogram([t.seconds for t in timings], spec.bins)}, tuple(notes))


def summary(timings: Sequence[Timing], questions: int, tools: Tools) -> dict[str, Scores]:
    """The metrics of answers that were timed one by one; the first of `questions` are those."""
    import numpy as np

    n = len(timings)
    unknown = [None] * (questions - n)
    seconds = np.array([timing.seconds for timing in timings])
    first = np.array([timing.first for timing in timings])
    tokens = np.array([timing.tokens for timing in timings])
    written = int(tokens.sum())
    scores = {
        SECONDS_MEAN.name: mean_scores([*seconds.tolist(), *unknown], tools),
        SECONDS_MEDIAN.name: corpus_scores(lambda places: float(np.median(seconds[places])), n, n, tools),
        SECONDS_P95.name: Scores(float(np.percentile(seconds, 95)), n),  # what few answers say of an end is no interval
        SECONDS_MAX.name: Scores(float(seconds.max()), n),
        FIRST_TOKEN.name: mean_scores([*first.tolist(), *unknown], tools),
        TOKENS.name: mean_scores([*tokens.astype(float).tolist(), *unknown], tools),
        TOKENS_PER_SECOND.name: corpus_scores(
            lambda places: float(tokens[places].sum() / seconds[places].sum()), n, written, tools
        ),
    }
    if written > n:

        def per_token(places: NDArray) -> float:
            after = (tokens[places] - 1).sum()
            return float((seconds - first)[places].sum() / after) if after else float("nan")

        scores[PER_TOKEN.name] = corpus_scores(per_token, n, written - n, tools)
    return scores


def histogram(seconds: Sequence[float], bins: int) -> Table:
    """How many answers took how long, in `bins` equal steps from the fastest to the slowest answer."""
    import numpy as np

    counts, edges = np.histogram(seconds, bins=bins)
    rows = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return Table(("from seconds", "to seconds", "answers"), tuple(rows))


def _timed(policy: Any, codec: Any, row: Row, place: int, spec: LatencySpec, tools: Tools) -> Timing:
    """Answer one question and time it; `place` gives it random numbers of its own."""
    from rlhf.models.sample import sample

    with _calls(policy) as calls:
        began = _now(policy)
        samples = sample(
            policy,
            codec,
            [row.prompt],
            max_new_tokens=spec.max_new_tokens,
            temperature=spec.temperature,
            batch_size=1,
            seed=random.Random(f"latency/{tools.seed}/{place}").getrandbits(32),
            progress=None,
        )
        ended = _now(policy)
    second = calls[1] if len(calls) > 1 else ended
    return Timing(ended - began, second - began, len(samples.ids[0]))


def _together(policy: Any, codec: Any, questions: Sequence[Row], spec: LatencySpec, tools: Tools) -> tuple[float, int]:
    """Return the seconds that all answers take in batches and the number of their tokens."""
    from rlhf.models.sample import sample

    def answers(rows: Sequence[Row], tokens: int) -> int:
        samples = sample(
            policy,
            codec,
            [row.prompt for row in rows],
            max_new_tokens=tokens,
            temperature=spec.temperature,
            batch_size=spec.batch_size,
            seed=tools.seed,
            progress=None,
        )
        return sum(map(len, samples.ids))

    answers(questions[: spec.batch_size], min(2, spec.max_new_tokens))
    began = _now(policy)
    tokens = answers(questions, spec.max_new_tokens)
    return _now(policy) - began, tokens


@contextmanager
def _calls(policy: Any) -> Iterator[list[float]]:
    """Note when the model is called, once per token; the second call waits for what the device has not done yet."""
    from rlhf.models.states import plain_model

    calls: list[float] = []

    def note(*_: Any) -> None:
        if len(calls) < 2:
            calls.append(_now(policy))

    handle = plain_model(policy).register_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()


def _now(policy: Any) -> float:
    """Seconds on a clock that only goes forward, once a GPU has done all it was given."""
    import torch

    device = next(policy.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _where(policy: Any) -> str:
    import torch

    device = next(policy.parameters()).device
    if device.type == "cuda":
        return f"Times are of one {torch.cuda.get_device_name(device)}."
    threads = torch.get_num_threads()
    return f"Times are of this machine's CPU ({threads} thread{'s' * (threads > 1)}), and of what else ran on it."
