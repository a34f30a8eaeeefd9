"""One run on processes that torchrun or a cluster has started: the measures of one, one record, one W&B run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from lightning_fabric.plugins.environments.lsf import LSFEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from highlight_lit.errors import InputError
from highlight_lit.training.distributed import cluster
from tests.real_processes import begun, end_of, executables, python
from tests.training.distributed.test_ranks import WORDS, assert_as_on_one, records

Train = Callable[..., int]


@pytest.fixture
def words(small_corpus: Path, tmp_path: Path) -> list[str]:
    """A run that is the same on any number of ranks."""
    return ["train", f"data.root={small_corpus}", f"out={tmp_path / 'two'}", "topic=topic01", "tau=8", "model.d=8",
            "evaluate.draws=10", "logger.mode=offline", *WORDS]  # fmt: skip


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    command = python("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "highlight_lit",
                     *words)  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": str(executables() / "python")}
    return subprocess.run(command, text=True, capture_output=True, timeout=300, env=environment)


def srun(*words: str, **further: str) -> list[tuple[int, list[str]]]:
    """Two processes with the variables that srun sets."""
    shared = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NNODES": "1",
              "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "SLURM_STEP_ID": "0",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), **further}  # fmt: skip
    tasks = [begun(*words, environment={**shared, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}) for rank in ("0", "1")]
    return [end_of(task) for task in tasks]


def assert_one_run(quick_train: Train, tmp_path: Path) -> None:
    assert quick_train(*WORDS, f"out={tmp_path / 'one'}") == 0
    assert_as_on_one(tmp_path / "one", tmp_path / "two")
    assert len(list((tmp_path / "two").glob("wandb/offline-run-*"))) == 1
    assert not list((tmp_path / "two").glob(".locks*"))


def test_torchrun_trains_one_run_which_is_then_done(quick_train: Train, tmp_path: Path, words: list[str]) -> None:
    for line in ("epochs in", "done before"):
        found = torchrun(*words)
        assert found.returncode == 0, found.stderr
        assert len(found.stdout.splitlines()) == 1
        assert line in found.stdout
    assert_one_run(quick_train, tmp_path)


@pytest.mark.parametrize("further", [[], ["trainer.devices=2"]])
def test_srun_trains_one_run(quick_train: Train, tmp_path: Path, words: list[str], further: list[str]) -> None:
    ended = srun(*words, *further)
    assert [status for status, _ in ended] == [0, 0]
    assert [len(said) for _, said in ended] == [1, 0]
    assert_one_run(quick_train, tmp_path)


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        (TorchElasticEnvironment, {"WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "SLURM_NNODES": "1"}),
        (SLURMEnvironment, {"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "LOCAL_WORLD_SIZE": "6"}),
        (LSFEnvironment, {"JSM_NAMESPACE_SIZE": "6", "JSM_NAMESPACE_LOCAL_SIZE": "2", "SLURM_NNODES": "1"}),
    ],
)
def test_processes_of_several_nodes_are_those_nodes_devices(
    kind: type[ClusterEnvironment], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in variables:
        monkeypatch.setenv(name, variables[name])
    assert cluster.devices_and_nodes(kind.__new__(kind)) == {"devices": 2, "num_nodes": 3}


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        (SLURMEnvironment, {"SLURM_NTASKS": "5", "SLURM_NNODES": "2"}),
        (SLURMEnvironment, {"SLURM_NTASKS": "8", "SLURM_NNODES": "3"}),
        (TorchElasticEnvironment, {"WORLD_SIZE": "5", "LOCAL_WORLD_SIZE": "2"}),
    ],
)
def test_nodes_that_do_not_have_as_many_processes_each_are_refused(
    kind: type[ClusterEnvironment], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would count other ranks than there are."""
    for name in variables:
        monkeypatch.setenv(name, variables[name])
    with pytest.raises(InputError, match="processes, and not as many on each node"):
        cluster.devices_and_nodes(kind.__new__(kind))


def test_each_container_of_a_pytorch_job_is_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    place = cluster.detected({"devices": 1, "num_nodes": 4})
    assert place is not None
    assert cluster.devices_and_nodes(place) == {"devices": 1, "num_nodes": 4}


def test_a_sweep_or_another_number_of_processes_under_srun_is_refused_in_a_line(
    words: list[str], tmp_path: Path
) -> None:
    for more, says in ((["-m", "seed=0,1"], "-m: a sweep under torchrun or srun"),
                       (["trainer.devices=3"], "trainer.devices=3, trainer.num_nodes=1: expected 2 processes")):  # fmt: skip
        for status, said in srun(*words, *more):
            assert status == 2
            assert len(said) == 1
            assert says in said[0]
    assert not (tmp_path / "two").exists()


def test_ranks_count_where_dropout_draws_on_each(small_corpus: Path, tmp_path: Path, quick_train: Train) -> None:
    words = ["trainer.accelerator=cpu", "trainer.max_epochs=1", f"out={tmp_path}"]
    for further in (["trainer.devices=1"], ["trainer.devices=2"]):
        assert quick_train(*words, *further) == 0
    assert len(list(records(tmp_path))) == 2
