"""The nodes of conf/ for a network that is made in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from highlight_lit.config.run_identity import as_plain
from highlight_lit.launch import composed


def default_nodes(streams: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes `model`, `loss` and `optimizer` of conf/, for a network that reads these streams."""
    modality = "av" if len(streams) > 1 else next(iter(streams), "av")
    config = as_plain(composed("config", [f"modality={modality}", "topic=any", "data.root=."]))
    return {name: config[name] for name in ("model", "loss", "optimizer")}
