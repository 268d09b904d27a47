"""A small client for OpenAI-compatible chat-completions endpoints: timeouts, retries, and one line for what goes wrong.

The key comes from an environment variable and goes into one header; it is taken out of every text that is told.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from rlhf.endpoint_spec import EndpointSpec
from rlhf.errors import RunFailure, UserError

T = TypeVar("T")
R = TypeVar("R")
LARGEST = 8 << 20  # bytes of an answer that are read
BLOCK = 1 << 16
TOLD = 160  # characters of a server's own words that are repeated
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # states that a later try may find gone
LOOPBACK = ("localhost", "127.0.0.1", "::1")
AGAIN = "run the same command again: it goes on from what is on disk"


@dataclass(frozen=True)
class Reply:
    """One answer of the endpoint."""

    text: str  # without white space around it; may be empty
    finish: str | None  # as the endpoint says why it ended: stop, length, ...


class Passing(Exception):
    """A failure that may be gone in a moment; `wait` is what the server asks to wait, in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        self.problem, self.wait = problem, wait
        super().__init__(problem)


class Stopped(Exception):
    """Another request has failed for good, so this one is given up."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""
        return None


class Client:
    """Sends one request at a time per thread; `stop` is set by whoever gives up on all of them."""

    def __init__(self, spec: EndpointSpec, key: str | None, stop: threading.Event) -> None:
        self.spec, self.key, self.stop = spec, key, stop
        self.url = f"{spec.base_url}/chat/completions"
        handlers: list[Any] = [_NoRedirect()]
        if urlsplit(spec.base_url).hostname in LOOPBACK:
            handlers.append(ProxyHandler({}))  # a proxy of the environment does not reach this machine's own ports
        self.opener: OpenerDirector = build_opener(*handlers)

    def ask(self, messages: list[dict[str, str]], seed: int) -> Reply:
        """Return the endpoint's answer, tried `1 + retries` times where a failure may pass.

        Raises `UserError` for what only the user can mend (key, address, model), `RunFailure` for what did not pass.
        """
        body = {
            "model": self.spec.model,
            "messages": messages,
            "max_tokens": self.spec.max_tokens,
            "temperature": self.spec.temperature,
            "seed": seed,
            "n": 1,
            "stream": False,
        }
        for attempt in range(self.spec.retries + 1):
            if self.stop.is_set():
                raise Stopped
            try:
                return self._parsed(self._sent(json.dumps(body).encode()))
            except Passing as failure:
                if attempt == self.spec.retries:
                    raise self._given_up(failure, attempt + 1) from None
                self._pause(failure, attempt)
        raise AssertionError("the last try returns or raises")

    def _pause(self, failure: Passing, attempt: int) -> None:
        wait = min(self.spec.backoff_seconds * 2**attempt, self.spec.longest_wait_seconds)
        if failure.wait is not None and failure.wait > self.spec.longest_wait_seconds:
            problem = f"{failure.problem} and asks to wait {failure.wait:.0f} seconds"
            remedy = f"Raise {self.spec.place}.longest_wait_seconds, or wait and {AGAIN}"
            raise RunFailure(self._told(self.url), self._told(problem), remedy, resumable=True)
        if self.stop.wait(max(wait, failure.wait or 0.0)):
            raise Stopped

    def _sent(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "rlhf"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        request = Request(self.url, data=body, headers=headers, method="POST")
        ends = time.monotonic() + self.spec.timeout_seconds
        late = f"did not answer within {self.spec.timeout_seconds:g} seconds"
        try:
            with self.opener.open(request, timeout=self.spec.timeout_seconds) as answer:
                blocks: list[bytes] = []
                while block := answer.read1(BLOCK):
                    blocks.append(block)
                    if time.monotonic() > ends:
                        raise Passing(late)
                    if sum(map(len, blocks)) > LARGEST:
                        raise Passing(f"sent more than {LARGEST >> 20} MiB")
                expected = answer.headers.get("Content-Length")
                whole = b"".join(blocks)
                if expected is not None and expected.isdigit() and len(whole) < int(expected):
                    raise Passing("broke off in the middle of an answer")
                return whole
        except HTTPError as error:
            with error:
                raise self._refused(error) from None
        except TimeoutError:
            raise Passing(late) from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError | socket.timeout):
                raise Passing(late) from None
            raise Passing(f"cannot be reached ({error.reason})") from None
        except (OSError, HTTPException) as error:
            raise Passing(f"broke off ({type(error).__name__})") from None

    def _refused(self, error: HTTPError) -> Exception:
        """Return what to raise for an answer that is no success."""
        said = self._words_of(error)
        problem = f"answered {error.code}{f' ({said})' if said else ''}"
        place = self.spec.place
        if error.code in (401, 403):
            named = self.spec.api_key_env
            remedy = (
                f"Put a key that it takes into the environment variable {named}"
                if named
                else f"Put a key into an environment variable and add {place}.api_key_env=ITS_NAME"
            )
            return UserError(self._told(self.url), problem, remedy)
        if error.code in PASSING or error.code >= 500:
            return Passing(problem, _retry_after(error.headers.get("Retry-After")))
        if 300 <= error.code < 400:
            return UserError(
                self._told(self.url), f"{problem}: it redirects elsewhere", f"Set {place}.base_url to there"
            )
        if error.code == 404:
            remedy = f"Check {place}.base_url (it ends before /chat/completions) and {place}.model"
            return UserError(self._told(self.url), problem, remedy)
        return UserError(self._told(self.url), problem, f"Check {place}.model, {place}.max_tokens and the like")

    def _words_of(self, error: HTTPError) -> str:
        """Return what the server says of its refusal, in one short line."""
        try:
            text = error.read(LARGEST).decode("utf-8", "replace")
        except (OSError, HTTPException):
            return ""
        with suppress(ValueError):  # no JSON: told as it is
            found = json.loads(text)
            found = found.get("error", found) if isinstance(found, dict) else found
            text = str(found.get("message", found)) if isinstance(found, dict) else str(found)
        return self._told(" ".join(text.split()))[:TOLD]

    def _parsed(self, body: bytes) -> Reply:
        try:
            values = json.loads(body)
            choice = values["choices"][0]
            content = choice["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            start = self._told(" ".join(body[: 2 * TOLD].decode("utf-8", "replace").split()))[: TOLD // 2]
            raise Passing(f"did not answer as a chat-completions endpoint does: {start!r}") from None
        if content is not None and not isinstance(content, str):
            raise Passing("answered with something else than text")
        finish = choice.get("finish_reason")
        return Reply((content or "").strip(), finish if isinstance(finish, str) else None)

    def _given_up(self, failure: Passing, tries: int) -> RunFailure:
        tried = "" if tries == 1 else f" ({tries} tries)"
        remedy = f"See that it runs and that {self.spec.place}.base_url is right, then {AGAIN}"
        return RunFailure(self._told(self.url), self._told(f"{failure.problem}{tried}"), remedy, resumable=True)

    def _told(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, given as a number or as a date."""
    if value is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def key_of(spec: EndpointSpec, environment: Mapping[str, str]) -> str | None:
    """Return the key in the variable that `spec` names, None where it names none.

    Raises `UserError` where the variable is not set or its value cannot be a header's.
    """
    name = spec.api_key_env
    if name is None:
        return None
    key = environment.get(name, "").strip()
    here = f"{spec.place}.api_key_env={name}"
    if not key:
        raise UserError(here, "the environment has no such variable", f"Set it: export {name}=...")
    if not key.isascii() or not key.isprintable():
        raise UserError(here, "its value is no key that can be sent", f"Set {name} anew")
    return key


