"""Every YAML composes, every combination builds or is refused with its reason, every misspelling is told its mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from omegaconf import OmegaConf

from rlhf.build import build
from rlhf.compose import composed, conf_dir, expand, jobs, parse_words, plain, with_experiment_sweep
from rlhf.config import AdapterSpec, DatasetSpec, MethodSpec, QuantizationSpec, Run, TrackingSpec
from rlhf.dataset_spec import FileSpec
from rlhf.errors import UserError

KEYS_FILE = Path(__file__).with_name("config_keys.txt")
PLACED = {
    "template": "template@model.template",
    "learning_rates": "learning_rates@model.learning_rates",
    "cleaning": "cleaning@dataset.cleaning",
    "reading": "reading@dataset.reading",
}
NO_PART_OF_A_RUN = {"search", "pairs", "leaks", "tuning", "goals", "suitability"}  # whose options other tests look at
GROUPS = sorted({folder.name for folder in conf_dir().iterdir() if folder.is_dir()} - NO_PART_OF_A_RUN)
OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((conf_dir() / group).glob("*.yaml"))]
FREE = (
    "model.architecture.",
    "dataset.columns.",
)  # keywords of the library's config classes, columns of the user's file
UNPAIRED = ["method=sft", "evaluation.judge=none"]
DEMONSTRATIONS = ["dataset=bitext", *UNPAIRED]
# what an option cannot go without
COMPANIONS = {
    ("quantization", "int8"): ["adapter=lora"],
    ("quantization", "nf4"): ["adapter=lora"],
    ("dataset", "table"): ["method=sft", "evaluation.judge=none", "dataset.hub_id=someone/something"],
    **{
        ("dataset", name): ["dataset.path=conf", *(["evaluation.judge=reward"] if kind.holds == "pairs" else UNPAIRED)]
        for kind in get_args(FileSpec)
        for name in get_args(kind.model_fields["format"].annotation)
        if name != "table"
    },
    **dict.fromkeys((("cleaning", name) for name in ("none", "light", "s4")), DEMONSTRATIONS),
    ("reading", "standard"): DEMONSTRATIONS,
    ("template", "chat"): ["model=llama3_2_1b_instruct"],
    ("model", "tiny_bert"): ["method=reward", "method.starts_from=base"],
    ("model", "bert_base"): ["method=reward", "method.starts_from=base"],
    ("model", "roberta_base"): ["method=reward", "method.starts_from=base"],
}


def run_of(*words: str) -> Run:
    ((_, run),) = jobs(parse_words(words))
    return run


def refusal(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        jobs(parse_words(words))
    text = str(caught.value)
    assert "\n" not in text
    return text


@cache
def config_of(*words: str) -> Any:
    ((_, config),) = composed(parse_words(words))
    return config


def placed(group: str, option: str) -> str:
    """The group with the place where its option goes; a suite's is the field of its own name."""
    return f"suite@evaluation.{option}" if group == "suite" else PLACED.get(group, group)


def option_words(group: str, option: str) -> list[str]:
    return [f"{placed(group, option)}={option}", *COMPANIONS.get((group, option), [])]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_yaml_composes_and_is_accepted(group: str, option: str) -> None:
    run = build(plain(config_of(*option_words(group, option))))
    node: Any = run
    if group != "experiment":
        for name in placed(group, option).rpartition("@")[2].split("."):
            node = getattr(node, name)
        name = getattr(node, "name", option)
        assert option == name or option.startswith(f"{name}_")  # a variant: ppo_short
    else:
        written = yaml.safe_load((conf_dir() / group / f"{option}.yaml").read_text())
        assert run.tracking.experiment == written["tracking"]["experiment"]


@pytest.mark.parametrize(
    ("group", "union", "field"),
    [
        ("method", MethodSpec, "name"),
        ("adapter", AdapterSpec, "name"),
        ("quantization", QuantizationSpec, "name"),
        ("dataset", DatasetSpec, "format"),
    ],
)
def test_each_member_of_a_union_has_a_yaml_and_the_other_way_round(group: str, union: Any, field: str) -> None:
    members = get_args(get_args(union)[0])
    named = {name for member in members for name in get_args(member.model_fields[field].annotation)}
    written = {yaml.safe_load(file.read_text())[field] for file in (conf_dir() / group).glob("*.yaml")}
    assert named == written


