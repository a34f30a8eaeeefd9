"""Compose cells of a sweep that differ in values alone once: Hydra takes 0.1 s for each, and composes each twice."""

from __future__ import annotations

import pickle
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

MAX_KEPT = 64  # configurations


class CachedConfigLoader:
    """Hydra's loader of configurations, which remembers what it has composed for a cell of a sweep.

    A further cell with other values of the same keys is a copy with those values. Whatever else a cell may be told (groups,
    added and deleted keys, mappings, lists, interpolations) belongs to what is remembered, or is left to Hydra.

    Hydra has no hook for it: `Sweep` puts it in the place of the loader of the Hydra object under way, before the sweeper
    takes that.

    Args:
        loader: Hydra's own, which does all else.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._kept: dict[tuple[str, ...], bytes] = {}  # pickled, which is copied faster than a DictConfig is
        self._groups: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is unpickled, in a launcher's process, it has no loader yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """A cell's configuration; as Hydra's own method."""
        words = [*master_config.hydra.overrides.hydra, *sweep_overrides]
        overrides = OverridesParser.create().parse_overrides(words)
        values = [each for each in overrides if self._is_value(each)]
        keys = [str(each.key_or_group) for each in overrides if not self._is_group(each)]
        shape = tuple(str(each.key_or_group if each in values else each.input_line) for each in overrides)
        if any(word.startswith("hydra.searchpath") for word in words) or _overlap(keys):
            return self._loader.load_sweep_config(master_config, sweep_overrides)
        if (kept := self._kept.get(shape)) is None:
            composed = self._loader.load_sweep_config(master_config, sweep_overrides)
            if len(self._kept) < MAX_KEPT:
                self._kept[shape] = pickle.dumps(composed)
            return composed
        config: DictConfig = pickle.loads(kept)
        for each in values:
            OmegaConf.update(config, str(each.key_or_group), each.value(), merge=True)
        told = [each for each in overrides if not each.is_hydra_override()]
        config.hydra.overrides.task = [each.input_line for each in told]
        how = config.hydra.job.config.override_dirname
        named = sorted(str(each.input_line) for each in told if each.key_or_group not in how.exclude_keys)
        config.hydra.job.override_dirname = how.item_sep.join(named).replace("=", how.kv_sep)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether an override does no more than give a plain value to a key that is there."""
        value = override.value()
        if override.type is not OverrideType.CHANGE or override.package is not None or override.is_hydra_override():
            return False
        if not isinstance(value, str | int | float | None) or (isinstance(value, str) and "${" in value):
            return False
        return not self._is_group(override)

    def _is_group(self, override: Override) -> bool:
        key = str(override.key_or_group)
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key]


def _overlap(keys: list[str]) -> bool:
    """Whether a key is given twice, or within another."""
    return len(set(keys)) < len(keys) or any(key.startswith(f"{other}.") for key in keys for other in keys)
