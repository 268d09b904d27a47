"""The base of every frozen spec, and the bounds that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
RUN = "run.json"  # what the folder of a finished stage holds, beside its weights in `model`


def _weights(value: str) -> str:
    folder = Path(value).expanduser()
    return str(folder / "model") if (folder / RUN).exists() else value


def _stage(value: str) -> str:
    folder = Path(value).expanduser()
    return str(folder.parent) if folder.name == "model" and (folder.parent / RUN).exists() else value


# a stage may be named by its own folder or by that of its weights; either way the spec holds the one that it means
WeightsFolder = Annotated[str, AfterValidator(_weights)]
StageFolder = Annotated[str, AfterValidator(_stage)]


class Spec(BaseModel):
    """A frozen group of settings; unknown keys are refused, and so are infinity and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