def test_tracking_has_a_yaml_per_kind() -> None:
    assert set(get_args(TrackingSpec.model_fields["name"].annotation)) == {
        file.stem for file in (conf_dir() / "tracking").glob("*.yaml")
    }


def keys_of(values: Any, prefix: str = "") -> set[str]:
    if not isinstance(values, Mapping) or prefix in FREE:
        return {prefix.rstrip(".")}
    if not values:
        return {prefix.rstrip(".")}
    return set().union(*(keys_of(value, f"{prefix}{key}.") for key, value in values.items()))


def all_keys() -> list[str]:
    options = [option for option in OPTIONS if option[0] != "experiment"]
    return sorted(set().union(*(keys_of(plain(config_of(*option_words(*option)))) for option in options)))


def test_set_of_config_keys_is_frozen() -> None:
    assert all_keys() == KEYS_FILE.read_text().split(), (
        "the keys of the configuration changed; if that is meant, run "
        "`PYTHONPATH=. python tests/test_config.py` and commit tests/config_keys.txt"
    )


# --- which combinations are refused, by hand

ENCODERS = {"tiny_bert", "bert_base", "roberta_base"}
MODELS = [option for group, option in OPTIONS if group == "model"]
METHODS, ADAPTERS, QUANTIZATIONS = ("sft", "reward", "dpo"), ("none", "lora"), ("none", "int8", "nf4")


def assembled(model: str, method: str, adapter: str, quantization: str) -> dict[str, Any]:
    """What composing the four options gives, from one composition per option (as the rest does not depend on them)."""
    config = config_of().copy()
    OmegaConf.set_struct(config, False)
    for group, option in (("model", model), ("method", method), ("adapter", adapter), ("quantization", quantization)):
        config[group] = config_of(f"{group}={option}")[group]
    return plain(config)


def expected_problems(model: str, method: str, adapter: str, quantization: str) -> list[str]:
    problems = []
    if model in ENCODERS and method != "reward":
        problems.append(
            f"model: {model} is an encoder and cannot be a policy ({method}). Use a causal or seq2seq model"
        )
    if model in ENCODERS and method != "sft":  # reward and dpo start from sft by their YAML
        problems.append(f"method.starts_from: {model} is an encoder, there is no SFT policy to start from")
    if quantization != "none" and adapter == "none":
        problems.append(f"quantization: {quantization} weights cannot be trained without an adapter. Add adapter=lora")
    return problems


def test_assembling_equals_composing() -> None:
    words = ("model=tiny_llama", "method=sft", "adapter=lora", "quantization=nf4")
    assert assembled("tiny_llama", "sft", "lora", "nf4") == plain(config_of(*words))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_method_quantization_and_adapter_builds_or_is_refused_with_its_reason(model: str) -> None:
    for method, adapter, quantization in product(METHODS, ADAPTERS, QUANTIZATIONS):
        values, problems = (
            f(model, method, adapter, quantization)  # type: ignore[operator]
            for f in (assembled, expected_problems)
        )
        if not problems:
            run = build(values)
            assert (run.model.name, run.method.name, run.adapter.name) == (model, method, adapter)
            continue
        with pytest.raises(UserError) as caught:
            build(values)
        assert str(caught.value).startswith(problems[0])
        for problem in problems[1:]:
            assert problem in str(caught.value)
        assert ("and 1 more" in str(caught.value)) == (len(problems) == 2)


@pytest.mark.parametrize("model", sorted(ENCODERS))
def test_an_encoder_can_be_a_reward_model_from_its_own_weights(model: str) -> None:
    run = run_of(f"model={model}", "method=reward", "method.starts_from=base")
    assert run.model.family == "encoder"


