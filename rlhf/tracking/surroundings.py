"""What a run ran on, as tags: code, command line, package versions, machine and process."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rlhf.tracking.masking import mask_words

PACKAGES = (
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "tokenizers", "hydra-core",
    "mlflow", "numpy",
)  # fmt: skip


def surroundings() -> dict[str, str]:
    """Tags that describe this process: git, command line, versions, hardware. Unknown facts are left out."""
    command = shlex.join(mask_words([Path(sys.argv[0]).name, *sys.argv[1:]]))
    return {
        **_fixed(),
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "command_line": command,
        **process_tags(os.getpid()),
        **_gpu(),
    }


@cache
def _fixed() -> dict[str, str]:
    """What cannot change while this process lives."""
    from importlib import metadata

    import psutil

    tags = {"version.python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    tags["hardware.cpu"] = _cpu_model()
    tags["hardware.cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    tags["hardware.memory_gib"] = f"{psutil.virtual_memory().total / 2**30:.1f}"
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):
        tags["mlflow.user"] = "unknown"
    return tags | _git(Path(__file__).parent)


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _gpu() -> dict[str, str]:
    """The GPU's name from torch when it is loaded already, else from the driver's own files: nothing is imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gigabytes = torch.cuda.get_device_properties(0).total_memory / 2**30
        return {
            "hardware.gpu": torch.cuda.get_device_name(0),
            "hardware.gpus": str(torch.cuda.device_count()),
            "hardware.gpu_memory_gib": f"{gigabytes:.1f}",
        }
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [
        re.sub(r"^Model:\s*", "", line) for file in files for line in file.read_text().splitlines() if "Model:" in line
    ]
    return {"hardware.gpu": names[0], "hardware.gpus": str(len(names))} if names else {}


def _git(folder: Path) -> dict[str, str]:
    """Commit and whether the working tree differs from it; nothing outside a repository or before a first commit."""
    import subprocess

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "--verify", "--quiet", "HEAD")
    changes = ask("status", "--porcelain")
    if changes is None:
        return {}
    tags = {"git.dirty": str(bool(changes)).lower(), "git.changed_files": str(len(changes.splitlines()))}
    return tags | ({"git.commit": commit, "mlflow.source.git.commit": commit} if commit else {})


def boot_id() -> str:
    """A name of this machine's current boot: process ids mean nothing across boots."""
    file = Path("/proc/sys/kernel/random/boot_id")
    if file.exists():
        return file.read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


def process_tags(pid: int) -> dict[str, str]:
    """Tags by which another process can tell later whether this one still lives."""
    import psutil

    return {
        "rlhf.pid": str(pid),
        "rlhf.host": socket.gethostname(),
        "rlhf.boot": boot_id(),
        "rlhf.process_started": f"{psutil.Process(pid).create_time():.2f}",
    }


def process_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that wrote these tags ran on this host and has ended; a reused process id is noticed."""
    import psutil

    if tags.get("rlhf.host") != socket.gethostname() or not tags.get("rlhf.pid", "").isdigit():
        return False
    if tags.get("rlhf.boot") != boot_id():
        return True
    try:
        process = psutil.Process(int(tags["rlhf.pid"]))
        started = float(tags.get("rlhf.process_started", process.create_time()))
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - started) > 1.0
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
