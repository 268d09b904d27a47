"""How often a judge prefers one speaker's answers to another's, and how far its votes can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.evaluation.comparison.statistics import holm, mean_interval, sign_test, wilson
from rlhf.evaluation.contract import Scores, Table
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.judges import Verdicts


def win_scores(
    verdicts: Verdicts, places: Sequence[int], questions: int, resamples: int, seed: int
) -> dict[str, Scores]:
    """Win rate of a speaker over the data's answers with ties, interval and sign test; and how a chat model votes.

    `places` are those of the questions, of so many, that the judge was asked about; n leaves out what it did not say
    readably, and nothing is left but how it votes where that is all.
    """
    known = dict(zip(places, verdicts.outcomes, strict=True))
    outcomes = [value for value in known.values() if value is not None]
    n = len(outcomes)
    if not n:
        return judge_scores(verdicts)
    share = mean_interval(outcomes, resamples, seed)
    wins, ties, losses = counts(outcomes)
    tied = wilson(ties, n)
    return {
        names.WIN_RATE.name: Scores(share.mean, n, share.low, share.high, tuple(map(known.get, range(questions)))),
        names.TIE_RATE.name: Scores(tied.mean, n, tied.low, tied.high),
        names.SIGN_TEST.name: Scores(sign_test(wins, losses), wins + losses),
    } | judge_scores(verdicts)


def counts(outcomes: Sequence[float]) -> tuple[int, int, int]:
    """Return how many are wins, ties and losses."""
    wins, ties, losses = (sum(outcome == value for outcome in outcomes) for value in (1.0, 0.5, 0.0))
    return wins, ties, losses


def duel_table(outcomes: Mapping[str, Sequence[float | None]], resamples: int, seed: int) -> Table:
    """One line for each opponent: win rate with its interval, counts, and the sign test's p value, also corrected.

    The correction is for the number of opponents (Holm 1979). Questions without an outcome are left out; an opponent
    of whom none has one has no line.
    """
    rows, pvalues = [], []
    for opponent, every in outcomes.items():
        own = [value for value in every if value is not None]
        if not own:
            continue
        share, (wins, ties, losses) = mean_interval(own, resamples, seed), counts(own)
        pvalues.append(sign_test(wins, losses))
        rows.append((opponent, share.mean, share.low, share.high, wins, ties, losses, len(every) - len(own)))
    lines = zip(rows, pvalues, holm(pvalues), strict=True)
    columns = ("against", "win rate", "low", "high", "wins", "ties", "losses", "not read", "p", "p, corrected")
    return Table(columns, tuple((*row, p, corrected) for row, p, corrected in lines))


def judge_scores(verdicts: Verdicts) -> dict[str, Scores]:
    """Position bias, self-consistency and unreadable replies of a chat model; nothing of a judge without votes."""
    votes = [vote for both in verdicts.votes for vote in both]
    scores: dict[str, Scores] = {}
    if not votes:
        return scores
    scores[names.UNCLEAR.name] = _share([vote is None for vote in votes])
    decided = [vote for vote in votes if vote in ("first", "second")]
    if decided:
        scores[names.FIRST_SHARE.name] = _share([vote == "first" for vote in decided])
    read = [both for both in verdicts.votes if None not in both]
    if read:
        same = ({"first", "second"}, {"tie"})  # the same answer in another place, or a tie twice
        scores[names.CONSISTENCY.name] = _share([set(both) in same for both in read])
    return scores


def _share(values: Sequence[bool]) -> Scores:
    share = wilson(sum(values), len(values))
    return Scores(share.mean, len(values), share.low, share.high)
