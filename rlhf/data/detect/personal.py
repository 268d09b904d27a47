"""Personal data in texts: e-mail and IP addresses, telephone, card, account and identity numbers, secrets.

Numbers count only where a library finds them valid (phonenumbers; python-stdnum's check digits) or their written form
or the words before them leave no doubt, so that order numbers, dates and prices stay out. Names and postal addresses
are not looked for. A find holds its kind and place, never the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from rlhf.data.detect import Found
from rlhf.data.detect.identity import national_ids
from rlhf.data.placeholders import PLACEHOLDER

KINDS = {
    "email": "an e-mail address",
    "phone": "a valid telephone number",
    "card": "the number of a payment card (issuer, length and Luhn digit)",
    "iban": "an international bank account number (country's length, check digits)",
    "national_id": "a social security, tax or identity number",
    "ip_address": "the address of a machine on the public internet",
    "url_with_user": "an address that holds a user's name or leads to a profile",
    "secret": "a password, or a key of a known service",
    "invented": "any of these, in a form that is reserved or common for examples",
    "placeholder": "a place for data, {{Order Number}}",
}
EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@((?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24})(?![\w-])")
EXAMPLE_HOSTS = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net)|(?:your)?(?:company|domain|website|store)\.com|test|invalid)$", re.IGNORECASE
)
LOGIN = re.compile(
    r"\b[a-z][a-z0-9+]{1,9}://[^\s/@:{}<>]{1,64}(?::[^\s/@{}<>]{0,64})?@[^\s/@{}<>]{1,253}", re.IGNORECASE
)
PROFILE = re.compile(
    r"\b(?:(?:instagram|facebook|twitter|x|tiktok|github|t)\.(?:com|me)/@?|linkedin\.com/in/|reddit\.com/u(?:ser)?/)"
    r"(?!(?:help|about|login|signup|explore|home|search|share|sharer|pages|groups|settings|privacy|terms|features|pricing"
    r"|topics|orgs|status|hashtag|intent)\b)[A-Za-z0-9._-]{2,40}",
    re.IGNORECASE,
)  # fmt: skip
CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
ISSUED = re.compile(  # what the issuers' numbers begin with, and how long they are
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7]|35)\d{14}|6(?:011|4|5)\d{12,14}|3[47]\d{13}|3(?:0[0-5]|[68])\d{11,12}"
)
TEST_CARDS = (  # that payment services give out
    "4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "5105105105105100",
    "378282246310005", "6011111111111117",
)  # fmt: skip
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)", re.IGNORECASE)
PRINTED_IBANS = ("GB82WEST12345698765432", "DE89370400440532013000", "GB29NWBK60161331926819")  # in every manual
IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){3,7}(?![\w:])", re.IGNORECASE)
VERSION = re.compile(r"(?:\bv|version|release|firmware|build|update|chapter|section)[\s:.]*$", re.IGNORECASE)
PHONE = re.compile(r"(?<![\w.])[+(]?\d(?:[ ().\-/]{0,3}\d){6,16}")  # what phonenumbers is asked about
PHONE_WORD = re.compile(
    r"(?:phone|call|tel|mobile|cell|fax|whats ?app|text|sms|dial|reach|hotline|tel[eé]fono|m[oó]vil|llam\w+|handy"
    r"|anruf\w*|t[eé]l[eé]phone|appele\w*|电话|手机|致电)[^\d\n]{0,25}$",
    re.IGNORECASE,
)
# numbers that nobody has: 555-0100 to 555-0199 are kept for fiction, and 123-456-7890 is dialled by counting
EXAMPLE_PHONE = re.compile(
    r"(?<![\w-])(?:\+?1[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[ .-])?(?:555[ .-]01\d\d|123[ .-]4567|456[ .-]7890)(?![\w-])"
)
TOKENS = re.compile(  # the forms of keys that services document
    r"(?<![A-Za-z0-9])(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,80}|github_pat_\w{22,90}|glpat-[\w-]{20,40}"
    r"|hf_[A-Za-z0-9]{30,40}|sk-[A-Za-z0-9_-]{20,200}|[sr]k_live_[A-Za-z0-9]{20,100}|xox[abprs]-[A-Za-z0-9-]{10,100}"
    r"|AIza[\w-]{35}|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000})"
    r"|-----BEGIN (?:[A-Z]{1,20} ){0,2}PRIVATE KEY-----"
)
PASSWORD = re.compile(
    r"(?<![A-Za-z])(?:(?:password|passwd|passcode|\bpwd|\bpin(?: code)?|passphrase|contraseña|passwort|kennwort"
    r"|mot de passe|密码)\s{0,3}(?:is|was|es|ist|est|是|为|:|=|：)|(?:api[ _-]?key|secret|token)\s{0,3}(?:is\s?)?[:=])"
    r"\s{0,3}[\"'`“«]?([^\s\"'`”»{}<>]{4,80})",
    re.IGNORECASE,
)
INVENTED_PASSWORD = re.compile(r"^(?:[*x.•_-]+|(?:your|my|new|old)\W.*)$", re.IGNORECASE)


def find(text: str, region: str | None = None) -> list[Found]:
    """Return what a text holds, in order and without overlap.

    `region` (ISO 3166, as "DE") is where telephone numbers without a country code are from; None takes the form of
    North America alone.
    """
    taken = bytearray(len(text))
    found = []
    for kind, start, end in _candidates(text, region):
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            found.append(Found(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def count(texts: Iterable[str], region: str | None = None) -> Counter[str]:
    """Count what texts hold, by kind."""
    return Counter(one.kind for text in texts for one in find(text, region))


Candidate = tuple[str, int, int]


def _candidates(text: str, region: str | None) -> Iterator[Candidate]:
    """Yield kinds and places; the surer ones first, as they take the place."""
    if "{{" in text:
        yield from (("placeholder", found.start(), found.end()) for found in PLACEHOLDER.finditer(text))
    yield from _secrets(text)
    if "@" in text:
        yield from (("url_with_user", found.start(), found.end()) for found in LOGIN.finditer(text))
        for found in EMAIL.finditer(text):
            yield "invented" if EXAMPLE_HOSTS.search(found.group(1)) else "email", found.start(), found.end()
    if "/" in text:
        yield from (("url_with_user", found.start(), found.end()) for found in PROFILE.finditer(text))
    if not any(map(str.isdigit, text)):
        return
    yield from _ibans(text)
    yield from _cards(text)
    yield from _addresses(text)
    yield from national_ids(text)
    yield from _phones(text, region)


def _secrets(text: str) -> Iterator[Candidate]:
    yield from (("secret", found.start(), found.end()) for found in TOKENS.finditer(text))
    for found in PASSWORD.finditer(text):
        value = found.group(1).rstrip(".,;:!?)")
        signs = any(map(str.isdigit, value)) or any(sign in value for sign in "!@#$%^&*")
        if len(value) >= 4 and signs and value[0] not in "/$" and not INVENTED_PASSWORD.match(value):
            yield "secret", found.start(1), found.start(1) + len(value)


def _ibans(text: str) -> Iterator[Candidate]:
    """An IBAN ends where its country's length says, which may be before the letters that follow it."""
    from stdnum import iban

    for found in IBAN.finditer(text):
        ends = [found.start() + at + 1 for at, sign in enumerate(found.group()) if sign != " "]
        for end in reversed(ends[14:]):
            number = text[found.start() : end].replace(" ", "").upper()
            if iban.is_valid(number):
                yield "invented" if number in PRINTED_IBANS else "iban", found.start(), end
                break