# --- cross rules, one each


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("model=tiny_bert method=sft", "model: tiny_bert is an encoder and cannot be a policy (sft). Use a causal"),
        ("quantization=nf4", "quantization: nf4 weights cannot be trained without an adapter. Add adapter=lora"),
        ("model=tiny_mt5 precision=fp16", "precision: fp16 overflows to inf and NaN in T5 and MT5"),
        ("model=flan_t5_small precision=fp16", "Use precision=bf16 or precision=fp32"),
        ("hardware=cpu precision=fp16", "precision: fp16 training needs a GPU"),
        ("dataset=hh_rlhf", "evaluation.judge: the gold reward is known only for support_toy, not for hh_rlhf"),
        ("dataset=bitext evaluation.judge=none", "dataset: bitext holds demonstrations, dpo learns from pairs"),
        ("dataset=bitext method=sft evaluation.judge=reward", "evaluation.judge: a reward model needs pairs"),
        (
            "dataset=table method=sft evaluation.judge=none",
            "dataset.path: dataset=table names no data. Set dataset.path",
        ),
        (
            "dataset=hh_rlhf evaluation.judge=none dataset.path=/nowhere",
            "dataset.path: there is no file or folder /now",
        ),
        ("model.path=/nowhere", "model.path: there is no file or folder /nowhere"),
        ("model.hub_id=foo/bar", "model.hub_id: tiny_gpt2 is built here and takes no hub id"),
        ("++method.trainer.learning_rate=-1", "method.trainer.learning_rate: should be 0 or more, got -1"),
        ("++method.trainer.num_train_epochs=0", "method.trainer.num_train_epochs: should be above 0, got 0"),
        ("++method.trainer.max_steps=-3", "method.trainer.max_steps: should be above 0, or -1 to train for epochs"),
        ("++method.trainer.max_steps=0", "method.trainer.max_steps: should be above 0, or -1 to train for epochs"),
        ("method.loss_type=[]", "method.loss_type"),
        ("upstream.sft.starts_from=sft", "upstream.sft.starts_from: SFT cannot start from itself"),
        ("method.label_smoothing=0.1", "method.label_smoothing: TRL reads it only in"),
        ("method.loss_type=exo_pair", "method.label_smoothing: exo_pair needs it above 0"),
        ("model.init=pretrained", "model.path: no weights are named. Set model.path=FOLDER or model.hub_id=OWNER/NAME"),
        (
            "model=llama3_2_1b_instruct model.init=random",
            "model.template: model.init=random makes a toy tokenizer, which has no chat template. "
            "Add template@model.template=human_assistant",
        ),
        ("model=llama2_7b_chat model.init=random", "model.template: model.init=random makes a toy tokenizer"),
        ("model.init=random ~model.architecture.model_type", "model.architecture.model_type: model.init=random builds"),
        (
            "method.starts_from=stf",
            "method.starts_from: stf is neither base, sft nor a folder with a model. Did you mean",
        ),
        ("method.max_prompt_tokens=200", "method.max_prompt_tokens: 264 tokens do not fit tiny_gpt2's context of 256"),
        ("model=tiny_mt5 method.max_prompt_tokens=300", "method.max_prompt_tokens: 300 tokens do not fit tiny_mt5's"),
        ("upstream.sft.max_response_tokens=200", "upstream.sft.max_prompt_tokens: 328 tokens do not fit tiny_gpt2's"),
        ("evaluation.judge=reward upstream.reward.max_prompt_tokens=200", "upstream.reward.max_prompt_tokens: 264 tok"),
        ("evaluation.max_new_tokens=200", "evaluation.max_new_tokens: prompt and answer (328 tokens) do not fit"),
        ("method.loss_type=[sigmod]", "method.loss_type: TRL has no loss 'sigmod'. Did you mean `sigmoid`?"),
        (
            "++model.architecture.n_lyer=3",
            "model.architecture.n_lyer: the gpt2 config has no such keyword. Did you mean `n",
        ),
    ],
)
def test_settings_that_clash_are_refused_with_the_reason(words: str, expected: str) -> None:
    assert expected in refusal(*words.split())


