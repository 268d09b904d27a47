"""Which of the user's own files a module of theirs runs: what it imports, read from the source, not executed."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

INSTALLED = {"site-packages", "dist-packages"}


def source_files(module: ModuleType) -> dict[str, Path]:
    """Return the source file of `module` and those of all that it imports in turn, by the modules' names.

    Followed are import statements anywhere in a file, absolute and relative, to files that are neither Python's own nor
    installed nor this framework's. What is imported by a name that is only known at run time is not seen.
    """
    found: dict[str, Path] = {}
    waiting = [*_parents(module.__name__), module.__name__]
    while waiting:
        name = waiting.pop()
        spec = _spec(name)
        if name in found or spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        file = Path(spec.origin).resolve()
        if name != module.__name__ and not is_own(file):
            continue
        found[name] = file
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        for imported in _imports(file, package):
            waiting += [*_parents(imported), imported]
    return dict(sorted(found.items()))


def _parents(name: str) -> list[str]:
    """The packages above a module, whose `__init__.py` files run before it."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _imports(file: Path, package: str) -> Iterator[str]:
    """Yield full names of what `file`, a module in `package`, imports; of `from a import b` also a.b: it may be one."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # nobody has run it yet; its bytes count all the same
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = package.split(".")
            above = own[: max(0, len(own) - node.level + 1)] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without running it or the packages above it."""
    path = None
    spec = None
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        full = ".".join(parts[:length])
        spec = _found(full, path)
        if spec is None:
            return None
        if length < len(parts):
            if spec.submodule_search_locations is None:
                return None
            path = list(spec.submodule_search_locations)
    return spec


def _found(full: str, path: list[str] | None) -> ModuleSpec | None:
    """Ask Python's finders for a module in the folders of `path`, the package above it."""
    for finder in sys.meta_path:
        if not hasattr(finder, "find_spec"):
            continue
        try:
            spec = finder.find_spec(full, path)
        except (KeyError, AttributeError):  # of a folder without __init__.py, PathFinder asks packages nobody imported
            spec = _plain_folder(full, sys.path if path is None else path)
        if spec is not None:
            return spec
    return None


def _plain_folder(full: str, path: list[str]) -> ModuleSpec | None:
    """The package that folders without `__init__.py` make of themselves."""
    folders = [str(folder) for entry in path if (folder := Path(entry) / full.rpartition(".")[2]).is_dir()]
    spec = ModuleSpec(full, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec if folders else None


def is_own(file: Path) -> bool:
    """Whether a file is the user's: neither Python's, nor installed, nor this framework's."""
    return not INSTALLED & set(file.parts) and not any(file.is_relative_to(home) for home in _homes())


@cache
def _homes() -> tuple[Path, ...]:
    """Where Python and this framework keep their modules."""
    python = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    return (*python, Path(__file__).resolve().parents[2])
