"""The frozen specs that a composed configuration becomes.

YAML in `conf/` holds every value; these classes hold types and bounds and no defaults. `rlhf.build.build` is the only
door: it turns a composed mapping into a `Run` or refuses it. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

Family = Literal["causal", "seq2seq", "encoder"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Spec(BaseModel):
    """A frozen group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class TemplateSpec(Spec):
    """How a conversation becomes text. `chat` uses the tokenizer's own chat template and ignores the other fields.

    Otherwise the text of a prompt is the concatenation of `system`, `user` and `assistant` (each with `{content}`) over
    the messages, then `response_prefix`; the response is `response` with `{content}`.
    """

    name: str
    chat: bool
    system: str
    user: str
    assistant: str
    response_prefix: str
    response: str


class MethodRates(Spec):
    """A learning rate per method."""

    sft: PositiveFloat
    reward: PositiveFloat
    dpo: PositiveFloat


class LearningRates(Spec):
    """Learning rates that suit a model, in full and under an adapter; `method.trainer.learning_rate` takes them."""

    none: MethodRates
    lora: MethodRates


class ModelSpec(Spec):
    """One architecture: where its weights come from and how its family is prompted, adapted and scored."""

    name: str
    family: Family
    init: Literal["pretrained", "random", "tiny"]
    hub_id: str | None
    revision: str | None
    path: str | None
    architecture: dict[str, Any]  # keyword arguments of the config class, with `model_type`
    tokenizer: str | None  # folder or hub id of a tokenizer other than the model's own
    template: TemplateSpec
    learning_rates: LearningRates
    context_length: PositiveInt
    lora_targets: list[str]
    classifier_head: str  # name of the sequence-classification head's module
    trust_remote_code: bool


class NoAdapter(Spec):
    """Full fine-tuning."""

    name: Literal["none"]


class LoraAdapter(Spec):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685). `targets: null` takes the model's own `lora_targets`."""

    name: Literal["lora"]
    r: PositiveInt
    alpha: PositiveFloat
    dropout: Fraction
    targets: list[str] | None
    use_rslora: bool


class NoQuantization(Spec):
    """Weights stay as loaded."""

    name: Literal["none"]


class Int8Quantization(Spec):
    """LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339) through bitsandbytes."""

    name: Literal["int8"]
    threshold: float


class Nf4Quantization(Spec):
    """4-bit NormalFloat, doubly quantised (QLoRA, Dettmers et al. 2023, arXiv 2305.14314), through bitsandbytes."""

    name: Literal["nf4"]
    double_quant: bool
    compute_dtype: Literal["bfloat16", "float16", "float32"]


class SplitSpec(Spec):
    """Shares of groups (not rows) held out; the same group is never on both sides."""

    validation: Share
    test: Share
    seed: int


class ToyDataset(Spec):
    """The toy world: dialogues, a known gold reward and a noisy annotator, all from one seed."""

    name: str
    format: Literal["support_toy"]
    rows: PositiveInt
    seed: int
    languages: list[Literal["en", "es"]]
    multi_turn_share: Annotated[float, Field(ge=0, le=1)]
    annotator_noise: Annotated[float, Field(ge=0, lt=0.5)]  # share of pairs whose preference is flipped
    limit: PositiveInt | None
    fraction: Annotated[float, Field(gt=0, le=1)]
    split: SplitSpec


class FileDataset(Spec):
    """A published data set from the hub, or a local copy of it (`path`: jsonl, json, csv, parquet, each also .gz)."""

    name: str
    format: Literal["hh_rlhf", "rm_single_context", "ultrafeedback_binarized", "bitext", "table"]
    hub_id: str | None
    hub_config: str | None  # data_dir or configuration name on the hub
    revision: str | None
    path: str | None
    columns: dict[str, str | None]  # canonical name -> column of the file, null: none (format `table` only)
    limit: PositiveInt | None
    fraction: Annotated[float, Field(gt=0, le=1)]
    max_bad_rows: Annotated[int, Field(ge=0)]
    split: SplitSpec

    @property
    def mapped(self) -> dict[str, str]:
        """The columns that are named."""
        return {name: column for name, column in self.columns.items() if column is not None}


class Method(Spec):
    """What every training method shares. `trainer` holds differences from the library's own training arguments."""

    needs_reference: ClassVar[bool] = False
    trains_policy: ClassVar[bool] = True
    data_shape: ClassVar[Literal["demonstration", "preference"]]

    starts_from: str  # base | sft | a folder
    max_prompt_tokens: PositiveInt
    max_response_tokens: PositiveInt
    trainer: dict[str, Any]


class SFT(Method):
    """Supervised fine-tuning on the response tokens."""

    data_shape: ClassVar = "demonstration"
    name: Literal["sft"]


class Reward(Method):
    """Pairwise reward model: -log sigmoid(score(chosen) - score(rejected)) (Bradley and Terry 1952)."""

    trains_policy: ClassVar[bool] = False
    data_shape: ClassVar = "preference"
    name: Literal["reward"]


class DPO(Method):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) and TRL's other pairwise losses."""

    needs_reference: ClassVar[bool] = True
    data_shape: ClassVar = "preference"
    name: Literal["dpo"]
    beta: PositiveFloat
    loss_type: Annotated[list[str], Field(min_length=1), BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]


class EvaluationSpec(Spec):
    """How every policy is measured: the same prompts, sampling settings and judge whatever trained it."""

    name: str
    prompts: PositiveInt
    batch_size: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    judge: Literal["gold", "reward", "none"]
    table_rows: PositiveInt
    bootstrap: PositiveInt
    seed: int


class HardwareSpec(Spec):
    """Price, peak arithmetic rate and power of one machine, with the source of each number."""

    name: str
    device: Literal["auto", "cpu", "cuda"]
    usd_per_hour: Annotated[float, Field(ge=0)] | None
    peak_flops: dict[Literal["fp32", "bf16", "fp16"], PositiveFloat]
    watts: PositiveFloat | None
    source: str


class TrackingSpec(Spec):
    """Where runs are recorded. `uri: null` means MLFLOW_TRACKING_URI or sqlite:///mlflow.db."""

    name: Literal["mlflow", "none"]
    uri: str | None
    experiment: str
    flush_seconds: PositiveFloat


class UpstreamSpec(Spec):
    """Settings of the stages that a method starts from or is judged by."""

    sft: SFT
    reward: Reward


MethodSpec = Annotated[SFT | Reward | DPO, Field(discriminator="name")]
AdapterSpec = Annotated[NoAdapter | LoraAdapter, Field(discriminator="name")]
QuantizationSpec = Annotated[NoQuantization | Int8Quantization | Nf4Quantization, Field(discriminator="name")]
DatasetSpec = Annotated[ToyDataset | FileDataset, Field(discriminator="format")]


class Run(Spec):
    """One job, complete and cross-checked."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    store: str  # folder of finished and unfinished stages
    reuse: bool
    model: ModelSpec
    method: MethodSpec
    adapter: AdapterSpec
    quantization: QuantizationSpec
    dataset: DatasetSpec
    evaluation: EvaluationSpec
    hardware: HardwareSpec
    tracking: TrackingSpec
    upstream: UpstreamSpec
