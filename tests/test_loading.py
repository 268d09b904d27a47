"""What `loading` does to the garbage collector, and what it leaves alone."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from rlhf.loading import loading


@pytest.fixture(autouse=True)
def _frozen_kept() -> Iterator[None]:
    yield
    gc.enable()


def test_what_is_loaded_is_left_out_of_later_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = gc.get_freeze_count()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()


def test_the_collector_works_again_after_an_import_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(ImportError), loading():
        raise ImportError("broken")
    assert gc.isenabled()
    gc.unfreeze()


def test_where_all_is_loaded_nothing_is_kept_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    before = gc.get_freeze_count()
    with loading():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
