"""The table of bad input: each ends in one line with place and remedy, the right exit code, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from commandline import QUICK, Here, command, refused_without, tracked
from safetensors.numpy import save

from rlhf.command_words import refuse_contradictions

PAIR = {"prompt": "How do I pay?", "chosen": "By card.", "rejected": "No."}
TABLE = ("dataset=table", "evaluation.judge=none", "method=sft", *QUICK[1:2], *QUICK[3:])
PREFERENCES = ("dataset.columns={prompt: prompt, chosen: chosen, rejected: rejected}",)


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def demonstrations(count: int, **more: object) -> bytes:
    return lines(*({"prompt": f"Question {n}?", "completion": f"Answer {n}.", **more} for n in range(count)))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("method.betta=0.1", ("method.betta: unknown key", "Did you mean `beta`?")),
        ("dataset.rows=many", ("dataset.rows: should be a valid integer", "Write another value: dataset.rows=VALUE")),
        (
            "dataset=hh_rlhf evaluation.judge=none dataset.path=no.jsonl",
            ("dataset.path: there is no file or folder no.j",),
        ),
        (
            "method.starts_from=outputs/nothing",
            ("method.starts_from: outputs/nothing is neither base, sft nor a folder",),
        ),
        ("model=tiny_gpt3", ("model=tiny_gpt3: there is no such option", "Did you mean `tiny_gpt2`?")),
        ("=3", ("=3: this is not KEY=VALUE",)),
        ("trian method=sft", ("trian: is neither a verb nor KEY=VALUE", "Did you mean `train`?")),
        ("--cfg job method.betta=1", ("method.betta: unknown key",)),
        (
            "-m method=ppo method.kl.target=range(3,1)",
            ("method.kl.target=range(3,1): it sweeps over nothing. Give it",),
        ),
        (
            "method=dpo tuning=lora adapter=none",
            ("adapter=none: tuning=lora chooses adapter=lora. Leave adapter=none or tuning=lora out",),
        ),
        ("-m tuning=full,lora adapter=lora", ("adapter=lora: tuning=full chooses adapter=none",)),
        ("quantization=nf4 tuning=lora", ("quantization=nf4: tuning=lora chooses quantization=none",)),
        ("plan tuning=lora adapter=none", ("adapter=none: tuning=lora chooses adapter=lora",)),
        (
            "method=dpo seed=1 method=ppo",
            ("method=ppo: method=dpo chooses another option of the same group. Leave one of the two out",),
        ),
        ("-m method=dpo,sft method=ppo", ("method=ppo: method=dpo,sft chooses another",)),
        ("data dataset=bitext dataset=oasst", ("dataset=oasst: dataset=bitext chooses another option of the same",)),
        ("data tuning=lora adapter=none", ("adapter=none: tuning=lora chooses adapter=lora",)),
        ("pairs pairs=degrade pairs=rules", ("pairs=rules: pairs=degrade chooses another option of the same",)),
        ("pairs pairs=degrade dataset=bitext dataset=oasst", ("dataset=oasst: dataset=bitext chooses another",)),
        ("evaluate run=x evaluation=default evaluation=all", ("evaluation=all: evaluation=default chooses another",)),
        ("-m method.beta=0.1,-1", ("method.beta: should be greater than 0, got -1",)),
        ("data inspection.seed=-1", ("inspection.seed: should be greater than or equal to 0, got -1",)),
        ("data inspection.style.seed=-1", ("inspection.style.seed: should be greater than or equal to 0, got -1",)),
    ],
)
def test_a_mistake_on_the_command_line_is_refused_before_anything_is_made(
    words: str, parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    here(*words.split(), folder=tmp_path).refused(2, *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "tuning=lora adapter=lora",
        "tuning=lora adapter.r=4",
        "method=sft method=sft",
        "experiment=hh_reward method=sft",
        "seed=1 seed=2",
        "template@model.template=toy template@model.other=human_assistant",
        "-m tuning=full,lora seed=1,2",
    ],
)
def test_words_that_agree_or_that_hydra_settles_contradict_nothing(words: str) -> None:
    refuse_contradictions([word for word in words.split() if word != "-m"], None)


def test_the_real_command_line_prints_one_line_and_makes_nothing(tmp_path: Path) -> None:
    line = command("method.betta=0.1", folder=tmp_path).refused(2)
    assert line == "rlhf: method.betta: unknown key. Did you mean `beta`?"
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = command("method.betta=0.1", "--debug", folder=tmp_path)
    assert done.code == 2
    assert "Traceback" in done.err and "rlhf.errors.UserError: method.betta" in done.err


FIRST_ROW = pytest.mark.parametrize(
    ("name", "content", "more", "parts"),
    [
        ("empty.jsonl", b"", (), ("empty.jsonl: the file holds no rows", "Give a file with data")),
        (
            "columns.jsonl",
            lines({"question": "a", "answer": "b"}),
            (),
            ("columns.jsonl:1, column 'prompt': there is no",),
        ),
        (
            "pairs.jsonl",
            lines(PAIR),
            (),
            ("pairs.jsonl:1, column 'completion': there is no such column, only: prompt",),
        ),
        ("list.jsonl", b"[1]\n", (), ("list.jsonl:1: a list where an object with columns was expected",)),
        ("rows.xlsx", b"PK", (), ("rows.xlsx: the xlsx file is damaged or cut short", "Fetch it again")),
        ("rows.docx", b"PK", (), ("rows.docx: a .docx file cannot be read", "Use one of .jsonl")),
        (
            "labels.jsonl",
            demonstrations(40, label="perhaps"),
            ("dataset.columns={prompt: prompt, completion: completion, label: label}",),
            ("labels.jsonl:1, column 'label': 'perhaps' is no label. Use true or false",),
        ),
        ("cut.csv", b"prompt;completion\na;b\n", (), ("cut.csv:1: the header is separated by semicolons",)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)


@FIRST_ROW
def test_a_file_whose_first_row_does_not_fit_is_refused_before_anything_is_made(
    name: str, content: bytes, more: tuple[str, ...], parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    line = here(*TABLE, *more, f"dataset.path={name}", folder=tmp_path).refused(2, *parts)
    assert line[-1] in ".`?)"
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ((), "mine has no config.json. Give the folder"),
        (("config.json",), "mine has no safetensors weights. Load it once"),
    ],
)
def test_a_folder_without_a_model_is_refused_before_anything_is_made(
    files: tuple[str, ...], part: str, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    for name in files:
        (tmp_path / "mine" / name).write_text("{}")
    words = ("method=sft", "model=gpt2", "model.path=mine")
    line = refused_without({"torch", "transformers"}, words, tmp_path)
    assert line.startswith(f"rlhf: model.path: {part}") and line.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("word", ["method.starts_from=mine", "model.path=mine"])
@pytest.mark.parametrize("kept", [0, 40, -1])
def test_weights_that_are_cut_off_are_refused_with_their_file(word: str, kept: int, here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    whole = save({"wte": numpy.zeros((4, 4), numpy.float32)})
    (tmp_path / "mine" / "model.safetensors").write_bytes(whole[:kept])
    model = "model=gpt2" if word.startswith("model") else "model=tiny_gpt2"
    line = here("method=sft", model, word, folder=tmp_path).refused(2, "model.safetensors cannot be read (")
    assert line.startswith(f"rlhf: {word.partition('=')[0]}") and "Copy or fetch the file again" in line
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_first_row_is_refused_without_importing_torch(tmp_path: Path) -> None:
    (tmp_path / "columns.jsonl").write_bytes(lines({"question": "a"}))
    told = refused_without({"torch", "datasets"}, [*TABLE, "dataset.path=columns.jsonl"], tmp_path)
    assert "columns.jsonl:1, column 'prompt': there is no such column" in told


@pytest.mark.slow
def test_a_first_row_that_may_be_broken_is_left_to_the_run(here: Here, tmp_path: Path, shared_store: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"not json\n" + demonstrations(120))
    words = (*TABLE, "dataset.path=rows.jsonl", "dataset.max_bad_rows=1", "tracking=none")
    done = here(*words, f"store={shared_store}/stages", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "broken rows, first rows.jsonl:1: not JSON" in done.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "more", "parts"),
    [
        ("prose.jsonl", demonstrations(2) + b"not json\n", (), ("prose.jsonl:3: not JSON", "one JSON object per line")),
        ("latin.jsonl", demonstrations(1) + b'{"prompt": "caf\xe9"}\n', (), ("latin.jsonl:2: not UTF-8", "as UTF-8")),
        ("few.jsonl", demonstrations(3), (), ("dataset.split",)),
        (
            "bad.jsonl",
            demonstrations(40, label=False),
            ("dataset.columns={prompt: prompt, completion: completion, label: label}",),
            ("bad.jsonl: no row is left: the answer was judged bad (40)",),
        ),
        (
            "same.jsonl",
            lines(*[PAIR | {"rejected": "By card."}] * 9),
            PREFERENCES,
            ("no row is left: answers are equal",),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_data_is_refused_with_file_line_and_remedy_and_the_run_is_failed(
    name: str,
    content: bytes,
    more: tuple[str, ...],
    parts: tuple[str, ...],
    here: Here,
    tmp_path: Path,
    shared_store: Path,
) -> None:
    (tmp_path / name).write_bytes(content)
    place = (f"store={shared_store}/stages", f"tracking.uri=sqlite:///{shared_store}/mlflow.db")
    done = here(*TABLE, *more, f"dataset.path={name}", *place, folder=tmp_path)
    line = done.refused(2, *parts)
    assert line[-1] in ".`?)"
    assert list((shared_store / "stages").glob("*.partial")) == []
    newest = tracked(shared_store)[0]
    assert newest.info.status == "FAILED"
    assert line == f"rlhf: {newest.data.tags['error']}"
    assert json.loads(next(tmp_path.rglob("result.json")).read_text())["exit_code"] == 2


def test_labels_of_one_answer_are_refused_where_pairs_are_needed(here: Here, tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_bytes(demonstrations(40, label=True))
    columns = "dataset.columns={prompt: prompt, completion: completion, label: label}"
    done = here("dataset=table", "evaluation.judge=none", columns, "dataset.path=labels.jsonl", folder=tmp_path)
    line = done.refused(2)
    assert line.startswith("rlhf: dataset: table holds answers that were judged one by one, dpo learns from pairs")
    assert "Use method=sft" in line


def test_a_folder_without_a_model_is_no_checkpoint(here: Here, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    done = here("method=dpo", "method.starts_from=nothing", folder=tmp_path)
    done.refused(2, "method.starts_from=nothing: is not base, sft or a folder with a model", "Give base, sft or such")
    assert [path.name for path in tmp_path.iterdir()] == ["nothing"]


@pytest.mark.slow
def test_long_prompts_are_cut_at_their_start_and_counted(here: Here, tmp_path: Path, shared_store: Path) -> None:
    words = ("method=sft", "method.max_prompt_tokens=8", *QUICK, "tracking=none", f"store={shared_store}/stages")
    done = here(*words, folder=tmp_path)
    assert done.code == 0
    # 200 dialogues, none of them short enough: those of training and validation are counted once each
    (told,) = [line for line in done.out.splitlines() if "prompts kept only their end" in line]
    counts = dict(part.split() for part in done.out.partition("rows: ")[2].splitlines()[0].split(", "))
    assert (
        told.strip()
        == f"sft: {int(counts['train']) + int(counts['validation'])} prompts kept only their end (max_prompt_tokens=8)"
    )


@pytest.mark.slow
def test_a_learning_rate_that_destroys_the_weights_fails_and_leaves_no_stage(
    here: Here, tmp_path: Path, shared_store: Path
) -> None:
    place = (f"store={shared_store}/nan", f"tracking.uri=sqlite:///{shared_store}/mlflow.db")
    words = ("method=sft", *QUICK, *place, "method.trainer.learning_rate=1e30", "method.trainer.logging_steps=1")
    done = here(*words, folder=tmp_path)
    done.refused(1, "sft step ", " is nan", "Lower method.trainer.learning_rate")
    assert [p.name for p in (shared_store / "nan").iterdir() if p.is_dir()] == ["models"]
    assert tracked(shared_store)[0].info.status == "FAILED"


def test_a_folder_that_is_read_only_is_refused_at_once(
    tmpfs: Callable[[str], Path], here: Here, tmp_path: Path
) -> None:
    mounted = tmpfs("size=1m,ro")
    here("method=sft", folder=mounted).refused(2, "outputs/stages: cannot be written to", "set store=FOLDER")
    done = here("method=sft", f"store={mounted}/stages", folder=tmp_path)
    done.refused(2, f"{mounted}/stages: cannot be written to", "set store=FOLDER")
    assert list(mounted.iterdir()) == []


def test_a_file_in_the_place_of_the_store_is_told(here: Here, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    line = here("method=sft", "store=taken", folder=tmp_path).refused(2)
    assert line == "rlhf: taken: is a file where a folder is needed. Move it, or set store=FOLDER to another place."


def test_a_store_that_no_folder_can_be_made_for_is_told(here: Here, tmp_path: Path) -> None:
    line = here("method=ppo", "store=/proc/nowhere", folder=tmp_path).refused(
        2, "rlhf: /proc/nowhere: cannot be made ("
    )
    assert line.endswith("Set store=FOLDER to one that can be.")
    long = here("method=ppo", f"store={'a' * 300}", folder=tmp_path).refused(2, "aaa: cannot be made (")
    assert "Set store=FOLDER" in long and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_fails_in_one_line_and_goes_on_when_there_is_space(
    tmpfs: Callable[[str], Path], here: Here, tmp_path: Path
) -> None:
    store = tmpfs("size=5m") / "stages"
    words = ("method=sft", *QUICK, "tracking=none", f"store={store}")
    here(*words, folder=tmp_path).refused(1, "sft-tiny_gpt2-", "the disk is full. Free some space")
    assert [p.name for p in store.iterdir() if p.is_dir() and p.suffix != ".partial"] in ([], ["models"])
    tmpfs("size=60m")
    done = here(*words, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert list(store.glob("*.partial")) == []


@pytest.mark.slow
def test_a_disk_too_small_for_the_model_is_told_as_full(
    tmpfs: Callable[[str], Path], here: Here, tmp_path: Path
) -> None:
    store = tmpfs("size=1m") / "stages"
    done = here("method=sft", *QUICK, "tracking=none", f"store={store}", folder=tmp_path)
    done.refused(1, "the disk is full", "Free some space")
    assert not list(store.glob("sft-*"))


@pytest.mark.slow
def test_a_tracker_that_is_down_is_told_once_and_stops_nothing(
    here: Here, tmp_path: Path, shared_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = here("method=sft", *QUICK, f"store={shared_store}/stages", folder=tmp_path)
    assert done.code == 0
    assert done.err.count("does not answer") == 1
    (spool,) = tmp_path.rglob("spool/*.jsonl")
    assert str(spool) in done.err.splitlines()[-1]
    assert all(line.startswith("rlhf: tracking: ") for line in done.err.splitlines())
    assert "sft tiny_gpt2" in done.out
