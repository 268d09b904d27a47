from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("MLFLOW_TRACKING_URI", None)

settings.register_profile("steady", derandomize=True, deadline=None)  # the same examples on every machine
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent
LONGEST = (
    "test_launchers.py",
    "test_documented_commands.py",
    "test_enumerable.py",
    "test_processes.py",
    "test_chaos.py",
)


def pytest_collection() -> None:
    """Collect no garbage while the test files import torch and its companions, a million objects that stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what they have imported out of all later collections, of which each job in a test asks for several."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no process waits for the last one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Samples of the public data sets, beside the checkout; they are not part of the repository."""
    folder = Path(os.environ.get("RLHF_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the samples of public data sets are not at {folder} (set RLHF_SHARED_DATA)")
    return folder
