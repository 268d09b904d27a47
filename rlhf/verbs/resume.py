"""`rlhf resume`: go on with a sweep that was killed, interrupted, or in which jobs failed."""

from __future__ import annotations

from pathlib import Path

from rlhf.errors import UserError

HELP = """\
rlhf resume [FOLDER or ID]: run what is missing of a sweep, then report on all of it.

  rlhf resume                                        the newest sweep here that is not finished
  rlhf resume multirun/2026-11-21/18-02-11-3f2a      this one
  rlhf resume 3f2a9c                                 by its id, or the beginning of it

Finished jobs are kept, unless code, data or settings have changed since. A stage that was training goes on from its
newest checkpoint. Running the sweep's own command again does the same. Run it in the folder where the sweep began.
Words after it are added to the sweep's own: `rlhf resume 3f2a hydra/launcher=local` chooses another launcher.
"""


def run(words: list[str]) -> int:
    """Go on with the sweep that `words` names; returns the exit code."""
    from rlhf.__main__ import train
    from rlhf.unfinished import all_finished, named_sweep

    if {"--help", "-h"} & set(words):
        print(HELP, end="")
        return 0
    if wrong := [word for word in words if word.startswith("-")]:
        raise UserError(wrong[0], "resume takes no such flag", "Write `rlhf resume [FOLDER or ID]`")
    if not words and (done := all_finished()):
        print(f"nothing to resume: all {done} sweep{'s' * (done != 1)} below multirun are finished or running")
        return 0
    names = [word for word in words if "=" not in word]
    added = [word for word in words if "=" in word]
    if len(names) > 1:
        raise UserError(" ".join(names), "resume takes one folder or id", "Name one sweep")
    if wrong := [word for word in added if not word.startswith(("hydra/launcher=", "hydra.launcher."))]:
        raise UserError(wrong[0], "a sweep goes on with the settings that it began with", "Start another for others")
    folder, record = named_sweep(names[0] if names else None)
    kept = [word for word in record.words if not (added and word.startswith(("hydra/launcher=", "hydra.launcher.")))]
    return train([*kept, *added], resumed=Path(folder))
