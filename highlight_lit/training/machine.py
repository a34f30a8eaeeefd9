"""What this machine can do, asked before it is tried: devices and number formats."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from highlight_lit.errors import InputError
from highlight_lit.text import say

_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo has them, x86 and Arm
_MANY = 8  # processes that a CPU is given at least, however few cores it has
_CPU_INFO = Path("/proc/cpuinfo")


def check_machine(options: Mapping[str, Any]) -> None:
    """Refuse a device that is not there; say so where a number format is slow.

    Args:
        options: `trainer`'s.

    Raises:
        InputError: A GPU, or more devices, than there are.
    """
    gpus = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if options["accelerator"] == "gpu" and not gpus:
        raise InputError(
            "trainer.accelerator=gpu: torch sees no GPU on this machine; expected auto or cpu, or a driver and a torch "
            "that fit the GPU (highlight-lit doctor shows both)"
        )
    devices, most = options.get("devices", 1), max(_MANY, os.cpu_count() or 1)
    if isinstance(devices, int) and options["accelerator"] in ("auto", "gpu") and 0 < gpus < devices:
        raise InputError(f"trainer.devices={devices}: this machine has {gpus} GPUs; expected no more")
    on_cpu = options["accelerator"] == "cpu" or not gpus
    if isinstance(devices, int) and on_cpu and devices > most:
        raise InputError(f"trainer.devices={devices}: expected at most {most} processes on this machine's CPU")
    if on_cpu and str(options["precision"]).startswith("bf16") and not _has_bf16():
        say(
            f"highlight-lit: trainer.precision={options['precision']}: this CPU has no bfloat16 instructions; "
            "expect a sixth of the speed of 32-true",
            file=sys.stderr,
        )


def _has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16, True where that cannot be told."""
    with contextlib.suppress(OSError):
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            name, _, flags = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return bool(_BF16 & set(flags.split()))
    return True
