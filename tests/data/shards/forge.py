"""Shards as older versions, other tools, and people who want to deceive write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from highlight_lit.data.shards.format import PACKED


def forge_rows(path: Path, name: str, values: dict[Any, float]) -> None:
    """Change values of packed rows, and have the sums fit."""
    with h5py.File(path, "r+") as file:
        rows = file[name][:]
        for place, value in values.items():
            rows[place] = value
        file[name][:] = rows
        file[f"{name}_sums"][:] = [xxhash.xxh3_64_intdigest(rows[at : at + 32].data) for at in range(0, len(rows), 32)]


def as_other_tools(path: Path, **options: Any) -> None:
    """Store packed rows in chunks, without sums."""
    with h5py.File(path, "r+") as file:
        for name in [name for name in PACKED if name in file]:
            rows, attributes = file[name][:], dict(file[name].attrs)
            del file[name], file[f"{name}_sums"]
            made = file.create_dataset(name, data=rows, chunks=(min(24, len(rows)), *rows.shape[1:]), **options)
            made.attrs.update(attributes)


def as_version_1(path: Path) -> None:
    """Make a shard one of version 1."""
    as_other_tools(path, fletcher32=True)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 1
        if "audio_mask" in file:
            file.move("audio_mask", "heard")
        for name in ("visual", "audio"):
            file.create_dataset(f"{name}_check", data=np.zeros(3, np.uint64))  # sums that this version does not read
