"""Loading and saving without the libraries' progress bars and reports on expected things."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers below errors inside the block, and what will change in a library, then restore it.

    What is silenced is expected here: bars for files that load in milliseconds; the report of a new scoring head and an
    unused language-model head when a scorer starts from a language model; and that mT5's output matrix is not tied
    (transformers 5 sets `tie_word_embeddings` for every mT5, then finds two matrices in the checkpoint and keeps both);
    that PEFT asks transformers for a property by its old name.
    """
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
