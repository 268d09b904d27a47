"""What `method=ppo` refuses at the door: each in one line with its mend, exit code 2, before anything is made."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from commandline import QUICK, Here, command, refused_without

from rlhf.compose import jobs, parse_words
from rlhf.ppo_clashes import is_path

HH = "dataset=hh_rlhf evaluation.judge=reward"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            "method.kl.estimator=k3",
            ("method.kl.estimator: k3 is a monitor, not an objective", "Use k1 (in the reward) or k2 (as a loss)"),
        ),
        ("method.kl.estimator=K1", ("method.kl.estimator: should be 'k1' or 'k2', got 'K1'. Did you mean `k1`?",)),
        (
            "method.kl.estimator=k2 method.whiten_rewards=true",
            (
                "method.whiten_rewards: it divides the rewards by another number at each step, but not the KL",
                "Use method.kl.estimator=k1, which charges it in the reward, or method.whiten_rewards=false.",
            ),
        ),
        ("method.kl.estimator=kl", ("got 'kl'. Did you mean `k1`?",)),
        ("method.critic.kind=Shared", ("method.critic.kind: should be 'shared' or", "Did you mean `shared`?")),
        ("precision=fp16", ("precision: fp16 overflows in PPO's probability ratios", "Use precision=bf16")),
        ("++method.trainer.num_train_epochs=1", ("num_train_epochs: is set by method.trainer.max_steps and",)),
        ("method.trainer.num_train_epochs=1", ("num_train_epochs: is set by method.trainer.max_steps and",)),
        ("++method.trainer.per_device_train_batch_size=4", ("is set by method.prompts_per_step. Set it there.",)),
        ("++method.trainer.gradient_accumulation_steps=2", ("is set by method.microbatch_tokens. Set it there.",)),
        ("method.trainer.max_steps=-1", ("max_steps: should be above 0, got -1", "method.trainer.max_steps=100")),
        (
            f"{HH} method.rewards={{g:{{kind:gold,weight:1.0}}}}",
            ("method.rewards.g.kind: the gold reward is known only", "folder: null}}, or a function of your own."),
        ),
        (
            "dataset=table dataset.path=. evaluation.judge=none method.rewards={g:{kind:gold,weight:1.0}}",
            ("method.rewards.g.kind: the gold reward is known only", "Use a finished reward model", "folder: FOLDER"),
        ),
        (
            "method.rewards={g:{weight:1.0,name:a.b}}",
            ("method.rewards.g.kind: has no value", "Write kind: KIND between the braces", "one of stage, gold, class"),
        ),
        (
            "method.rewards={g:{kind:function,weight:1.0}}",
            ("g.name: has no value. Write name: VALUE between the braces of method.rewards.g",),
        ),
        ("method.rewards={g:{kind:godl,weight:1.0}}", ("method.rewards.g.kind: there is no 'godl'", "mean `gold`?")),
        ("method.rewards.judge.folder=nowhere", ("method.rewards.judge.folder: there is no nowhere",)),
        ("method.rewards.juge.weight=2", ("method.rewards.juge: there is no such reward source; known are judge",)),
        ("method.rewards.judge.weight=0", ("method.rewards.judge.weight: it is 0, so nothing is rewarded",)),
        (
            "method.rewards={}",
            ("method.rewards: it is empty, so nothing is rewarded", "Name a source: method.rewards="),
        ),
        ("~method.rewards.judge", ("method.rewards: it is empty",)),
        (
            "dataset=bitext evaluation.judge=none",
            (
                "method.rewards: a reward model needs pairs and bitext holds",
                "Give reward source `judge` a finished stage",
            ),
        ),
        (
            "+method.rewards.f={kind:function,weight:1.0,name:short}",
            ("rewards.f.name: not of the form module:function",),
        ),
        (
            "+method.rewards.f={kind:function,weight:1.0,name:'rw.py:short'}",
            ("rewards.f.name: names a module without its ending. Write rw:short.",),
        ),
        ("method.minibatches=65", ("method.minibatches: 64 prompts do not make 65 minibatches. Lower method.mini",)),
        ("method.kl.coefficient=0", ("method.kl.coefficient: from 0 neither a target nor a rollback can raise it",)),
        ("model=tiny_bert method.starts_from=base", ("model: tiny_bert is an encoder and cannot be a policy (ppo)",)),
        ("method.max_prompt_tokens=500", ("564 tokens do not fit tiny_gpt2's context of 256", "max_response_tokens")),
        ("method.kl.coeficient=0.2", ("method.kl.coeficient: unknown key", "Did you mean `coefficient`?")),
        ("method.guard.windw=3", ("method.guard.windw: unknown key", "Did you mean `window`?")),
        ("method.prompt_per_step=3", ("method.prompt_per_step: unknown key", "Did you mean `prompts_per_step`?")),
        ("method.rewards.judge.wieght=2", ("method.rewards.judge.wieght: unknown key", "Did you mean `weight`?")),
        ("++method.trainer.learning_rat=1", ("the ppo trainer has no such argument", "Did you mean `learning_rate`?")),
        ("method.guard.on_collapse=stopp", ("should be 'warn', 'stop' or 'rollback'", "Did you mean `stop`?")),
    ],
)
def test_a_mistake_about_ppo_is_refused_before_anything_is_made(
    words: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    here("method=ppo", *words.split(), folder=tmp_path).refused(2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_with_a_remedy_of_its_own_gets_no_other(here: Here, tmp_path: Path) -> None:
    line = here("method=ppo", "method.kl.estimator=k3", folder=tmp_path).refused(2)
    assert line.endswith("Use k1 (in the reward) or k2 (as a loss).")


def test_rewards_given_as_one_mapping_replace_those_of_the_yaml() -> None:
    """Hydra alone would add them to the judge."""
    [(_, run)] = jobs(parse_words(["method=ppo", "method.rewards={mine: {kind: gold, weight: 2.0}}"]))
    assert {name: (source.kind, source.weight) for name, source in run.method.rewards.items()} == {
        "mine": ("gold", 2.0)
    }


def with_json(place: Path, **files: object) -> Path:
    """A folder with JSON files."""
    for name, content in files.items():
        file = place / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return place


JUDGE = "{kind: classifier, weight: 1.0, path: PATH, revision: null, label: GOOD, reads: answer, output: logit}"
WORDS = "{kind: linear, weight: 1.0, path: rows.csv, text: text, label: label, ridge: 1.0, output: score}"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Folders and files that are not what a source of rewards needs."""
    (tmp_path / "empty").mkdir()
    policy = {"architectures": ["GPT2LMHeadModel"]}
    with_json(tmp_path / "policy", run={}, result={}, model__config=policy)
    with_json(tmp_path / "adapter", run={}, result={}, model__adapter_config={"task_type": "CAUSAL_LM"})
    with_json(tmp_path / "old", run={}, result={}, model__config={"architectures": ["GPT2ForSequenceClassification"]})
    with_json(tmp_path / "language_model", config=policy)
    with_json(tmp_path / "mt5", config={"architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5"})
    (with_json(tmp_path / "two", config={"id2label": {"0": "BAD", "1": "FINE"}}) / "model.safetensors").touch()
    with_json(tmp_path / "pickled", config={"id2label": {"0": "BAD", "1": "GOOD"}})
    with_json(tmp_path / "list", run={}, result={}, model__config=["GPT2"], config=["GPT2"])
    with_json(tmp_path / "untold", run={}, result={}, model__adapter_config={"peft_type": "LORA"})
    for name in ("torn", "torn/model"):
        (with_json(tmp_path / name, run={}, result={}) / "config.json").write_text('{"architectures": ["GPT')
    judge = {"architectures": ["GPT2ForSequenceClassification"]}
    with_json(tmp_path / "list_run", run=[], result={"sizes": {}}, model__config=judge)
    (tmp_path / "rows.csv").write_text("words,label\ngood,1\n")
    (tmp_path / "my_rewards.py").write_text("def short(answers): return answers\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("{kind: function, weight: 1.0, name: 'no_such_module:f'}", ("own.name: there is no module no_such_module",)),
        ("{kind: function, weight: 1.0, name: 'rlhf.ppo.builtin:lenght_penalty'}", ("Did you mean `length_penalty`?",)),
        ("{kind: function, weight: 1.0, name: 'my_rewards:short'}", ("cannot be called with prompts and answers",)),
        ("{kind: stage, weight: 1.0, folder: empty}", ("own.folder: empty is not the folder of a finished stage",)),
        ("{kind: stage, weight: 1.0, folder: policy}", ("policy holds a policy, not a reward model", "or null")),
        ("{kind: stage, weight: 1.0, folder: adapter}", ("adapter holds a policy, not a reward model",)),
        ("{kind: stage, weight: 1.0, folder: old}", ("is not as this version writes it (KeyError)",)),
        ("{kind: stage, weight: 1.0, folder: torn}", ("own.folder: torn/model/config.json", "(JSONDecodeError")),
        ("{kind: stage, weight: 1.0, folder: list}", ("own.folder: list/model/config.json", "(AttributeError")),
        ("{kind: stage, weight: 1.0, folder: untold}", ("adapter_config.json does not say", "(KeyError: 'task_type')")),
        ("{kind: stage, weight: 1.0, folder: list_run}", ("is not as this version writes it (TypeError)",)),
        (JUDGE.replace("PATH", "list/model"), ("own.path: list/model could not be loaded (AttributeError",)),
        (
            JUDGE.replace("PATH", "nowhere/at_all"),
            ("own.path: nowhere/at_all is neither a folder here nor reachable on the hub", "Check the path"),
        ),
        (JUDGE.replace("PATH", "./nowhere"), ("own.path: there is no ./nowhere. Give one that exists",)),
        (JUDGE.replace("PATH", "empty"), ("own.path: empty could not be loaded (FileNotFoundError",)),
        (JUDGE.replace("PATH", "policy"), ("policy is the folder of a stage", "kind: stage with folder: policy")),
        (JUDGE.replace("PATH", "language_model"), ("language_model is a language model (GPT2LMHeadModel)",)),
        (JUDGE.replace("PATH", "two"), ("own.label: two has no label 'GOOD', only: BAD, FINE",)),
        (JUDGE.replace("PATH", "pickled"), ("pickled has no safetensors weights",)),
        (WORDS, ("own.text: rows.csv:2 has no column 'text'",)),
    ],
)
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=1,2")], ids=["one job", "sweep"])
def test_a_source_that_does_not_fit_is_told_before_anything_is_made(
    source: str, parts: tuple[str, ...], sweep: tuple[str, ...], here: Here, given: Path
) -> None:
    before = set(given.iterdir())
    here(*sweep, "method=ppo", f"method.rewards={{own: {source}}}", folder=given).refused(2, *parts)
    assert {path for path in given.iterdir() if path.name != "__pycache__"} == before


