"""What scripts/bench_ppo.py sets both sides: models, prompts, rewards, a clock, and a judge of what was learned.

Runs in TRL's environment as in ours, so it needs torch and transformers alone. Tokens are numbers written out ("17 5"),
and the ids of padding and end lie behind the policy's vocabulary: no policy can produce them, so that every response
has full length on both sides.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SIZES: dict[str, dict[str, Any]] = {
    "small": {"model_type": "gpt2", "vocab_size": 4096, "n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 1024},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 50257,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
    },
    "llama_1b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
}
NO_DROPOUT: dict[str, dict[str, Any]] = {
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "llama": {},
}
PHASES = ("generate", "score", "update", "gc", "rest")
PEERS = ("torch", "transformers", "accelerate", "peft", "trl")
JUDGED = 256  # fresh responses that the end result is judged by
AT_ONCE = 32  # of them


@dataclass(frozen=True)
class Task:
    """One process's work; the same object goes to either side."""

    side: str = "ours"  # ours | trl
    size: str = "small"
    device: str = "cpu"
    precision: str = "fp32"  # fp32 | bf16: autocast over float32 weights
    threads: int = 1
    batch: int = 16
    prompt: int = 16  # tokens
    response: int = 48  # tokens
    epochs: int = 4
    minibatches: int = 1
    warmup: int = 2  # steps that are not counted
    steps: int = 20
    seed: int = 0
    reward: str = "model"  # model: a network as large as the policy | rule: `rule_table`
    learning_rate: float = 1e-4
    kl_coefficient: float = 0.05
    lora: bool = False
    plain_gelu: bool = False  # ours: leave transformers' own activation in place
    fused_gelu: bool = False  # TRL's side: GPT-2's activation by one kernel instead of eight: the same function
    separate_critic: bool = False  # ours only; TRL's always is
    collect_garbage: bool = True  # TRL only: its two gc.collect() per step
    microbatch_tokens: int = 1 << 20  # ours only

    @property
    def vocabulary(self) -> int:
        """Tokens that the policy can produce."""
        return int(SIZES[self.size]["vocab_size"])

    @property
    def pad(self) -> int:
        """Id of padding: no response holds it."""
        return self.vocabulary

    @property
    def end(self) -> int:
        """Id that ends a text: no response holds it."""
        return self.vocabulary + 1

    @property
    def all_steps(self) -> int:
        """Steps with the warm-up."""
        return self.warmup + self.steps


def read_task() -> tuple[Task, Path]:
    """Return the task and the file for its result, from `script.py TASK_AS_JSON FILE`; set up torch for it."""
    task = Task(**json.loads(sys.argv[1]))
    torch.set_num_threads(task.threads)
    return task, Path(sys.argv[2])


def config(task: Task, *, extra: int = 0, **more: Any) -> Any:
    """The architecture, with `extra` rows of embeddings."""
    settings = SIZES[task.size] | {"vocab_size": task.vocabulary + extra}
    settings |= {"bos_token_id": None, "eos_token_id": None}
    if settings["model_type"] == "gpt2":
        settings |= NO_DROPOUT | ({"activation_function": "gelu_pytorch_tanh"} if task.fused_gelu else {})
    return AutoConfig.for_model(**settings, **more)


def policy(task: Task) -> PreTrainedModel:
    """The policy at its start: the same weights whenever the task has the same seed."""
    torch.manual_seed(task.seed)
    return AutoModelForCausalLM.from_config(config(task)).to(task.device)


def classifier(task: Task) -> PreTrainedModel:
    """A network with one output: the reward model, and TRL's value model."""
    torch.manual_seed(task.seed + 1)
    made = AutoModelForSequenceClassification.from_config(config(task, extra=2, num_labels=1, pad_token_id=task.pad))
    return made.to(task.device).eval()


def tokenizer(task: Task) -> PreTrainedTokenizerFast:
    """Words are numbers, and each is its own id."""
    words = {str(token): token for token in range(task.vocabulary)} | {"<pad>": task.pad, "<end>": task.end}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>", padding_side="left")


def prompts(task: Task) -> list[list[int]]:
    """Random ids, `prompt` of them in each, as many as there are answers to be sampled."""
    generator = torch.Generator().manual_seed(task.seed)
    shape = (task.batch * task.all_steps, task.prompt)
    return torch.randint(task.vocabulary, shape, generator=generator).tolist()


