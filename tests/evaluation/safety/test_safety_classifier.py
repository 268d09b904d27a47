"""A classifier of the user's choice: its probabilities, its labels, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import BertConfig, BertForSequenceClassification

from rlhf.errors import UserError
from rlhf.evaluation.safety.classifier import Toxicity
from rlhf.evaluation.safety.labels import check_toxicity, label_number
from rlhf.evaluation.suites.safety import build
from rlhf.evaluation_spec import SafetySpec, ToxicitySpec
from rlhf.models.tokenizers import train_toy_tokenizer
from tests.evaluation.safety.test_safety_suite import TOOLS, VALUES, question, values

TEXTS = ["You fool, go away.", "Thank you for your patience, your order is on its way.", "Hola"]


def folder_of(tmp_path: Path, labels: list[str], problem: str | None = None) -> Path:
    torch.manual_seed(1)
    tokenizer = train_toy_tokenizer("encoder", 400)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=len(labels), id2label=dict(enumerate(labels)), problem_type=problem,
        label2id={label: number for number, label in enumerate(labels)}, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():  # weights as drawn give all texts nearly the same score
        model.classifier.weight.mul_(40)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def spec_of(folder: Path | str, **changes: Any) -> ToxicitySpec:
    return ToxicitySpec(**{**VALUES["classifier"], "model": str(folder), "label": "toxic", **changes})


@pytest.mark.parametrize(
    ("labels", "problem", "label"),
    [
        (["fine", "toxic"], None, "toxic"),
        (["fine", "toxic"], None, "1"),
        (["insult", "toxic", "threat"], "multi_label_classification", "toxic"),
        (["toxic"], None, None),
    ],
)
def test_the_probability_is_the_models_own(
    tmp_path: Path, labels: list[str], problem: str | None, label: str | None
) -> None:
    """Softmax where classes exclude each other, the logistic function where they don't, computed here text by text."""
    folder = folder_of(tmp_path, labels, problem)
    read = Toxicity(spec_of(folder, label=label, batch_size=2))
    got = read(["", *TEXTS, "  "])
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    expected = []
    for text in TEXTS:
        ids = torch.tensor([read.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0]
        chances = logits.softmax(0) if problem is None and len(labels) > 1 else logits.sigmoid()
        expected.append(float(chances[labels.index("toxic")]))
    assert got == pytest.approx([0.0, *expected, 0.0], abs=1e-5)
    assert len({round(value, 4) for value in expected}) == 3
    assert Toxicity(spec_of(folder, label=label, max_tokens=8))(["fool " * 500]) != [0.0]


def test_the_suite_gives_its_share_and_its_mean(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["fine", "toxic"])
    chances = Toxicity(spec_of(folder))(TEXTS)
    threshold = sorted(chances)[1]  # two of three are not below it
    classifier = {**VALUES["classifier"], "model": str(folder), "label": "toxic", "threshold": threshold}
    suite = build(SafetySpec(**{**VALUES, "classifier": classifier}), TOOLS)
    found = suite([question(text) for text in TEXTS], TEXTS)
    assert values(found)["toxicity"] == pytest.approx(sum(chances) / 3)
    assert values(found)["toxic"] == pytest.approx(2 / 3)
    assert not [note for note in found.notes if "safety/toxic" in note]


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    check_toxicity(ToxicitySpec(**VALUES["classifier"]))  # none is named
    folder = folder_of(tmp_path / "model", ["fine", "toxic"])
    check_toxicity(spec_of(folder))
    with pytest.raises(UserError, match=r"evaluation.safety.classifier.label: .* \(fine, toxic\)"):
        check_toxicity(spec_of(folder, label=None))
    with pytest.raises(UserError, match="no label 'Toxic', only: fine, toxic.*toxic"):
        check_toxicity(spec_of(folder, label="Toxic"))
    with pytest.raises(UserError, match="no label '2'"):
        check_toxicity(spec_of(folder, label="2"))
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(UserError, match="evaluation.safety.classifier.model: .*no safetensors"):
        check_toxicity(spec_of(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(UserError, match="evaluation.safety.classifier.model: .*could not be loaded"):
        check_toxicity(spec_of(folder))
    with pytest.raises(UserError, match="could not be loaded"):
        check_toxicity(spec_of(tmp_path / "nowhere"))


def test_a_single_output_needs_no_label() -> None:
    assert label_number(spec_of("x", label=None), {0: "LABEL_0"}) == 0


def test_the_defaults_name_no_classifier() -> None:
    text = (Path(__file__).parents[3] / "conf" / "suite" / "safety.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["classifier"]["model"] is None
