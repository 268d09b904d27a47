"""What each maker stands on beside its rows: found and checked before rows are read and anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlhf.config import ToyDataset
from rlhf.data.rows import Corpus, Row
from rlhf.errors import UserError
from rlhf.fingerprint import digest, digest_files
from rlhf.pairs.degrade import degrade_work
from rlhf.pairs.endpoint import endpoint_work
from rlhf.pairs.made import Work
from rlhf.pairs.policies import find_policy
from rlhf.pairs.rules import rules_work
from rlhf.pairs.sample import check_judges, judge_settings, load_answering, load_judges, sample_work
from rlhf.pairs.spec import Degrade, Endpoint, PairsRun, Rules, Sample
from rlhf.pairs.tables import OWN, read_tables
from rlhf.pairs.votes import votes_work
from rlhf.sources import closure


@dataclass(frozen=True)
class Plan:
    """What a maker stands on."""

    files: Mapping[str, str]  # digests of what decides the pairs and is in files
    settings: Mapping[str, Any]  # what decides the pairs beside the spec's own settings
    work: Callable[[Sequence[Row], Corpus], Work]  # loads what is heavy


def make_plan(run: PairsRun, environment: Mapping[str, str]) -> Plan:
    """Check what the maker needs beside the rows; raises `UserError` for what is not there."""
    plan = _plan(run, environment)
    return replace(plan, files={**plan.files, "code": code_of(run.pairs.name)})


def code_of(maker: str) -> str:
    """Return the digest of the texts of our own files that a maker computes with, and of what writes its pairs down."""
    files = closure((f"rlhf.pairs.{maker}", "rlhf.pairs.made", "rlhf.pairs.tables", "rlhf.pairs.policies"))
    return digest([[file.name, file.read_text(encoding="utf-8")] for file in files])


def _plan(run: PairsRun, environment: Mapping[str, str]) -> Plan:
    spec = run.pairs
    if spec.shape == "preference" and not (isinstance(run.dataset, ToyDataset) or run.dataset.has_pairs):
        problem = f"{run.dataset.name} holds no pairs of a chosen and a rejected answer"
        raise UserError(f"pairs={spec.name}", problem, "Use dataset=feedback or another one that does")
    if isinstance(spec, Degrade | Rules):
        tables = read_tables(spec.phrases)
        files = {"phrases": digest_files(Path(spec.phrases).expanduser() if spec.phrases else OWN)}
        if isinstance(spec, Degrade):
            return Plan(files, {}, lambda rows, corpus: degrade_work(spec, tables))
        return Plan(files, {}, lambda rows, corpus: rules_work(spec, rows, tables))
    if isinstance(spec, Sample):
        gold = next((name for name, judge in spec.judges.items() if judge.kind == "gold"), None)
        if gold and not isinstance(run.dataset, ToyDataset):
            problem = f"the true reward is known of support_toy alone, not of {run.dataset.name}"
            remedy = "Write 'pairs.judges={judge: {kind: stage, weight: 1.0, folder: FOLDER}}'"
            raise UserError(f"pairs.judges.{gold}", problem, remedy)
        policy = find_policy(run, spec.policy)
        judged = check_judges(spec)
        files = {"policy": policy.identity, **{f"judge_{name}": own for name, own in judged.items()}}

        def sampling(rows: Sequence[Row], corpus: Corpus) -> Work:
            scorer = load_judges(run, spec, corpus.gold)
            return sample_work(spec, load_answering(run, spec, policy), scorer)

        settings = {"policy": policy.name, "judges": judge_settings(spec), "precision": run.precision}
        return Plan(files, settings, sampling)
    if isinstance(spec, Endpoint):
        work = endpoint_work(spec, environment)
        return Plan({}, {}, lambda rows, corpus: work)
    return Plan({}, {}, lambda rows, corpus: votes_work())
