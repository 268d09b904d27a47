"""Natural language inference: probabilities as transformers gives them, labels in any order, and every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2ForSequenceClassification

from rlhf.errors import UserError
from rlhf.evaluation.persona.nli import NLI, NOTHING
from rlhf.evaluation.persona.nli_labels import check_nli, label_places
from rlhf.evaluation_spec import NLISpec
from tests.evaluation.persona.persona_world import NLI_LABELS, bert, bert_tokenizer, evaluation, obey, rule_bound, save

PLACE = "evaluation.persona.nli.model"


def spec_of(model: str, **changes) -> NLISpec:
    return evaluation().persona.nli.model_copy(update={"model": model, **changes})


@pytest.fixture(scope="module")
def ruled(tmp_path_factory) -> NLI:
    return NLI(spec_of(rule_bound(tmp_path_factory.mktemp("ruled"))), PLACE)


def test_a_head_that_knows_one_answer_gives_its_softmax(tmp_path: Path) -> None:
    """Logits log 1, log 6, log 3 whatever is read: probabilities 0.1, 0.6 and 0.3."""
    tokenizer = bert_tokenizer()
    model = bert(NLI_LABELS, tokenizer)
    obey(model, torch.tensor([1.0, 6.0, 3.0]).log().tolist(), {})
    nli = NLI(spec_of(save(tmp_path, model, tokenizer)), PLACE)
    [found] = nli([("I like tea.", "I drink tea.")])
    assert found.contradiction == pytest.approx(0.1, abs=1e-6)
    assert found.entailment == pytest.approx(0.6, abs=1e-6)


def test_given_labels_stand_in_for_a_config_that_names_none(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer()
    model = bert(("LABEL_0", "LABEL_1", "LABEL_2"), tokenizer)
    obey(model, torch.tensor([1.0, 6.0, 3.0]).log().tolist(), {})
    name = save(tmp_path, model, tokenizer)
    with pytest.raises(UserError, match="LABEL_0, LABEL_1, LABEL_2.*give what its classes mean"):
        check_nli(spec_of(name), PLACE)
    nli = NLI(spec_of(name, labels=["neutral", "contradiction", "entailment"]), PLACE)
    [found] = nli([("a", "b")])
    assert (found.entailment, found.contradiction) == pytest.approx((0.3, 0.6), abs=1e-6)


def test_the_rule_bound_model_hears_its_words_in_either_text(ruled: NLI) -> None:
    found = ruled([("I do not ski.", "I ski."), ("I ski.", "I do not ski."), ("Indeed I ski", "I ski"), ("a", "b")])
    assert [one.contradiction > 0.99 for one in found] == [True, True, False, False]
    assert [one.entailment > 0.99 for one in found] == [False, False, True, False]


def test_probabilities_are_those_of_plain_forward_passes(tmp_path: Path) -> None:
    """Random weights; pairs of all lengths in one call against transformers alone, one pair at a time, unpadded."""
    words = [f"w{number}" for number in range(30)]
    tokenizer = bert_tokenizer(words)
    model = bert(("ENTAILMENT", "neutral", "Contradiction"), tokenizer, initializer_range=1.0)
    nli = NLI(spec_of(save(tmp_path, model, tokenizer), batch_size=3), PLACE)
    pairs = [(" ".join(words[: 1 + n]), " ".join(words[n : 2 * n + 1])) for n in (9, 0, 4, 7, 2, 12, 1)]
    for (premise, hypothesis), found in zip(pairs, nli(pairs), strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(premise, hypothesis, return_tensors="pt")).logits[0]
        assert [found.entailment, found.contradiction] == pytest.approx(logits.softmax(0)[[0, 2]].tolist(), abs=1e-5)


def test_blank_texts_say_nothing_and_are_not_read(ruled: NLI) -> None:
    assert ruled([("", "I do not ski."), ("I do not ski.", " \n"), ("[SEP]", "not")]) == [NOTHING] * 3
    assert ruled([]) == []


def test_a_long_pair_is_cut_to_what_the_model_reads(ruled: NLI) -> None:
    [found] = ruled([("word " * 500 + "not", "I ski.")])  # "not" is cut off
    assert found.contradiction < 0.01


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=6))
def test_any_texts_are_read_and_the_order_does_not_matter(pairs) -> None:
    nli = any_texts()
    nli.known.clear()
    found = nli(pairs)
    assert all(0 <= one.entailment + one.contradiction <= 1 + 1e-6 for one in found)
    nli.known.clear()
    back = nli(pairs[::-1])[::-1]
    assert [one.contradiction for one in back] == pytest.approx([one.contradiction for one in found], abs=1e-5)


KEPT: list[NLI] = []


def any_texts() -> NLI:
    """One model for all examples: hypothesis cannot be given a fixture of pytest's."""
    if not KEPT:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            tokenizer = bert_tokenizer(list("abcdefgh0123.,!? "))
            KEPT.append(
                NLI(spec_of(save(Path(folder), bert(NLI_LABELS, tokenizer, initializer_range=1.0), tokenizer)), PLACE)
            )
    return KEPT[0]


@pytest.mark.parametrize(
    "labels",
    [
        ("entailment", "neutral", "contradiction"),
        ("CONTRADICTION", "NEUTRAL", "ENTAILMENT"),
        ("contradict", "entail", "Neutral"),
    ],
)
def test_labels_are_told_apart_in_any_order_and_spelling(labels) -> None:
    places = label_places(dict(enumerate(labels)), None, "m", PLACE)
    assert {meaning: labels[at].casefold()[:5] for meaning, at in places.items()} == {
        "entailment": "entai",
        "neutral": "neutr",
        "contradiction": "contr",
    }


@pytest.mark.parametrize(
    ("labels", "given", "says"),
    [
        (("entailment", "not_entailment"), None, "has the labels entailment, not_entailment"),
        (("positive", "neutral", "negative"), None, "has the labels positive, neutral, negative"),
        (("entailment", "neutral", "contradiction", "other"), None, "contradiction, other"),
        (("a", "b"), ["entailment", "neutral", "contradiction"], "tells 2 classes apart"),
        (("a", "b", "c"), ["entailment", "neutral", "neutral"], "once each"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels, given, says) -> None:
    with pytest.raises(UserError, match=says) as refused:
        label_places(dict(enumerate(labels)), given, "some/model", PLACE)
    assert str(refused.value).startswith(PLACE) and "\n" not in str(refused.value)


@pytest.mark.parametrize("config", [None, "", "[]", "{", '{"id2label": 3}', '{"id2label": {"a": "b"}}'])
def test_a_model_that_is_not_there_is_refused_in_one_line(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "config.json").write_text(config)
    with pytest.raises(UserError, match="could not be loaded") as refused:
        check_nli(spec_of(str(tmp_path / "there")), PLACE)
    assert str(refused.value).startswith(PLACE) and "\n" not in str(refused.value)


def test_a_tokenizer_that_joins_texts_without_a_mark_is_refused(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=8, n_layer=1, n_head=1, id2label=dict(enumerate(NLI_LABELS))
    )
    name = save(tmp_path, GPT2ForSequenceClassification(config), tokenizer)
    with pytest.raises(UserError, match="puts nothing between two texts"):
        NLI(spec_of(name), PLACE)


def test_a_model_without_safetensors_is_refused(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer()
    name = save(tmp_path, bert(NLI_LABELS, tokenizer), tokenizer)
    (tmp_path / "model.safetensors").unlink()
    for read in (check_nli, NLI):
        with pytest.raises(UserError, match="safetensors"):
            read(spec_of(name), PLACE)
