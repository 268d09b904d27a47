"""The words of a command line as a reader sees them: as they were given, and those that tell a job from the others."""

from __future__ import annotations

from collections.abc import Sequence


def given(words: Sequence[str]) -> list[str]:
    r"""Return a job's words as they can be given again, without what was made of them on their way to Hydra.

    Where `~key +key={...}` replaces a mapping, `key={...}` was given; a sweep writes the `:` in its values as `\:`.
    """
    added = {word.partition("=")[0][1:] for word in words if word.startswith("+")}
    replaced = {word[1:] for word in words if word.startswith("~")} & added
    own = []
    for word in words:
        key = word.partition("=")[0]
        if not word.startswith(("hydra.", "hydra/")) and key[1:] not in replaced:
            own.append(word)
        elif key.startswith("+"):
            own.append(word[1:])
    return [word.replace("\\:", ":") for word in own]


def own_words(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return for each of several jobs the words, as given, that not all of them share."""
    all_given = [given(words) for words in jobs]
    shared = set.intersection(*map(set, all_given)) if all_given else set()
    return [[word for word in words if word not in shared] for words in all_given]


def told_apart(words: Sequence[str], sweep: Sequence[str]) -> str:
    """Return the settings by which a sweep's job is known among the others, with the last part of each key.

    `sweep` is the sweep's own command line: what all jobs share stands there as it stands in each job.
    """
    own = [word.lstrip("+").partition("=") for word in given(words) if word not in sweep]
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, _, value in own if key not in ("model", "method"))
