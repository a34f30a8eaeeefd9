"""The variables by which torchrun and clusters tell each process that it may be one of several; told without PyTorch."""

from __future__ import annotations

import os

# How many processes a node has: torchrun's, jsrun's, Open MPI's, MPICH's
LOCAL_SIZES = ("LOCAL_WORLD_SIZE", "JSM_NAMESPACE_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
CONTAINERS = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # set in each container of a PyTorchJob
# Set wherever there are several in all: by torchrun and a PyTorchJob, SLURM, LSF, Open MPI, MPICH
_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def several_processes() -> bool:
    """Whether this may be one of several processes that something else has started; `cluster` tells whether it is."""
    return any(name in os.environ for name in (*_SIZES, *LOCAL_SIZES))
