"""What a training saves as it goes, so that a stopped one goes on: each file whole or not at all, in whichever folder it lies by then."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from harness.core.files import atomic_file


class WholeFiles(TorchCheckpointIO):
    """Saves beside the old file and renames. Lightning copies onto it: a full disk or a kill would leave a part of the new file and none of the old."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic_file(Path(path)) as file:
            file.write(buffer.getbuffer())


class MovableCheckpoint(ModelCheckpoint):
    """Its best score holds after the folder was moved. Lightning forgets it then, and a worse epoch takes the place of the best."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = {name: self._here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        scores = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": scores, "dirpath": self.dirpath})

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath or "") / Path(path).name) if path else path
