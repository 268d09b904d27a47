"""What the command line prints, groups of the user's own, and Ctrl-C."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from commandline import QUICK, Here, command, environment, tracked

from rlhf import __version__
from rlhf.__main__ import VERBS
from rlhf.build import build
from rlhf.compose import conf_dir, jobs, parse_words, with_experiment_sweep
from rlhf.search.check import find_search


def test_help_shows_usage_examples_and_every_group_with_its_options(tmp_path: Path) -> None:
    done = command("--help", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "Usage: rlhf [train] [-m] [KEY=VALUE ...]" in done.out
    for group in (folder for folder in conf_dir().iterdir() if folder.is_dir()):
        (line,) = [text for text in done.out.splitlines() if text.startswith(f"{group.name}: ")]
        assert line.partition(": ")[2].split(", ") == sorted(file.stem for file in group.glob("*.yaml"))
    for part in ("rlhf --cfg job", "--config-dir", "scripts/ui.sh", "--debug"):
        assert part in done.out
    assert list(tmp_path.iterdir()) == []


def test_help_has_a_line_for_every_verb_and_names_the_defaults(here: Here, tmp_path: Path) -> None:
    shown = here("--help", folder=tmp_path).out
    listed = shown.partition("Verbs\n")[2].partition("\n\n")[0]
    assert {line.split()[0] for line in listed.splitlines()} == set(VERBS)
    ((_, run),) = jobs(parse_words([]))
    assert f"model={run.model.name} method={run.method.name} dataset={run.dataset.name}" in shown


def test_no_words_at_all_show_the_short_help_and_train_nothing(here: Here, tmp_path: Path) -> None:
    done = here(folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "rlhf --help" in done.out and all(verb in done.out for verb in VERBS)
    ((_, run),) = jobs(parse_words([]))
    assert f"model={run.model.name} method={run.method.name} dataset={run.dataset.name}" in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_without_a_word_says_that_nothing_varies(here: Here, tmp_path: Path) -> None:
    here("-m", folder=tmp_path).refused(2, "-m: nothing varies", "seed=1,2")
    assert list(tmp_path.iterdir()) == []


def test_every_example_of_the_help_is_accepted(here: Here, tmp_path: Path) -> None:
    shown = here("--help", folder=tmp_path).out
    examples = [line for line in shown.splitlines() if line.startswith("  rlhf ")]
    assert len(examples) >= 6
    (tmp_path / "FILE").write_text("")
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "mine.yaml").write_text("defaults: [tiny_gpt2, _self_]\nname: mine\n")
    for example in examples:
        words = [word for word in example.strip().split("  ")[0].split()[1:] if word not in ("--cfg", "job")]
        if words and words[0] in VERBS and words[0] not in ("train", "plan"):
            assert here(words[0], "--help", folder=tmp_path).code == 0, example
            continue
        parsed = with_experiment_sweep(parse_words(words[1:] if words and words[0] in VERBS else words))
        search = any(word.startswith("search=") for word in parsed.overrides)
        assert find_search(parsed).runs if search else jobs(parsed), example


def test_cfg_job_prints_yaml_that_is_the_whole_run(tmp_path: Path) -> None:
    done = command("--cfg", "job", "--resolve", "method=sft", "model=tiny_mt5", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    run = build(yaml.safe_load(done.out))
    assert (run.method.name, run.model.name) == ("sft", "tiny_mt5")
    assert list(tmp_path.iterdir()) == []


def test_hydra_writes_no_log_file_beside_a_run(here: Here, tmp_path: Path) -> None:
    assert "FileHandler" not in here("--cfg", "hydra", folder=tmp_path).out


def test_version(here: Here, tmp_path: Path) -> None:
    assert here("--version", folder=tmp_path).out.strip() == f"rlhf {__version__}"


@pytest.mark.slow
def test_a_user_adds_models_and_datasets_of_their_own(here: Here, tmp_path: Path, shared_store: Path) -> None:
    mine = tmp_path / "my_conf"
    (mine / "model").mkdir(parents=True)
    (mine / "dataset").mkdir()
    (mine / "model" / "shallow.yaml").write_text(
        "defaults: [tiny_gpt2, _self_]\nname: shallow\narchitecture: {n_layer: 1}\n"
    )
    with (tmp_path / "faq.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        writer.writerows([f"Where is shop {n}?", f"In street {n}."] for n in range(120))
    (mine / "dataset" / "faq.yaml").write_text(
        "defaults: [table, _self_]\nname: faq\npath: faq.csv\ncolumns: {prompt: question, completion: answer}\n"
    )
    words = ("--config-dir", "my_conf", "model=shallow", "dataset=faq", "method=sft", "evaluation.judge=none")
    quick = (*QUICK[1:2], *QUICK[3:], "tracking=none", f"store={shared_store}/stages")
    done = here(*words, *quick, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "faq as demonstration rows: read 120" in done.out
    assert "sft shallow" in done.out
    # Hydra's own pass sees the same groups, and so does a sweep
    here(*words[:2], "model=shalow", folder=tmp_path).refused(2, "model=shalow: there is no such option", "`shallow`")


def interrupted_after_a_checkpoint(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run the command for real, press Ctrl-C once it has a whole checkpoint; exit code, stdout and stderr."""
    running = subprocess.Popen(
        [sys.executable, "-m", "rlhf", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # what a shell starts with & ignores Ctrl-C, and so would all that these tests start in such a one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 200
    while not list(folder.rglob("checkpoint-*/whole.json")):
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


GOES_ON = "rlhf: interrupted: run the same command again; what is finished or has a checkpoint is not done again"


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(here: Here, tmp_path: Path) -> None:
    steps = ("++method.trainer.max_steps=30", "++method.trainer.save_steps=3")
    words = ("method=sft", *QUICK[:1], *QUICK[3:], *steps)
    code, _, err = interrupted_after_a_checkpoint(tmp_path, *words)
    assert (code, err.splitlines()) == (130, [GOES_ON])
    (interrupted,) = tracked(tmp_path)
    assert interrupted.info.status == "KILLED"
    (partial,) = (tmp_path / "outputs" / "stages").glob("sft-*.partial")
    assert not (partial / "result.json").exists()

    done = here(*words, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "sft: resumed from step " in done.out
    assert tracked(tmp_path)[0].info.status == "FINISHED"
    assert not partial.exists()


@pytest.mark.slow
def test_ctrl_c_in_a_sweep_tells_what_was_interrupted_and_what_never_started(here: Here, tmp_path: Path) -> None:
    steps = ("++method.trainer.max_steps=200", "++method.trainer.save_steps=3")
    words = ("-m", "method=sft", "seed=1,2,3", *QUICK[:1], *QUICK[3:], *steps)
    code, out, err = interrupted_after_a_checkpoint(tmp_path, *words)
    assert (code, err.splitlines()) == (130, [GOES_ON])
    states = [line.partition(" seed=")[0] for line in out.splitlines() if " seed=" in line]
    assert states[-3:] == ["interrupted method=sft", "not started method=sft", "not started method=sft"]
    assert "failed" not in out and "KeyboardInterrupt" not in out
    assert "files    multirun" in out and "plots " not in out and not list(tmp_path.rglob("*.png"))
    assert {run.data.tags["role"]: run.info.status for run in tracked(tmp_path)} == {
        "summary": "KILLED",
        "job": "KILLED",
    }
    assert list(tmp_path.rglob("outputs/stages/*.lock")) == []
    (go_on,) = (line for line in out.splitlines() if line.startswith("go on"))
    reported = here("report", folder=tmp_path)  # tells the same
    assert go_on in reported.out and reported.out.count("(not started)") == out.count("(not started)") == 2
