"""Which of our own files a stage computes with: its module, what that imports, and the texts that those read.

It is found by reading the files, not by importing them: the same bytes give the same digest wherever they lie.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
SHARED = ("rlhf.stages.device", "rlhf.stages.start")  # what the pipeline asks before it calls the stage's module
HANDED = {  # objects that a stage is given and does not import
    "ppo": ("rlhf.data.toy_gold",),  # the toy world's known reward
    "evaluate": ("rlhf.data.toy_gold", "rlhf.stages.device", "rlhf.stages.start"),
}
LEFT_OUT = {  # modules that cannot change a stage's result, with the reason
    "rlhf": "its version number computes nothing",
    "rlhf.data": "rows are hashed themselves, however they were read",
    "rlhf.errors": "words",
    "rlhf.suggest": "words",
    "rlhf.stages.progress": "prints",
    "rlhf.stages.reward_pairs": "tells what the scores that a stage keeps say",
    "rlhf.disk": "locks, and sizes of files",
    "rlhf.store": "keeps what was computed",
    "rlhf.fingerprint": "names stages",
    "rlhf.sources": "names stages",
    "rlhf.ppo.sources.identity": "names stages",
    "rlhf.spec": "bounds: the values that they let through are hashed themselves",
    "rlhf.model_spec": "likewise",
    "rlhf.ppo_spec": "likewise",
    "rlhf.cleaning_spec": "likewise",
    "rlhf.evaluation_spec": "likewise",
    "rlhf.endpoint_spec": "likewise",
}

READERS = ("files", "resources.files", "importlib.resources.files")  # what opens a text of a package
TEXTS = (".yaml", ".json", ".txt")


@cache
def source_digest(name: str, root: Path = PACKAGE) -> str:
    """Return the sha256 of the names and texts of all files that stage `name` computes with, `rlhf` lying at `root`."""
    return _digest(stage_files(name, root), root)


@cache
def suite_digest(module: str, root: Path = PACKAGE) -> str:
    """Return the same of a suite of metrics: its module, what that imports, and all texts that measuring reads."""
    texts = {file for file in (root / "evaluation").rglob("*") if file.suffix in TEXTS}
    return _digest(sorted({*closure((module,), root), *texts}), root)


def _digest(files: Sequence[Path], root: Path) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(root).as_posix()}\0".encode())
        total.update(file.read_text(encoding="utf-8").encode() + b"\0")
    return total.hexdigest()


def stage_files(name: str, root: Path = PACKAGE) -> list[Path]:
    """Return the files that stage `name` (or `evaluate`) computes with, in order of their names."""
    shared = () if name == "evaluate" else SHARED
    return closure((f"rlhf.stages.{name}", *shared, *HANDED.get(name, ())), root)


def closure(modules: Sequence[str], root: Path = PACKAGE) -> list[Path]:
    """Return the files of `modules` and of all that they import of our own, without those in `LEFT_OUT`.

    An import inside a function counts, one under `if TYPE_CHECKING:` does not. A module that reads texts of its package
    (`importlib.resources.files`) stands for all of them.
    """
    found: set[Path] = set()
    waiting = list(modules)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module in LEFT_OUT:
            continue
        seen.add(module)
        file = _file_of(module, root)
        if file is None:  # not a module: a name in one
            continue
        found.add(file)
        imported, reads_texts = _facts(file.read_text(encoding="utf-8"))
        waiting += [*_parents(module), *imported]
        if reads_texts:
            found |= {text for text in file.parent.iterdir() if text.suffix in TEXTS}
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def _file_of(module: str, root: Path) -> Path | None:
    """Return the file of a dotted module of ours, None where there is no such module."""
    place = root.joinpath(*module.split(".")[1:])
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def _parents(module: str) -> list[str]:
    """The packages that Python runs before a module."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


@cache
def _facts(text: str) -> tuple[tuple[str, ...], bool]:
    """Return what of ours a file's text imports, and whether it reads texts of its package."""
    tree = ast.parse(text)
    return tuple(_imported(tree)), any(
        isinstance(node, ast.Call) and ast.unparse(node.func) in READERS for node in ast.walk(tree)
    )


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of ours that a file imports, and each name that it takes from one, as it may be a module."""
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "rlhf")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "our own imports are absolute"
            if (node.module or "").partition(".")[0] == "rlhf":
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _runtime_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)
