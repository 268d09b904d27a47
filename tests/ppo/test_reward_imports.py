"""A function's fingerprint follows what its module imports: the user's own files, in turn, and nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf.errors import UserError
from rlhf.ppo.rewards import identities
from rlhf.ppo.sources import check_sources
from rlhf.ppo.sources.functions import FIRST_READ
from rlhf.ppo.sources.imports import source_files
from tests.ppo.sources import spec

FILES = {
    "scoring/__init__.py": "",
    "scoring/main.py": "import json, torch\nfrom . import tone\ndef f(prompts, answers): ...\n",
    "scoring/tone.py": "from .deep import words\nimport rlhf.ppo.builtin\nimport scoring.main\n",
    "scoring/deep/__init__.py": "",
    "scoring/deep/words.py": "from ..lists import *\ndef f(): import plain_helper, not_there, tools.text.deep.clean\n",
    "scoring/lists.py": "",
    "plain_helper.py": "from folder_of_files.inner import text\n",
    "folder_of_files/inner.py": "text = 1\n",
    "tools/text/deep/clean.py": "from tools.text.marks import MARKS\n",
    "tools/text/marks.py": "",
    "tools/text/unrelated.py": "",
    "scoring/unrelated.py": "",
    "unrelated.py": "",
}
RUN = {name for name in FILES if "unrelated" not in name}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's with a package and loose modules, from which the command runs."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("scoring", "plain_helper", "folder_of_files", "tools"):
            del sys.modules[name]
    importlib.invalidate_caches()


def test_files_are_first_read_at_the_door(home: Path) -> None:
    sources = {"own": spec("function", name="scoring.main:f")}
    check_sources(sources)
    (home / "scoring/tone.py").write_text("changed = 1\n")
    with pytest.raises(UserError, match="tone.py changed since this sweep began"):
        identities(sources)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_line_anywhere_below_the_function_is_another_source(name: str, home: Path) -> None:
    sources = {"own": spec("function", name="scoring.main:f")}
    before = identities(sources)
    assert identities(sources) == before
    (home / name).write_text(FILES[name] + "changed = 1\n")
    if name in RUN:  # the code that was imported is the old one
        with pytest.raises(UserError) as refused:
            identities(sources)
        file = (home / name).resolve()
        told = f"method.rewards.own.name: {file} changed since this sweep began. Start it again."
        assert str(refused.value) == told
    FIRST_READ.clear()  # as in another process
    assert (identities(sources) != before) == (name in RUN)


def test_the_files_are_the_users_own_and_those_alone(home: Path) -> None:
    sys.path.append(str(home))
    found = source_files(importlib.import_module("scoring.main"))
    assert {str(file.relative_to(home.resolve())) for file in found.values()} == RUN
    assert found["scoring.deep.words"] == home.resolve() / "scoring/deep/words.py"


def test_a_function_of_ours_has_its_own_module_behind_it_alone() -> None:
    found = source_files(importlib.import_module("rlhf.ppo.builtin"))
    assert list(found) == ["rlhf.ppo.builtin"]


def test_a_helper_that_cannot_be_read_counts_with_its_bytes(home: Path) -> None:
    (home / "plain_helper.py").write_text("def f(:")
    sources = {"own": spec("function", name="scoring.main:f")}
    before = identities(sources)
    (home / "plain_helper.py").write_text("def g(:")
    FIRST_READ.clear()
    assert identities(sources) != before
