from __future__ import annotations

import pytest

from rlhf.tracking.masking import flatten, looks_secret, mask_settings, mask_text, mask_words


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", "abc"), ("hub_token", "abc"), ("HF_TOKEN", "abc"), ("tracking.password", "1234"), ("apiKey", "x"),
        ("--access-token", "abc"), ("client_secret", "abc"), ("githubToken", "abc"), ("private_key", "abc"),
    ],
)  # fmt: skip
def test_names_that_hold_secrets(key: str, value: str) -> None:
    assert looks_secret(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_prompt_tokens", 64), ("max_new_tokens", 64), ("pad_token", "<pad>"), ("eos_token", "</s>"),
        ("tokenizer", "x"),
        ("token", None), ("use_token", True), ("cost/tokens", 5), ("nats_per_token", 0.5), ("token", ""), ("key", "x"),
        ("first_token", 12), ("trust_remote_code", False),
    ],
)  # fmt: skip
def test_names_that_do_not(key: str, value: object) -> None:
    assert not looks_secret(key, value)


def test_shapes_are_masked_in_free_text() -> None:
    assert mask_text("see postgresql+psycopg://bob:p@ss@db:5432/x") == "see postgresql+psycopg://***@db:5432/x"
    assert mask_text("hf_abcdefghijklmnop and ghp_abcdefghijklmnop1234") == "*** and ***"
    assert mask_text("a@b.com writes http://host/path?x=a@b") == "a@b.com writes http://host/path?x=a@b"


def test_a_value_of_the_environment_is_masked_wherever_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "plainword99")
    assert mask_text("it is plainword99.") == "it is ***."


def test_settings_text_is_masked_by_its_keys() -> None:
    assert mask_settings('{"api_key": "abc", "beta": 0.1}') == '{"api_key": "***", "beta": 0.1}'
    assert mask_settings("secret: two words\nb: 1") == "secret: ***\nb: 1"
    assert (
        mask_settings("a:\n  password: hunter2  # note\n  eos_token: </s>")
        == "a:\n  password: ***  # note\n  eos_token: </s>"
    )


def test_command_lines_are_masked_word_by_word() -> None:
    words = ["rlhf", "hub.token=abc", "--password", "abc", "method.beta=0.1", "tracking.uri=postgresql://u:p@h/d"]
    assert mask_words(words) == [
        "rlhf", "hub.token=***", "--password", "***", "method.beta=0.1", "tracking.uri=postgresql://***@h/d",
    ]  # fmt: skip


def test_flatten_makes_dotted_keys() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}
