"""How the jobs of a sweep are run: `hydra/launcher=local`, `slurm` or `ray`; without one, Hydra's: one after another.

`register` makes ours known to Hydra by name. Hydra finds plugins by scanning installed packages; ours come with the
framework, so they are handed over instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from rlhf.errors import UserError

HOME = "hydra_plugins.rlhf"  # the package in which Hydra accepts plugins that are not its own


def register(plugin: type, group: str, name: str, settings: type) -> None:
    """Let `group=name` choose a plugin of ours; the dataclass `settings` holds its arguments and `_target_`."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    plugin.__module__ = HOME  # it goes by this name from now on
    setattr(_home(), plugin.__name__, plugin)
    Plugins.instance().register(plugin)
    ConfigStore.instance().store(group=group, name=name, node=settings, provider="rlhf")


def _home() -> ModuleType:
    """Return the package of that name, made where nobody has installed a plugin."""
    top, _, own = HOME.partition(".")
    try:
        package = import_module(top)
    except ModuleNotFoundError:
        package = sys.modules[top] = ModuleType(top)
        package.__path__ = []
    if HOME not in sys.modules:
        sys.modules[HOME] = ModuleType(HOME)
        setattr(package, own, sys.modules[HOME])
    return sys.modules[HOME]


def register_launchers() -> None:
    """Make `hydra/launcher=local`, `slurm` and `ray` known."""
    from rlhf.launchers.local import LocalLauncher, LocalSettings
    from rlhf.launchers.on_ray import RayLauncher, RaySettings
    from rlhf.launchers.on_slurm import SlurmLauncher, SlurmSettings

    register(LocalLauncher, "hydra/launcher", "local", LocalSettings)
    register(RayLauncher, "hydra/launcher", "ray", RaySettings)
    register(SlurmLauncher, "hydra/launcher", "slurm", SlurmSettings)


def check_launcher(settings: Mapping[str, Any]) -> None:
    """Raise `UserError` for a chosen launcher that cannot run: a setting out of bounds, or its library is missing."""
    for key in ("jobs", "cores", "minutes"):
        if (value := settings.get(key)) is not None and not isinstance(value, int | float):
            raise UserError(f"hydra.launcher.{key}={value}", "should be a number", f"Write hydra.launcher.{key}=2")
        if value is not None and value <= 0:
            raise UserError(f"hydra.launcher.{key}={value}", "should be greater than 0", "Write another number")
    name = str(settings["_target_"]).removeprefix(f"{HOME}.").removesuffix("Launcher").lower()
    library = {"slurm": "submitit", "ray": "ray"}.get(name)
    if library is not None and find_spec(library) is None:
        remedy = f"Run `pip install -c constraints.txt -e '.[{name}]'`"
        raise UserError(f"hydra/launcher={name}", f"{library} is not installed", remedy)