@pytest.mark.parametrize("remedy", ["template@model.template=human_assistant", "model.tokenizer=/a/folder"])
def test_a_chat_model_with_random_weights_takes_either_remedy(remedy: str) -> None:
    assert run_of("model=llama2_7b_chat", "model.init=random", remedy).model.init == "random"


def test_an_unused_upstream_stage_is_not_checked() -> None:
    assert run_of("upstream.reward.max_prompt_tokens=200").evaluation.judge == "gold"
    assert run_of("method=sft", "upstream.sft.max_prompt_tokens=200").method.name == "sft"


def test_encoder_decoders_count_prompt_and_response_apart() -> None:
    run = run_of("model=tiny_mt5", "method.max_prompt_tokens=200", "method.max_response_tokens=200")
    assert run.method.max_prompt_tokens + run.method.max_response_tokens > run.model.context_length


def test_columns_of_the_users_own_replace_those_of_the_yaml() -> None:
    words = ("dataset=table", "dataset.hub_id=some/one", "evaluation.judge=none")
    run = run_of(*words, "dataset.columns={prompt: ask, chosen: good, rejected: bad}")
    assert run.dataset.mapped == {"prompt": "ask", "chosen": "good", "rejected": "bad"}  # type: ignore[union-attr]
    run = run_of(*words, "method=sft", "dataset.columns.prompt=ask")
    assert run.dataset.mapped == {"prompt": "ask", "completion": "completion"}  # type: ignore[union-attr]


# --- misspellings: place, and the nearest right name


@pytest.mark.parametrize(
    ("words", "place", "nearest"),
    [
        ("modle=gpt2", "modle", "`model`"),
        ("model=gtp2", "model=gtp2", "`gpt2`"),
        ("model=", "model=", "tiny_mt5"),
        ("method=doo", "method=doo", "`dpo`"),
        ("experiment=quikstart", "experiment=quikstart", "`quickstart`"),
        ("template@model.template=tooy", "template=tooy", "`toy`"),
        ("cleaning@dataset.cleaning=s5", "cleaning=s5", "Known here: light, none, s4."),
        ("template=toy", "template", "template@model.template=NAME"),
        ("template@model.tmplate=toy", "template@model.tmplate", "template@model.template=NAME"),
        ("method.betta=0.1", "method.betta", "`beta`"),
        ("+method.betta=0.1", "method.betta", "`beta`"),
        ("++method.betta=0.1", "method.betta", "`beta`"),
        ("method=sft method.max_promt_tokens=8", "method.max_promt_tokens", "`max_prompt_tokens`"),
        ("dataset.split.tset=0.2", "dataset.split.tset", "`test`"),
        ("++dataset.split.tset=0.2", "dataset.split.tset", "`test`"),
        ("model.template.usr=x", "model.template.usr", "`user`"),
        ("++model.learning_rates.lora.dpoo=1", "model.learning_rates.lora.dpoo", "`dpo`"),
        ("method.trainer.lerning_rate=1", "method.trainer.lerning_rate", "`learning_rate`"),
        ("+method.trainer.lerning_rate=1", "method.trainer.lerning_rate", "`learning_rate`"),
        ("++method.trainer.lerning_rate=1", "method.trainer.lerning_rate", "`learning_rate`"),
        ("++method.trainer.max_stepss=1", "method.trainer.max_stepss", "`max_steps`"),
        ("upstream.sft.trainer.lerning_rate=1", "upstream.sft.trainer.lerning_rate", "`learning_rate`"),
        ("++upstream.sft.trainer.lerning_rate=1", "upstream.sft.trainer.lerning_rate", "`learning_rate`"),
        ("++upstream.stf.max_prompt_tokens=1", "upstream.stf", "`sft`"),
        ("++upstream.reward.starts_frm=base", "upstream.reward.starts_frm", "`starts_from`"),
        ("adapter=lora ++adapter.alhpa=1", "adapter.alhpa", "`alpha`"),
        ("adapter.r=4", "adapter.r", "Known here: name."),
        ("++adapter.name=loora", "adapter.name", "`lora`"),
        ("quantization.name=nf5", "quantization.name", "`nf4`"),
        ("dataset.format=hhrlhf", "dataset.format", "`hh_rlhf`"),
        ("evaluation.judge=god", "evaluation.judge", "`gold`"),
        ("seeed=3", "seeed", "`seed`"),
        ("method.trainer.max_steps=3", "method.trainer.max_steps", "Write ++method.trainer.max_steps=VALUE"),
        ("method.trainer={max_steps:3}", "method.trainer.max_steps", "Write ++method.trainer.max_steps=VALUE"),
        ("method.trainer.max_stepz=3", "method.trainer.max_stepz", "`max_steps`"),
        ("upstream.sft.trainer.packing=true", "upstream.sft.trainer.packing", "Write ++upstream.sft.trainer."),
        ("dataset.columns={a:b}", "dataset.columns", "Known here: annotator_noise"),
        ("~method.trainer.max_step", "method.trainer.max_step", "`max_steps`"),
    ],
)
def test_a_misspelling_is_told_with_its_place_and_the_nearest_name(words: str, place: str, nearest: str) -> None:
    text = refusal(*words.split())
    assert text.startswith(f"{place}: ")
    assert nearest in text


