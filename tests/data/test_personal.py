"""The detector of personal data on sentences written by hand: what it must find, and what only looks like it."""

from __future__ import annotations

from collections import Counter

import pytest

from rlhf.data.detect import Found
from rlhf.data.detect.personal import KINDS, count, find

# Keys are written in two parts, so that no scanner takes them for real ones. Numbers with check digits are from the
# documentation of python-stdnum, of the IBAN registry and of payment services; telephone numbers are businesses' or
# unused.
HAYSTACK = {
    "email": [
        "You can write to maria.lopez82@gmail.com about it.",
        "my mail: j_smith+shop@mail.co.uk",
        "Contact <anna-lena.meier@t-online.de> please",
        "it's bob@startup.io!",
        "mailto:peter.parker@dailybugle.net",
        "Mi correo es jose.niño@correo.es",
        "我的邮箱是zhangwei88@163.com。",
        "FIRST.LAST@COMPANY-GROUP.ORG is what I use",
        "two of them: a1@b.cc",
        "(please cc karl@uni-koeln.de)",
    ],
    "phone": [
        "Call me at (650) 253-0000 tomorrow",
        "my number is 415 555 2671",
        "You can reach me on +44 20 7946 0958.",
        "phone: 6502530000",
        "+34 612 345 678 es mi móvil",
        "whatsapp +49 1512 3456789",
        "1-800-275-2273 is the hotline",
        "650.253.0000 works too",
        "Tel. +86 10 6552 9988",
        "text me on 2125551234 please",
        "fax +33 1 42 68 53 00",
        "ring +1 (212) 736-5000 after five",
    ],
    "card": [
        "My card is 4539 1488 0343 6467",
        "charge 5425-2334-3010-9903 please",
        "371449635398431 is my amex",
        "use card 6011000990139424.",
        "mastercard 2223003122003222",
        "Visa 4716461583322103, exp 09/27",
    ],
    "iban": [
        "Refund to FR14 2004 1010 0505 0001 3M02 606 please",
        "ES9121000418450200051332",
        "my IBAN: NL91 ABNA 0417 1643 00 is new",
        "bitte auf CH93 0076 2011 6238 5295 7 überweisen",
        "be71 0961 2345 6769",
        "IT60X0542811101000000123456",
    ],
    "national_id": [
        "My SSN is 536-90-4399",
        "social security number 536904399",
        "DNI 54362315K",
        "mi NIE es X2482300W",
        "Steuer-ID: 36 574 261 809",
        "numéro de sécu 2 95 10 99 126 111 93",
        "codice fiscale RCCMNL83S18D969H",
        "身份证 360426199101010071",
        "CPF 390.533.447-05",
        "CURP BOXW310820HNERXN09",
        "my Aadhaar is 2341 2341 2346",
        "BSN 111222333",
        "PESEL 44051401359",
        "AHV 756.9217.0769.85",
        "NHS number 943 476 5870",
        "NI number AB 12 34 56 C",
    ],
    "ip_address": [
        "I connect from 81.2.69.142",
        "blocked IP: 8.8.4.4",
        "host 93.184.216.34:8080 is down",
        "my address is 2a02:2e0:3fe:1001:302:302:302:302",
    ],
    "url_with_user": [
        "clone https://alice:hunter2@git.company.io/repo",
        "ftp://bob@files.server.net/a.txt",
        "see linkedin.com/in/jane-doe-4321",
        "follow https://www.instagram.com/real.karl",
        "my code: https://github.com/octocat",
    ],
    "secret": [
        "my password is hunter2",
        "Password: Tr0ub4dor&3",
        "contraseña: Sol2024!",
        "mein Passwort ist Kaffee#77",
        "the PIN is 4821",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "token ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
        "sk-" + "proj4f9A8b7C6d5E4f3G2h1",
        "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        "api_key=9f8e7d6c5b4a",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
    ],
}
POSITIVES = [(kind, text) for kind, texts in HAYSTACK.items() for text in texts]
# what it is known to miss: written out, without a mark or number, or told by the context alone
MISSED = [
    ("email", "write to john dot smith at gmail dot com"),
    ("phone", "five five five, two six seven one"),
    ("secret", "my password is swordfish"),
    ("phone", "6502530000 any time"),
]
NEGATIVES = """
DB_PASSWORD = "your_db_password";
visor-api-key: API_KEY"
(ALL) NOPASSWD: /path/to/command1
My order number is 1234567890.
order #123-4567890-1234567 has not arrived
Order 4012888888881882 was cancelled
the tracking number is 1Z999AA10123456784
invoice INV-2024-000123 of 12.05.2024
Invoice 2024/10/12345 is wrong
ticket 98765432101
My booking reference is X7K9QZ
It costs $1,234,567.89 in total
1.234.567,89 € is too much
prices from 100-200 to 1000-2000
a discount of 15% on 3 items for $49.99
between 1990 and 2020
from 2019-2023 I lived there
on 2024-05-12 at 18:30:45
05/12/2024 10:30
2024-05-12T18:30:45.123Z
12.05.2024 18:30
ISBN 978-3-16-148410-0
ISBN 0-306-40615-2
ISBN-13: 9780306406157
version 1.2.3.4 is out
upgrade to v10.0.19045.2
firmware 4.12.0.1 fails
Python 3.11.7 and torch 2.13.0
section 3.2.1.4 of the manual
the ratio is 16:9, the score 3-2
10:30:45 and 11:15:00
MAC 00:1A:2B:3C:4D:5E
std::vector<int> and a::b::c
#ff8800 and 0xdeadbeef
commit 9f0c38a4b1e2d3c4
UUID 123e4567-e89b-12d3-a456-426614174000
IMEI 490154203237518
SKU 0012-3456-7890
barcode 4006381333931
zip code 12345-6789
PO Box 1234567
flight LH 1234 on gate B22
room 1234, floor 12, desk 5
40.712776, -74.005974
lat 52.520008 lon 13.404954
pi is 3.14159265358979
1 000 000 people and 7 900 000 000 more
the year 2000 had 366 days and 31536000 seconds
2^64 is 18446744073709551616
add 2 + 2 - 1 (3) x 4
phone in the year 2007
call at 10 or at 11 on 12
My account number is 12345678
tax rate 19, code 36 574 261 808
CPF 390.533.447-06
DNI 54362315A
My SSN is 000-12-3456
my password is wrong
I forgot my password, what is it?
Password: required field
the PIN is wrong
The token is invalid.
the secret is patience
@anna told me about it
a @ b and c@d
follow us on twitter.com/share or facebook.com/help
https://www.example.org/a?id=123456789
https://shop.com:8080/orders/1234567890
see https://github.com/features
me@localhost
size 10 x 20 x 30 - 40 (50)
US letter 8.5x11, A4 210x297
GB12 XYZ
AB 12 CD 34
""".strip().splitlines()
INVENTED = [
    "support@example.com",
    "write to help@yourcompany.com",
    "call (123) 456-7890",
    "call +1 212-555-0123",
    "555-0199",
    "card 4111 1111 1111 1111",
    "SSN 123-45-6789",
    "192.168.1.1 and nothing else",
    "127.0.0.1",
    "DE89 3704 0044 0532 0130 00",
]


