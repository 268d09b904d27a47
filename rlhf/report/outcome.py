"""From what jobs left behind (`result.json`) to lines of the comparison table, and to what is said below it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlhf.evaluation import metrics as names
from rlhf.report.cells import CONTROLS, ReportRow, hides_accuracy
from rlhf.report.compared import Beside, beside_start, compare_lines, control_key, controls_with_scores, without
from rlhf.report.words import given, own_words

CLOCKS = ("seconds", "per_second")  # in names of curves that no two runs share
# groups of the configuration that say how a stage is measured and recorded, not how it is trained
BESIDE_TRAINING = ("evaluation", "hardware", "tracking", "reuse")
FACTS = {
    "trained_on": "trained on: {}",
    "judge": "answers scored by the judge: {}",
    "questions": "held-out prompts, each answered once: {}",
    "pairs_judged": "held-out pairs: {}",
}


def report_rows(outcomes: Sequence[dict[str, Any]]) -> list[ReportRow]:
    """Return each job's own line, and each control once however many jobs share it.

    The paired tests of all lines are corrected together.
    """
    rows: list[ReportRow] = []
    beside: list[list[Beside]] = []
    seen: set[str] = set()
    scored = controls_with_scores(outcome for outcome in outcomes if outcome["status"] == "finished")
    for outcome in outcomes:
        settings = dict(word.lstrip("+").split("=", 1) for word in given(outcome["words"]) if "=" in word)
        judge, trained_on, n = outcome["judge"], outcome["trained_on"], asked(outcome)
        told = outcome["name"].replace("-", " ", 1)
        if outcome["status"] != "finished":
            rows.append(ReportRow(told, outcome["status"], settings, {}, outcome["error"], judge, trained_on, 0, {}))
            beside.append([])
            continue
        model = outcome["name"].split("-", 1)[1]
        for control in outcome["rows"][:-1]:
            if (key := control_key(control)) not in seen:
                seen.add(key)
                measured, place = scored[key]
                name, role = f"{control['role']} {model}", control["role"]
                seed = (outcome.get("settings") or {}).get("seed")
                note = "" if seed is None else f"seed {seed}"
                rows.append(ReportRow(name, role, {}, control["metrics"], note, judge, "", asked(measured), {}))
                beside.append([beside_start(measured, place)])
        rows.append(ReportRow(told, "policy", settings, outcome["metrics"], "", judge, trained_on, n, {}))
        beside.append([beside_start(outcome)])
    if any(hides_accuracy(row.metrics) for row in rows):  # what the table does not show is none of its tests
        beside = [[without(one, names.FINAL_ACCURACY.name) for one in seeds] for seeds in beside]
    tests = compare_lines(beside)
    several = {row.name for row in rows if [other.name for other in rows].count(row.name) > 1}
    rows = [replace(row, note="") if row.role in CONTROLS and row.name not in several else row for row in rows]
    return [replace(row, tests=own) for row, own in zip(rows, tests, strict=True)]


def asked(outcome: Mapping[str, Any]) -> int:
    """On how many held-out prompts, of a reward model pairs, a job was measured; 0 where it did not say."""
    return int(outcome.get("questions") or outcome.get("pairs_judged") or 0)


def facts_of(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """Say what the jobs were trained on, who judged how many answers, once where it is the same, and how it went."""
    facts = []
    for key, words in FACTS.items():
        told = [(number, outcome[key]) for number, outcome in enumerate(outcomes, start=1) if outcome.get(key)]
        found = _numbered((number, [str(value)]) for number, value in told)
        for value, jobs in found.items():
            about = "" if len(jobs) == len(outcomes) else f"{_jobs(jobs)}, "
            facts.append(about + words.format(value))
    return [*facts, *training_rewards(outcomes)]


def training_rewards(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in one sentence which way the training rewards of jobs went; none where no job has one.

    A job is named where there are others.
    """
    alone = len(outcomes) == 1
    told = [
        words if alone else f"job {n} {words}"
        for n, outcome in enumerate(outcomes, start=1)
        if (words := _training_reward(outcome))
    ]
    return [f"training reward: {'; '.join(told)}"] if told else []