@pytest.mark.parametrize(
    ("word", "home"),
    [
        ("output_dir=x", "store"),
        ("seed=1", "seed"),
        ("bf16=true", "precision"),
        ("report_to=wandb", "tracking"),
        ("beta=0.2", "method.beta"),
        ("max_length=9", "method.max_prompt_tokens and method.max_response_tokens"),
    ],
)
def test_a_trainer_argument_with_a_home_of_its_own_is_sent_there(word: str, home: str) -> None:
    key = word.partition("=")[0]
    assert refusal(f"++method.trainer.{word}") == f"method.trainer.{key}: is set by {home}. Set it there."


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("method.beta=abc", "method.beta: should be a valid number"),
        ("method.beta=-1", "method.beta: should be greater than 0, got -1. Write another value: method.beta=VALUE."),
        ("method.beta=null", "method.beta: should be a valid number, got null"),
        ("method.label_smoothing=0.6", "method.label_smoothing: should be less than 0.5, got 0.6"),
        ("seed=1.5", "seed: should be a valid integer"),
        ("seed=-1", "seed: should be greater than or equal to 0"),
        ("evaluation.seed=-3", "evaluation.seed: should be greater than or equal to 0, got -3"),
        ("evaluation.seed=4294967296", "evaluation.seed: should be less than 2147483648"),
        ("evaluation.preference.endpoint.seed=-1", "evaluation.preference.endpoint.seed: should be greater than or eq"),
        ("precision=fp8", "precision: should be 'auto', 'fp32', 'bf16' or 'fp16', got 'fp8'"),
        ("dataset.rows=0", "dataset.rows: should be greater than 0, got 0"),
        ("dataset.split.test=1.5", "dataset.split.test: should be less than 1, got 1.5"),
        (
            "dataset.languages=[en,fr]",
            "dataset.languages[1]: should be 'en' or 'es', got 'fr'. Write another value: d",
        ),
        (
            "dataset.languages=en",
            "dataset.languages: should be a valid list, got 'en'. Write a list: 'dataset.languages=[en]'",
        ),
        ("++hardware.peak_flops.fp8=1", "hardware.peak_flops.fp8: should be 'fp32', 'bf16' or 'fp16'"),
        ("method.trainer=3", "method.trainer: should be a valid dictionary, got 3"),
        ("++method.trainer.learning_rate=fast", "method.trainer.learning_rate: should be float, got 'fast'"),
        ("++method.trainer.max_steps=4.5", "method.trainer.max_steps: should be int, got 4.5"),
        (
            "method.trainer.lr_scheduler_type=cosin",
            "method.trainer.lr_scheduler_type: transformers knows no 'cosin'. Did",
        ),
        ("++method.trainer.optim=adamm", "method.trainer.optim: transformers knows no 'adamm'. "),
        (
            "++upstream.sft.trainer.save_strategy=stepz",
            "upstream.sft.trainer.save_strategy: transformers knows no 'ste",
        ),
        (
            "method=ppo method.trainer.max_steps=2.5",
            "method.trainer.max_steps: should be int, got 2.5. Write another value: method.trainer.max_steps=VALUE.",
        ),
        ("++method.trainer.max_steps=true", "method.trainer.max_steps: should be int, got True"),
        ("~seed", "~seed: a run needs every group and key of the top level"),
        ("~method.beta", "method.beta: has no value. Give it one: method.beta=VALUE."),
        ("method.beta=???", "method.beta: Missing mandatory value"),
        (
            "model.context_length=${modle.name}",
            "model.context_length: it takes the value of modle.name, which is not set",
        ),
        ("+model=gpt2", "+model=gpt2: the group has an option already. Write model=gpt2 without the `+`"),
        ("+seed=4", "seed: it exists already and `+` adds a new key. Write seed=VALUE without the `+`"),
        (
            "method=ppo method.kl=null",
            "method.kl: is a group of keys, got null. Set method.kl.KEY=VALUE, with KEY one of",
        ),
        ("method=ppo method.kl=3", "method.kl: is a group of keys, got 3."),
        ("upstream.sft=null", "upstream.sft: is a group of keys, got null."),
        ("method=ppo ~method.kl", "method.kl: is missing, with all of its keys. Give it, or leave ~method.kl out."),
        (
            "method=ppo method.rewards=null",
            "method.rewards: holds reward sources by name, got null. Write 'method.rewards={NAME: {kind: KIND, ",
        ),
        (
            "method=ppo method.rewards.extra.weight=1",
            "method.rewards.extra: there is no such reward source; known are judge. "
            "To add one, write '+method.rewards.extra={kind: KIND, weight: 1.0}'",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_place_bound_and_what_to_write(words: str, expected: str) -> None:
    assert refusal(*words.split()).startswith(expected)


@pytest.mark.parametrize("word", ["a b", "=3", "method.beta", "seed = 3"])
def test_a_word_that_is_not_key_value_is_named_with_the_way_to_quote(word: str) -> None:
    assert refusal(word) == f"{word}: this is not KEY=VALUE. Quote values with spaces or brackets: 'key=\"a b\"'."


@pytest.mark.parametrize("flag", [[], ["-m"]])
@pytest.mark.parametrize(
    "word",
    ["method.beta=[", "method.beta=[1,2", "method.beta=1,,2", "method.beta=choice()", "dataset.columns={a: b"]
    + ["method.rewards={gold: {weight: 1}", "+method.rewards={gold: {weight: 1}", "seed=a b ("],
)
def test_a_value_that_cannot_be_read_is_told_with_its_word_as_it_was_typed(word: str, flag: list[str]) -> None:
    text = refusal(*flag, word)
    assert text.startswith(f"{word}: its value cannot be read. Check its commas, brackets and quotes; ")


@pytest.mark.parametrize("values", ["range(3,1)", "shuffle(range(3,1))", "glob(nothing*)"])
def test_a_sweep_over_nothing_is_refused(values: str) -> None:
    word = f"model={values}"
    told = f"{word}: it sweeps over nothing. Give it a value: KEY=VALUE, or KEY=A,B for several."
    assert refusal("-m", word) == refusal("-m", "seed=1,2", word) == told


def test_a_sweep_over_an_interval_is_told_to_give_values() -> None:
    text = refusal("-m", "method.beta=interval(0,1)")
    only = "only a search draws from an interval. Add search=custom, or give values: KEY=1,2."
    assert text == f"method.beta=interval(0,1): {only}"


def test_several_values_without_m_are_told_how_to_sweep() -> None:
    text = refusal("method.beta=0.1,0.2")
    assert text == "method.beta=0.1,0.2: it has several values. Add -m for a sweep over them."  # it takes no list
    text = refusal("dataset.languages=en,es")
    assert text == (
        "dataset.languages=en,es: it has several values. "
        "Add -m for a sweep over them, or write one list: 'dataset.languages=[en,es]'."
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--confg job", "--confg: there is no such flag. Did you mean `--cfg`?"),
        ("--mutlirun", "--mutlirun: there is no such flag. Did you mean `--multirun`?"),
        ("--config-name other", "--config-name: there is no such flag"),
        ("method=dpo --plan", "--plan: there is no such flag. It is a command: `rlhf plan ...`"),
        ("--config-dir", "--config-dir: it needs a folder. Write --config-dir FOLDER."),
        ("--config-dir /nowhere", "--config-dir /nowhere: there is no such folder"),
        ("--cfg jbo", "--cfg jbo: it prints job, hydra or all. Write --cfg job."),
    ],
)
def test_a_wrong_flag_is_told_with_the_right_one(words: str, expected: str) -> None:
    assert refusal(*words.split()).startswith(expected)


