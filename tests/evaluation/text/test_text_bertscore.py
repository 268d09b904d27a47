"""BERTScore by a tiny encoder: bert-score's own numbers on the same texts, and one line where it cannot be had."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rlhf.errors import UserError
from rlhf.evaluation.modules import load
from rlhf.evaluation.suites.text import build
from rlhf.evaluation.text.bertscore import Encoder
from tests.bench import run_of, source_of
from tests.evaluation.text.text_tools import row, tools

ANSWERS = ["Your order arrives on Monday.", "We are sorry", "Su pedido llega el lunes", "x" * 20 + " order" * 600]
REFERENCES = ["The order arrives on Monday!", "Your room is booked.", "Su pedido llega", "order"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder whose path has no `t5` in it: bert-score would load another class of model."""
    target = tmp_path_factory.mktemp("encoder") / "bert"
    shutil.copytree(str(source_of(run_of("method=reward", "model=tiny_bert", "method.starts_from=base")).base), target)
    return target


def encoder(folder: Path, layer: int | None = None, batch_size: int = 2) -> Encoder:
    return Encoder(str(folder), None, layer, device="cpu", batch_size=batch_size)


@pytest.mark.parametrize("layer", [1, 2])
def test_f1_is_the_librarys(folder: Path, layer: int) -> None:
    from bert_score import BERTScorer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = BERTScorer(model_type=str(folder), num_layers=layer, device="cpu", batch_size=2)
        scorer._tokenizer.model_max_length = encoder(folder).tokenizer.model_max_length
        expected = scorer.score(ANSWERS, REFERENCES)[2].tolist()
    assert encoder(folder, layer).f1(ANSWERS, REFERENCES) == pytest.approx(expected, abs=1e-5)


def test_what_is_the_same_scores_one_and_what_is_empty_zero(folder: Path) -> None:
    found = encoder(folder).f1(["Your order", "", "Your order", " "], ["Your order", "Your order", "", " "])
    assert found == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-5)
    assert encoder(folder).f1([""], ["Your order"]) == [0.0]


def test_the_last_layer_is_read_unless_one_is_named(folder: Path) -> None:
    last = encoder(folder).model.config.num_hidden_layers
    assert encoder(folder).f1(ANSWERS, REFERENCES) == encoder(folder, last).f1(ANSWERS, REFERENCES)
    assert encoder(folder, 1).f1(ANSWERS, REFERENCES) != encoder(folder, last).f1(ANSWERS, REFERENCES)


def test_the_suite_and_evaluate_give_it(folder: Path) -> None:
    spec = run_of("method=sft", f"evaluation.text.encoder={folder}").evaluation.text
    questions = [*map(row, REFERENCES), row(None)]
    scores = build(spec, tools())(questions, [*ANSWERS, "Hello"]).scores["text/bertscore_f1"]
    expected = encoder(folder).f1(ANSWERS, REFERENCES)
    assert scores.each[:4] == pytest.approx(expected, abs=1e-5) and scores.each[4] is None and scores.n == 4
    found = load("bertscore").compute(predictions=ANSWERS, references=REFERENCES, encoder=str(folder))
    assert found == pytest.approx({"bertscore_f1": scores.value}, abs=1e-5)


def test_an_encoder_decoder_gives_its_encoder(tmp_path: Path) -> None:
    target = tmp_path / "mt"
    shutil.copytree(str(source_of(run_of("method=sft", "model=tiny_mt5")).base), target)
    assert encoder(target).f1(["Your order"], ["Your order"]) == pytest.approx([1.0], abs=1e-5)
    assert encoder(target, 1).f1(ANSWERS, REFERENCES) != encoder(target).f1(ANSWERS, REFERENCES)


def test_weights_that_are_not_there_are_not_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = load_file(broken / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer.1." not in name}
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="has no trained .*layer.1"):
        encoder(broken)
    assert encoder(broken, 1).f1(["order"], ["order"]) == pytest.approx([1.0], abs=1e-5)  # the first layer is whole


def test_a_stage_stands_for_its_weights(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "reward-1" / "model")
    (tmp_path / "reward-1" / "run.json").write_text("{}")
    spec = run_of("method=sft", f"evaluation.text.encoder={tmp_path / 'reward-1'}").evaluation.text
    assert spec.encoder == str(tmp_path / "reward-1" / "model")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors weights"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "could not be loaded"),
    ],
)
def test_a_folder_that_holds_no_encoder_is_refused_in_a_line(folder: Path, tmp_path: Path, spoil, said: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    spoil(broken)
    with pytest.raises(UserError, match=said) as caught:
        encoder(broken)
    assert "\n" not in str(caught.value) and caught.value.place == "evaluation.text.encoder"


def test_a_layer_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="evaluation.text.layer: .* has 2 layers, not 9"):
        encoder(folder, 9)


def test_a_missing_library_is_told_before_anything_is_measured(folder: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bert_score", None)
    spec = run_of("method=sft", f"evaluation.text.encoder={folder}").evaluation.text
    with pytest.raises(UserError, match=r"bert-score is not installed.*rlhf\[bertscore\]"):
        build(spec, tools())