def rule_table(task: Task) -> Tensor:
    """The rule's score of each token (vocabulary,): a random direction of the start's embedding, mean 0, variance 1.

    A response scores the sum over its tokens / sqrt(length): it can be learned in few steps, since tokens that are near
    to one another score alike, and of random tokens it has variance 1.
    """
    embeddings: Any = policy(task).get_input_embeddings()
    embedding = embeddings.weight.detach().cpu()
    direction = torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(task.seed + 2))
    scores = embedding @ direction
    return (scores - scores.mean()) / scores.std()


def resident(key: str = "VmRSS") -> float:
    """MiB of memory: resident now, or (`VmHWM`) at most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) / 1024


def forget_peak(task: Task) -> None:
    """Begin to look for a peak of memory anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if task.device == "cuda":
        torch.cuda.reset_peak_memory_stats()


@dataclass
class Clock:
    """Charges wall and CPU seconds to phases; asynchronous devices are waited for at every change."""

    device: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    phase: str = "rest"

    def __post_init__(self) -> None:
        """Begin the first step."""
        self._spent = {phase: [0.0, 0.0] for phase in PHASES}
        self._since = self._now()

    def _now(self) -> tuple[float, float]:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def switch(self, phase: str) -> None:
        """End the running phase and begin another."""
        now = self._now()
        for place in (0, 1):
            self._spent[self.phase][place] += now[place] - self._since[place]
        self.phase, self._since = phase, now

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Charge a span to `phase`, then go on with the one before."""
        before = self.phase
        self.switch(phase)
        yield
        self.switch(before)

    def lap(self, **logged: float) -> None:
        """End a step, with what was logged of it."""
        self.switch("rest")
        self.steps.append(
            {
                "wall": {phase: spent[0] for phase, spent in self._spent.items()},
                "cpu": {phase: spent[1] for phase, spent in self._spent.items()},
                **logged,
            }
        )
        self._spent = {phase: [0.0, 0.0] for phase in PHASES}


@torch.no_grad()
def judge(task: Task, learned: Any) -> dict[str, float]:
    """Score and exact KL to the start (nats per response) of fresh responses, by one piece of code for both sides."""
    start, table = policy(task).eval(), rule_table(task).to(task.device)
    learned.eval()
    generator = torch.Generator(task.device).manual_seed(task.seed)
    asked = torch.randint(
        task.vocabulary, (JUDGED, task.prompt), generator=torch.Generator().manual_seed(task.seed + 3)
    ).to(task.device)
    scores, divergences = [], []
    for ids in asked.split(AT_ONCE):
        newest, cache = ids, None
        for _ in range(task.response):
            found = learned(input_ids=newest, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            newest = torch.multinomial(found.logits[:, -1].float().softmax(-1), 1, generator=generator)
            ids = torch.cat([ids, newest], dim=1)
        new, old = (
            model(input_ids=ids).logits[:, task.prompt - 1 : -1].float().log_softmax(-1) for model in (learned, start)
        )
        divergences.append((new.exp() * (new - old)).sum(-1).sum(-1))
        scores.append(table[ids[:, task.prompt :]].sum(1) / task.response**0.5)
    score, divergence = torch.cat(scores).mean().item(), torch.cat(divergences).mean().item()
    return {"score": score, "kl": divergence, "objective": score - task.kl_coefficient * divergence}


def write_result(
    file: Path, task: Task, clock: Clock, memory: Mapping[str, float], trained: int, judged: Mapping[str, float] | None
) -> None:
    """Leave everything that was measured in `file`: the protocol between the sides and scripts/bench_ppo.py."""
    result = {
        "task": asdict(task),
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in PEERS},
        "load": os.getloadavg()[0],
        "memory": dict(memory),  # MiB
        "trained_parameters": trained,
        "steps": clock.steps,
        "judged": judged,
    }
    file.write_text(json.dumps(result), encoding="utf-8")


def peak(task: Task) -> dict[str, float]:
    """Peak memory since `forget_peak`, in MiB: of the process, and of the GPU where one computes."""
    found = {"peak": resident("VmHWM")}
    return found | ({"gpu_peak": torch.cuda.max_memory_allocated() / 2**20} if task.device == "cuda" else {})