def test_all_wrong_values_are_told_at_once() -> None:
    text = refusal("method.beta=-1", "seed=-1", "dataset.rows=0", "++evaluation.promts=3")
    assert "(and 3 more: " in text
    for place in (
        "method.beta: ",
        "seed: ",
        "dataset.rows: ",
        "evaluation.promts: unknown key. Did you mean `prompts`?",
    ):
        assert place in text


def test_all_clashes_are_told_at_once() -> None:
    text = refusal("model=tiny_bert", "quantization=nf4", "hardware=cpu", "precision=fp16")
    for place in ("model: ", "method.starts_from: ", "quantization: ", "precision: "):
        assert place in text


def test_the_quickstart_runs_ppo_for_25_steps_and_dpo_by_its_epochs() -> None:
    swept = jobs(with_experiment_sweep(parse_words(["-m", "experiment=quickstart"])))
    steps = [(run.method.name, run.model.name, run.method.trainer.get("max_steps")) for _, run in swept]
    short, whole = [("ppo", model, 25) for model in ("tiny_gpt2", "tiny_mt5")], ("dpo", "tiny_gpt2", None)
    assert len(steps) == 4 and whole in steps and set(short) < set(steps)
    assert run_of("method=ppo_short").method.trainer | {"max_steps": 60} == run_of("method=ppo").method.trainer


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        ("cost_lora_vs_full", ["none none", "lora none"]),
        ("cost_quantization", ["none none", "lora none", "lora int8", "lora nf4"]),
    ],
)
def test_the_cost_experiments_train_each_way_on_the_same_data(experiment: str, expected: list[str]) -> None:
    swept = jobs(with_experiment_sweep(parse_words(["-m", f"experiment={experiment}", "model=tiny_llama", "seed=1"])))
    assert [f"{run.adapter.name} {run.quantization.name}" for _, run in swept] == expected
    apart = dict.fromkeys(("adapter", "quantization", "method", "upstream"))  # which have their own learning rates
    alike = [run.model_copy(update=apart) for _, run in swept]
    assert all(run == alike[0] for run in alike)
    trainers = [{k: v for k, v in run.method.trainer.items() if k != "learning_rate"} for _, run in swept]
    assert all(trainer == trainers[0] for trainer in trainers)


