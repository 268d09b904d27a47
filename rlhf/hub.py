"""Whether the hub can be reached, asked once: its client alone asks six times for every file, for a minute in all."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rlhf import ranks
from rlhf.config import Run
from rlhf.errors import UserError

QUICK = 5.0  # seconds in which the hub answers, or counts as out of reach
OFFLINE = "HF_HUB_OFFLINE"


def go_offline_if_unreachable(runs: Sequence[Run]) -> None:
    """Where `runs` need the hub and it does not answer, take what is in its cache alone; say so in one line.

    Processes that are started later inherit the answer.
    """
    if _offline() or not any(_of_the_hub(run) for run in runs) or _answers():
        return
    os.environ[OFFLINE] = "1"  # for the client where it is not imported yet, and for other processes
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:
            sys.modules[name].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    if ranks.first():
        told = f"rlhf: the hub does not answer in {QUICK:g} s: only what lies in its cache on this machine is used"
        print(told, file=sys.stderr)


def refuse_absent_weights(run: Run) -> None:
    """Raise `UserError` where the weights of `run` are on the hub, which is out of reach, and not in its cache."""
    if run.model.path is not None or run.model.init != "pretrained" or run.model.hub_id is None or not _offline():
        return
    from huggingface_hub import try_to_load_from_cache

    name = run.model.hub_id
    if Path(name).is_dir() or isinstance(try_to_load_from_cache(name, "config.json", revision=run.model.revision), str):
        return
    problem = f"{name} is not in the hub's cache on this machine, and the hub is out of reach"
    raise UserError("model.hub_id", problem, "Check the network, or give model.path=FOLDER or model=tiny_gpt2")


def _of_the_hub(run: Run) -> bool:
    """Whether weights, tokenizer, data or a model that measures are to be had there."""
    model = run.model
    weights = model.path is None and model.init == "pretrained" and model.hub_id is not None
    tokenizer = model.tokenizer is not None and not Path(model.tokenizer).expanduser().exists()
    data = getattr(run.dataset, "path", None) is None and getattr(run.dataset, "hub_id", None) is not None
    measuring = any(not Path(name).expanduser().exists() for name in _measuring_models(run))
    return weights or tokenizer or data or measuring


def _measuring_models(run: Run) -> list[str]:
    """Return the models that the suites of this run read answers with, by path or id."""
    spec = run.evaluation
    inference = spec.persona.nli.model if {"persona", "simulation"} & set(spec.suites) else None
    encoder = spec.text.encoder if "text" in spec.suites else None
    toxicity = spec.safety.classifier.model if "safety" in spec.suites else None
    return [name for name in (inference, encoder, toxicity) if name is not None]


def _offline() -> bool:
    return os.environ.get(OFFLINE, "").upper() in ("1", "ON", "YES", "TRUE")


def _answers() -> bool:
    """Ask the hub's front page, whatever its answer is; in a thread, since a name may be looked up for minutes."""
    answered = threading.Event()
    done = threading.Event()

    def ask() -> None:
        from huggingface_hub import constants, get_session

        with suppress(Exception):  # its transport raises what it likes: all of it means that there was no answer
            get_session().head(constants.ENDPOINT, timeout=QUICK)
            answered.set()
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    done.wait(QUICK + 1)  # the client is imported within that
    return answered.is_set()
