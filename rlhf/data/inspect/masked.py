"""The last door before anything is shown or kept: personal data in any string is replaced by what kind it is."""

from __future__ import annotations

from typing import Any

from rlhf.data.detect import personal


def masked(text: str) -> str:
    """Return the text with each find of personal data as `[kind]`; placeholders such as {{Order Number}} stay."""
    for found in reversed(personal.find(text)):
        if found.kind != "placeholder":
            text = f"{text[: found.start]}[{found.kind}]{text[found.end :]}"
    return text


def all_masked(value: Any) -> Any:
    """Return plain values with every string in them masked, keys as well."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {masked(str(key)): all_masked(own) for key, own in value.items()}
    return [all_masked(own) for own in value] if isinstance(value, list | tuple) else value