def asked(
    todo: Iterable[T], ask: Callable[[Client, T], R], spec: EndpointSpec, key: str | None
) -> Iterator[tuple[T, R]]:
    """Yield each of `todo` with its answer as soon as that is there, `spec.concurrency` of them being asked at once.

    So none that is paid for is lost: when one fails for good, those under way are waited for and handed on before its
    failure is raised. When the caller stops, nothing is asked any more.
    """
    stop = threading.Event()
    client = Client(spec, key, stop)
    waiting = iter(todo)
    running: dict[Future[R], T] = {}
    failure: BaseException | None = None
    pool = ThreadPoolExecutor(spec.concurrency, thread_name_prefix="endpoint")
    try:
        while True:
            while failure is None and len(running) < spec.concurrency:
                try:
                    one = next(waiting)
                except StopIteration:
                    break
                running[pool.submit(ask, client, one)] = one
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                one = running.pop(future)
                error = future.exception()
                if error is None:
                    yield one, future.result()
                elif failure is None or isinstance(failure, Stopped):
                    failure = error
                    stop.set()
    finally:  # also when the user interrupts
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure


def conversation(messages: Sequence[Mapping[str, str]]) -> str:
    """Return messages as lines for an instruction, each with its speaker."""
    names = {"system": "System", "user": "User", "assistant": "Assistant"}
    return "\n".join(f"{names.get(m['role'], m['role'])}: {m['content']}" for m in messages)


def filled(template: str, fillings: Mapping[str, str]) -> str:
    """Return an instruction with its slots, `{conversation}`, filled once: what a filling says is no slot itself."""
    slots = re.compile(r"(?<!\{)(?:" + "|".join(re.escape(f"{{{name}}}") for name in fillings) + r")(?!\})")
    return slots.sub(lambda found: fillings[found.group()[1:-1]], template)
