"""Loading torch and its companions, a million objects that stay: no garbage collection should walk them.

with loading():
    import rlhf.job
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage while the block imports, and leave what it has imported out of all later collections.

    Python walks all objects each time their number has grown by a quarter, whenever a stage gives back its memory, and
    at exit. Of a tiny job's CPU time that was two fifths (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    if "torch" in sys.modules:  # loaded before: what has come since may be garbage, and would be kept for good
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
