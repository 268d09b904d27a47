"""The cost metrics of a stage, `cost/*`, and of all that it was built on, `cost/pipeline_*`."""

from __future__ import annotations

from dataclasses import replace

from rlhf.evaluation.metric import Metric

_POSITIVE = "0 or more"
_CLOCK = "monotonic clock of the operating system"
_BUSY = "other work on the same machine stretches it; compare runs of the same machine, several seeds each"

COST_USD = Metric(
    "cost/usd",
    "price of the machine's time; absent where no price is set",
    "US dollars",
    "hardware.usd_per_hour x hours x devices",
    "lower",
    _POSITIVE,
    "conf/hardware, each price with its source",
    "the price is an assumption: a saving in dollars is one in machine time; idle time is not in it",
)
COST_SECONDS = Metric(
    "cost/seconds",
    "wall-clock time of the stage's own work: loading, training, its evaluations on the way, saving",
    "seconds",
    "end minus begin, plus interrupted attempts up to the checkpoint that was gone on from",
    "lower",
    _POSITIVE,
    _CLOCK,
    _BUSY,
)
COST_CPU_SECONDS = Metric(
    "cost/cpu_seconds",
    "processor time of this process, all threads together: other work stretches it less than wall-clock time",
    "seconds of one core",
    "user and system time, end minus begin; interrupted attempts at the same rate",
    "lower",
    _POSITIVE,
    "the operating system",
    "on a GPU it is only what drives it; threads that wait by turning count as busy",
)
COST_GPU_SECONDS = Metric(
    "cost/gpu_seconds",
    "wall-clock time x GPUs held; 0 on a CPU",
    "GPU seconds",
    "cost/seconds x devices",
    "lower",
    _POSITIVE,
    _CLOCK,
    "a GPU that waits is held as well",
)
COST_KWH = Metric(
    "cost/kwh",
    "energy of the GPUs, on a CPU machine of the CPU packages; `energy_source` beside it says whether it was measured",
    "kWh",
    "NVML or RAPL counters; else an estimate: hardware.watts x seconds x devices / 3.6e6, or codecarbon",
    "lower",
    _POSITIVE,
    "NVIDIA's NVML; Linux powercap (RAPL); codecarbon",
    "meters count all that runs on the chip, not memory and cooling; rated watts are time under another name",
)
COST_TOKENS = Metric(
    "cost/tokens",
    "tokens processed, padding left out",
    "tokens",
    "count",
    None,
    _POSITIVE,
    "the model's own tokenizer",
    "another tokenizer cuts the same text into other numbers of tokens",
)
COST_SAMPLES_PER_SECOND = Metric(
    "cost/samples_per_second",
    "training rows per second of the stage: a pair counts as one, of PPO each response sampled",
    "rows per second",
    "rows x epochs / cost/seconds",
    "higher",
    _POSITIVE,
    _CLOCK,
    "short texts are more rows per second; loading and evaluations are in the time",
)
COST_STEPS = Metric(
    "cost/steps",
    "updates of the weights; of PPO rollouts, each of which is learned from several times",
    "steps",
    "count",
    None,
    _POSITIVE,
    "the trainer's global step",
    "a step of a larger batch is more work: read cost/tokens",
)
COST_STEPS_PER_SECOND = Metric(
    "cost/steps_per_second",
    "those per second of the stage",
    "steps per second",
    "cost/steps / cost/seconds",
    "higher",
    _POSITIVE,
    _CLOCK,
    "smaller batches are more steps per second; loading and evaluations are in the time",
)
COST_EPOCHS = Metric(
    "cost/epochs",
    "passes over the training rows; of PPO absent",
    "epochs",
    "steps x rows per step / rows",
    None,
    _POSITIVE,
    "the trainer's epoch",
    "the same rows again are no new data",
)
COST_FLOPS = Metric(
    "cost/flops",
    "arithmetic that the model's shape asks for (recomputation is not counted)",
    "floating-point operations",
    "formulas of rlhf/evaluation/cost/flops.py",
    "lower",
    _POSITIVE,
    "Kaplan et al. 2020 (arXiv 2001.08361); within 5% of torch's own counter on every family",
    "fewer FLOPs are no less time where memory is the bottleneck; unpacking quantized weights is not counted",
)
COST_MFU = Metric(
    "cost/mfu",
    "model FLOPs utilisation: share of the machine's dense peak; absent where no peak is known",
    "share",
    "cost/flops / (peak x seconds x devices)",
    "higher",
    "0 to 1",
    "Chowdhery et al. 2022 (arXiv 2204.02311)",
    "a wrong peak in conf/hardware scales it",
)
COST_PEAK_MEMORY_BYTES = Metric(
    "cost/peak_memory_bytes",
    "most memory held at once where the model computes: allocations on a GPU, else as cost/peak_host_bytes",
    "bytes",
    "torch's peak counter, or samples and the kernel's high-water mark",
    "lower",
    _POSITIVE,
    "torch.cuda.max_memory_allocated; getrusage",
    "a GPU also holds the driver's context and what torch's allocator keeps; not comparable between CPU and GPU",
)
COST_PEAK_HOST_BYTES = Metric(
    "cost/peak_host_bytes",
    "most resident memory of this process at once",
    "bytes",
    "samples ten times a second and the kernel's high-water mark",
    "lower",
    _POSITIVE,
    "psutil; getrusage",
    "Python and its libraries (0.5 to 1 GB) and what earlier stages of the process left are in it",
)
COST_TRAINABLE_PARAMETERS = Metric(
    "cost/trainable_parameters",
    "parameters that the optimizer updates",
    "parameters",
    "count",
    None,
    _POSITIVE,
    "requires_grad of each weight",
    "fewer trained parameters save optimizer memory, not the forward pass",
)
COST_PARAMETERS = Metric(
    "cost/parameters",
    "all parameters, frozen ones included; a 4-bit weight counts as one, not as half a byte",
    "parameters",
    "count",
    None,
    _POSITIVE,
    "the model that was trained",
    "embeddings of a large vocabulary count and compute little",
)
COST_TRAINABLE_SHARE = Metric(
    "cost/trainable_share",
    "share of the parameters that the optimizer updates",
    "share",
    "cost/trainable_parameters / cost/parameters",
    None,
    "0 to 1",
    "counted, never typed",
    "the smaller it is the less it says of time: frozen weights still compute",
)
COST_MODEL_BYTES = Metric(
    "cost/model_bytes",
    "bytes of the weights as they lie in memory, quantized ones as they are packed, adapter included",
    "bytes",
    "sum over parameters of elements x element size",
    "lower",
    _POSITIVE,
    "the model that was trained",
    "gradients, optimizer and activations come on top",
)
COST_ADAPTER_BYTES = Metric(
    "cost/adapter_bytes",
    "size of the saved adapter alone; absent where all weights were trained",
    "bytes",
    "sum of its weight files",
    "lower",
    _POSITIVE,
    "adapter_model.safetensors",
    "it is of no use without the base model, whose bytes are not in it",
)
COST_ARTIFACT_BYTES = Metric(
    "cost/artifact_bytes",
    "size of what the stage leaves behind: weights or adapter, tokenizer, settings",
    "bytes",
    "sum of its files",
    "lower",
    _POSITIVE,
    "the file system",
    "an adapter's artifact needs its base model beside it",
)

