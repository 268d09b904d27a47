"""The frozen spec of a search: what is varied and wanted, who draws, who ends hopeless trials, where it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, model_validator

from rlhf.errors import UserError
from rlhf.evaluation.metrics import ALL_METRICS, Metric
from rlhf.spec import Spec
from rlhf.suggest import did_you_mean

Direction = Literal["maximize", "minimize"]
WANTED: dict[str | None, Direction] = {"higher": "maximize", "lower": "minimize"}
SamplerName = Literal["tpe", "random", "grid", "nsga2", "cmaes", "gp", "qmc"]
PrunerName = Literal["none", "median", "percentile", "hyperband", "successive_halving", "threshold"]


class FloatParam(Spec):
    """A real number between two bounds, drawn evenly, on a logarithmic scale, or from steps."""

    type: Literal["float"]
    low: float
    high: float
    log: bool
    step: PositiveFloat | None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        return _bounded(self)


class IntParam(Spec):
    """A whole number between two bounds, both of them included."""

    type: Literal["int"]
    low: int
    high: int
    log: bool
    step: PositiveInt

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        return _bounded(self)


class CategoricalParam(Spec):
    """One of several values: numbers, words, lists or null."""

    type: Literal["categorical"]
    choices: Annotated[list[Any], Field(min_length=1)]

    @model_validator(mode="after")
    def _different(self) -> Self:
        texts = [repr(choice) for choice in self.choices]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise ValueError(f"the choice {twice} is there twice")
        return self


ParamSpec = Annotated[FloatParam | IntParam | CategoricalParam, Field(discriminator="type")]


def _bounded(param: Any) -> Any:
    """Check bounds, scale and steps of a number."""
    if param.low > param.high:
        raise ValueError(f"low ({param.low}) is above high ({param.high})")
    if param.log and param.low <= 0:
        raise ValueError(f"a logarithmic scale needs low above 0, got {param.low}")
    if param.log and param.step not in (None, 1):
        raise ValueError("a logarithmic scale takes no step")
    return param


class ObjectiveSpec(Spec):
    """A metric of finished jobs, a suite's included, and which way it should go."""

    metric: str
    direction: Direction

    @model_validator(mode="after")
    def _known(self) -> Self:
        metric = {metric.name: metric for metric in ALL_METRICS}.get(self.metric) or self._of_a_suite()
        wanted = WANTED.get(metric.better, self.direction)
        if wanted != self.direction:
            raise ValueError(f"{self.metric} is better when {metric.better}. Write direction: {wanted}")
        return self

    def _of_a_suite(self) -> Metric:
        from rlhf.evaluation.described import describe, groups, suite_of  # imports all suites

        metric = describe(self.metric)
        if metric is None or suite_of(self.metric) is None:
            known = [metric.name for group, of in groups().items() if group != "ppo" for metric in of]
            raise ValueError(f"there is no metric {self.metric!r}. {did_you_mean(self.metric, known)}")
        return metric


class SamplerSpec(Spec):
    """Who draws settings; of `settings`, by name, those of the chosen one go to Optuna's class."""

    name: SamplerName
    settings: dict[SamplerName, dict[str, Any]]


class PrunerSpec(Spec):
    """Who ends hopeless trials. `metric` is a curve of the job's own stage, looked at each `every`th point."""

    name: PrunerName
    settings: dict[PrunerName, dict[str, Any]]
    metric: str | None
    direction: Direction
    every: PositiveInt

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.name != "none" and self.metric is None:
            raise ValueError("a pruner needs a curve to look at: search.pruner.metric=eval/loss")
        return self


class SearchSpec(Spec):
    """One search. `trials` counts those that are in the storage already; `storage: null` is a file of its own."""

    name: str
    study: str | None
    storage: str | None
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    trials: PositiveInt
    jobs: PositiveInt
    max_failed: Annotated[float, Field(ge=0, le=1)]  # share of `trials` that may fail
    stale_hours: NonNegativeFloat  # a trial that runs longer on another machine is taken for dead
    sampler: SamplerSpec
    pruner: PrunerSpec
    objectives: Annotated[list[ObjectiveSpec], Field(min_length=1)]
    params: dict[str, ParamSpec]

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        names = [objective.metric for objective in self.objectives]
        if len(set(names)) < len(names):
            raise ValueError("objectives: a metric is there twice")
        if len(names) > 1 and self.pruner.name != "none":
            raise ValueError(
                "pruner: with several objectives no trial can be called hopeless early. Write search.pruner.name=none"
            )
        if len(names) > 1 and self.sampler.name == "cmaes":
            raise ValueError("sampler: cmaes knows one objective only. Write search.sampler.name=nsga2")
        return self


def read_spec(values: Mapping[str, Any]) -> SearchSpec:
    """Return the spec that the composed `search` group describes. Raises `UserError` naming key and remedy."""
    try:
        return SearchSpec.model_validate(values)
    except ValidationError as error:
        first, *more = [_explained(item) for item in error.errors()]
        place, problem, remedy = first
        others = f" (and {len(more)} more: {' '.join(f'{p}: {q}.' for p, q, _ in more)})" if more else ""
        raise UserError(place, problem, remedy + others) from None


def _explained(item: Any) -> tuple[str, str, str]:
    """Return place, problem and remedy of one pydantic finding."""
    parts = [part for index, part in enumerate(item["loc"]) if not _is_tag(item["loc"], index)]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in ("search", *parts)).removeprefix(
        "."
    )
    path = path.removesuffix(".[key]")
    if item["type"] == "extra_forbidden":
        return path, "unknown key", did_you_mean(str(parts[-1]), _fields(item["loc"]))
    if item["type"] == "missing":
        return path, "has no value", f"Give it one beside its neighbours: {parts[-1]}: VALUE"
    if item["type"].startswith("union_tag"):
        given = item["input"].get("type") if isinstance(item["input"], Mapping) else item["input"]
        told = "is missing" if given is None else f"{given} is none of float, int and categorical"
        return f"{path}.type", told, "Write float, int or categorical"
    problem = item["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if item["type"] in ("literal_error", "greater_than", "finite_number"):
        problem += f", got {item['input']!r}"
    problem, split, remedy = problem.partition(". ")
    if not parts or not split:
        key, _, rest = problem.partition(": ")
        path, problem = (f"search.{key}", rest) if not parts and rest else (path, problem)
        remedy = remedy or f"Write another value of {path}"
    return path, problem, remedy


def _is_tag(location: tuple[int | str, ...], index: int) -> bool:
    """Whether a part of a pydantic location is the chosen type of a parameter."""
    return location[0] == "params" and index == 2


def _fields(location: tuple[int | str, ...]) -> Iterable[str]:
    """The fields of the spec in which a key was not found."""
    if location[0] == "params" and len(location) > 2:
        members = {get_args(spec.model_fields["type"].annotation)[0]: spec for spec in get_args(get_args(ParamSpec)[0])}
        return members[location[2]].model_fields
    inner: dict[str, type[Spec]] = {"objectives": ObjectiveSpec, "sampler": SamplerSpec, "pruner": PrunerSpec}
    return inner[str(location[0])].model_fields if len(location) > 1 else SearchSpec.model_fields
