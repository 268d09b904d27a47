"""`rlhf pairs` on the command line: what it writes and says, what it refuses, and training on what it made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import yaml

from rlhf.compose import conf_dir
from rlhf.data import load_corpus
from rlhf.evaluation.preference.leaks import style_leak
from rlhf.pairs.spec import PairsSpec
from rlhf.pairs.summary import as_row
from tests.commandline import QUICK, Here, refused_without
from tests.pairs.conftest import lines, make, pairs_run
from tests.pairs.server import ChatServer

SMALL = ("dataset.rows=80", "pairs.leaks.resamples=50")
TORCH = {"torch", "transformers", "trl", "mlflow"}


def test_each_maker_has_a_yaml_and_the_other_way_round() -> None:
    makers = {
        name for spec in get_args(get_args(PairsSpec)[0]) for name in get_args(spec.model_fields["name"].annotation)
    }
    files = {file.stem: yaml.safe_load(file.read_text())["name"] for file in (conf_dir() / "pairs").glob("*.yaml")}
    assert files == {name: name for name in makers}


@pytest.mark.parametrize("name", sorted(file.stem for file in (conf_dir() / "pairs").glob("*.yaml")))
def test_every_yaml_is_accepted(name: str) -> None:
    needed = ["pairs.base_url=http://127.0.0.1:1/v1"] if name == "endpoint" else []
    assert pairs_run(f"pairs={name}", *needed).pairs.name == name
    assert pairs_run(f"pairs={name}", *needed, "seed=7").pairs.seed == 7


def test_pairs_are_written_told_and_measured(here: Here, tmp_path: Path) -> None:
    done = here("pairs", "pairs=degrade", "output=new/mine.jsonl", *SMALL, folder=tmp_path)
    assert done.code == 0, done.err
    pairs, manifest = (
        lines(tmp_path / "new/mine.jsonl"),
        yaml.safe_load((tmp_path / "new/mine.manifest.yaml").read_text()),
    )
    assert len(pairs) == manifest["count"] == manifest["input"]["rows"] == 80
    sources = Counter(pair["meta"]["source"] for pair in pairs)
    assert {name: own["pairs"] for name, own in manifest["sources"].items()} == sources
    for name, own in manifest["sources"].items():
        lengths = [len(pair["rejected"]) for pair in pairs if pair["meta"]["source"] == name]
        assert own["rejected_characters"] == pytest.approx(sum(lengths) / len(lengths), abs=1e-4)
        assert f"│ {name} " in done.out
    leak = style_leak([as_row(pair) for pair in pairs], folds=5, seed=0, resamples=50)
    assert leak is not None and manifest["leaks"]["above_threshold"] is True
    for name, interval in (("bag_of_words", leak.bag_of_words), ("length_rule", leak.length_rule)):
        told = manifest["leaks"][name]
        assert (told["mean"], told["low"], told["high"]) == pytest.approx(
            (interval.mean, interval.low, interval.high), abs=1e-4
        )
        assert f"{name.replace('_', ' ')} {interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})" in done.out
    assert "warning: style alone tells chosen from rejected in over 75% of pairs" in done.out
    assert done.out.count("  chosen    ") == done.out.count("  rejected  ") == 3
    assert "rlhf method=reward dataset=pairs dataset.path=new/mine.jsonl" in done.out
    meta = pairs[0]["meta"]
    assert (meta["maker"], meta["dataset"], meta["seed"], meta["row"]) == ("degrade", "support_toy", 42, 0)


def test_no_warning_below_the_threshold(here: Here, tmp_path: Path) -> None:
    done = here("pairs", "pairs=votes", *SMALL, "pairs.leaks.threshold=0.99", folder=tmp_path)
    assert done.code == 0 and "style leaks, accuracy" in done.out and "warning" not in done.out
    assert {pair["meta"]["source"] for pair in lines(tmp_path / "pairs.jsonl")} == {"data set"}  # nobody voted there


def test_help_shows_examples_without_torch(here: Here, tmp_path: Path) -> None:
    done = here("pairs", "--help", folder=tmp_path)
    assert done.code == 0
    for name in ("degrade", "rules", "sample", "endpoint", "votes"):
        assert f"rlhf pairs pairs={name}" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "pairs: no maker is named. Add pairs=NAME, one of degrade, rules, sample, endpoint or votes"),
        ("pairs=degrad", "pairs=degrad: there is no such option. Did you mean `degrade`?"),
        ("pairs=degrade pairs.shuffels=1", "pairs.shuffels: unknown key. Did you mean `shuffles`?"),
        ("pairs=degrade +pairs.shuffels=1", "pairs.shuffels: unknown key. Did you mean `shuffles`?"),
        ("pairs=degrade ++pairs.shares.generik=1", "pairs.shares.generik: unknown key. Did you mean `generic`?"),
        ("pairs=degrade pairs.shares.generic=-1", "pairs.shares.generic: should be greater than or equal to 0"),
        ("pairs=degrade pairs.shares={generic:0,truncated:0,contradiction:0}", "pairs.shares: all of them are 0"),
        ("pairs=degrade pairs.kept.low=0.9", "pairs.kept: low (0.9) is above high (0.6)"),
        ("pairs=degrade pairs.parts=[]", "pairs.parts: "),
        ("pairs=degrade pairs.parts=[trian]", "Did you mean `train`?"),
        ("pairs=degrade output=pairs.csv", "pairs.output: is not the name of a jsonl file"),
        ("pairs=degrade method=dpo", "method=dpo: it says nothing to a maker of pairs. Leave it out"),
        ("pairs=degrade -m seed=1,2", "-m: rlhf pairs takes KEY=VALUE words and --config-dir"),
        ("pairs=degrade seed=1,2", "seed=1,2: it has several values"),
        ("pairs=degrade pairs.phrases=nowhere", "pairs.phrases: nowhere is no folder with a phrase table"),
        ("pairs=degrade dataset=table dataset.path=no.jsonl", "dataset.path: there is no no.jsonl"),
        ("pairs=votes dataset=bitext", "pairs=votes: bitext holds no pairs of a chosen and a rejected answer"),
        ("pairs=sample pairs.answers=1", "pairs.answers: should be greater than or equal to 2"),
        ("pairs=sample pairs.judges={}", "pairs.judges: nobody judges"),
        ("pairs=sample pairs.judges={a:{kind:gould,weight:1}}", "pairs.judges.a.kind: there is no 'gould'"),
        ("pairs=sample pairs.judges={a:{kind:gold}}", "pairs.judges.a.weight: has no value"),
        (
            "pairs=sample pairs.judges={a:{kind:stage,weight:1,folder:null}}",
            "pairs.judges: a names no reward stage. Write pairs.judges.a.folder=FOLDER",
        ),
        ("pairs=endpoint", "pairs.base_url: names no endpoint. Write pairs.base_url=http://127.0.0.1:8000/v1"),
        (
            "pairs=endpoint pairs.base_url=http://127.0.0.1:1/v1 pairs.api_key_env=NO_SUCH_KEY",
            "pairs.api_key_env=NO_SUCH_KEY: the environment has no such variable. Set it: export NO_SUCH_KEY=",
        ),
    ],
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(words: str, said: str, here: Here, tmp_path: Path) -> None:
    assert said in here("pairs", *words.split(), folder=tmp_path).refused(2)
    assert list(tmp_path.iterdir()) == []


def test_strict_refuses_rows_before_a_pair_is_made(here: Here, tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {at}?", "completion": f"Answer {at}." if at % 2 else ""} for at in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("pairs", "pairs=degrade", "dataset=table", "dataset.path=rows.jsonl", "dataset.strict=true")
    done = here(*words, "output=pairs.jsonl", folder=tmp_path)
    assert done.code == 2 and done.err.count("\n") == 1
    assert "dataset=table: strict: 10 of 20 rows (50%) left out: the answer is empty" in done.err
    assert "raise inspection.findings.empty_texts" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]
    bounds = "inspection.findings.empty_texts={info: null, warning: null, error: null}"
    assert here(*words, bounds, "output=pairs.jsonl", folder=tmp_path).code == 0


def test_training_refuses_a_maker_of_pairs(here: Here, tmp_path: Path) -> None:
    line = here("pairs=degrade", folder=tmp_path).refused(2)
    assert "the group makes pairs and trains nothing. Write `rlhf pairs pairs=NAME dataset=NAME`" in line


def test_a_refusal_comes_without_torch(tmp_path: Path) -> None:
    words = ["pairs", "pairs=degrade", "pairs.phrases=nowhere"]
    assert "is no folder with a phrase table" in refused_without(TORCH, words, tmp_path)


def test_an_unreachable_endpoint_is_a_failure_in_one_line(here: Here, tmp_path: Path) -> None:
    with ChatServer() as server:
        address = server.base_url  # nobody is there once it is closed
    words = ["pairs=endpoint", f"pairs.base_url={address}", "pairs.retries=0", "dataset.rows=20", "dataset.limit=10"]
    done = here("pairs", *words, folder=tmp_path)
    done.refused(1, f"{address}/chat/completions: cannot be reached", "it goes on from what is on disk")
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl.partial"]


def test_a_folder_that_cannot_be_written_to_is_told(here: Here, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file where a folder is needed" in here(
        "pairs", "pairs=degrade", "output=file/pairs.jsonl", *SMALL, folder=tmp_path
    ).refused(2)


def test_votes_of_the_feedback_store_become_pairs_and_ties_are_counted(here: Here, tmp_path: Path) -> None:
    def vote(at: int, choice: object) -> dict[str, object]:
        answers = [{"text": f"{side} {at}", "model": "m", "sampling": {}} for side in ("left", "right")]
        prompt = [{"role": "user", "content": f"Question {at}"}]
        return {"id": str(at), "time": "t", "prompt": prompt, "answers": answers, "shown_first": 0, "choice": choice}

    votes = [vote(at, choice) for at, choice in enumerate([0, 1, "tie", "none", 1])]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in votes))
    words = ["pairs=votes", "dataset=feedback", "dataset.path=votes.jsonl", "output=pairs.jsonl"]
    done = here("pairs", *words, folder=tmp_path)
    assert "feedback: read 5, left out 1 tie, left out 1 neither answer was selected; 3 rows" in done.out
    assert "style leaks: not measured, too few groups" in done.out
    output, manifest = tmp_path / "pairs.jsonl", yaml.safe_load((tmp_path / "pairs.manifest.yaml").read_text())
    found = [(pair["chosen"], pair["rejected"], pair["meta"]["source"]) for pair in lines(output)]
    assert found == [("left 0", "right 0", "vote"), ("right 1", "left 1", "vote"), ("right 4", "left 4", "vote")]
    counts = {step: before - after for step, before, after in manifest["counts"]}
    assert counts["tie"] == 1 and counts["neither answer was selected"] == 1


def test_real_personas_and_instructions_give_pairs_that_load_whole(shared_data: Path, tmp_path: Path) -> None:
    """Of published rows: every row is accounted for, and the pairs' own format reads all of them back."""
    for maker, dataset, file in (
        ("degrade", "synthetic_persona_chat", "persona/synthetic_persona_chat.jsonl.gz"),
        ("rules", "bitext", "derived/bitext_27k_schema.jsonl.gz"),
    ):
        output = tmp_path / f"{maker}.jsonl"
        words = [f"dataset={dataset}", f"dataset.path={shared_data / file}", "dataset.limit=300"]
        manifest = make(pairs_run(f"pairs={maker}", f"pairs.output={output}", *words))
        assert manifest["count"] + sum(manifest["lost"].values()) == manifest["input"]["rows"] == 300
        cut = ["dataset.split.validation=0.3", "dataset.split.test=0.3"]  # few groups, all of them found
        made = pairs_run("pairs=votes", "dataset=pairs", f"dataset.path={output}", *cut)
        corpus = load_corpus(made.dataset, "preference")
        rows = [*corpus.train, *corpus.validation, *corpus.test]
        assert len(rows) == manifest["count"]
        groups = {pair["meta"]["group"] for pair in lines(output)}
        assert len({row.group for row in rows}) == len(groups)
        assert {row.meta["maker"] for row in rows} == {maker}


@pytest.mark.slow
def test_a_reward_model_is_trained_on_made_pairs(here: Here, tmp_path: Path) -> None:
    assert here("pairs", "pairs=rules", "output=mine.jsonl", *SMALL, folder=tmp_path).code == 0
    steps = [word for word in QUICK if not word.startswith("dataset.")]
    words = ["method=reward", "method.starts_from=base", "dataset=pairs", "dataset.path=mine.jsonl", "tracking=none"]
    done = here(*words, *steps, folder=tmp_path)
    assert done.code == 0, done.err
    (result,) = tmp_path.glob("outputs/stages/reward-tiny_gpt2-*/result.json")
    assert 0.0 <= json.loads(result.read_text())["metrics"]["final/accuracy"] <= 1.0
