"""A real OpenAI-compatible server on this machine: /v1/chat/completions and /v1/models, on a port of loopback.

It answers with a function of (messages, request): `tiny_answerer` samples from a tiny model with transformers. `faults`
are taken one per request before it answers: a `Fault` says what goes wrong instead.

    with ChatServer(tiny_answerer(folder)) as server:
        print(server.base_url)  # http://127.0.0.1:PORT/v1

By hand, to try `rlhf pairs pairs=endpoint`:  python -m tests.pairs.server [PORT]
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answerer = Callable[[list[dict[str, str]], Mapping[str, Any]], str]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 200
    body: bytes | None = None  # instead of an answer
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # before anything is sent
    drip: float = 0.0  # seconds between two bytes of the body
    breaks_off: bool = False  # the connection is closed in the middle of the body


def echo(messages: list[dict[str, str]], request: Mapping[str, Any]) -> str:
    """Answer with the seed and the length of what was asked, so that each answer tells its request."""
    return f"answer {request['seed']} to {len(messages[-1]['content'])} characters"


class ChatServer:
    """The server, in threads of this process."""

    def __init__(self, answer: Answerer = echo, *, faults: Iterable[Fault] = (), key: str | None = None, port: int = 0):
        self.answer, self.key = answer, key
        self.faults = deque(faults)
        self.requests: list[dict[str, Any]] = []  # bodies of all that came, refused ones too
        self.times: list[float] = []
        self.authorizations: list[str | None] = []
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer((HOST, port), _handler(self))
        self.http.daemon_threads = True
        self.base_url = f"http://{HOST}:{self.http.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._json(200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})
            else:
                self._json(404, {"error": {"message": f"no such path {self.path}"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.requests.append(body)
                server.times.append(time.monotonic())
                server.authorizations.append(self.headers.get("Authorization"))
                fault = server.faults.popleft() if server.faults else None
            if fault is not None:
                self._fail(fault)
            elif self.path != "/v1/chat/completions":
                self._json(404, {"error": {"message": f"no such path {self.path}"}})
            elif server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
                self._json(401, {"error": {"message": f"wrong key {self.headers.get('Authorization')}"}})
            else:
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": server.answer(body["messages"], body)},
                    "finish_reason": "stop",
                }
                self._json(200, {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]})

        def _fail(self, fault: Fault) -> None:
            time.sleep(fault.seconds)
            body = b'{"error": {"message": "it went wrong"}}' if fault.body is None else fault.body
            try:
                self.send_response(fault.status)
                for name, value in fault.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) + (10 if fault.breaks_off else 0)))
                self.end_headers()
                for at in range(len(body)) if fault.drip else ():
                    self.wfile.write(body[at : at + 1])
                    time.sleep(fault.drip)
                self.wfile.write(b"" if fault.drip else body)
            except OSError:  # whoever asked has gone
                pass
            self.close_connection = True

        def _json(self, status: int, values: Any) -> None:
            body = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def tiny_answerer(cache: Path, name: str = "tiny_gpt2") -> Answerer:
    """Return what samples answers from a tiny model, one at a time, by the request's seed and temperature."""
    import torch

    from rlhf.compose import jobs, parse_words
    from rlhf.models.codec import Codec
    from rlhf.models.load import load_policy, load_tokenizer, resolve_base
    from rlhf.models.sample import sample

    ((_, run),) = jobs(parse_words([f"model={name}"]))
    source = resolve_base(run.model, cache)
    options: dict[str, Any] = {"dtype": torch.float32, "device": "cpu", "seed": 0}
    model = load_policy(run.model, source, run.quantization, **options)
    tokenizer = load_tokenizer(run.model, source)
    codec = Codec(tokenizer, run.model, 96, 64)
    lock = threading.Lock()

    def answer(messages: list[dict[str, str]], request: Mapping[str, Any]) -> str:
        with lock:
            drawn = sample(
                model,
                codec,
                [messages],
                max_new_tokens=min(request["max_tokens"], 64),
                temperature=max(request["temperature"], 1e-3),
                batch_size=1,
                seed=request["seed"],
                progress=None,
            )
        return drawn.texts[0]

    return answer


if __name__ == "__main__":
    import tempfile

    with ChatServer(tiny_answerer(Path(tempfile.mkdtemp())), port=int(sys.argv[1]) if sys.argv[1:] else 8000) as own:
        print(own.base_url, flush=True)
        threading.Event().wait()
