"""Write a jsonl of preference pairs of any size: customers' questions with a better and a worse answer.

python scripts/make_big_jsonl.py big.jsonl --rows 1000000 [--seed 0] [--repeated 0.01]

Row i depends on the seed and i alone. A row has 400 to 700 bytes; one in ten asks what an earlier row may have asked,
and a share of `--repeated` rows are the row before once more. A name that ends in .gz is packed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from rlhf.data.toy_world import draw_answer, draw_dialogue

Pool = tuple[list[str], list[str], list[str]]  # questions, good answers to them, and bad ones
POOL = 3000  # questions and answers of the toy world that rows are put together from
ITEMS = (
    "kettle",
    "lamp",
    "desk",
    "backpack",
    "monitor",
    "drill",
    "tent",
    "sofa",
    "router",
    "camera",
    "jacket",
    "piano",
)
CITIES = ("Porto", "Lyon", "Turin", "Ghent", "Malmö", "Brno", "Split", "Galway", "Bilbao", "Graz", "Tartu", "Kraków")
WISHES = (
    "I have waited since last week and nobody called me back.",
    "Please tell me what I should do next, step by step.",
    "My neighbour had the same trouble and got an answer within a day.",
    "I already looked at the page with the questions, it did not help.",
)


def rows(count: int, seed: int, repeated: float) -> Iterator[dict[str, str]]:
    """Yield `count` pairs."""
    pool = _pool(seed)
    for index in range(count):
        again = index > 0 and _draws(seed, "again", index).random() < repeated
        yield _row(pool, seed, index - 1 if again else index)


def _draws(seed: int, purpose: str, index: int) -> random.Random:
    return random.Random(f"{seed}/{purpose}/{index}")


def _row(pool: Pool, seed: int, index: int) -> dict[str, str]:
    asked, good, bad = pool
    own = _draws(seed, "row", index)
    question = own.randrange(index) if index and own.random() < 0.1 else index
    about = _draws(seed, "question", question)
    topic, number, item, city = about.randrange(POOL), about.randrange(10**7), about.choice(ITEMS), about.choice(CITIES)
    return {
        "prompt": f"{asked[topic]} It is about order {number}, the {item} for {city}. {about.choice(WISHES)}",
        "chosen": f"{good[topic]} Your order {number} goes to {city}; we look after the {item} until it is there.",
        "rejected": f"{bad[own.randrange(POOL)]} Ask again about {item} number {own.randrange(1000)}.",
    }


def _pool(seed: int) -> Pool:
    asked, good, bad = list[str](), list[str](), list[str]()
    for index in range(POOL):
        rng = random.Random(f"big/{seed}/{index}")
        dialogue = draw_dialogue(rng, ["en"], 0.0)
        asked.append(dialogue.messages[-1]["content"])
        good.append(draw_answer(rng, dialogue, "good"))
        bad.append(draw_answer(rng, dialogue, rng.choice(["vague", "bare", "off_intent", "rude"])))
    return asked, good, bad


def write(file: Path, count: int, seed: int, repeated: float) -> None:
    """Write the rows to a file."""
    with file.open("wb") as plain:
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=plain, mode="wb", mtime=0)) if file.suffix == ".gz" else plain
        for row in rows(count, seed, repeated):
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        stream.close()


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeated", type=float, default=0.01, help="share of rows that are the row before once more")
    asked = parser.parse_args()
    write(asked.file, asked.rows, asked.seed, asked.repeated)


if __name__ == "__main__":
    main()
