"""The frozen specs that a composed configuration becomes.

YAML in `conf/` holds every value; these classes hold types and bounds and no defaults. `rlhf.build.build` is the only
door: it turns a composed mapping into a `Run` or refuses it. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rlhf.dataset_spec import DatasetSpec
from rlhf.dataset_spec import FileDataset as FileDataset  # these three are looked for here, too
from rlhf.dataset_spec import SplitSpec as SplitSpec
from rlhf.dataset_spec import ToyDataset as ToyDataset
from rlhf.evaluation_spec import EvaluationSpec as EvaluationSpec
from rlhf.inspection_spec import InspectionSpec
from rlhf.model_spec import Int8Quantization, LoraAdapter, ModelSpec, Nf4Quantization, NoAdapter, NoQuantization
from rlhf.ppo_spec import CriticSpec, GuardSpec, KLSpec, RewardSourceSpec, SampleTableSpec
from rlhf.spec import Share, Spec, WeightsFolder


class Method(Spec):
    """What every training method shares. `trainer` holds differences from the library's own training arguments."""

    needs_reference: ClassVar[bool] = False
    memory_remedy: ClassVar[str] = (
        "Halve method.trainer.per_device_train_batch_size and double gradient_accumulation_steps"
    )
    learns_from_samples: ClassVar[bool] = False  # of its own, whose scores and KL are what its progress shows in
    has_implicit_reward: ClassVar[bool] = False  # beta x log(policy / reference), measured on held-out pairs
    reads_references: ClassVar[bool] = False  # log-probabilities of its rows under the start, the same at every step
    trains_policy: ClassVar[bool] = True
    data_shape: ClassVar[Literal["demonstration", "preference"]]

    starts_from: WeightsFolder  # base | sft | a folder with a model, or of a stage
    max_prompt_tokens: PositiveInt
    max_response_tokens: PositiveInt
    trainer: dict[str, Any]

    @property
    def uses_reward_stage(self) -> bool:
        """Whether a reward model that is trained upstream teaches it."""
        return False

    @property
    def reward_sources(self) -> dict[str, RewardSourceSpec]:
        """What scores its samples, by name."""
        return {}


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
    has_implicit_reward: ClassVar[bool] = True
    reads_references: ClassVar[bool] = True
    data_shape: ClassVar = "preference"
    name: Literal["dpo"]
    beta: PositiveFloat
    loss_type: Annotated[list[str], Field(min_length=1), BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]


class PPO(Method):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) against reward sources, KL to the start.

    One step samples `prompts_per_step` responses (over all processes), credits them, improves on them `epochs` times.
    """

    needs_reference: ClassVar[bool] = True
    memory_remedy: ClassVar[str] = "Lower method.microbatch_tokens or method.prompts_per_step"
    learns_from_samples: ClassVar[bool] = True
    data_shape: ClassVar = "demonstration"  # its prompts
    name: Literal["ppo"]
    prompts_per_step: PositiveInt
    epochs: PositiveInt
    minibatches: PositiveInt
    microbatch_tokens: PositiveInt  # padded tokens per forward and backward pass
    temperature: PositiveFloat
    clip: Share
    critic: CriticSpec
    gamma: Annotated[float, Field(gt=0, le=1)]
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    kl: KLSpec
    rewards: dict[str, RewardSourceSpec]  # by name; none is refused at the door
    normalize_rewards: NonNegativeInt  # responses of the start sampled for mean and standard deviation; 0: as they are
    reward_clip: PositiveFloat | None
    whiten_rewards: bool
    missing_eos_penalty: NonNegativeFloat
    guard: GuardSpec
    samples: SampleTableSpec

    @property
    def uses_reward_stage(self) -> bool:
        """Whether a reward model that is trained upstream scores the samples."""
        return any(source.kind == "stage" and source.folder is None for source in self.rewards.values())

    @property
    def reward_sources(self) -> dict[str, RewardSourceSpec]:
        """What scores its samples, by name."""
        return self.rewards


class HardwareSpec(Spec):
    """Price, peak arithmetic rate, power and memory of one machine, with the source of each number.

    `energy` says where `cost/kwh` comes from: the processor's own meter by name, `rated` watts x seconds, an estimate
    by the library codecarbon, or `auto`: the meter where it can be read, else rated watts.
    """

    name: str
    device: Literal["auto", "cpu", "cuda"]
    usd_per_hour: Annotated[float, Field(ge=0)] | None
    peak_flops: dict[Literal["fp32", "bf16", "fp16"], PositiveFloat]
    watts: PositiveFloat | None
    energy: Literal["auto", "nvml", "rapl", "codecarbon", "rated"]
    memory_gb: PositiveFloat | None  # of one GPU, or of the machine without one; null: ask this machine
    source: str

    @model_validator(mode="after")
    def _meter_fits(self) -> HardwareSpec:
        """Refuse a meter that these settings can't have."""
        if self.energy == "rated" and self.watts is None:
            raise ValueError("energy=rated needs watts. Add hardware.watts=WATTS, or use hardware.energy=auto")
        if (self.energy, self.device) in (("nvml", "cpu"), ("rapl", "cuda")):
            other = "a GPU's meter and the device is a CPU" if self.energy == "nvml" else "a CPU's and the device a GPU"
            raise ValueError(f"energy={self.energy} is {other}. Use hardware.energy=auto")
        return self


class TrackingSpec(Spec):
    """Where runs are recorded. `uri: null` means MLFLOW_TRACKING_URI or sqlite:///mlflow.db."""

    name: Literal["mlflow", "none"]
    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]
    flush_seconds: PositiveFloat


class UpstreamSpec(Spec):
    """Settings of the stages that a method starts from or is judged by."""

    sft: SFT
    reward: Reward


MethodSpec = Annotated[SFT | Reward | DPO | PPO, Field(discriminator="name")]
AdapterSpec = Annotated[NoAdapter | LoraAdapter, Field(discriminator="name")]
QuantizationSpec = Annotated[NoQuantization | Int8Quantization | Nf4Quantization, Field(discriminator="name")]


StageName = Literal["sft", "reward", "dpo", "ppo"]


def _stage_names(value: Any) -> Any:
    """`true` is all stages, `false` none, one name a list of it."""
    if isinstance(value, bool):
        return list(get_args(StageName)) if value else []
    if not isinstance(value, str | list | tuple):
        raise ValueError("should be true, false or names of stages, as in [sft,reward]")
    return [value] if isinstance(value, str) else value


class Run(Spec):
    """One job, complete and cross-checked."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    store: str  # folder of finished and unfinished stages
    reuse: Annotated[list[StageName], BeforeValidator(_stage_names)]  # whose finished and unfinished work may be taken
    model: ModelSpec
    method: MethodSpec
    adapter: AdapterSpec
    quantization: QuantizationSpec
    dataset: DatasetSpec
    inspection: InspectionSpec
    evaluation: EvaluationSpec
    hardware: HardwareSpec
    tracking: TrackingSpec
    upstream: UpstreamSpec

    def reuses(self, stage: str) -> bool:
        """Whether work on stages of this name may be taken that an earlier job has done."""
        return stage in self.reuse
