"""The base of every frozen spec, and the bounds that several of them share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # what numpy and scikit-learn take for one
RUN = "run.json"  # what the folder of a finished stage holds, beside its weights in `model`
STARTS = ("base", "sft")  # what a method may start from beside a folder; a folder of such a name is ./base or ./sft


def _weights(value: str) -> str:
    folder = Path(os.path.expanduser(value))
    own = value not in STARTS and (folder / RUN).exists()
    return str(folder / "model") if own else os.path.expanduser(value)  # as it is: ./base is a folder, base is not


def _stage(value: str) -> str:
    folder = Path(os.path.expanduser(value))
    own = folder.name == "model" and (folder.parent / RUN).exists()
    return str(folder.parent) if own else os.path.expanduser(value)


# a stage may be named by its own folder or by that of its weights; either way the spec holds the one that it means
WeightsFolder = Annotated[str, AfterValidator(_weights)]
StageFolder = Annotated[str, AfterValidator(_stage)]


class Spec(BaseModel):
    """A frozen group of settings; unknown keys are refused, and so are infinity and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
