"""`hydra/launcher=stacked`: the cells of a sweep are trained together as far as they can be, then end one by one."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, filter_overrides, setup_globals
from omegaconf import open_dict, read_write


class StackedLauncher(BasicLauncher):
    """Trains what can be stacked, and leaves each cell's `last.ckpt` at its end; then every cell is run as ever.

    Args:
        members: Cells that are trained at once, at most; None: as many as the memory allows.
        cpu: Whether cells are stacked on a CPU too: always, never, or (auto) where a step is so small that it pays.
    """

    def __init__(self, members: int | None = None, cpu: str = "auto") -> None:
        super().__init__()
        self.members, self.cpu = members, cpu

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train, and run the jobs."""
        from highlight_lit.training.stacked.sweep import train_stacked

        setup_globals()
        assert self.hydra_context is not None and self.config is not None
        cells = []
        for words in job_overrides:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(words))
            with read_write(config), open_dict(config):
                del config["hydra"]  # as a job sees it
            cells.append((config, filter_overrides(words)))
        train_stacked(cells, self.members, self.cpu)
        return super().launch(job_overrides, initial_job_idx)
