"""How the jobs of a sweep are run: `hydra/launcher=local`, `ray`, or one of Hydra's own and published ones.

`register` makes ours known to Hydra by name. Hydra finds plugins by scanning installed packages; ours come with the
framework, so they are handed over instead.
"""

from __future__ import annotations

HOME = "hydra_plugins.rlhf"  # the package in which Hydra accepts plugins that are not its own


def register(plugin: type, group: str, name: str, settings: type) -> None:
    """Let `group=name` choose a plugin of ours; the dataclass `settings` holds its arguments and `_target_`."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    plugin.__module__ = HOME  # it goes by this name from now on
    Plugins.instance().register(plugin)
    ConfigStore.instance().store(group=group, name=name, node=settings, provider="rlhf")


def register_launchers() -> None:
    """Make `hydra/launcher=local` and `hydra/launcher=ray` known."""
    from rlhf.launchers.local import LocalLauncher, LocalSettings
    from rlhf.launchers.on_ray import RayLauncher, RaySettings

    register(LocalLauncher, "hydra/launcher", "local", LocalSettings)
    register(RayLauncher, "hydra/launcher", "ray", RaySettings)