def test_every_way_of_tuning_is_one_of_adapter_and_quantization() -> None:
    found = {file.stem: run_of(f"tuning={file.stem}") for file in (conf_dir() / "tuning").glob("*.yaml")}
    chosen = {name: (run.adapter.name, run.quantization.name) for name, run in found.items()}
    assert chosen == {
        "full": ("none", "none"), "lora": ("lora", "none"), "lora_int8": ("lora", "int8"), "lora_nf4": ("lora", "nf4"),
    }  # fmt: skip
    assert run_of("tuning=lora", "adapter=none").adapter.name == "none"  # what is said of it by itself counts


def test_a_precision_that_cannot_be_is_told_once() -> None:
    text = refusal("method=ppo", "model=tiny_mt5", "hardware=cpu", "precision=fp16")
    assert text.count("precision: ") == text.count("fp16") == 1


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("evaluation.seed=-3", "seed"),
        ("method.max_prompt_tokens=x", "max_prompt_tokens"),
        ("hardware.device=g", "device"),
    ],
)
def test_a_wrong_value_that_other_keys_take_is_told_of_its_own_key_alone(word: str, key: str) -> None:
    text = refusal(word)
    place = word.partition("=")[0]
    assert text.startswith(f"{place}: should be ")
    assert text.replace(place, "").count(f".{key}") == 0
    both = refusal("evaluation.seed=-3", "evaluation.preference.endpoint.seed=-4")
    assert "(and 1 more: evaluation.preference.endpoint.seed: " in both  # which is another value, given by itself


