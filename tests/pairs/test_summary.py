"""What is told of a finished set of pairs."""

from __future__ import annotations

import json
from pathlib import Path

from rlhf.pairs.summary import measure
from tests.pairs.conftest import spec_of


def test_of_a_large_set_some_groups_are_measured_and_not_all_or_none(tmp_path: Path) -> None:
    """40 of 400 pairs in groups of two: 20 groups are expected; each with chance 0.1, so 5 to 35 (3.5 sd)."""
    pairs = [
        {"prompt": [{"role": "user", "content": f"q{at}"}], "chosen": f"good {at}", "rejected": f"bad {at}"}
        | {"meta": {"group": f"g{at // 2}"}}
        for at in range(400)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    spec = spec_of("pairs=degrade").leaks.model_copy(update={"pairs": 40})
    leak = measure(file, spec, 400)
    assert leak is not None
    assert 5 <= leak.groups <= 35 and leak.pairs == 2 * leak.groups
    whole = measure(file, spec.model_copy(update={"pairs": 400}), 400)
    assert whole is not None and (whole.pairs, whole.groups) == (400, 200)
