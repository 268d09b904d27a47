"""What every verb prints with."""

from __future__ import annotations

import pytest

from rlhf.terminal import make_console


def test_names_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("method.rewards.own.name=hurt:leaves: failed")
    assert capsys.readouterr().out == "method.rewards.own.name=hurt:leaves: failed\n"
