"""The shape of the code: imports point downwards, each library has one home, files and functions stay short."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rlhf"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(file.relative_to(ROOT)) for file in FILES]
# what a part of the package may import of it beside itself; None is anything
BASICS = {"errors", "suggest", "config", "spec", "model_spec", "ppo_spec", "dataset_spec", "inspection_spec"}
BASICS |= {"cleaning_spec", "evaluation_spec", "endpoint_spec"}
ALLOWED: dict[str, set[str] | None] = {
    "errors": set(),
    "suggest": set(),
    "terminal": set(),
    "loading": set(),
    "losses": set(),
    "kl": set(),
    "alike": set(),
    "spec": set(),
    "ppo_spec": {"spec"},
    "model_spec": {"spec"},
    "cleaning_spec": {"spec"},
    "dataset_spec": {"spec", "cleaning_spec"},
    "inspection_spec": {"spec"},
    "endpoint_spec": {"spec"},
    "endpoint": {"endpoint_spec", "errors"},
    "evaluation_spec": {"spec", "endpoint_spec"},
    "config": {"spec", "ppo_spec", "model_spec", "dataset_spec", "inspection_spec", "evaluation_spec"},
    "disk": {"errors"},
    "ranks": {"errors"},
    "trainer_fields": {"errors", "suggest"},
    "ppo_clashes": BASICS,
    "evaluation_clashes": BASICS,
    "build": BASICS | {"ppo_clashes", "evaluation_clashes", "trainer_fields"},
    "command_words": {"errors", "folders"},
    "compose": BASICS | {"build", "command_words", "folders", "trainer_fields"},
    "hub": {"errors", "config", "ranks"},
    "door": BASICS | {"build", "data", "endpoint", "evaluation", "hub", "models", "ppo"},
    "sources": set(),
    "fingerprint": {"config", "ranks", "sources"},
    "store": {"disk", "fingerprint"},
    "verdict": {"config", "alike"},
    "data": BASICS | {"disk", "fingerprint", "sources", "store"},
    "models": BASICS | {"data", "disk", "ranks"},
    "evaluation": BASICS | {"data", "models", "losses", "kl", "endpoint", "disk"},
    "ppo": BASICS | {"data", "models", "evaluation", "kl", "fingerprint", "ranks"},
    "stages": BASICS
    | {
        "data",
        "models",
        "evaluation",
        "losses",
        "kl",
        "alike",
        "fingerprint",
        "ppo",
        "ranks",
        "sources",
        "store",
        "disk",
    },
    "folders": set(),
    "report": {"evaluation", "tracking", "errors", "spec", "suggest", "folders"},  # of tracking: what masks secrets
    "tracking": {"errors", "config"},
    "pipeline": BASICS
    | {
        "data",
        "models",
        "evaluation",
        "ppo",
        "stages",
        "tracking",
        "fingerprint",
        "lineage",
        "disk",
        "ranks",
        "door",
        "store",
    },
    "lineage": BASICS | {"fingerprint", "ppo"},
    "unfinished": {"config", "disk", "errors", "fingerprint"},
    "pairs": BASICS
    | {
        "data",
        "models",
        "evaluation",
        "ppo",
        "stages",
        "disk",
        "endpoint",
        "fingerprint",
        "sources",
    },  # of ppo: its judges
    "verbs": None,
    "search": BASICS | {"build", "compose", "evaluation", "fingerprint"},
    "launchers": None,
    "plan": None,
    "kept": None,
    "remeasure": None,
    "recording": None,
    "job": None,
    "sweep": None,
    "searched": None,
    "__main__": None,
    "__init__": set(),
}
ABOVE = {
    "job",
    "sweep",
    "searched",
    "launchers",
    "plan",
    "pairs",
    "remeasure",
    "verbs",
    "__main__",
}  # nobody below imports these
HYDRA_PLUGINS = {f"rlhf/launchers/{name}.py" for name in ("__init__", "jobs", "local", "on_slurm", "on_ray", "search")}
COMPOSING = {"rlhf/compose.py", "rlhf/command_words.py"}
IN_A_JOB = {"rlhf/launchers/forked.py", "rlhf/launchers/task.py"}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runtime_nodes(file: Path) -> list[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree(file)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        found.append(node)
        waiting += ast.iter_child_nodes(node)
    return found


def imported(file: Path) -> set[str]:
    """Dotted modules that a file imports at run time, at its top or inside a function."""
    modules: set[str] = set()
    for node in runtime_nodes(file):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            modules.add(str(node.module))
            if node.module == "rlhf":
                modules |= {f"rlhf.{alias.name}" for alias in node.names}
    return modules


def importers(library: str) -> set[str]:
    return {
        name for name, file in zip(NAMES, FILES, strict=True) if library in {m.split(".")[0] for m in imported(file)}
    }


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_imports_point_downwards(file: Path) -> None:
    own = part(file)
    assert own in ALLOWED, f"say in this test what rlhf/{own} may import"
    allowed = ALLOWED[own]
    parts = {module.split(".")[1] for module in imported(file) if module.startswith("rlhf.")} - {own, "__version__"}
    assert allowed is None or parts <= allowed
    assert own in ABOVE or not parts & ABOVE


@pytest.mark.parametrize("name", ["losses", "kl"])
def test_mathematics_needs_torch_alone(name: str) -> None:
    assert {module.split(".")[0] for module in imported(PACKAGE / f"{name}.py")} <= {"__future__", "torch"}


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("hydra", {"rlhf/__main__.py", *COMPOSING, "rlhf/search/words.py", *HYDRA_PLUGINS, *IN_A_JOB}),
        (
            "omegaconf",
            {*COMPOSING, "rlhf/remeasure/settings.py", *HYDRA_PLUGINS} - {"rlhf/launchers/__init__.py"},
        ),
        ("mlflow", {"rlhf/tracking/store.py"}),
        ("gradio", set()),
    ],
)
def test_a_library_has_one_home(library: str, homes: set[str]) -> None:
    assert importers(library) == homes


LIGHT = {
    "errors", "suggest", "terminal", "loading", "spec", "ppo_spec", "model_spec", "inspection_spec", "evaluation_spec",
    "endpoint_spec", "endpoint", "config", "disk", "build", "command_words",
    "compose", "trainer_fields", "alike", "data", "tracking", "report", "verdict", "door", "fingerprint", "ranks",
    "ppo_clashes", "evaluation_clashes", "sources", "store", "lineage",
}  # fmt: skip
HEAVY = {"torch", "transformers", "trl", "peft", "mlflow", "datasets", "sklearn", "pandas", "matplotlib", "scipy"}


LIGHT_FILES = [f for f in FILES if part(f) in LIGHT | {"__main__"} or f.parent == PACKAGE / "ppo" / "sources"]


@pytest.mark.parametrize("file", LIGHT_FILES, ids=lambda f: f.name)
def test_light_modules_import_heavy_libraries_inside_functions_only(file: Path) -> None:
    top = {
        name.split(".")[0]
        for node in tree(file).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([str(node.module)] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert not top & HEAVY


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_file_has_a_header_and_stays_short(file: Path) -> None:
    assert ast.get_docstring(tree(file)), "a file says first what it is"
    assert len(file.read_text(encoding="utf-8").splitlines()) < 300


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_functions_fit_a_screen(file: Path) -> None:
    functions = [node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: size for node in functions if (size := (node.end_lineno or 0) - node.lineno + 1) >= 60}
    assert long == {}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_nothing_is_left_to_do(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    raised = [ast.unparse(node) for node in ast.walk(tree(file)) if isinstance(node, ast.Raise)]
    assert not [line for line in raised if "NotImplementedError" in line]


def test_every_bound_of_a_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = text[: text.index("dev = [")]  # tools have one comment for all
    bounds = [line for line in project.splitlines() if re.search(r'"[a-z].*[<>]=?\d', line) and "python" not in line]
    assert len(bounds) > 15
    assert [line for line in bounds if not re.search(r"# \w+", line)] == []


def test_configuration_names_no_python_objects() -> None:
    assert [file for file in (ROOT / "conf").rglob("*.yaml") if "_target_" in file.read_text(encoding="utf-8")] == []


def test_methods_are_asked_what_they_need_not_for_their_name() -> None:
    """`method.name == "dpo"` spreads knowledge about a method; `method.data_shape` keeps it in its spec."""
    compared = [
        f"{name}:{node.lineno}"
        for name, file in zip(NAMES, FILES, strict=True)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("method.name")
    ]
    assert [place for place in compared if not place.startswith("rlhf/job.py")] == []
