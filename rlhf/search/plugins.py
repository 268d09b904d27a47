"""Optuna's samplers and pruners by name, with their settings checked against what their classes take."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rlhf.errors import UserError
from rlhf.search.spec import PrunerSpec, SamplerSpec, SearchSpec
from rlhf.suggest import did_you_mean

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "grid": "RandomSampler",  # cells are handed out by the engine, in order
    "nsga2": "NSGAIISampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "threshold": "ThresholdPruner",
}
SEQUENCES = ("qmc",)  # one seed for the whole study: each trial takes the next point of a sequence
PARALLEL = {"tpe": {"constant_liar": True}}  # do not draw beside a trial that still runs
INSTALL = "Run `pip install -c constraints.txt -e '.[search]'`"
MIX = 1_000_003  # between the seeds of two searches


def quiet() -> None:
    """Keep Optuna's progress lines and its notes about experimental arguments to itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def make_sampler(spec: SamplerSpec, seed: int, index: int, jobs: int) -> BaseSampler:
    """Return the sampler that draws setting number `index` of a study.

    A sampler of its own for each draw, its seed made of both numbers: what is drawn then depends on the study alone and
    not on how often the process was started, so a resumed search goes on as if it had never stopped.
    """
    import optuna

    own = seed if spec.name in SEQUENCES else (seed * MIX + index) % 2**32
    added = PARALLEL.get(spec.name, {}) if jobs > 1 else {}
    settings = added | spec.settings.get(spec.name, {}) | {"seed": own}
    sampler: BaseSampler = _made(
        getattr(optuna.samplers, SAMPLERS[spec.name]), settings, f"sampler.settings.{spec.name}"
    )
    return sampler


def make_pruner(spec: PrunerSpec | Mapping[str, Any]) -> BasePruner:
    """Return the pruner of a spec, or of what a study keeps of it."""
    import optuna

    name = spec.name if isinstance(spec, PrunerSpec) else spec["name"]
    settings = (spec.settings if isinstance(spec, PrunerSpec) else spec["settings"]).get(name, {})
    pruner: BasePruner = _made(getattr(optuna.pruners, PRUNERS[name]), settings, f"pruner.settings.{name}")
    return pruner


def refuse_missing() -> None:
    """Raise `UserError` where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise UserError("search", "optuna is not installed", INSTALL)


def check_plugins(spec: SearchSpec) -> None:
    """Raise `UserError` for a setting that a sampler or pruner does not take, and for a library that one of them needs.

    Nothing is looked at where Optuna is missing, which `refuse_missing` tells.
    """
    if find_spec("optuna") is None:
        return
    import optuna

    groups = (("sampler", spec.sampler, SAMPLERS, optuna.samplers), ("pruner", spec.pruner, PRUNERS, optuna.pruners))
    for group, part, classes, home in groups:
        for name, settings in part.settings.items():
            _check_names(f"search.{group}.settings.{name}", getattr(home, classes[name]), settings)
    if spec.sampler.name == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise UserError(
                "search.sampler.name=cmaes",
                "cmaes is not installed",
                INSTALL,
            ) from None
    make_sampler(spec.sampler, spec.seed, 0, spec.jobs)
    make_pruner(spec.pruner)


def _check_names(place: str, kind: type, settings: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(kind).parameters if name not in ("seed", "args", "kwargs")]
    for name in settings:
        if name not in known:
            raise UserError(f"{place}.{name}", "unknown key", did_you_mean(name, known) if known else "It has none")


def _made(kind: Any, settings: Mapping[str, Any], group: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(**settings)
    except (TypeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"search.{group}", problem, "Mend it, or leave it out") from None
