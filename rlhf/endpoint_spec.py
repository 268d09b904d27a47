"""The settings of a chat-completions endpoint that a command asks: where it is, and how patiently it is asked."""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from rlhf.spec import Spec

# how the work is done, which changes no answer
MANNERS = frozenset(
    {"api_key_env", "concurrency", "timeout_seconds", "retries", "backoff_seconds", "longest_wait_seconds"}
)


class EndpointSpec(Spec):
    """An OpenAI-compatible chat-completions endpoint; `place` is the key of these settings, for messages."""

    place: ClassVar[str]

    base_url: str  # requests go to <base_url>/chat/completions
    model: str  # as the endpoint calls it
    api_key_env: str | None  # environment variable with the key; null: none
    max_tokens: PositiveInt
    temperature: NonNegativeFloat
    concurrency: PositiveInt  # requests under way at once
    timeout_seconds: PositiveFloat  # for a whole answer
    retries: NonNegativeInt  # of a request that failed for a reason that may pass
    backoff_seconds: NonNegativeFloat  # before the first retry, doubled before each further one
    longest_wait_seconds: PositiveFloat  # a longer Retry-After is not waited for

    @field_validator("base_url", mode="before")
    @classmethod
    def _url(cls, value: Any) -> Any:
        """Refuse what is no plain address; nothing of it is repeated where it may hold a password."""
        example = f"Write {cls.place}.base_url=http://127.0.0.1:8000/v1"
        if not isinstance(value, str):
            raise ValueError(f"names no endpoint. {example}")
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query:
            remedy = f"Put the key into an environment variable, {cls.place}.api_key_env=NAME"
            raise ValueError(f"holds more than an address. {remedy}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"is no http address. {example}")
        return value.rstrip("/")

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _variable(cls, value: Any) -> Any:
        """Refuse what is no name of a variable, without repeating it: it may be the key itself."""
        if value is not None and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value)):
            problem = "is the name of an environment variable, never the key itself"
            raise ValueError(f"{problem}. Write {cls.place}.api_key_env=NAME")
        return value