def test_a_sweep_composes_all_its_jobs_the_last_key_fastest() -> None:
    swept = jobs(parse_words(["-m", "model=tiny_gpt2,tiny_mt5", "method.beta=0.05,0.2"]))
    assert [(run.model.name, run.method.beta) for _, run in swept] == [  # type: ignore[union-attr]
        ("tiny_gpt2", 0.05),
        ("tiny_gpt2", 0.2),
        ("tiny_mt5", 0.05),
        ("tiny_mt5", 0.2),
    ]


def test_sweep_words_are_multiplied_out_as_hydra_does() -> None:
    jobs(parse_words([]))  # which initialises Hydra
    from hydra import initialize_config_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert expand(["seed=range(1,3)", "method=choice(sft,dpo)", "method.trainer.max_steps=3"]) == [
            ("seed=1", "method=sft", "method.trainer.max_steps=3"),
            ("seed=1", "method=dpo", "method.trainer.max_steps=3"),
            ("seed=2", "method=sft", "method.trainer.max_steps=3"),
            ("seed=2", "method=dpo", "method.trainer.max_steps=3"),
        ]
        found = {word for (word,) in expand(["model=glob(tiny*)"])}
    assert found == {"model=tiny_bert", "model=tiny_gpt2", "model=tiny_llama", "model=tiny_mt5"}


def test_one_refused_job_refuses_the_sweep() -> None:
    assert refusal("-m", "method.beta=0.1,-1").startswith("method.beta: should be greater than 0, got -1")


@pytest.mark.parametrize(
    ("word", "stages"),
    [
        ("true", ["sft", "reward", "dpo", "ppo"]),
        ("false", []),
        ("sft", ["sft"]),
        ("[sft,reward]", ["sft", "reward"]),
        ("[]", []),
    ],
)
def test_reuse_is_all_none_or_some_stages(word: str, stages: list[str]) -> None:
    run = run_of(f"reuse={word}")
    assert run.reuse == stages
    assert [name for name in ("sft", "reward", "dpo", "ppo") if run.reuses(name)] == stages


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("[sft,rewrad]", "reuse[1]: should be 'sft', 'reward', 'dpo' or 'ppo', got 'rewrad'. Did you mean `reward`?"),
        ("stf", "Did you mean `sft`?"),
        ("null", "reuse: should be true, false or names of stages, as in [sft,reward], got null."),
        ("3", "reuse: should be true, false or names of stages"),
    ],
)
def test_a_wrong_reuse_is_told_with_the_right_one(word: str, expected: str) -> None:
    assert expected in refusal(f"reuse={word}")


SCRIPT = """
import json, sys
from rlhf.compose import jobs, parse_words
jobs(parse_words(["method=dpo", "model=tiny_mt5", "adapter=lora"]))
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = {"torch", "transformers", "trl", "peft", "mlflow", "datasets", "sklearn", "pandas", "matplotlib", "accelerate"}


def test_composing_and_checking_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(json.loads(done.stdout))  # each of them costs a second or more; without them it takes 0.4


if __name__ == "__main__":
    KEYS_FILE.write_text("\n".join(all_keys()) + "\n")
