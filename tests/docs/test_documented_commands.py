"""Every command of README.md and docs/ is run here, shrunk where it would take long; a command in no table fails."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.evaluation.persona.persona_world import rule_bound

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]

STEPS = (
    "++method.trainer.max_steps=2 ++upstream.sft.trainer.max_steps=2 ++upstream.reward.trainer.max_steps=2 "
    "evaluation.prompts=4 evaluation.max_new_tokens=16 evaluation.bootstrap=50"
)
TOY = f"{STEPS} dataset.rows=150"
PPO = f"{TOY} method.prompts_per_step=8 method.normalize_rewards=8"
ASKED = "evaluation.prompts=4 evaluation.bootstrap=50"
MADE = "dataset.rows=150 pairs.leaks.resamples=50"
SMALL_BATCH = "method.trainer.gradient_accumulation_steps=1 dataset.limit=150"
HH = f"{STEPS} {SMALL_BATCH} method.trainer.per_device_eval_batch_size=32"

# Run in this process with these words appended.
RUN = {
    "rlhf -m method=dpo model=tiny_gpt2,tiny_mt5 method.beta=0.05,0.2": TOY,
    "rlhf -m hydra/launcher=local hydra.launcher.jobs=2 method=dpo method.beta=0.05,0.2": TOY,
    "rlhf -m hydra/launcher=slurm hydra.launcher.executor=local method=dpo method.beta=0.05,0.2": TOY,
    "rlhf -m search=dpo method=dpo": f"{TOY} search.trials=2",
    "rlhf -m search=custom method=dpo 'method.beta=tag(log,interval(0.01,1))' model=tiny_gpt2,tiny_mt5": (
        f"{TOY} search.trials=2"
    ),
    "rlhf -m search=dpo method=dpo 'search.objectives=[{metric: final/reward, direction: maximize}, "
    "{metric: final/kl, direction: minimize}]' search.pruner.name=none": f"{TOY} search.trials=2",
    "rlhf -m search=dpo method=dpo 'search.objectives=[{metric: text/chrf, direction: maximize}]' "
    "'evaluation.suites=[text]'": f"{TOY} search.trials=2",
    "rlhf -m method=reward dataset.split.folds=5 dataset.split.fold=0,1,2,3,4": TOY,
    "rlhf -m experiment=toy_ppo_vs_dpo": TOY,
    "rlhf -m experiment=toy_ppo_seeds model=tiny_gpt2": f"{PPO} seed=1,2",
    "rlhf -m experiment=toy_over_optimisation model=tiny_gpt2": f"{PPO} method.kl.coefficient=0.0,0.2",
    "rlhf method=ppo": PPO,
    "rlhf method=ppo method.kl.target=4": PPO,
    "rlhf method=ppo method.kl.target=null method.kl.coefficient=0.05": PPO,
    "rlhf method=ppo method.guard.on_collapse=rollback": PPO,
    "rlhf method=ppo method.rewards.judge.folder=my_reward": PPO,
    "rlhf method=ppo 'method.rewards={tone: {kind: classifier, weight: 1.0, path: my_classifier, revision: null, "
    "label: POSITIVE, reads: answer, output: logit}}'": PPO,
    "rlhf method=ppo 'method.rewards={words: {kind: linear, weight: 1.0, path: marked.csv, text: text, label: label, "
    "ridge: 1.0, output: score}}'": PPO,
    "rlhf method=ppo '+method.rewards.short={kind: function, weight: 0.02, "
    'name: "rlhf.ppo.builtin:length_penalty"}\'': PPO,
    "rlhf method=ppo '+method.rewards.polite={kind: function, weight: 0.5, name: \"my_rewards:polite\"}'": PPO,
    "rlhf method=ppo 'method.rewards={gold: {kind: gold, weight: 1.0}}'": PPO,
    "rlhf method=ppo adapter=lora upstream.reward.starts_from=base": PPO,
    "rlhf method=ppo model=tiny_llama adapter=lora quantization=nf4": PPO,
    "rlhf --help": "",
    "rlhf --cfg job method=dpo": "",
    "rlhf method=sft": TOY,
    "rlhf method=reward": TOY,
    "rlhf method=dpo": TOY,
    "rlhf method=dpo 'method.loss_type=[ipo]' method.beta=0.2": TOY,
    "rlhf method=dpo method.trainer.learning_rate=1e-4 ++method.trainer.max_grad_norm=0.5": TOY,
    "rlhf method=reward model=tiny_bert method.starts_from=base": TOY,
    "rlhf method=dpo evaluation.judge=reward": TOY,
    "rlhf method=dpo adapter=lora": TOY,
    "rlhf method=dpo model=tiny_llama adapter=lora quantization=nf4": TOY,
    "rlhf method=dpo method.beta=0.2 reuse=false": TOY,
    "rlhf method=dpo method.beta=0.2 'reuse=[sft,reward]'": TOY,
    "rlhf method=dpo tracking.experiment=my_study": TOY,
    "rlhf method=dpo tracking=none": TOY,
    "rlhf method=dpo hardware=cpu": TOY,
    "rlhf method=sft hardware=cpu hardware.energy=rated": TOY,
    "rlhf -m experiment=cost_lora_vs_full": f"{TOY} seed=1",
    "rlhf -m experiment=cost_quantization": f"{TOY} seed=1",
    "rlhf method=sft dataset.languages=[en] dataset.rows=1200 method.trainer.num_train_epochs=2": TOY,
    "rlhf -m experiment=cost_quantization hydra/launcher=local hydra.launcher.jobs=1 hardware=cpu dataset.rows=600 "
    "method.trainer.num_train_epochs=2 evaluation.prompts=100 method.starts_from=my_gpt2": f"{TOY} seed=1",
    "rlhf method=sft dataset.languages=[en] dataset.rows=2000": f"{STEPS} dataset.rows=150",
    "rlhf method=sft model=gpt2 model.path=my_gpt2": f"{TOY} model.context_length=256",
    "rlhf method=sft dataset=table dataset.path=answers.csv dataset.columns.prompt=question "
    "dataset.columns.completion=answer evaluation.judge=none": STEPS,
    "rlhf method=dpo dataset=table dataset.path=pairs.jsonl "
    "'dataset.columns={prompt: question, chosen: better, rejected: worse}' evaluation.judge=reward": STEPS,
    "rlhf experiment=hh_reward dataset.path=hh_rlhf_helpful_base.jsonl.gz model=tiny_gpt2 "
    "method.max_prompt_tokens=160 method.max_response_tokens=96": HH,
    "rlhf experiment=hh_dpo_gpt2 dataset.path=hh_rlhf_helpful_base.jsonl.gz model=tiny_gpt2 "
    "method.max_prompt_tokens=160 method.max_response_tokens=96 evaluation.max_new_tokens=96": HH,
    "rlhf --config-dir my_conf model=mine method=sft": TOY,
    "rlhf data": "dataset.rows=150",
    "rlhf data dataset=hh_rlhf dataset.path=hh_rlhf_helpful_base.jsonl.gz": "dataset.limit=150",
    "rlhf data dataset=hh_rlhf dataset.path=hh_rlhf_helpful_base.jsonl.gz model=tiny_mt5": "dataset.limit=150",
    "rlhf data --json tracking=none": "dataset.rows=150",
    "rlhf data dataset.strict=true inspection.findings.personal_data.warning=0.1 inspection.style.threshold=0.9": (
        "dataset.rows=150"
    ),
    "rlhf data --export-test consistency.jsonl --rows 50": "dataset.rows=150",
    "rlhf method=dpo dataset.strict=true": TOY,
    "rlhf pairs pairs=degrade output=degraded.jsonl": MADE,
    "rlhf pairs pairs=degrade pairs.shares.generic=0 pairs.shuffles=1 output=persona_pairs.jsonl": MADE,
    "rlhf pairs pairs=sample pairs.answers=8 pairs.minimum_margin=0.1 output=sampled.jsonl": (
        f"{MADE} dataset.limit=60 pairs.max_new_tokens=16"
    ),
    "rlhf method=reward dataset=pairs dataset.path=degraded.jsonl": f"{STEPS} dataset.path=made.jsonl",
    "rlhf method=reward dataset=pairs dataset.path=persona_pairs.jsonl": f"{STEPS} dataset.path=made.jsonl",
    "rlhf method=sft 'evaluation.suites=[persona,hits,simulation]'": f"{TOY} evaluation.hits.candidates=3",
    "rlhf method=sft 'evaluation.suites=[persona,simulation]' evaluation.persona.nli.model=my_nli": TOY,
    "rlhf method=sft 'evaluation.suites=[simulation]' evaluation.simulation.user=my_gpt2": TOY,
    "rlhf method=sft 'evaluation.suites=[preference]' evaluation.preference.judge=my_reward": TOY,
    "rlhf method=dpo 'evaluation.suites=[preference]' evaluation.preference.judge=my_reward": TOY,
    "rlhf method=dpo 'evaluation.suites=[preference,implicit,best_of_n]'": f"{TOY} evaluation.best_of_n.numbers=[1,2]",
    "rlhf method=sft 'evaluation.suites=[safety]'": TOY,
    "rlhf method=sft 'evaluation.suites=[safety]' evaluation.safety.classifier.model=my_classifier "
    "evaluation.safety.classifier.label=NEGATIVE": TOY,
    "rlhf evaluate run=last": ASKED,
    "rlhf evaluate run=last 'evaluation.suites=[text,task,latency]'": f"{ASKED} evaluation.latency.questions=2",
    "rlhf evaluate run=last evaluation.prompts=64 dataset.split.seed=1 --json": "evaluation.bootstrap=50",
    "rlhf evaluate run=last dataset=adversarial_prompts evaluation.judge=none evaluation.prompts=300 "
    "'evaluation.suites=[safety]'": "evaluation.prompts=9 evaluation.bootstrap=50",
}
# Composed and cross-checked only: their weights or data come from the hub.
CHECKED = {
    "rlhf experiment=hh_reward",
    "rlhf experiment=hh_dpo_gpt2",
    "rlhf experiment=hh_dpo_gpt2 model=llama3_2_1b adapter=lora quantization=nf4",
}
# Composed, cross-checked and their first row read: whole files of theirs are loaded in tests/data. Which shared sample.
FIRST_ROW = {
    "rlhf method=sft dataset=bitext dataset.path=bitext_27k_schema.jsonl.gz cleaning@dataset.cleaning=s4 "
    "evaluation.judge=none": "derived",
    "rlhf method=reward dataset=hh_rlhf dataset.path=hh_rlhf_helpful_base.jsonl.gz "
    "dataset.cleaning=[mojibake,html,whitespace]": "preference",
    "rlhf method=reward dataset=oasst dataset.path=oasst_rm_zh.jsonl.gz dataset.comparisons=adjacent": "preference",
    "rlhf method=dpo dataset=qa_feedback dataset.path=qa_feedback_dev.jsonl.gz evaluation.judge=reward": "preference",
    "rlhf method=sft dataset=kto_mix dataset.path=kto_mix.jsonl.gz evaluation.judge=none": "preference",
    "rlhf method=sft dataset=taskmaster_reward dataset.path=taskmaster4_reward.jsonl.gz dataset.api_calls=keep "
    "evaluation.judge=none": "reward",
    "rlhf method=sft dataset=bitext dataset.path=bitext_27k_schema.jsonl.gz dataset.placeholders=fill "
    "template@model.template=customer_assistant evaluation.judge=none": "derived",
    "rlhf method=sft dataset=synthetic_persona_chat dataset.path=synthetic_persona_chat.jsonl.gz dataset.turns=last "
    "template@model.template=persona evaluation.judge=none": "persona",
    "rlhf method=sft dataset=synthetic_persona_chat dataset.path=synthetic_persona_chat.jsonl.gz "
    "template@model.template=persona evaluation.judge=none 'evaluation.suites=[persona,hits,simulation]'": "persona",
    "rlhf method=sft dataset=crosswoz dataset.path=crosswoz_zh.jsonl.gz model=tiny_mt5 "
    "evaluation.judge=none": "tourism",
    "rlhf method=sft dataset=tourism_pairs dataset.path=tourism_user_chatbot_pairs.jsonl.gz "
    "template@model.template=user_chatbot evaluation.judge=none": "derived",
    "rlhf method=reward dataset=feedback_export dataset.path=feedback_export_simulated.json": "derived",
}
# Refused, with these words on the only line of stderr.
REFUSED = {
    "rlhf method.betta=0.2": "method.betta: unknown key. Did you mean `beta`?",
    "rlhf model=tiny_gpt3": "model=tiny_gpt3: there is no such option. Did you mean `tiny_gpt2`?",
    "rlhf method=ppo method.kl.estimator=k3": "k3 is a monitor, not an objective",
    "rlhf quantization=nf4": "Add adapter=lora, or use quantization=none.",
    "rlhf dataset=hh_rlhf dataset.path=nowhere.jsonl evaluation.judge=reward": "there is no file or folder",
}
# Run for real elsewhere: by .ci/run, or by the named test (of benchmarks our side, in few steps).
ELSEWHERE = {
    "bash scripts/quickstart.sh": ".ci/run",
    "bash scripts/test.sh": ".ci/run",
    "source .venv/bin/activate": "scripts/install.sh",
    "pip install -c constraints.txt -e '.[slurm]'": "scripts/install.sh",  # of .[dev], which holds it
    "pip install -c constraints.txt -e '.[ray]'": "scripts/install.sh",
    "rlhf -m hydra/launcher=slurm hydra.launcher.partition=gpu hydra.launcher.gpus=1 hydra.launcher.cores=8 "
    "hydra.launcher.minutes=240 method=dpo method.beta=0.05,0.2": "tests/launchers/test_settings.py",
    "rlhf -m hydra/launcher=ray method=dpo method.beta=0.05,0.2": "tests/launchers/test_launchers.py",
    "rlhf -m hydra/launcher=ray hydra.launcher.address=auto hydra.launcher.gpus=1 method=dpo "
    "method.beta=0.05,0.2": "tests/launchers/test_launchers.py",
    "rlhf cache list": "tests/cli/test_cache.py",
    "rlhf cache verify": "tests/cli/test_cache.py",
    "rlhf cache prune --older-than 30d --keep-used --dry-run": "tests/cli/test_cache.py",
    "rlhf cache prune --partial --older-than 7d": "tests/cli/test_cache.py",
    "rlhf -m search=dpo method=dpo search.trials=30 search.jobs=2": "tests/search/test_search_commands.py",
    "rlhf plan method=ppo model=tiny_mt5": "tests/cli/test_plan.py",
    "rlhf plan -m method=dpo method.beta=0.05,0.1,0.2": "tests/cli/test_plan.py",
    "rlhf plan method=sft model=llama3_2_1b hardware=t4": "tests/cli/test_plan.py",
    "rlhf report": "tests/cli/test_report.py",
    "rlhf report --goals s1": "tests/cli/test_report.py",
    "rlhf resume": "tests/launchers/test_launchers.py",
    "rlhf pairs pairs=rules dataset=bitext dataset.path=bitext.jsonl.gz output=support_pairs.jsonl": (
        "tests/pairs/test_pairs_command.py"
    ),
    "rlhf pairs pairs=votes dataset=feedback dataset.path=votes.jsonl output=vote_pairs.jsonl": (
        "tests/pairs/test_pairs_command.py"
    ),
    "rlhf pairs pairs=sample 'pairs.judges={judge: {kind: stage, weight: 1.0, folder: my_reward}}' "
    "output=judged.jsonl": "tests/pairs/test_sample.py",
    "rlhf method=dpo 'evaluation.suites=[preference]' evaluation.preference.judge=endpoint "
    "evaluation.preference.endpoint.base_url=http://127.0.0.1:8000/v1 evaluation.preference.endpoint.model=my_model": (
        "tests/evaluation/preference/test_preference_suite.py"
    ),
    "rlhf pairs pairs=endpoint pairs.base_url=http://127.0.0.1:8000/v1 pairs.model=my_model output=written.jsonl": (
        "tests/pairs/test_endpoint.py"
    ),
    "bash scripts/ui.sh": "tests/tracking/test_ui.py",
    "bash scripts/mlflow_server.sh --local-postgres /var/tmp/rlhf-mlflow": "tests/tracking/test_load.py",
    "RLHF_DATABASE=postgresql://mlflow:secret@db.example.org/mlflow MLFLOW_AUTH_ADMIN_PASSWORD=... "
    "bash scripts/mlflow_server.sh --artifacts /data/mlflow --host 0.0.0.0": "tests/tracking/test_load_server.py",
    "accelerate launch --multi_gpu --num_processes 2 -m rlhf method=ppo": "tests/docs/test_processes.py",
    "python scripts/bench_ppo.py --levers --output benchmarks/results/ppo.json": "tests/docs/test_ppo_scripts.py",
    "python scripts/bench_data.py --output benchmarks/results/data.json": "tests/docs/test_bench_data.py",
    "python scripts/bench_ppo_memory.py --output benchmarks/results/ppo_memory.json": "tests/docs/test_ppo_scripts.py",
    "python scripts/bench_memory.py STORE --tiny --output benchmarks/results/memory.json": (
        "tests/docs/test_bench_scripts.py"
    ),
    "python scripts/bench_tracking.py --rounds 2 --output benchmarks/results/tracking.json": (
        "tests/docs/test_bench_scripts.py"
    ),
    "python scripts/check_ppo_seeds.py multirun/2026-11-21/12-00-00-1a2b": "tests/docs/test_ppo_scripts.py",
    "python scripts/over_optimisation.py multirun/2026-11-21/12-00-00-1a2b": "tests/docs/test_ppo_scripts.py",
}


def commands(page: str) -> list[str]:
    """The lines of a page's bash fences, continued lines joined, comments left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for fence in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in fence.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                found.append(shlex.join(words))
    return found