def kinds(text: str, region: str | None = None) -> set[str]:
    return {found.kind for found in find(text, region)}


def test_there_are_enough_examples() -> None:
    assert len(POSITIVES) >= 60
    assert len(NEGATIVES) >= 60
    assert set(HAYSTACK) | {"invented", "placeholder"} == set(KINDS)


@pytest.mark.parametrize(("kind", "text"), POSITIVES)
def test_it_is_found_once_and_as_what_it_is(kind: str, text: str) -> None:
    assert [found.kind for found in find(text)] == [kind]


def test_recall_on_all_positives_is_95_percent_known_misses_counted() -> None:
    everything = [*POSITIVES, *MISSED]
    hits = sum(kinds(text) == {kind} for kind, text in everything)
    assert [text for _, text in MISSED if find(text)] == []
    assert hits / len(everything) >= 0.94


@pytest.mark.parametrize("text", NEGATIVES)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("text", INVENTED)
def test_reserved_and_common_examples_are_told_apart(text: str) -> None:
    assert [found.kind for found in find(text)] == ["invented"]


def test_places_are_exact_and_hold_no_value() -> None:
    text = "Ann: ann@mail.org, {{Order Number}}, +34 612 345 678, ES91 2100 0418 4502 0005 1332 is hers"
    found = find(text)
    assert [(one.kind, text[one.start : one.end]) for one in found] == [
        ("email", "ann@mail.org"),
        ("placeholder", "{{Order Number}}"),
        ("phone", "+34 612 345 678"),
        ("iban", "ES91 2100 0418 4502 0005 1332"),
    ]
    assert set(Found.__dataclass_fields__) == {"kind", "start", "end"}


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("ES", "llámame al 612 34 56 78"),
        ("DE", "Handy 01512 3456789"),
        ("CN", "手机 138 1234 5678"),
        ("GB", "020 7946 0958"),
    ],
)
def test_numbers_without_country_code_need_their_region(region: str, text: str) -> None:
    assert kinds(text, region) == {"phone"}
    assert kinds(text) == set()


def test_counts_by_kind() -> None:
    texts = ["a@b.org and c@d.org", "nothing", "{{Name}}: a@b.org"]
    assert count(texts) == Counter(email=3, placeholder=1)
