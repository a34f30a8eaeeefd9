"""How a checkpoint's file is written and read: by Lightning's interface, whole or not there, and as data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from highlight_lit.files import atomic_write
from highlight_lit.untrusted.checkpoint_file import read_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or not there, and are read as data."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write under a temporary name, sync, rename.

        Raises:
            InputError: It cannot be written: a full disk, a read-only folder. The one before stays.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as temporary:
            # Not a view of the buffer, which outlives it where this is interrupted; CPython makes no copy.
            temporary.write_bytes(buffer.getvalue())

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read it whole, onto the CPU."""
        return read_checkpoint(Path(path))