COSTS = (
    COST_USD, COST_SECONDS, COST_CPU_SECONDS, COST_GPU_SECONDS, COST_KWH, COST_TOKENS, COST_SAMPLES_PER_SECOND,
    COST_STEPS, COST_STEPS_PER_SECOND, COST_EPOCHS, COST_FLOPS, COST_MFU,
    COST_PEAK_MEMORY_BYTES, COST_PEAK_HOST_BYTES, COST_TRAINABLE_PARAMETERS, COST_PARAMETERS, COST_TRAINABLE_SHARE,
    COST_MODEL_BYTES, COST_ADAPTER_BYTES, COST_ARTIFACT_BYTES,
)  # fmt: skip
NO_SUMS = (  # of one model, or a rate: no sum over stages makes sense
    COST_TRAINABLE_PARAMETERS, COST_PARAMETERS, COST_TRAINABLE_SHARE, COST_MODEL_BYTES, COST_ADAPTER_BYTES,
    COST_SAMPLES_PER_SECOND, COST_STEPS, COST_STEPS_PER_SECOND, COST_EPOCHS,
)  # fmt: skip


def pipeline_name(name: str) -> str:
    """`cost/usd` -> `cost/pipeline_usd`: the stage and all it was built on, built now or reused."""
    if not name.startswith("cost/"):
        raise ValueError(f"{name} is not a cost metric")
    return f"cost/pipeline_{name.removeprefix('cost/')}"


def _of_pipeline(cost: Metric) -> Metric:
    how = {
        COST_PEAK_MEMORY_BYTES: "maximum over stages",
        COST_PEAK_HOST_BYTES: "maximum over stages",
        COST_MFU: "stages' FLOPs / what their machines could do in their time",
    }
    meaning = f"{cost.name} of this stage and those it was built on, built now or reused"
    return replace(cost, name=pipeline_name(cost.name), meaning=meaning, estimator=how.get(cost, "sum over stages"))


PIPELINE_COSTS = tuple(_of_pipeline(cost) for cost in COSTS if cost not in NO_SUMS)
