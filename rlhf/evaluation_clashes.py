"""What cannot go together in measuring a run, one line each; asked by `rlhf.build`, to train or to measure alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlhf.config import FileDataset, Run
from rlhf.evaluation_spec import suite_names
from rlhf.suggest import did_you_mean


def evaluation_clashes(run: Run) -> Iterator[str]:
    """Tell what of the run cannot be measured: suites, judge, sizes, and files that are not there."""
    model, method, dataset, spec = run.model, run.method, run.dataset, run.evaluation
    for suite in spec.suites:
        if suite not in suite_names():
            yield f"evaluation.suites: there is no suite {suite!r}. {did_you_mean(suite, suite_names())}"
    if method.trains_policy and spec.judge == "gold" and isinstance(dataset, FileDataset):
        instead = "evaluation.judge=reward or evaluation.judge=none" if dataset.has_pairs else "evaluation.judge=none"
        known = f"the gold reward is known only for support_toy, not for {dataset.name}"
        yield f"evaluation.judge: {known}. Use {instead}."
    for key, path in (("model.path", model.path), ("dataset.path", getattr(dataset, "path", None))):
        if path and not Path(path).expanduser().exists():
            yield f"{key}: there is no file or folder {path}. Give one that exists."
    if isinstance(dataset, FileDataset) and dataset.path == "":  # which would be the folder of the command
        yield "dataset.path: it is empty, as an unset variable is. Set dataset.path=FILE."
    if isinstance(dataset, FileDataset) and dataset.path is None and dataset.hub_id is None:
        yield f"dataset.path: dataset={dataset.name} names no data. Set dataset.path=FILE or dataset.hub_id=OWNER/NAME."
    sampled = spec.max_new_tokens + (0 if model.family == "seq2seq" else method.max_prompt_tokens)
    if method.trains_policy and sampled > model.context_length:
        yield (
            f"evaluation.max_new_tokens: prompt and answer ({sampled} tokens) do not fit {model.name}'s context of "
            f"{model.context_length}. Lower evaluation.max_new_tokens."
        )
