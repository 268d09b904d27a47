"""Words of a command line as a reader sees them: as given, and headers that show whole what tells jobs apart."""

from __future__ import annotations

import io
import shlex

from rich.console import Console

from rlhf.compose import expand, initialized, parse_words
from rlhf.report.words import given, own_words
from rlhf.sweep import announce

SHORT = "method.rewards={short:{kind:function,weight:0.02,name:rlhf.ppo.builtin:length_penalty}}"
GOLD = "method.rewards={gold:{kind:gold,weight:1}}"
LONG = [f"evaluation.prompts={number}" for number in range(20)]


def swept(*words: str) -> list[tuple[str, ...]]:
    """The words of each job, as Hydra's sweeper writes them."""
    parsed = parse_words(["-m", *words])
    with initialized(parsed):
        return expand(parsed.overrides)


def header(number: int, jobs: list[tuple[str, ...]], width: int) -> list[str]:
    stream = io.StringIO()
    announce(Console(width=width, file=stream), number, jobs)
    return stream.getvalue().splitlines()


def test_swept_rewards_come_out_as_they_were_given() -> None:
    jobs = swept("method=ppo", f"{SHORT},{GOLD.partition('=')[2]}", "seed=3")
    assert "~method.rewards" in jobs[0] and "\\:" in jobs[0][2], "what Hydra makes of them"
    assert [given(words) for words in jobs] == [["method=ppo", rewards, "seed=3"] for rewards in (SHORT, GOLD)]
    assert [given(parse_words(["-m", *given(words)]).overrides) for words in jobs] == [given(words) for words in jobs]


def test_words_that_were_added_or_are_hydras_own() -> None:
    words = ["+method.rewards.a={kind:gold,weight:1}", "++method.trainer.x=1", "hydra.sweeper.params=null"]
    assert given(words) == words[:2]


def test_only_what_not_all_jobs_share_is_their_own() -> None:
    assert own_words(swept("method=dpo", "seed=1,2", "method.beta=0.1")) == [["seed=1"], ["seed=2"]]
    assert own_words([("seed=1",)]) == [[]] and own_words([]) == []


def test_a_header_shows_what_was_swept_first() -> None:
    (line,) = header(1, swept("method=dpo", "model=tiny_gpt2", "seed=1,2"), 80)
    assert line.strip("─ ") == "job 2 of 2: seed=2 method=dpo model=tiny_gpt2"


def test_a_header_of_a_search_counts_the_jobs_that_are_still_to_come() -> None:
    stream = io.StringIO()
    announce(Console(width=80, file=stream), 1, swept("method=dpo", "seed=1,2"), 3)
    assert stream.getvalue().strip("─ \n") == "job 2 of 3: seed=2 method=dpo"


def test_a_long_header_is_whole_and_can_be_typed_again() -> None:
    rule, own, shared = header(0, swept(*LONG, f"{SHORT},{GOLD.partition('=')[2]}"), 80)
    assert rule.strip("─ ") == "job 1 of 2"
    assert shlex.split(own) == [SHORT] and own == f"'{SHORT}'"
    assert shlex.split(shared) == LONG
