"""Folders that hold a model, looked at without torch."""

from __future__ import annotations

from pathlib import Path

from rlhf.errors import UserError

NOT_FOUND = "Check the path, or the id and the network"
NOT_A_CLASSIFIER = "Name a model that was trained to classify, or train one with method=reward"
NO_SAFETENSORS = "Name a revision that has safetensors weights (refs/pr/NUMBER), or convert a copy"


def refuse_no_model(folder: Path, place: str) -> None:
    """Raise `UserError` where a folder holds neither an adapter nor a whole model with safetensors weights."""
    if (folder / "adapter_config.json").is_file():
        return
    if not (folder / "config.json").is_file():
        raise UserError(place, f"{folder} has no config.json", "Give the folder of a saved model or adapter")
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            place,
            f"{folder} has no safetensors weights",
            "Load it once with transformers and save_pretrained it, which writes model.safetensors",
        )
