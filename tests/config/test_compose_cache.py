"""A cell of a sweep is configured as Hydra itself would, and a further one in a fraction of the time."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from highlight_lit.config.compose_cache import CachedConfigLoader
from highlight_lit.launch import CONFIG_DIR

BASE = ["data.root=C", "topic=dog"]


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        yield GlobalHydra.instance().hydra.config_loader


def master(loader: ConfigLoader, *words: str) -> DictConfig:
    return loader.load_configuration("config", [*BASE, *words], RunMode.MULTIRUN)


def test_every_cell_is_the_one_that_hydra_composes(loader: ConfigLoader) -> None:
    cells = [
        ["seed=0"], ["seed=1"], ["hydra.job.config.override_dirname.exclude_keys=[out]", "seed=1"],
        ["hydra.job.config.override_dirname.exclude_keys=[out]", "seed=2"], ["hydra.job.config.override_dirname.kv_sep=-", "seed=3"], ["seed=1", "rank=2"], ["rank=4", "seed=2"], ["rank=8", "seed=3"], ["topic='a,b'"],
        ["topic=cat"], ["data.fold=1/2"], ["data.fold=null"], ["fusion=low_rank", "rank=2"], ["fusion=concat", "rank=2"],
        ["fusion=low_rank", "rank=3"], ["experiment=guided", "seed=4"], ["experiment=paper", "seed=4"],
        ["experiment=guided", "seed=5"], ["+trainer.precision=64-true"], ["+trainer.precision=32-true"],
        ["~trainer.benchmark", "seed=1"], ["seed=1", "beta=0.5", "seed=2"], ["seed=3", "beta=0.5", "seed=4"],
        ["out=${study}"], ["out=x"], ["tau=${rank}", "rank=2"], ["tau=${rank}", "rank=3"], ["model.context=null"], ["model.context={a: 1}"], ["callbacks=[last]"], ["callbacks=none"],
        ["beta=1e-3", "compile=true"], ["beta=2.5", "compile=false"], ["hydra.job.name=x", "seed=7"], ["hydra.job.name=y", "seed=7"],
    ]  # fmt: skip
    quick = CachedConfigLoader(loader)
    of = master(loader, "out=elsewhere")
    for words in cells:
        given = [*BASE, "out=elsewhere", *words]
        try:
            expected = loader.load_sweep_config(of, given)
        except HydraException as error:
            with pytest.raises(type(error)):
                quick.load_sweep_config(of, given)
            continue
        for _ in range(2):  # composed, and remembered
            found = quick.load_sweep_config(of, given)
            assert OmegaConf.to_container(found) == OmegaConf.to_container(expected), words
            assert OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
        found.seed = 99  # what a job does to its own is not another's
    assert pickle.loads(pickle.dumps(quick)).list_groups("") == loader.list_groups("")  # as launchers send it


def test_a_key_that_is_not_there_is_refused_in_a_further_cell_too(loader: ConfigLoader) -> None:
    quick = CachedConfigLoader(loader)
    quick.load_sweep_config(master(loader), [*BASE, "seed=1"])
    with pytest.raises(HydraException, match="nosuch"):
        quick.load_sweep_config(master(loader), [*BASE, "nosuch=1"])


def test_hydra_composes_the_first_of_the_cells_that_differ_in_a_number_alone(
    loader: ConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra takes 0.1 s for a cell, a copy 0.01 s."""
    quick, of, composed = CachedConfigLoader(loader), master(loader), []
    compose = loader.load_sweep_config
    monkeypatch.setattr(loader, "load_sweep_config", lambda *given: composed.append(given) or compose(*given))
    for seed in range(5):
        assert quick.load_sweep_config(of, [*BASE, f"seed={seed}"]).seed == seed
    assert len(composed) == 1


def test_done_before_imports_nothing_of_training(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path
) -> None:
    """Neither what trains nor what draws or logs; and in less processor time than PyTorch's import alone."""
    assert quick_train("seed=0,1", multirun=True) == 0
    code = (
        "import sys\nfrom highlight_lit.cli import main\nstatus = main(sys.argv[1:])\n"
        "taken = {name.partition('.')[0] for name in sys.modules}\n"
        "print('loaded', sorted(taken & {'torch', 'lightning', 'pytorch_lightning', 'matplotlib', 'wandb', 'sklearn', 'av'}))\n"
        "sys.exit(status)"
    )
    given = ["train", "-m", "seed=0,1", f"data.root={small_corpus}", f"out={tmp_path / 'runs'}",
             "data.pairs=4", "tau=8", "model.d=8", "topic=topic01", "trainer.max_epochs=2", "logger=none",
             "evaluate.draws=10"]  # fmt: skip
    before = os.times()
    again = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)
    between = os.times()
    subprocess.run([sys.executable, "-c", "import pytorch_lightning"], check=True)
    after = os.times()
    assert again.stdout.count("done before") == 2, again.stderr
    assert again.stdout.splitlines()[-1] == "loaded []"
    took = between.children_user + between.children_system - before.children_user - before.children_system
    training = after.children_user + after.children_system - between.children_user - between.children_system
    assert took < training
