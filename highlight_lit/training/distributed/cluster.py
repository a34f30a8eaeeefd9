"""Where a run's processes are: this one alone, those of torchrun or a cluster, or others on this machine (`ranks`).

What started several processes says so in variables (`variables`), which Lightning's environments read. Those that are
left over (RANK in a container, SLURM_NTASKS in a batch script without srun) count only where `trainer.devices` and
`trainer.num_nodes` say the same. Rank 0 alone holds the run and writes; the others are told by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.kubeflow import KubeflowEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.lsf import LSFEnvironment
from lightning_fabric.plugins.environments.mpi import MPIEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from highlight_lit.errors import InputError
from highlight_lit.training.distributed.variables import CONTAINERS, LOCAL_SIZES


def single_process() -> LightningEnvironment:
    """This process alone, whatever SLURM's and torchrun's variables say."""
    place = LightningEnvironment()
    place.set_global_rank(0)  # Lightning takes it from RANK or SLURM_PROCID otherwise, and then logs nothing
    return place


def started_externally() -> bool:
    """Whether this is certainly one of several processes that something else has started."""
    return (TorchElasticEnvironment.detect() and int(os.environ.get("WORLD_SIZE", 1)) > 1) or _srun_step()


def _srun_step() -> bool:
    step = "SLURM_STEP_ID" in os.environ or "SLURM_STEPID" in os.environ
    return step and SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1


def detected(options: Mapping[str, Any]) -> ClusterEnvironment | None:
    """The environment of several processes that something else has started; None if there is none.

    Args:
        options: `trainer`'s.

    Raises:
        InputError: `devices` and `num_nodes` ask for another number of processes.
    """
    devices, nodes = options.get("devices"), options.get("num_nodes") or 1
    asked = devices * nodes if isinstance(devices, int) else None
    kinds: list[Any] = [TorchElasticEnvironment, LSFEnvironment, MPIEnvironment, SLURMEnvironment]
    kind = next((kind for kind in kinds if kind.detect()), None)
    if kind is None and os.environ.keys() >= CONTAINERS:
        kind = KubeflowEnvironment
    if kind is None:
        return None
    if kind is SLURMEnvironment:  # Lightning asks for --ntasks-per-node, which --ntasks and --nodes say as well
        tasks, machines = (int(os.environ.get(name, 1)) for name in ("SLURM_NTASKS", "SLURM_NNODES"))
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(tasks // machines))
    certain = started_externally() or kind in (LSFEnvironment, MPIEnvironment)
    place: ClusterEnvironment = kind()
    ranks = place.world_size()
    if ranks < 2 or (not certain and asked != ranks):
        return None
    if asked not in (None, 1, ranks):
        raise InputError(
            f"trainer.devices={devices}, trainer.num_nodes={nodes}: expected {ranks} processes in all, as many as were "
            "started (or leave both out)"
        )
    return place


def devices_and_nodes(place: ClusterEnvironment) -> dict[str, int]:
    """`devices` and `num_nodes` of an environment.

    Raises:
        InputError: Its nodes do not have as many processes each, as Lightning takes them to have.
    """
    ranks = place.world_size()
    if isinstance(place, SLURMEnvironment):
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        local = ranks // nodes
    else:
        local = next((int(os.environ[name]) for name in LOCAL_SIZES if name in os.environ), ranks)
        local = 1 if isinstance(place, KubeflowEnvironment) else local  # a container is a node, and has one process
        nodes = ranks // local
    if local * nodes != ranks:
        raise InputError(f"{ranks} processes, and not as many on each node; expected as many (srun --ntasks-per-node)")
    return {"devices": local, "num_nodes": nodes}


@contextmanager
def process_group(place: ClusterEnvironment | None) -> Iterator[None]:
    """Join the process group of an environment, and leave it at the end; does nothing without an environment."""
    if place is None:
        yield
        return
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.main_address, str(place.main_port)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank() % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, rank=place.global_rank(), world_size=place.world_size())
    place.set_global_rank(place.global_rank())
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def announce(place: ClusterEnvironment | None, word: str) -> None:
    """Send a word from rank 0 to the other processes."""
    if place is not None:
        torch.distributed.broadcast_object_list([word], 0)


def announced() -> str:
    """The word that rank 0 sends by `announce`."""
    said = [""]
    torch.distributed.broadcast_object_list(said, 0)
    return said[0]