def known(table: dict[str, str] | set[str]) -> set[str]:
    return {shlex.join(shlex.split(command)) for command in table}


WRITTEN = {page: commands(page) for page in PAGES}
EVERY = list(dict.fromkeys(command for found in WRITTEN.values() for command in found))


def test_every_written_command_is_in_one_table_and_every_table_entry_is_written() -> None:
    tables = [known(table) for table in (RUN, CHECKED, FIRST_ROW, REFUSED, ELSEWHERE)]
    assert sum(len(table) for table in tables) == len(set.union(*tables)), "a command is in two tables"
    assert set(EVERY) == set.union(*tables)


@pytest.mark.parametrize("file", sorted(set(ELSEWHERE.values())))
def test_the_file_that_runs_a_command_elsewhere_exists(file: str) -> None:
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in targets if not ((ROOT / page).parent / link).exists()] == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run in, with the files that the commands name; stages are shared by all of them."""
    from rlhf.compose import jobs, parse_words
    from rlhf.models.load import resolve_base

    folder = tmp_path_factory.mktemp("commands")
    rows = [(f"What is {i} plus {i}?", f"It is {2 * i}.", f"Ask someone else about {i}.") for i in range(150)]
    with (folder / "answers.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("question", "answer"), *((question, right) for question, right, _ in rows)])
    lines = [json.dumps({"question": q, "better": right, "worse": wrong}) for q, right, wrong in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    made = [
        {"prompt": [{"role": "user", "content": q}], "chosen": right, "rejected": wrong} for q, right, wrong in rows
    ]
    (folder / "made.jsonl").write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    marked = [("text", "label"), *((text, mark) for _, *pair in rows for text, mark in zip(pair, (1, -1), strict=True))]
    with (folder / "marked.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(marked)
    (own,) = re.findall(r"^```python\n(def .*?)^```$", (ROOT / "docs/ppo.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "my_rewards.py").write_text(own, encoding="utf-8")
    make_classifier(folder / "my_classifier", folder / "outputs" / "stages" / "models")
    rule_bound(folder / "my_nli")
    model = jobs(parse_words(["model=tiny_gpt2"]))[0][1].model
    shutil.copytree(resolve_base(model, folder / "outputs" / "stages" / "models").base, folder / "my_gpt2")
    (folder / "my_conf" / "model").mkdir(parents=True)
    mine = (ROOT / "conf/model/tiny_gpt2.yaml").read_text(encoding="utf-8").replace("name: tiny_gpt2", "name: mine")
    (folder / "my_conf" / "model" / "mine.yaml").write_text(mine, encoding="utf-8")
    return folder


def make_classifier(folder: Path, cache: Path) -> None:
    """Leave an untrained BERT that tells two classes apart, with its tokenizer."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from rlhf.compose import jobs, parse_words
    from rlhf.models.load import resolve_base

    base = resolve_base(
        jobs(parse_words(["method=reward", "model=tiny_bert", "method.starts_from=base"]))[0][1].model, cache
    ).base
    config = AutoConfig.from_pretrained(
        base, id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1}
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def run(words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """What `rlhf WORDS` exits with, run in this process: 7 s of imports are paid once for all commands."""
    from hydra.core.global_hydra import GlobalHydra

    from rlhf.__main__ import main

    GlobalHydra.instance().clear()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["rlhf", *words])
    with pytest.raises(SystemExit) as ending:
        main()
    return ending.value.code


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in EVERY if command in known(set(RUN))])
def test_a_command_that_trains_or_informs_ends_well(
    command: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if "hh_rlhf_helpful_base.jsonl.gz" in command and not (place / "hh_rlhf_helpful_base.jsonl.gz").exists():
        shared = request.getfixturevalue("shared_data")
        shutil.copy(shared / "preference" / "hh_rlhf_helpful_base.jsonl.gz", place)
    if "=my_reward" in command and not (place / "my_reward").exists():
        judge = "rlhf method=reward model=tiny_bert method.starts_from=base"
        assert run([*shlex.split(judge)[1:], *shlex.split(RUN[judge])], place, monkeypatch) == 0
        (stage,) = [folder for folder in place.glob("outputs/stages/reward-tiny_bert-*") if folder.is_dir()]
        shutil.copytree(stage, place / "my_reward")
    if "run=last" in command and not list(place.glob("outputs/runs/*/*")):
        assert run(["method=sft", *shlex.split(TOY)], place, monkeypatch) == 0
    more = next(value for key, value in RUN.items() if shlex.join(shlex.split(key)) == command)
    words = [*shlex.split(command)[1:], *shlex.split(more)]
    if STEPS in more and "evaluation.suites" not in command:
        words.append("evaluation.suites=[]")  # tested by themselves
    code = run(words, place, monkeypatch)
    said = capsys.readouterr()
    assert code == 0, said.out + said.err
    assert len(said.out.splitlines()) > 5


@pytest.mark.parametrize("command", sorted(known(CHECKED)))
def test_a_command_for_hub_weights_composes_and_passes_the_cross_checks(command: str) -> None:
    from rlhf.compose import jobs, parse_words

    (_, job), *rest = jobs(parse_words(shlex.split(command)[1:]))
    assert job.model.init == "pretrained" and rest == []


@pytest.mark.parametrize(("command", "folder"), FIRST_ROW.items())
def test_a_command_for_a_shared_sample_composes_and_reads_its_first_row(
    command: str, folder: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlhf.compose import jobs, parse_words
    from rlhf.data import check_first_row

    monkeypatch.chdir(shared_data / folder)
    ((_, job),) = jobs(parse_words(shlex.split(command)[1:]))
    assert Path(job.dataset.path).is_file()  # type: ignore[union-attr, arg-type]
    check_first_row(job.dataset, job.method.data_shape)


@pytest.mark.parametrize("command", sorted(known(set(REFUSED))))
def test_a_mistaken_command_is_refused_in_one_line_with_exit_code_2(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shlex.split(command)[1:], place, monkeypatch) == 2
    said = capsys.readouterr().err
    expected = next(value for key, value in REFUSED.items() if shlex.join(shlex.split(key)) == command)
    assert said.count("\n") == 1 and expected in said
