"""The line that a run ends with: its cell, its measure beside the levels, its time."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from highlight_lit.runs.names import cell_name
from highlight_lit.text import percent


def run_line(record: dict[str, Any], words: Sequence[str] | None) -> str:
    """A run in one line: its cell, its measure beside the levels, its time.

    Args:
        record: Of a run that is done.
        words: Its overrides.
    """
    cell = cell_name(record, words or ())
    where = str(Path(record["config"]["out"]) / record["id"])
    if record.get("skipped"):
        return f"{cell}: done before, {where}"
    took = f"{record['epochs']} epochs in {record['seconds']:.1f} s"
    evaluation = record.get("evaluation")
    if evaluation is None:
        return f"{cell}: {took}{_learned(record)}, no labels to evaluate on; next: {_next(record, where)}"
    name = evaluation["primary"]
    levels = evaluation["levels"]
    value = evaluation["measures"][name]["mean"]
    chance, middle = (levels[level]["measures"][name]["mean"] for level in ("chance", "middle"))
    return f"{cell}: {name} {percent(value)} (chance {percent(chance)}, middle {percent(middle)}), {took}; {where}"


def _learned(record: dict[str, Any]) -> str:
    """What a run without labels has to show: how it tells the bags apart."""
    losses = record["losses"]
    right = {"bag accuracy": losses.get("train/bag_accuracy"), "on videos held out": losses.get("val/bag_accuracy")}
    parts = [f"loss {losses['train/loss']:.4f}"] if losses.get("train/loss") is not None else []
    parts += [f"{name} {percent(accuracy)} %" for name, accuracy in right.items() if accuracy is not None]
    return "".join(f", {part}" for part in parts)


def _next(record: dict[str, Any], where: str) -> str:
    """The command that gives scores."""
    root = record["config"].get("data", {}).get("root", "DIR")
    return shlex.join(["highlight-lit", "score", "--corpus", str(root), "--checkpoint", f"{where}/last.ckpt"])