def _cards(text: str) -> Iterator[Candidate]:
    from stdnum import luhn

    for found in CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if ISSUED.fullmatch(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
            yield "invented" if digits in TEST_CARDS else "card", found.start(), found.end()


def _addresses(text: str) -> Iterator[Candidate]:
    for pattern in (IPV4, IPV6):
        for found in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(found.group())
            except ValueError:
                continue
            if not VERSION.search(text[max(0, found.start() - 15) : found.start()]):
                yield "ip_address" if address.is_global else "invented", found.start(), found.end()


def _phones(text: str, region: str | None) -> Iterator[Candidate]:
    """Numbers that phonenumbers finds valid; one without country code must be written as one, or announced."""
    if not PHONE.search(text):
        return
    import phonenumbers

    for found in phonenumbers.PhoneNumberMatcher(text, region or "US", leniency=_leniency(region is None)):
        written, digits = found.raw_string, re.sub(r"\D", "", found.raw_string)
        grouped = len(re.findall(r"\d+", written)) > 1
        announced = PHONE_WORD.search(text[max(0, found.start - 40) : found.start])
        part = re.search(
            r"\w[-_/#]$", text[max(0, found.start - 2) : found.start]
        )  # of a longer number: INV-2024-000123
        if not part and (grouped or announced or written.startswith("+")):
            yield "invented" if _is_example(digits) else "phone", found.start, found.end
    yield from (("invented", example.start(), example.end()) for example in EXAMPLE_PHONE.finditer(text))


def _is_example(digits: str) -> bool:
    return bool(re.search(r"55501\d\d$|1234567890$", digits)) or len(set(digits[-7:])) == 1


@cache
def _leniency(strict: bool) -> Any:
    """How a number must be written: without a known region, in that region's groups."""
    from phonenumbers import Leniency

    return Leniency.STRICT_GROUPING if strict else Leniency.VALID