def _training_reward(outcome: Mapping[str, Any]) -> str:
    """Say which way the reward that a policy was trained on went, as on its curve; empty where there is none."""
    curves = outcome.get("curves") or {}
    side = next((side for side in ("eval", "train") if len(curves.get(f"{side}/reward/score", ())) > 1), None)
    if not outcome["trained_on"] or side is None:
        return ""
    (first, start), (last, end) = (curves[f"{side}/reward/score"][place] for place in (0, -1))
    went = "rose" if end > start else "fell" if end < start else "stayed"
    where = "held out" if side == "eval" else "in training"
    return f"{went} from {start:.3f} (step {first}) to {end:.3f} (step {last}), {where}"


def judge_taught(outcome: Mapping[str, Any]) -> bool:
    """Whether the judge who scores a job's answers is its whole training reward: one source, of the judge's kind."""
    kind = {"the reward stage": "(reward stage)", "the gold reward": "(gold reward)"}
    taught, judge = str(outcome["trained_on"]), str(outcome["judge"]).partition(" (")[0]
    return " + " not in taught and judge in kind and f" {kind[judge]} x " in taught


def notes_of(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """Each warning once, with the jobs that it is about: those that share a judge share its warnings."""
    about = _numbered((number, outcome.get("warnings", [])) for number, outcome in enumerate(outcomes, start=1))
    return [
        f"{_jobs(jobs)}: {warning}" if len(jobs) > 1 else f"{_jobs(jobs)}, {outcomes[jobs[0] - 1]['name']}: {warning}"
        for warning, jobs in about.items()
    ]


def colour_places(outcomes: Sequence[Mapping[str, Any]]) -> list[int]:
    """The place of each job among the colours, in the order of the jobs: what differs only in its seed shares one.

    Where all differ only in their seed, each has its own.
    """
    groups = [tuple(word for word in given(o["words"]) if not word.startswith("seed=")) for o in outcomes]
    order = list(dict.fromkeys(groups))
    return [order.index(group) for group in groups] if len(order) > 1 else list(range(len(groups)))


def without_effect(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """Name jobs that were to be trained in different ways and were trained alike: one stage, or the same curves."""
    alike: dict[str, list[int]] = {}
    for place, outcome in enumerate(outcomes):
        if outcome["status"] == "finished" and (trained := _timeless(outcome["curves"])):
            alike.setdefault(json.dumps(trained, sort_keys=True), []).append(place)
    notes = []
    for places in alike.values():
        own = own_words([outcomes[place]["words"] for place in places])
        swept = [[word for word in words if not _beside_training(word)] for words in own]
        if len(places) > 1 and any(swept):
            stages = sorted({outcomes[place]["stage"].rpartition("/")[2] for place in places})
            told = "; ".join(shlex.join(words) or "without" for words in swept)
            end = f"end in one stage, {stages[0]}" if len(stages) == 1 else "were trained alike, step for step"
            notes.append(f"{_jobs([place + 1 for place in places])} {end}: what was swept changed nothing ({told})")
    return notes


def _timeless(curves: Mapping[str, Any]) -> dict[str, Any]:
    return {name: points for name, points in curves.items() if not any(clock in name for clock in CLOCKS)}


def _beside_training(word: str) -> bool:
    return word.lstrip("+").partition("=")[0].partition(".")[0] in BESIDE_TRAINING


def _numbered(told: Iterable[tuple[int, Sequence[str]]]) -> dict[str, list[int]]:
    """Each sentence with the numbers of the jobs that it is told of."""
    about: dict[str, list[int]] = {}
    for number, sentences in told:
        for sentence in sentences:
            about.setdefault(sentence, []).append(number)
    return about


def _jobs(numbers: Sequence[int]) -> str:
    return f"job {numbers[0]}" if len(numbers) == 1 else f"jobs {', '.join(map(str, numbers))}"
