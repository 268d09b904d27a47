"""Keeps secrets out of what is recorded: tokens, passwords and the user part of URIs become `***`.

Three nets, each catching what the others miss: the name of a key (`hub_token`), the shape of a value (`hf_...`,
`scheme://user:pw@host`), and the very values that the environment holds under such names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
_PASSWORDS = {"password", "passwd", "passphrase", "pw", "pwd", "secret", "secrets", "credential", "credentials"}
_FOLDERS = {"PWD", "OLDPWD"}  # the shell's names for the working folder
_KEY_KINDS = {"api", "access", "private", "secret", "signing", "encryption"}
_VOCABULARY = {"pad", "eos", "bos", "unk", "cls", "sep", "mask", "image", "audio", "per", "start", "end", "special"}
_SHAPES = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}"
    r"|\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?<=[Bb]earer )[\w.~+/-]{8,}=*"
)
_USERINFO = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s'\"]*@")
_KEY = r"""["']?(?P<key>[\w./+-]+)["']?"""
_PAIR = re.compile(rf"""(?P<head>(?<![\w./-]){_KEY}[ \t]*[:=][ \t]*)(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,&}}\]]+)""")
_YAML_LINE = re.compile(
    rf"""^(?P<head>[ \t]*(?:- )?{_KEY}:[ \t]+)(?P<value>[^\s"'{{\[][^\n]*?)(?=[ \t]+#|[ \t]*$)""", re.MULTILINE
)
_PLAIN = {"", "null", "none", "true", "false", "~", "[]", "{}"}


def looks_secret(key: str, value: Any) -> bool:
    """Whether a key's name says that its value is a secret; `max_tokens: 64` and `pad_token: <pad>` are not."""
    text = str(value).strip("\"' ")
    if isinstance(value, bool) or text.lower() in _PLAIN:
        return False
    last = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.split(r"[./+]", key.lstrip("-+"))[-1])
    words = [word for word in re.split(r"[_\-\s]+", last.lower()) if word]
    if key.upper() in _FOLDERS:
        return False
    if _PASSWORDS & set(words) or any(word.endswith(("password", "passwd")) for word in words):
        return True
    if (
        any(pair[1] == "key" and pair[0] in _KEY_KINDS for pair in zip(words, words[1:], strict=False))
        or "apikey" in words
    ):
        return True
    is_token = bool(words) and words[-1].endswith("token") and not _VOCABULARY & set(words)
    return is_token and not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text, re.IGNORECASE)


def mask_text(text: str) -> str:
    """Free text with everything masked that has the shape of a secret or is one in this process's environment."""
    text = _USERINFO.sub(rf"\1{MASK}@", _SHAPES.sub(MASK, text))
    for name, value in os.environ.items():
        if len(value) >= 8 and looks_secret(name, value):
            text = text.replace(value, MASK)
    return text


def mask_settings(text: str) -> str:
    """YAML, JSON or `key=value` text: as `mask_text`, and the values of keys whose name says that they are secret."""

    def blank(match: re.Match[str]) -> str:
        value = match["value"]
        if not looks_secret(match["key"], value):
            return match[0]
        quote = value[0] if value[0] in "\"'" else ""
        return f"{match['head']}{quote}{MASK}{quote}"

    return mask_text(_PAIR.sub(blank, _YAML_LINE.sub(blank, text)))


def mask_value(key: str, value: str) -> str:
    """One recorded value, by its key's name and by its own shape."""
    return MASK if looks_secret(key, value) else mask_settings(value)


def mask_words(words: Sequence[str]) -> list[str]:
    """A command line: `key=value` words, and `--token value` in two words."""
    masked: list[str] = []
    for word in words:
        before = masked[-1] if masked else ""
        if before.startswith("-") and "=" not in before and looks_secret(before, word):
            masked.append(MASK)
        else:
            key, equals, value = word.partition("=")
            masked.append(f"{key}={mask_value(key, value)}" if equals else mask_text(word))
    return masked


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; lists and empty groups stay whole."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
