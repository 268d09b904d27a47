"""Finding the Python function that `kind: function` names; the user's module is imported, torch is not."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path
from types import ModuleType
from typing import Any

from rlhf.errors import UserError, one_line
from rlhf.fingerprint import digest_files
from rlhf.ppo.sources.imports import source_files
from rlhf.ppo_spec import FunctionReward, place
from rlhf.suggest import did_you_mean

CHECKOUT = str(Path(__file__).resolve().parents[3])
FIRST_READ: dict[Path, str] = {}  # digests of the files behind functions; Python imports them once per process


def unchanged_files(name: str, spec: FunctionReward) -> list[Path]:
    """Return the user's files behind the function of `spec.name`.

    Raises `UserError` where one is not what this process first read: the code that runs is then not what is on disk.
    """
    files = list(source_files(find_module(name, spec)).values())
    for file in files:
        now = digest_files(file)
        if FIRST_READ.setdefault(file, now) != now:
            raise UserError(place(name, "name"), f"{file} changed since this sweep began", "Start it again")
    return files


def find_module(name: str, spec: FunctionReward) -> ModuleType:
    """Import the module of `spec.name`, also from the working directory; raises `UserError`."""
    module = spec.name.partition(":")[0]
    here = str(Path.cwd())
    look_in(here, sys.path)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            problem = f"there is no module {error.name} (looked in the installed packages and in {here})"
            raise UserError(place(name, "name"), problem, "Give module:function of a module that is there") from error
        raise UserError(
            place(name, "name"), f"{module} imports {error.name}, which is not there", "Install it"
        ) from error
    except Exception as error:  # a module of the user's may raise anything
        problem = f"{module} cannot be imported ({one_line(error)})"
        raise UserError(place(name, "name"), problem, "Mend the module") from error


def look_in(folder: str, path: list[str], checkout: str = CHECKOUT) -> None:
    """Add `folder` to where imports look: behind what is installed, which it must not hide.

    An editable installation puts this project's own folder there, too; the user's comes before it.
    """
    if folder in path:
        return
    installed = get_path("purelib")
    behind = checkout in path and installed in path and path.index(checkout) > path.index(installed)
    path.insert(path.index(checkout) if behind else len(path), folder)


def find_function(name: str, spec: FunctionReward) -> Callable[..., Any]:
    """Import the function of `spec.name`; raises `UserError` where it is none that takes prompts and answers."""
    found, word = find_module(name, spec), spec.name.partition(":")[2]
    if not hasattr(found, word):
        public = [key for key, value in vars(found).items() if inspect.isfunction(value) and not key.startswith("_")]
        near = did_you_mean(word, public) if public else "It holds no function"
        raise UserError(place(name, "name"), f"{found.__name__} has no {word}", near)
    function: Callable[..., Any] = getattr(found, word)
    if not callable(function):
        problem = f"{spec.name} is {type(function).__name__}, not a function"
        raise UserError(place(name, "name"), problem, "Name a function of (prompts, answers)")
    try:
        inspect.signature(function).bind([], [])
    except TypeError as error:
        problem = f"{spec.name}{inspect.signature(function)} cannot be called with prompts and answers"
        raise UserError(place(name, "name"), problem, "Give it two parameters: (prompts, answers)") from error
    except ValueError:  # some functions written in C do not tell their parameters
        pass
    return function
