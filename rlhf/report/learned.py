"""Curves and answers of a report's jobs, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.report.learning import kl_marks, samples
from rlhf.report.record import JobRecord
from rlhf.report.rows import Lines

POINTS = 300  # of one curve in the page; more are thinned evenly, ends kept
DULL = ("num_tokens", "seconds/", "speed/")  # curves that say nothing about learning
FIRST = (  # shown without being asked for, as far as they were logged, in this order
    "train/loss", "eval/loss", "eval/rewards/margins", "eval/accuracy", "eval/rewards/accuracies",
    "eval/reward/score", "eval/reward/gold", "eval/kl/k1_policy_to_reference",
)  # fmt: skip
FIRST_OF_SAMPLES = (  # the same for a method that learns from its own samples: held out where that was logged
    "reward/score", "reward/gold", "kl/k1_policy_to_reference", "policy/entropy",
)  # fmt: skip
SHOWN_FIRST = 4  # of each method, and of each kind of loss
TITLES = {
    "rewards/margins": "implicit reward: chosen minus rejected", "rewards/chosen": "implicit reward, chosen",
    "rewards/rejected": "implicit reward, rejected", "rewards/accuracies": "pairs in the right order",
    "accuracy": "pairs in the right order", "margin": "score: chosen minus rejected",
    "reward/score": "training reward", "reward/gold": "gold score", "kl/k1_policy_to_reference": "KL to the reference",
    "policy/entropy": "entropy", "kl/coefficient": "KL coefficient", "response/tokens": "response length",
    "grad_norm": "gradient norm", "learning_rate": "learning rate",
}  # fmt: skip
UNITS = {
    "rewards/margins": "beta x nats per response", "rewards/chosen": "beta x nats per response",
    "rewards/rejected": "beta x nats per response", "rewards/accuracies": "share of pairs",
    "accuracy": "share of pairs", "reward/score": "score", "reward/gold": "score", "response/tokens": "tokens",
    "kl/k1_policy_to_reference": "nats per response", "policy/entropy": "nats per token",
    "kl/coefficient": "reward per nat",
}  # fmt: skip
BASELINES = {
    "accuracy": {"0.5, chance": 0.5}, "rewards/accuracies": {"0.5, chance": 0.5},
    "rewards/margins": {"0, the reference": 0.0}, "rewards/chosen": {"0, the reference": 0.0},
    "rewards/rejected": {"0, the reference": 0.0},
}  # fmt: skip
LOSSES = ("train/loss", "eval/loss")
LOSS_TYPE = "method.loss_type"
SIDES = {"train": "training", "eval": "held out"}


def curves_of(jobs: Sequence[JobRecord], lines: Lines) -> dict[str, Any]:
    """The curves of jobs and of the stages below them, and what each metric's panel is called and compared with."""
    place = {number: at for at, line in enumerate(lines.lines) if line.role == "policy" for number in line.jobs}
    losses = _losses(jobs)
    own = [
        {
            "label": _label(job, lines),
            "row": place.get(job.number),
            "number": job.number,
            "series": _series(_steps(job, losses.get(job.number, ""))),
        }
        for job in jobs
        if job.outcome["curves"]
    ]
    below: dict[str, dict[str, Any]] = {}
    facts: dict[str, Mapping[str, Any]] = {}  # what the curves of each stage are read against
    for job in jobs:
        for stage in job.outcome["upstream"]:
            entry = below.setdefault(str(stage["name"]), {"label": str(stage["name"]), "row": None, "jobs": []})
            entry["series"] = entry.get("series") or _series(stage.get("curves", {}))
            facts[str(stage["name"])] = stage
            entry["jobs"].append(job.number)
    methods = dict.fromkeys(name.partition("-")[0] for name in below)
    panels = [
        {
            "name": "jobs",
            "curves": own,
            "metrics": _metrics(own, [job.outcome for job in jobs if job.outcome["curves"]]),
        },
        *(
            {"name": f"{method} stages below", "curves": curves, "metrics": _metrics(curves, about)}
            for method in methods
            if (curves := [entry for name, entry in below.items() if name.partition("-")[0] == method])
            and (about := [stage for name, stage in facts.items() if name.partition("-")[0] == method])
        ),
    ]
    return {"panels": [panel for panel in panels if panel["metrics"]]}


def _losses(jobs: Sequence[JobRecord]) -> dict[int, str]:
    """What tells the loss of each job from those of others, by its number; empty where all are of one kind."""
    kinds = {
        job.number: (str(job.outcome["name"]).partition("-")[0], re.sub(r"[\[\]'\" ]", "", job.value(LOSS_TYPE) or ""))
        for job in jobs
        if "train/loss" in job.outcome["curves"] and not samples(job.outcome["curves"])
    }
    parts = [len({kind[place] for kind in kinds.values()}) > 1 for place in (0, 1)]
    return {
        number: " ".join(word for word, differs in zip(kind, parts, strict=True) if differs and word)
        for number, kind in kinds.items()
    }


