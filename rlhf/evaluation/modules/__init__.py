"""The text suite's metrics as modules of Hugging Face `evaluate`, for code that speaks its language; no network needed.

`load("bleu").compute(predictions=[...], references=[...])`, or `evaluate.load(FOLDER)` with one of the folders here.
The suite itself calls the functions that they wrap: it needs values per question and draws too, and `evaluate` writes
its inputs to a file for every metric of every speaker (128 answers: 0.12 s, not 0.08 s, after 0.08 s to load it all).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NAMES = tuple(sorted(file.stem for file in HERE.glob("*/*.py")))


def load(name: str) -> Any:
    """Return the module of that name, one of `NAMES`, as `evaluate.load` does."""
    import evaluate

    return evaluate.load(str(HERE / name))


def described(description: str, *, references: bool = True, predictions: str = "string") -> Any:
    """Return what `evaluate` wants to know of a metric on texts, or on lists of numbers (`predictions="floats"`)."""
    from datasets import Features, Sequence, Value
    from evaluate import MetricInfo

    own = Sequence(Value("float64")) if predictions == "floats" else Value("string")
    columns = {"predictions": own} | ({"references": Value("string")} if references else {})
    return MetricInfo(description=description, citation="", inputs_description="", features=Features(columns))
