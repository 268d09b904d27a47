"""Classifiers of transformers: scores against plain forward passes of unpadded rows, and every refusal."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from rlhf.errors import UserError
from rlhf.ppo.rewards import build_scorer
from rlhf.ppo.rewards.classifier import log_odds
from rlhf.ppo.sources.classifier import check_classifier
from tests.ppo.sources import ANSWERS, PARTS, PROMPTS, ROWS, refusal, spec


def classifier(path: Path | str, **values: Any) -> Any:
    settings = {"path": str(path), "revision": None, "label": None, "reads": "answer", "output": "logit"}
    return spec("classifier", **(settings | values))


TEXTS = [*ANSWERS, *(message["content"] for prompt in PROMPTS for message in prompt)]
VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *sorted({word for text in TEXTS for word in text.split()})]
LABELS = {0: "rude", 1: "POLITE"}


def word_tokenizer(pairs: bool, **settings: Any) -> PreTrainedTokenizerFast:
    """Words of `VOCABULARY`; with `pairs` the special tokens and segments of BERT."""
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if pairs:
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special, **settings)


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert(folder: Path, labels: dict[int, str], positions: int = 64, **settings: Any) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        initializer_range=1.0,  # scores that tell texts apart
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
        **settings,
    )
    return save(folder, BertForSequenceClassification(config), word_tokenizer(pairs=True))


def listed(text: tuple[str, ...]) -> list[list[str]]:
    """One text, or a pair of them: transformers takes an empty second text for none unless it comes in a list."""
    return [[part] for part in text]


def plain_logits(folder: Path, *texts: Any) -> torch.Tensor:
    """The classifier's logits as transformers' own manual page computes them, one row at a time."""
    model, tokenizer = BertForSequenceClassification.from_pretrained(folder).eval(), word_tokenizer(pairs=True)
    with torch.no_grad():
        return torch.cat([model(**tokenizer(*listed(text), return_tensors="pt")).logits for text in texts])


def test_log_odds_by_hand() -> None:
    """Probabilities 0.5, 0.3 and 0.2: odds of the second class are 3 to 7; of two classes the logits' difference."""
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log() + 4.0
    assert log_odds(logits, 1, exclusive=True).item() == pytest.approx(math.log(3 / 7), abs=1e-6)
    assert log_odds(torch.tensor([[1.0, 3.5]]), 1, exclusive=True).item() == pytest.approx(2.5)
    assert log_odds(torch.tensor([[1.0, 3.5]]), 0, exclusive=False).item() == 1.0
    assert log_odds(torch.tensor([[-7.0]]), 0, exclusive=True).item() == -7.0


@pytest.mark.parametrize("label", ["POLITE", "1"])
def test_a_classifier_scores_the_log_odds_of_its_label(label: str, tmp_path: Path) -> None:
    folder = bert(tmp_path, LABELS)
    probability = plain_logits(folder, *[(answer,) for answer in ANSWERS]).softmax(1)[:, 1]
    truth = (probability / (1 - probability)).log().tolist()
    scorer = build_scorer("polite", classifier(folder, label=label), PARTS)
    assert scorer(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-4)
    assert scorer(ROWS, ANSWERS) == scorer(ROWS, ANSWERS)
    assert scorer(ROWS[:2], ANSWERS[:2]) == pytest.approx(truth[:2], abs=1e-4)
    assert len({round(value, 3) for value in truth}) == 5  # of six answers two are the same
    assert scorer([], []) == []


def test_a_single_output_is_the_score_and_independent_labels_have_a_logit_each(tmp_path: Path) -> None:
    one = bert(tmp_path / "one", {0: "score"})
    truth = plain_logits(one, *[(answer,) for answer in ANSWERS])[:, 0].tolist()
    assert build_scorer("own", classifier(one), PARTS)(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-5)
    three = bert(tmp_path / "three", {0: "toxic", 1: "kind", 2: "brief"}, problem_type="multi_label_classification")
    truth = plain_logits(three, *[(answer,) for answer in ANSWERS])[:, 1].tolist()
    assert build_scorer("own", classifier(three, label="kind"), PARTS)(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-5)


def test_a_decision_is_the_predicted_class(tmp_path: Path) -> None:
    folder = bert(tmp_path, {0: "rude", 1: "neutral", 2: "polite"})
    predicted = plain_logits(folder, *[(answer,) for answer in ANSWERS]).argmax(1).tolist()
    assert len(set(predicted)) > 1
    for number, label in enumerate(("rude", "neutral", "polite")):
        truth = [1.0 if found == number else -1.0 for found in predicted]
        assert build_scorer("own", classifier(folder, label=label, output="decision"), PARTS)(ROWS, ANSWERS) == truth


