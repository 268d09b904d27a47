"""The two kinds of ending that are not success: a user's mistake (exit code 2) and a failure (exit code 1)."""

from __future__ import annotations


def _sentence(place: str, problem: str, remedy: str) -> str:
    end = "" if remedy.endswith(("?", ".", ")", "`")) else "."
    return f"{place}: {problem.rstrip('.')}. {remedy[:1].upper()}{remedy[1:]}{end}"


class UserError(ValueError):
    """A mistake that the user can mend: one line with the place, the problem and the remedy.

    `place` is what the user can find again: a config key (`method.beta`), a file and line (`pairs.jsonl:17`), a folder.
    The command line prints it without a traceback and exits with code 2.
    """

    exit_code = 2

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        self.place, self.problem, self.remedy = place, problem, remedy
        super().__init__(_sentence(place, problem, remedy))


class RunFailure(RuntimeError):
    """A run that cannot go on (NaN, no gradient, full disk): one line, the run is marked FAILED, exit code 1."""

    exit_code = 1

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        self.place, self.problem, self.remedy = place, problem, remedy
        super().__init__(_sentence(place, problem, remedy))
