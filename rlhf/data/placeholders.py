"""Made values for placeholders such as `{{Order Number}}`: plausible, of nobody, and the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PLACEHOLDER = re.compile(r"\{\{[^{}<>\n]+\}\}")  # a tag within is a page's markup, and a line ends all
SHOPS = ("Northwind", "Bluebird", "Harbour", "Maple", "Sunfield")
PEOPLE = ("Alex Moreno", "Sam Okafor", "Kim Larsen", "Noa Fischer", "Robin Tanaka")
CITIES = ("Lisbon", "Leeds", "Valencia", "Graz", "Utrecht")
COUNTRIES = ("Portugal", "Ireland", "Spain", "Austria", "Norway")
MONTHS = ("March", "May", "July", "September", "November")
Maker = Callable[[random.Random], str]


def fill(content: str, seed: int, row: str) -> str:
    """Write a value in the place of each placeholder of `content`.

    What a company has (its telephone, name, hours) is the same in all rows of a seed; what a customer has (an order
    number, a date) is the same within the row that is named `row`. Names of buttons and pages stay as words, without
    their braces: they are what a reader would see.
    """
    return PLACEHOLDER.sub(lambda found: value(found[0][2:-2].strip(), seed, row), content)


def value(name: str, seed: int, row: str) -> str:
    """Return the value for one placeholder's name."""
    words = name.lower()
    for pattern, make, of_company in KINDS:
        if re.search(pattern, words):
            key = f"placeholder/{seed}/{pattern if of_company else words}/{'' if of_company else row}"
            return make(random.Random(key))
    return name


def _digits(rng: random.Random, count: int) -> str:
    return str(rng.randrange(10 ** (count - 1), 10**count))


# (pattern of the name in lower case, maker, whether it is the company's); the first that matches is taken
KINDS: tuple[tuple[str, Maker, bool], ...] = (
    (r"e-?mail", lambda rng: f"{rng.choice(['help', 'support', 'care'])}@example.com", True),
    (r"phone|toll-free|hotline", lambda rng: f"(555) 010-{rng.randrange(100, 200):04d}", True),
    (r"hours|availability", lambda rng: f"{rng.choice(['8', '9'])} am to {rng.choice(['5', '6', '8'])} pm", True),
    (r"\burl\b|\blink\b|\bsite\b|website", lambda rng: f"www.{rng.choice(SHOPS).lower()}.example.com", True),
    (r"(company|store|business|brand|organization).*name|^company$", lambda rng: f"{rng.choice(SHOPS)} Store", True),
    (r"(order|invoice|bill|purchase|tracking|ticket|reference|account|refund|transaction).*(number|\bid\b)|"
     r"number anonymized", lambda rng: _digits(rng, 8), False),
    (r"(client|customer|person|user|recipient|agent|representative).*name|^name$|^(client|customer)$",
     lambda rng: rng.choice(PEOPLE), False),
    (r"amount|\bfee\b|\bcost\b|\bprice\b|\bmoney\b", lambda rng: f"${rng.randrange(5, 400)}", False),
    (r"number of (business )?days|\bdays\b", lambda rng: str(rng.randrange(2, 15)), True),
    (r"\bdate\b", lambda rng: f"{rng.randrange(1, 29)} {rng.choice(MONTHS)}", False),
    (r"\bcity\b", lambda rng: rng.choice(CITIES), False),
    (r"\bcountry\b", lambda rng: rng.choice(COUNTRIES), False),
)  # fmt: skip