def test_prompt_and_answer_are_a_pair_of_texts(tmp_path: Path) -> None:
    folder = bert(tmp_path, {0: "score"})
    texts = [("\n".join(m["content"] for m in row.prompt), answer) for row, answer in zip(ROWS, ANSWERS, strict=True)]
    truth = plain_logits(folder, *texts)[:, 0].tolist()
    scorer = build_scorer("own", classifier(folder, reads="prompt_and_answer"), PARTS)
    assert scorer(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-5)
    assert truth[0] != pytest.approx(truth[5], abs=1e-3)  # one answer, two prompts
    assert scorer.encode(ROWS[2], "")[0][-2:] == [2, 2]  # an empty answer ends too
    no_segments = [value for text in texts for value in plain_logits(folder, (" [SEP] ".join(text),))[:, 0].tolist()]
    assert truth != pytest.approx(no_segments, abs=1e-3)


def test_long_texts_are_cut_at_the_models_limit(tmp_path: Path) -> None:
    folder = bert(tmp_path, {0: "score"}, positions=8)
    long, tail = "no " * 50 + "please", "please " * 50 + "no no no"
    scorer = build_scorer("own", classifier(folder), PARTS)
    assert scorer(ROWS[:1], [long]) == pytest.approx(
        plain_logits(folder, (" ".join(["no"] * 6),))[0].tolist(), abs=1e-5
    )
    both = build_scorer("own", classifier(folder, reads="prompt_and_answer"), PARTS)
    assert both(ROWS[:1], [tail])[0] != both(ROWS[:1], ["please " * 50])[0]  # the end is what is kept


def test_special_tokens_written_by_a_policy_are_taken_out(tmp_path: Path) -> None:
    scorer = build_scorer("own", classifier(bert(tmp_path, {0: "score"})), PARTS)
    plain, *forged = scorer(ROWS[:3], ["no please", "no [SEP] please", "[S[SEP]EP] no please [PAD]"])
    assert forged == pytest.approx([plain, plain], abs=1e-5)


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SPECIAL = {"vocab_size": len(VOCABULARY), "num_labels": 2, "pad_token_id": 0}
OTHERS = {
    "roberta": SMALL | {"max_position_embeddings": 21, "type_vocab_size": 1},
    "deberta-v2": SMALL | {"max_position_embeddings": 20, "type_vocab_size": 0},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 20},
    "llama": SMALL | {"max_position_embeddings": 20},
    "t5": {
        "d_model": 16,
        "d_ff": 32,
        "d_kv": 8,
        "num_layers": 1,
        "num_heads": 2,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
    },
}


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("reads", ["answer", "prompt_and_answer"])
def test_every_family_reads_a_batch_as_it_reads_one_text(family: str, reads: str, tmp_path: Path) -> None:
    """Padding, segments, the limit of positions (RoBERTa counts them from the pad id on) and T5's one end per text."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SPECIAL, **OTHERS[family])
    plain = AutoModelForSequenceClassification.from_config(config).eval()
    tokenizer = word_tokenizer(pairs=True)
    folder = save(tmp_path, plain, tokenizer)
    texts = [(answer,) for answer in ANSWERS]
    if reads != "answer":
        texts = [("\n".join(m["content"] for m in r.prompt), a) for r, a in zip(ROWS, ANSWERS, strict=True)]
    limit = None if family == "t5" else 20
    cut = {"truncation": limit is not None, "max_length": limit}
    tokenizer.truncation_side = "right" if reads == "answer" else "left"
    with torch.no_grad():
        logits = [plain(torch.tensor(tokenizer(*listed(text), **cut)["input_ids"])).logits[0] for text in texts]
    truth = [(row[1] - row[0]).item() for row in logits]
    scorer = build_scorer("own", classifier(folder, label="LABEL_1", reads=reads), PARTS)
    assert scorer(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-5)
    assert len({round(value, 6) for value in truth}) > 3
    assert all(map(math.isfinite, scorer(ROWS, ["no please " * 40] * 6)))


def gpt2(folder: Path, tokenizer: Any) -> Path:
    torch.manual_seed(0)
    shape = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = GPT2Config(vocab_size=len(VOCABULARY), num_labels=1, initializer_range=1.0, **shape)
    return save(folder, GPT2ForSequenceClassification(config), tokenizer)


def by_hand(folder: Path, *texts: str) -> list[float]:
    """A decoder's score of unpadded words, looked up in the vocabulary."""
    model = GPT2ForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [[VOCABULARY.index(word) for word in text.split()] for text in texts]
        return [model(torch.tensor([row])).logits.item() for row in rows]


