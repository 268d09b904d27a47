"""Every YAML of model, template, adapter and quantization composes, validates and describes a real architecture."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers import AutoModelForSequenceClassification as AutoScorer

from rlhf.config import AdapterSpec, ModelSpec, QuantizationSpec
from rlhf.model_spec import TemplateSpec

from .conftest import CONF, model_spec, read_group

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
AUTO = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM, "encoder": AutoModel}
# parameters of the published checkpoints (an untied output matrix counted, BERT's pooler too)
PUBLISHED = {
    "gpt2": 124_439_808, "gpt2_medium": 354_823_168, "gpt2_large": 774_030_080,
    "dialogpt_small": 124_439_808, "dialogpt_medium": 354_823_168, "dialogpt_large": 774_030_080,
    "mt5_small": 300_176_768, "mt5_base": 582_401_280, "mt5_large": 1_229_581_312,
    "flan_t5_small": 76_961_152, "flan_t5_large": 783_150_080,
    "llama3_2_1b": 1_235_814_400, "llama3_2_1b_instruct": 1_235_814_400, "llama2_7b_chat": 6_738_415_616,
    "bert_base": 109_482_240, "roberta_base": 124_645_632,
}  # fmt: skip


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def config_of(spec: ModelSpec):
    return AutoConfig.for_model(**spec.architecture)


def test_the_promised_models_are_there() -> None:
    assert set(PUBLISHED) | {"tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert"} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_model_file_validates_and_says_what_it_is(name: str) -> None:
    spec = model_spec(name)
    assert spec.name == name
    assert (spec.init == "tiny") == name.startswith("tiny_")
    assert spec.init == "tiny" or spec.hub_id
    comment = (CONF / "model" / f"{name}.yaml").read_text().split("defaults:")[0]
    assert "parameters" in comment and "licen" in comment.lower()


@pytest.mark.parametrize("name", MODELS)
def test_architecture_uses_only_keywords_that_its_config_class_knows(name: str) -> None:
    spec = model_spec(name)
    known = type(config_of(spec))().to_dict() | {"tie_word_embeddings": None, "head_dim": None, "rope_parameters": None}
    assert set(spec.architecture) <= set(known)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_architecture_has_the_published_number_of_parameters(name: str) -> None:
    spec = model_spec(name)
    config = config_of(spec)
    with torch.device("meta"):
        model = AUTO[spec.family].from_config(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    if spec.family == "seq2seq":  # published with an output matrix, which new models tie
        count += config.vocab_size * config.d_model
    assert count == PUBLISHED[name]


@pytest.mark.parametrize("name", MODELS)
def test_lora_targets_and_head_are_modules_of_the_architecture(name: str) -> None:
    spec = model_spec(name)
    with torch.device("meta"):
        modules = {module.rsplit(".", 1)[-1] for module, _ in AutoScorer.from_config(config_of(spec)).named_modules()}
    assert {*spec.lora_targets, spec.classifier_head} <= modules


def test_models_pull_a_template_that_can_be_swapped() -> None:
    assert model_spec("gpt2").template.name == "human_assistant"
    assert model_spec("llama3_2_1b_instruct").template.chat
    assert model_spec("tiny_gpt2").template.name == "toy"
    assert model_spec("gpt2", "template@model.template=plain").template.name == "plain"


@pytest.mark.parametrize("name", names("template"))
def test_template_file_validates(name: str) -> None:
    template = TemplateSpec.model_validate(read_group("template", name))
    assert template.name == name
    for field in (template.system, template.user, template.assistant, template.response):
        assert field.count("{content}") == 1


@pytest.mark.parametrize("group,union", [("adapter", AdapterSpec), ("quantization", QuantizationSpec)])
def test_adapter_and_quantization_files_validate(group: str, union: object) -> None:
    found = names(group)
    assert "none" in found and len(found) > 1
    for name in found:
        assert TypeAdapter(union).validate_python(read_group(group, name)).name == name
