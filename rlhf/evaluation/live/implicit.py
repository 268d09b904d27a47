"""Whether a policy prefers what people chose, whatever trained it: its implicit reward on held-out pairs.

Measured on every model that started from another one, which is its reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.evaluation.contract import Findings, Tools
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.implicit import implicit_pairs, implicit_scores
from rlhf.evaluation_spec import ImplicitSpec

METRICS = names.OF_IMPLICIT_REWARD
ROLES = ("start", "sft", "policy")  # those with a reference


def measure(policy: Any, codec: Any, questions: Sequence[Row], spec: ImplicitSpec, tools: Tools) -> Findings:
    """Read up to `spec.pairs` held-out pairs, evenly spaced, under the policy and its reference."""
    if tools.reference is None or tools.held_out is None:
        return Findings({}, {}, ("No implicit reward: the model has no reference.",))
    try:
        pairs = tools.held_out("preference")
    except UserError as error:
        return Findings({}, {}, (f"No implicit reward: no pairs ({error.place}: {error.problem}).",))
    most = min(spec.pairs, len(pairs))
    rows = [pairs[at * len(pairs) // most] for at in range(most)]
    if not rows:
        return Findings({}, {}, ("No implicit reward: there are no held-out pairs.",))
    found = implicit_pairs(policy, tools.reference(), codec, rows, spec.beta, spec.batch_size)
    return Findings(implicit_scores(found))
