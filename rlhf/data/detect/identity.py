"""Identity numbers of people: what each country writes, checked by python-stdnum.

Where the written form is not telling (nine or eleven digits may be an order number), a word for it must stand before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

NEAR = 40  # characters before a number in which its word may stand


@dataclass(frozen=True)
class Identity:
    """One country's number: how it is written, the module of stdnum that checks it, and the words that announce it."""

    written: str
    module: str
    words: str | None  # None: the form itself is telling


IDENTITIES = (
    Identity(r"\d{3}-\d{2}-\d{4}", "us.ssn", None),
    Identity(r"\d{3} ?\d{2} ?\d{4}", "us.ssn", r"ssn|social security"),
    Identity(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"\bsin\b|social insurance"),
    Identity(r"\d{8}-?[A-Z]", "es.dni", None),
    Identity(r"[XYZ]-?\d{7}-?[A-Z]", "es.nie", None),
    Identity(r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale", None),
    Identity(r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir", None),
    Identity(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"steuer|tax|idnr|identifikationsnummer"),
    Identity(r"\d{17}[\dX]", "cn.ric", None),
    Identity(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf", None),
    Identity(r"\d{11}", "br.cpf", r"\bcpf\b"),
    Identity(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", "mx.curp", None),
    Identity(r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar", r"aadh?aar|uidai"),
    Identity(r"\d{9}", "nl.bsn", r"\bbsn\b|burgerservice|sofi"),
    Identity(r"\d{11}", "pl.pesel", r"pesel"),
    Identity(r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn", None),
    Identity(r"\d{3} ?\d{3} ?\d{4}", "gb.nhs", r"\bnhs\b"),
)
EXAMPLES = ("123456789", "078051120", "219099999", "12345678Z")  # printed in advertisements and manuals
# the United Kingdom's has no check digit: its letters and the word before it must do
NINO = re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)", re.IGNORECASE)


def national_ids(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield `("national_id" | "invented", start, end)` of each number that is valid."""
    for identity, pattern, words in _patterns():
        if words is not None and not words.search(text):
            continue
        for found in pattern.finditer(text):
            before = text[max(0, found.start() - NEAR) : found.start()]
            if words is not None and not words.search(before):
                continue
            number = re.sub(r"[\s.-]", "", found.group()).upper()
            if number in EXAMPLES:
                yield "invented", found.start(), found.end()
            elif import_module(f"stdnum.{identity.module}").is_valid(found.group().upper()):
                yield "national_id", found.start(), found.end()
    yield from (("national_id", found.start(), found.end()) for found in NINO.finditer(text))


@cache
def _patterns() -> tuple[tuple[Identity, re.Pattern[str], re.Pattern[str] | None], ...]:
    return tuple(
        (
            identity,
            re.compile(rf"(?<![\w.-]){identity.written}(?![\w-]|\.\d)", re.IGNORECASE),
            re.compile(identity.words, re.IGNORECASE) if identity.words else None,
        )
        for identity in IDENTITIES
    )
