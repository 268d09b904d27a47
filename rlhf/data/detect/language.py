"""Which language a text is in, with py3langid's bundled model (Lui and Baldwin 2012, "langid.py")."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

UNKNOWN = "unknown"
# those asked for: on short texts the model's other 70 take more from these than they add
LANGUAGES = tuple(
    "ar cs da de el en es fi fr he hi hu id it ja ko nl no pl pt ro ru sv th tr uk vi zh".split()  # noqa: SIM905  # one a line would fill a screen
)
SHORTEST = 12  # letters: "Thanks a lot!" is judged, "ok" is not
LETTERS_PER_SIGN = 4  # a Chinese, Japanese or Korean sign says about as much as four letters
NO_LANGUAGE = re.compile(r"\{\{[^{}<>\n]+\}\}|(?:https?://|www\.)\S+|\S+@\S+|[\d_]+")
SIGN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
READ = 2000  # characters: more of a text does not change the answer


def language(text: str) -> tuple[str, float]:
    """Return the language's code (ISO 639-1) and its probability among `LANGUAGES`; ("unknown", 0.0) if too short.

    Placeholders, addresses and numbers are left out. The probability is the model's own, not calibrated.
    """
    words = NO_LANGUAGE.sub(" ", text[:READ])
    letters = sum(map(str.isalpha, words)) + (LETTERS_PER_SIGN - 1) * len(SIGN.findall(words))
    if letters < SHORTEST:
        return UNKNOWN, 0.0
    code, probability = _identifier().classify(words)
    return str(code), float(probability)


def language_mix(texts: Iterable[str]) -> Counter[str]:
    """Count texts by language; those too short to tell are "unknown"."""
    return Counter(language(text)[0] for text in texts)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier
