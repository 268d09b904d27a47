"""Killed runs go on from what is on disk, to the same bytes; other settings never go on into the same file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from rlhf.disk import locked
from rlhf.errors import UserError
from rlhf.pairs import degrade, plan
from rlhf.pairs.journal import Journal, as_line, flattened, partial_of
from rlhf.pairs.made import Made, Pair
from rlhf.pairs.make import make_pairs
from rlhf.pairs.manifest import manifest_of
from rlhf.pairs.plan import code_of
from rlhf.sources import PACKAGE, closure
from tests.commandline import ROOT, environment
from tests.pairs.conftest import files_of, lines, make, pairs_run

TOY = ("pairs=degrade", "dataset.rows=60", "pairs.shuffles=1", "pairs.leaks.resamples=20", "pairs.leaks.folds=2")


def toy(output: Path, *words: str) -> Any:
    run = pairs_run(*TOY, *words)
    return run.model_copy(update={"pairs": run.pairs.model_copy(update={"output": str(output)})})


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degrade, "CHUNK", 7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The file and manifest of a run that nothing interrupts."""
    output = tmp_path_factory.mktemp("whole") / "pairs.jsonl"
    make(toy(output))
    return files_of(output)


class Killed(BaseException):
    """Like a kill, it is no `Exception`."""


def killed_after(bytes_written: int, output: Path, run: Any) -> None:
    """Run until the journal has so many bytes and leave just those, as a kill in the middle of a write does."""
    plain_write = Journal._write

    def write(journal: Journal, values: Any) -> Any:
        plain_write(journal, values)
        if journal._stream.tell() >= bytes_written:
            raise Killed
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "_write", write)
        try:
            make(run)
        except Killed:
            os.truncate(partial_of(output), bytes_written)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 60_000), min_size=1, max_size=3))
def test_a_run_killed_at_any_byte_ends_as_an_uninterrupted_one(
    cuts: list[int], whole: tuple[bytes, bytes], small_chunks: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("killed") / "pairs.jsonl"
    for cut in cuts:
        killed_after(cut, output, toy(output))
    make(toy(output))
    assert files_of(output) == whole
    assert sorted(file.name for file in output.parent.iterdir()) == ["pairs.jsonl", "pairs.manifest.yaml"]


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    """SIGKILL in the middle of the work; the lock and the torn line that it leaves are no obstacle."""
    words = [*TOY, "dataset.rows=1500", "output=pairs.jsonl"]
    script = (
        "import sys, time\nfrom rlhf.pairs import degrade\nfrom rlhf.pairs.journal import Journal\n"
        "degrade.CHUNK = 20\nplain = Journal.add\n"
        "def add(*args):\n    plain(*args)\n    time.sleep(0.1)\n"
        "Journal.add = add\n"
        f"from rlhf.verbs.pairs import run\nrun({words!r})"
    )
    child = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    partial = tmp_path / "pairs.jsonl.partial"
    while child.poll() is None and not (partial.exists() and partial.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    assert child.poll() is None, "it ended before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = partial.read_bytes().count(b"\n") - 1
    assert 5 <= done < 75 and not (tmp_path / "pairs.jsonl").exists()
    again, fresh = tmp_path / "pairs.jsonl", tmp_path / "fresh.jsonl"
    make(toy(again, "dataset.rows=1500"))
    make(toy(fresh, "dataset.rows=1500"))
    assert again.read_bytes() == fresh.read_bytes()


def test_the_file_is_published_again_where_a_kill_came_before_the_manifest(
    whole: tuple[bytes, bytes], small_chunks: None, tmp_path: Path
) -> None:
    output = tmp_path / "pairs.jsonl"
    killed_after(20_000, output, toy(output))
    output.write_bytes(whole[0])  # renamed, but the manifest was not yet written
    make(toy(output))
    assert files_of(output) == whole


def test_a_finished_file_is_left_as_it_is(whole: tuple[bytes, bytes], tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    make(toy(output))
    before = output.stat().st_mtime_ns
    make(toy(output))
    assert output.stat().st_mtime_ns == before and files_of(output) == whole
    make(toy(output, "pairs.leaks.threshold=0.99"))  # is measured anew and changes no pair
    assert output.stat().st_mtime_ns == before
    assert yaml.safe_load(manifest_of(output).read_text())["leaks"]["threshold"] == 0.99


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pairs.seed=1"], "it was begun with pairs.seed=42, now it is 1"),
        (["seed=1"], "it was begun with pairs.seed=42, now it is 1"),
        (["pairs.shares.generic=0.5"], "it was begun with pairs.shares.generic=1.0, now it is 0.5"),
        (["dataset.seed=9"], "it was begun from other rows of a data set"),
        (["pairs.parts=[train]"], "it was begun with pairs.parts="),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_never_go_on_into_the_same_file(
    words: list[str], said: str, finished: bool, small_chunks: None, tmp_path: Path
) -> None:
    output = tmp_path / "pairs.jsonl"
    if finished:
        make(toy(output))
    else:
        killed_after(20_000, output, toy(output))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UserError) as caught:
        make(toy(output, *words))
    assert said in str(caught.value)
    assert "Write to another file, output=OTHER.jsonl, or remove " in str(caught.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_changed_phrases_are_other_content(small_chunks: None, tmp_path: Path) -> None:
    table = (ROOT / "rlhf/pairs/phrases/en.yaml").read_text(encoding="utf-8")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "en.yaml").write_text(table, encoding="utf-8")
    words = [f"pairs.phrases={tmp_path / 'own'}", "dataset.languages=[en]"]
    make(toy(tmp_path / "pairs.jsonl", *words))
    (tmp_path / "own" / "en.yaml").write_text(table.replace("That is good to know", "Good to know"), encoding="utf-8")
    with pytest.raises(UserError, match="it was begun from other content of phrases"):
        make(toy(tmp_path / "pairs.jsonl", *words))


def test_a_file_that_was_not_made_here_or_was_changed_is_never_written_over(tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    output.write_text("mine\n")
    with pytest.raises(UserError, match="there is such a file already, without pairs.manifest.yaml"):
        make(toy(output))
    assert output.read_text() == "mine\n"
    output.unlink()
    make(toy(output))
    output.write_bytes(output.read_bytes() + b"{}\n")
    with pytest.raises(UserError, match="it is not as it was written"):
        make(toy(output))


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with locked(tmp_path / "pairs.jsonl.lock"), pytest.raises(UserError, match="another process is making these pairs"):
        make(toy(tmp_path / "pairs.jsonl"))


def test_chunks_that_come_in_any_order_are_told_in_the_order_of_their_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "p.jsonl", {"maker": "x"})
    pair = Pair([{"role": "user", "content": "Hi"}], "a", "b", "s", {})
    for at in (3, 0, 2, 1):
        journal.add([(at, Made([pair]))], lambda at, made: [{"row": at} for _ in made.pairs])
    journal.close()
    again = Journal(tmp_path / "p.jsonl", {"maker": "x"})
    assert again.done == {0, 1, 2, 3}
    assert [entry[0] for entry in again.entries()] == [0, 1, 2, 3]
    again.close()


@given(st.text())
def test_any_text_comes_back_from_a_line(text: str) -> None:
    assert json.loads(as_line({"text": text}))["text"] == text
    assert as_line({"text": text}).count(b"\n") == 1


def test_nested_settings_have_dotted_names() -> None:
    assert dict(flattened({"a": {"b": 1, "c": {}}, "d": [1]})) == {"a.b": 1, "a.c": {}, "d": [1]}


def test_each_row_is_accounted_for(tmp_path: Path) -> None:
    """Rows times what each could give are pairs and losses with names."""
    manifest = make(toy(tmp_path / "pairs.jsonl"))
    pairs = lines(tmp_path / "pairs.jsonl")
    assert manifest["count"] == len(pairs)
    assert manifest["count"] + sum(manifest["lost"].values()) == 2 * manifest["input"]["rows"] == 120
    assert sum(own["pairs"] for own in manifest["sources"].values()) == len(pairs)


def test_a_set_without_a_pair_is_refused(tmp_path: Path) -> None:
    words = ["pairs.shares={generic: 1, truncated: 0, contradiction: 0}", "pairs.shuffles=0"]
    own = tmp_path / "zz.yaml"
    own.write_text((ROOT / "rlhf/pairs/phrases/en.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        make(toy(tmp_path / "pairs.jsonl", *words, f"pairs.phrases={tmp_path}"))
    assert "no pair came of support_toy: no way of degrading fits the row (60)" in str(caught.value)
    assert not (tmp_path / "pairs.jsonl").exists()


def test_the_bar_counts_rows(tmp_path: Path, small_chunks: None) -> None:
    output = tmp_path / "pairs.jsonl"
    killed_after(20_000, output, toy(output))
    console = Console(record=True, width=140, file=open(os.devnull, "w"))  # noqa: SIM115
    make_pairs(toy(output), {}, console)
    text = console.export_text()
    assert "going on: " in text and "of 60 rows are done" in text


def edit(package: Path, file: str) -> None:
    with (package / file).open("a", encoding="utf-8") as opened:
        opened.write("\n# another line\n")


def test_pairs_of_other_code_are_neither_taken_nor_gone_on_with(
    small_chunks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each maker's digest follows its own files, what they import, and nothing of the other makers."""
    package = tmp_path / "rlhf"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(plan, "closure", lambda modules: closure(modules, package))
    makers = ("degrade", "rules", "sample", "endpoint", "votes")
    finished, begun = tmp_path / "finished.jsonl", tmp_path / "begun.jsonl"
    make(toy(finished))
    killed_after(3000, begun, toy(begun))
    make(toy(finished))

    before = {maker: code_of(maker) for maker in makers}
    moved = {}
    for file in ("pairs/votes", "pairs/degrade", "endpoint", "pairs/made"):
        edit(package, f"{file}.py")
        after = {maker: code_of(maker) for maker in makers}
        moved[file], before = {maker for maker in makers if after[maker] != before[maker]}, after
    mine = {"pairs/votes": {"votes"}, "pairs/degrade": {"degrade"}, "endpoint": {"endpoint"}}
    assert moved == {**mine, "pairs/made": set(makers)}
    for output in (finished, begun):
        with pytest.raises(UserError, match="it was begun from other content of code. Write to another file"):
            make(toy(output))
