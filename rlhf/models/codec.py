"""The one place where conversations become token ids, for training, evaluation and chat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from rlhf.config import ModelSpec
from rlhf.errors import UserError


class Codec:
    """Turns messages and answers into ids of one model's tokenizer, and ids back into text.

    Ids of a prompt followed by ids of its response are a causal model's sequence; an encoder-decoder gets the first in
    its encoder and the second in its decoder. Text is data: special tokens written inside it are taken out.
    `truncated_prompts` and `cut_responses` count the texts that did not fit.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, spec: ModelSpec, max_prompt_tokens: int, max_response_tokens: int
    ) -> None:
        self.tokenizer = tokenizer
        self.spec = spec
        self.template = spec.template
        self.max_prompt_tokens = max_prompt_tokens
        self.max_response_tokens = max_response_tokens
        self.truncated_prompts = 0
        self.cut_responses = 0
        self.pad_id: int = tokenizer.pad_token_id
        self.eos_id: int = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        self.bos_id = self._bos_id()
        self._markers = _marker_pattern(tokenizer)
        self._refuse_what_does_not_fit()

    def prompt_text(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the text of `messages` up to where the response starts (chat template with generation prompt)."""
        cleaned = [{"role": m["role"], "content": self._clean(m["content"])} for m in messages]
        if self.template.chat:
            return str(self.tokenizer.apply_chat_template(cleaned, tokenize=False, add_generation_prompt=True))
        turns = {"system": self.template.system, "user": self.template.user, "assistant": self.template.assistant}
        text = "".join(turns[message["role"]].replace("{content}", message["content"]) for message in cleaned)
        return text + self.template.response_prefix

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the ids of `prompt_text`: bos first if the model has one; for an encoder-decoder eos last.

        At most `max_prompt_tokens` long: a longer prompt keeps its end (and the bos or eos).
        """
        head = [] if self.bos_id is None else [self.bos_id]
        tail = [self.eos_id] if self.spec.family == "seq2seq" else []
        body = self._encode(self.prompt_text(messages))
        if head and body[:1] == head:  # chat templates write bos themselves
            body = body[1:]
        room = self.max_prompt_tokens - len(head) - len(tail)
        if len(body) > room:
            self.truncated_prompts += 1
            body = body[len(body) - room :]
        return head + body + tail

    def response_ids(self, text: str, *, eos: bool = True) -> list[int]:
        """Return the ids of an answer, ended by eos if asked; cut at `max_response_tokens` (a cut one has no eos)."""
        ids = self._encode(self._response_text(text)) + ([self.eos_id] if eos else [])
        if len(ids) > self.max_response_tokens:
            self.cut_responses += 1
        return ids[: self.max_response_tokens]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens and surrounding space."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def scorer_ids(self, messages: Sequence[Mapping[str, str]], response: str) -> list[int]:
        """Return prompt and response as the one sequence that reward models read, ended by exactly one eos.

        MT5's classifier needs the same number of eos in every row; without a chat template there is one, at the end.
        """
        prompt = self.prompt_ids(messages)
        answer = self._encode(self._response_text(response))
        if len(answer) >= self.max_response_tokens:
            self.cut_responses += 1
        body = prompt + answer[: self.max_response_tokens - 1]
        if self.spec.family == "seq2seq" or not self.template.chat:
            body = [token for token in body if token != self.eos_id]
        while body and body[-1] == self.eos_id:
            body.pop()
        return [*body, self.eos_id]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _response_text(self, text: str) -> str:
        content = self._clean(text).strip()
        return content if self.template.chat else self.template.response.replace("{content}", content)

    def _clean(self, text: str) -> str:
        found = 1
        while found:  # taking one out can join another together: "<</s>/s>"
            text, found = self._markers.subn("", text)
        return text

    def _bos_id(self) -> int | None:
        """Id that starts a sequence, None for encoder-decoders and where it is the eos (GPT-2 was given none)."""
        if self.spec.family == "seq2seq":
            return None
        first = self.tokenizer.cls_token_id if self.spec.family == "encoder" else None
        first = self.tokenizer.bos_token_id if first is None else first
        return None if first == self.eos_id else first

    def _refuse_what_does_not_fit(self) -> None:
        if self.template.chat and self.tokenizer.chat_template is None:
            raise UserError(
                "model.template",
                f"the tokenizer of {self.spec.name} has no chat template",
                "choose another template, for example template@model.template=human_assistant",
            )
        total = self.max_prompt_tokens + self.max_response_tokens
        if self.spec.family != "seq2seq" and total > self.spec.context_length:
            raise UserError(
                "method.max_prompt_tokens",
                f"{self.max_prompt_tokens} prompt tokens and {self.max_response_tokens} response tokens do not fit "
                f"into the {self.spec.context_length} positions of {self.spec.name}",
                "lower method.max_prompt_tokens or method.max_response_tokens",
            )


def _marker_pattern(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Match every special token of `tokenizer` but one-letter ones: a byte-level "ÿ" that serves as pad is a letter."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    markers = {token for token in [*added, *tokenizer.all_special_tokens] if len(token) > 1}
    return re.compile("|".join(map(re.escape, sorted(markers, key=len, reverse=True))) or r"(?!)")