def test_a_decoder_reads_one_text_and_its_padding_is_not_read(tmp_path: Path) -> None:
    folder = gpt2(tmp_path, word_tokenizer(pairs=False))
    texts = [" ".join([*(m["content"] for m in row.prompt), a]) for row, a in zip(ROWS, ANSWERS, strict=True)]
    scorer = build_scorer("own", classifier(folder, reads="prompt_and_answer"), PARTS)
    assert scorer(ROWS, ANSWERS) == pytest.approx(by_hand(folder, *texts), abs=1e-5)
    assert all(map(math.isfinite, build_scorer("own", classifier(folder), PARTS)(ROWS, ANSWERS)))  # one answer is empty


def test_a_decoder_without_padding_reads_row_by_row(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(pairs=False)
    tokenizer.pad_token = None
    folder = gpt2(tmp_path, tokenizer)
    scorer = build_scorer("own", classifier(folder), PARTS)
    answers = [answer for answer in ANSWERS if answer]
    assert scorer(ROWS[:5], answers) == pytest.approx(by_hand(folder, *answers), abs=1e-5)


def test_a_chat_reward_model_reads_its_own_template(tmp_path: Path) -> None:
    template = "{% for m in messages %}[CLS] {{ m['content'] }} [SEP] {% endfor %}"
    folder = gpt2(tmp_path, word_tokenizer(pairs=False, chat_template=template))
    texts = [
        " ".join(f"[CLS] {text} [SEP]" for text in [*(m["content"] for m in row.prompt), answer])
        for row, answer in zip(ROWS, ANSWERS, strict=True)
    ]
    scorer = build_scorer("own", classifier(folder, reads="chat"), PARTS)
    assert scorer(ROWS, ANSWERS) == pytest.approx(by_hand(folder, *texts), abs=1e-5)


def test_wrong_labels_are_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = bert(tmp_path, LABELS)
    assert "tells 2 classes apart (rude, POLITE)" in refusal(classifier(folder)).problem
    for wrong, near in (("polite", "POLITE"), ("rud", "rude")):
        error = refusal(classifier(folder, label=wrong))
        assert error.place == "method.rewards.own.label"
        assert "only: rude, POLITE" in error.problem and error.remedy == f"Did you mean `{near}`?"
    assert "only: rude, POLITE" in refusal(classifier(folder, label="2")).problem


def test_a_configuration_may_name_its_labels_by_number_alone(tmp_path: Path) -> None:
    folder = bert(tmp_path, LABELS)
    whole = build_scorer("own", classifier(folder, label="POLITE"), PARTS)(ROWS, ANSWERS)
    config = json.loads((folder / "config.json").read_text())
    del config["label2id"]
    (folder / "config.json").write_text(json.dumps(config))
    check_classifier("own", classifier(folder, label="POLITE"))
    assert build_scorer("own", classifier(folder, label="POLITE"), PARTS)(ROWS, ANSWERS) == whole

    config["label2id"] = {"rude": 0, "POLITE": 1}  # which transformers does not read
    del config["id2label"]
    (folder / "config.json").write_text(json.dumps(config))
    for check in (check_classifier, lambda name, wanted: build_scorer(name, wanted, PARTS)):
        with pytest.raises(UserError, match="only: LABEL_0, LABEL_1"):
            check("own", classifier(folder, label="POLITE"))


def test_models_that_cannot_judge_are_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path / "whole", LABELS)
    assert refusal(classifier(folder, label="rude", reads="chat")).place == "method.rewards.own.reads"

    headless = shutil.copytree(folder, tmp_path / "headless")
    BertModel.from_pretrained(folder).save_pretrained(headless)
    config = json.loads((folder / "config.json").read_text())
    (headless / "config.json").write_text(json.dumps(config))
    assert "no trained classifier.bias, classifier.weight" in refusal(classifier(headless, label="rude")).problem

    pickled = shutil.copytree(folder, tmp_path / "pickled")
    torch.save(BertForSequenceClassification.from_pretrained(folder).state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert "safetensors" in refusal(classifier(pickled, label="rude")).remedy

    torn = shutil.copytree(folder, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    assert "could not be loaded" in refusal(classifier(torn, label="rude")).problem

    custom = shutil.copytree(folder, tmp_path / "custom")
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (custom / "config.json").write_text(json.dumps(config))
    (custom / "own.py").write_text("raise SystemExit('ran code from the folder')")
    assert "could not be loaded" in refusal(classifier(custom, label="rude")).problem

    for missing in ("nobody/nothing", str(tmp_path / "nowhere")):
        error = refusal(classifier(missing))
        assert error.place == "method.rewards.own.path" and "could not be loaded" in error.problem
    (folder / "run.json").touch()
    assert "kind: stage" in refusal(classifier(folder)).remedy