def _steps(job: JobRecord, loss: str) -> Mapping[str, Any]:
    """Its curves, its own kind of loss under a name of its own: losses of two kinds are no one scale.

    The surrogate loss of a method that learns from its own samples says nothing and stays out.
    """
    curves = job.outcome["curves"]
    named = {k: f"{k} ({loss})" if loss and k in LOSSES else k for k in curves}
    return {named[k]: v for k, v in curves.items() if not (k in LOSSES and samples(curves))}


def _series(curves: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    return {name: _thinned(points) for name, points in curves.items() if points and not any(d in name for d in DULL)}


def _thinned(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most `POINTS` of them, ends kept, with six digits each."""
    last = len(points) - 1
    places = range(len(points)) if last < POINTS else sorted({round(i * last / (POINTS - 1)) for i in range(POINTS)})
    return [[int(points[at][0]), float(f"{float(points[at][1]):.6g}")] for at in places]


def _label(job: JobRecord, lines: Lines) -> str:
    own = [f"{title}={job.value(key)}" for key, title in lines.params.items() if job.value(key)]
    seeds = {seed for line in lines.lines for seed in line.seeds if line.role == "policy"}
    own += [f"seed={job.value('seed')}"] if len(seeds) > 1 else []
    return f"{job.number}: {' '.join(own) or job.outcome['name']}"


def _metrics(curves: Sequence[Mapping[str, Any]], facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The metrics of panels, those to show first in front; `facts` holds what each of `curves` is read against."""
    names = list(dict.fromkeys(name for curve in curves for name in curve["series"]))
    first: list[str] = []
    for logged in dict.fromkeys(frozenset(curve["series"]) for curve in curves):
        first += _first(logged)
    first = list(dict.fromkeys(first))
    ordered = first + sorted(name for name in names if name not in first)
    having = {
        name: [fact for curve, fact in zip(curves, facts, strict=True) if name in curve["series"]] for name in names
    }
    return [_metric(name, name in first, having[name]) for name in ordered]


def _first(logged: frozenset[str]) -> list[str]:
    """What is shown first of a run that logged these curves: what its method is watched by."""
    if samples(logged):
        sides = [[f"{side}/{name}" for side in ("eval", "train")] for name in FIRST_OF_SAMPLES]
        return [found[0] for names in sides if (found := [name for name in names if name in logged])]
    plain = {name.partition(" (")[0]: name for name in sorted(logged)}  # a loss may carry its kind
    return [plain[name] for name in FIRST if name in plain][:SHOWN_FIRST]


def _metric(name: str, first: bool, facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the panel of one metric is called, its unit, and the values to compare with; `facts` of its curves alone."""
    side, _, kind = name.partition("/")
    side, kind = (SIDES[side], kind) if side in SIDES else ("", name)
    unit, marks = UNITS.get(kind, ""), BASELINES.get(kind, {})
    if kind.partition(" (")[0] == "loss":
        units, floors = [fact.get("loss_unit") for fact in facts], [fact.get("floor") or {} for fact in facts]
        unit = str(units[0]) if len(set(units)) == 1 and units[0] else "loss"
        marks = floors[0] if floors and all(floor == floors[0] for floor in floors) else {}
    if kind == "kl/k1_policy_to_reference":
        marks = kl_marks([(fact.get("kl_target") or {}, fact.get("curves") or {}) for fact in facts])
    title = TITLES.get(kind, kind.replace("_", " "))
    baselines = [{"label": label, "value": value} for label, value in marks.items()]
    full = f"{title}, {side}" if side else title
    return {"key": name, "title": full, "unit": unit, "first": first, "baselines": baselines}


def samples_of(jobs: Sequence[JobRecord], lines: Lines) -> list[dict[str, Any]]:
    """Answers of every policy to the same prompts: one entry per prompt with an answer of each, controls once."""
    prompts: dict[str, dict[str, dict[str, Any]]] = {}
    for job in jobs:
        samples = job.outcome.get("samples") or {}
        for policy in samples.get("policies", []):
            control = policy["role"] != "policy"
            model = str(job.outcome["name"]).partition("-")[2]
            told = f"{policy['role']} {model} ({policy.get('fingerprint', '')[:6]})"
            name = told if control else _label(job, lines)
            key = f"{policy['role']} {policy.get('fingerprint', '')}" if control else name
            for at, prompt in enumerate(samples.get("prompts", [])):
                if at < len(policy["texts"]):
                    answer = _answer(policy, at, name, control)
                    held = prompts.setdefault(str(prompt), {}).setdefault(key, answer)
                    held["seeds"] = sorted({*held["seeds"], job.value("seed") or ""})
                    if held["reward"] != answer["reward"]:  # a control that several jobs share, scored by another judge
                        held["reward"] = None
    return [
        {"prompt": prompt, "answers": sorted(answers.values(), key=lambda answer: not answer["control"])}
        for prompt, answers in prompts.items()
    ]


def _answer(policy: Mapping[str, Any], at: int, name: str, control: bool) -> dict[str, Any]:
    def score(kind: str) -> float | None:
        values = policy.get(kind) or []
        return values[at] if at < len(values) else None

    answer = {"name": name, "control": control, "text": policy["texts"][at], "seeds": []}
    return answer | {"reward": score("rewards"), "gold": score("gold")}
