"""`pairs=endpoint`: the other answer of each pair is written by a model behind a chat-completions endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from rlhf.data.personas import persona_sentences
from rlhf.data.rows import Row
from rlhf.endpoint import Client, Reply, asked, conversation, filled, key_of
from rlhf.pairs.made import Chunk, Made, Numbered, Pair, Work, row_key
from rlhf.pairs.spec import Endpoint
from rlhf.pairs.texts import alike

NO_ANSWER = "the row has no answer to set against"
EMPTY = "the endpoint's answer was empty"
SAME = "the endpoint repeated the row's answer"
CUT = "answers cut at pairs.max_tokens, kept"


def endpoint_work(spec: Endpoint, environment: Mapping[str, str]) -> Work:
    """Return the work of the maker; an answer is handed on as soon as it is there, so that none is paid for twice."""
    key = key_of(spec, environment)

    def work(todo: Iterable[Numbered]) -> Iterator[Chunk]:
        for (at, _), made in asked(todo, lambda client, one: ask(client, spec, one[1]), spec, key):
            yield [(at, made)]

    return work


def ask(client: Client, spec: Endpoint, row: Row) -> Made:
    """Ask for one answer; return its pair with the row's own answer."""
    own = (row.completion or "").strip()
    if not own:
        return Made(lost={NO_ANSWER: 1})
    seed = request_seed(spec.seed, row)
    reply = client.ask(request_messages(spec, row), seed)
    return paired(row, own, reply, spec, seed)


def paired(row: Row, own: str, reply: Reply, spec: Endpoint, seed: int) -> Made:
    """Return the pair of a row's answer and the endpoint's."""
    if not reply.text:
        return Made(lost={EMPTY: 1})
    if alike(reply.text, own):
        return Made(lost={SAME: 1})
    chosen, rejected = (own, reply.text) if spec.writes == "rejected" else (reply.text, own)
    parameters = {
        "writes": spec.writes,
        "model": spec.model,
        "base_url": spec.base_url,
        "temperature": spec.temperature,
        "request_seed": seed,
        "finish": reply.finish,
    }
    pair = Pair(row.prompt, chosen, rejected, "written", parameters)
    return Made([pair], noted={CUT: 1} if reply.finish == "length" else {})


def request_messages(spec: Endpoint, row: Row) -> list[dict[str, str]]:
    """Return the messages of a request; each slot is filled once, so what a filling says is no slot itself."""
    fillings = {
        "conversation": conversation(row.prompt),
        "answer": (row.completion or "").strip(),
        "persona": "\n".join(persona_sentences(row)),
    }
    text = filled(spec.instruction, fillings)
    system = [] if spec.system is None else [{"role": "system", "content": filled(spec.system, fillings)}]
    return [*system, {"role": "user", "content": text}]


def request_seed(seed: int, row: Row) -> int:
    """Return the seed that goes with a row's request, below 2**31."""
    digest = hashlib.sha256(f"pairs/endpoint/{seed}/{row_key(row)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