@pytest.mark.parametrize(
    ("start", "parts"),
    [
        ("empty", ("method.starts_from=empty: is not base, sft or a folder with a model",)),
        ("old", ("method.starts_from=old/model: it holds a reward model, not a policy", "the folder of a policy")),
        ("old/model", ("it holds a reward model, not a policy",)),
        ("adapter/model", ("it holds an adapter", "Add adapter=lora")),
        (
            "mt5",
            ("starts_from=mt5: it holds a mt5 and model=tiny_gpt2 is a gpt2", "Choose the model that it was trained"),
        ),
        ("torn", ("method.starts_from=torn/model: torn/model/config.json does not say", "(JSONDecodeError")),
        ("list/model", ("list/model/config.json does not say what kind of model it is (AttributeError",)),
        ("untold/model", ("adapter_config.json does not say what kind of model it is (KeyError: 'task_type')",)),
    ],
)
def test_a_folder_to_start_from_is_looked_at_before_anything_is_made(
    start: str, parts: tuple[str, ...], here: Here, given: Path
) -> None:
    before = set(given.iterdir())
    here("method=ppo", f"method.starts_from={start}", folder=given).refused(2, *parts)
    assert set(given.iterdir()) == before


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("./judge", True),
        ("/judge", True),
        ("~/judge", True),
        ("here\\judge", True),
        ("a/b/c", True),
        ("here/judge", False),
        ("owner/name", False),
        ("name", False),
        ("here", False),
    ],
)
def test_what_can_only_be_a_path_is_not_asked_of_the_hub(
    value: str, path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder here that is called as an owner is (`google/`) says nothing about the ids of that owner."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_path(value) is path


def test_the_hub_is_asked_once(tmp_path: Path) -> None:
    """A hub that hangs up on everyone; left to itself, huggingface_hub tries it seven times in half a minute."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as hub:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = hub.accept()
                    asked.append(caller.recv(4096))
                    caller.close()

        Thread(target=hang_up, daemon=True).start()
        words = ("method=ppo", f"method.rewards={{own: {JUDGE.replace('PATH', 'owner/name')}}}")
        network = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"}
        network |= {name: "" for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")} | {"no_proxy": "*"}
        done = command(*words, folder=tmp_path, HF_HOME=str(tmp_path / "cache"), **network)
        done.refused(2, "own.path: owner/name is neither a folder here nor reachable on the hub in 5 s (")
    assert sum(b"/owner/name/resolve/main/config.json" in request for request in asked) == 1


def test_a_stage_is_named_by_its_folder_or_by_that_of_its_weights(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(given)
    spelled = [("policy", "old/model"), ("policy/model", "old"), ("policy/", "old/model/")]
    words = [(f"method.starts_from={start}", f"method.rewards.judge.folder={judge}") for start, judge in spelled]
    runs = [jobs(parse_words(["method=ppo", *both]))[0][1] for both in words]
    assert runs[0] == runs[1] == runs[2]  # so that they are one stage in the store
    assert runs[0].method.starts_from == "policy/model" and runs[0].method.reward_sources["judge"].folder == "old"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            "403 Forbidden\r\nX-Error-Code: GatedRepo",
            "closed to you on the hub (status 403). Ask for access on its page",
        ),
        ("401 Unauthorized\r\nX-Error-Code: GatedRepo", "closed to you on the hub (status 401). Ask for access"),
        ("403 Forbidden", "closed to you on the hub (status 403). Ask for access"),
        ("401 Unauthorized\r\nX-Error-Code: RepoNotFound", "known to the hub (status 401). Check the id, or log in"),
        ("404 Not Found\r\nX-Error-Code: RepoNotFound", "known to the hub (status 404). Check the id, or log in"),
    ],
)
def test_a_hub_that_refuses_is_told_apart_from_one_out_of_reach(answer: str, told: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hub:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = hub.accept()
                    caller.recv(4096)
                    caller.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    caller.close()

        Thread(target=refuse, daemon=True).start()
        words = ("method=ppo", f"method.rewards={{own: {JUDGE.replace('PATH', 'owner/name')}}}")
        network = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"}
        network |= {name: "" for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")} | {"no_proxy": "*"}
        done = command(*words, folder=tmp_path, HF_HOME=str(tmp_path / "cache"), **network)
        done.refused(2, "method.rewards.own.path: owner/name is ", told)


@pytest.mark.parametrize("start", ["base", "sft"])
def test_a_keyword_wins_over_a_folder_of_its_name(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with_json(tmp_path / start, run={}, model__config={})
    [(_, run)] = jobs(parse_words(["method=dpo", f"method.starts_from={start}"]))
    assert run.method.starts_from == start
    [(_, run)] = jobs(parse_words(["method=dpo", f"method.starts_from=./{start}"]))
    assert run.method.starts_from == f"{start}/model"
    (tmp_path / start / "run.json").unlink()
    [(_, run)] = jobs(parse_words(["method=dpo", f"method.starts_from=./{start}"]))
    assert run.method.starts_from == f"./{start}"


def test_a_tilde_is_the_home_folder_for_stages_and_for_plain_folders(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(given))
    spelled = [('"~/policy"', '"~/old"'), ('"~/language_model"', '"~/empty"')]  # Hydra wants quotes around a tilde
    words = [(f"method.starts_from={start}", f"method.rewards.judge.folder={judge}") for start, judge in spelled]
    runs = [jobs(parse_words(["method=ppo", *both]))[0][1] for both in words]
    assert [run.method.starts_from for run in runs] == [f"{given}/policy/model", f"{given}/language_model"]
    assert [run.method.reward_sources["judge"].folder for run in runs] == [f"{given}/old", f"{given}/empty"]


def test_rewards_are_refused_without_importing_torch(given: Path) -> None:
    words = ["method=ppo", f"method.rewards={{own: {WORDS}}}"]
    assert "rows.csv:2 has no column 'text'" in refused_without({"torch", "sklearn"}, words, given)


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)\n", "raise SystemExit\n"])
def test_a_module_that_ends_the_process_does_not_end_the_command_without_a_word(
    code: str, here: Here, tmp_path: Path
) -> None:
    (tmp_path / "ending.py").write_text(code)
    sys.modules.pop("ending", None)
    source = "{kind: function, weight: 1.0, name: 'ending:score'}"
    here("method=ppo", f"method.rewards={{own: {source}}}", folder=tmp_path).refused(2, "method.rewards", "sys.exit(")


@pytest.mark.slow
def test_a_reward_function_that_ends_the_process_is_refused_in_its_first_call(tmp_path: Path) -> None:
    (tmp_path / "ending.py").write_text("import sys\n\ndef score(prompts, answers):\n    sys.exit(0)\n")
    source = "{kind: function, weight: 1.0, name: 'ending:score'}"
    words = ("method=ppo", "method.starts_from=base", *QUICK, "tracking=none", f"method.rewards={{own: {source}}}")
    command(*words, folder=tmp_path).refused(2, "method.rewards.own: ending:score", "sys.exit(0) at ending.py:4")
