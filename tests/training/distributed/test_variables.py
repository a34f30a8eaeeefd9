"""A cluster's process does not take the run of one rank for its own, whatever started it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from highlight_lit.training.done_before import done_before

STARTED_BY = {
    "torchrun": {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "TORCHELASTIC_RUN_ID": "1"},
    "a PyTorchJob": {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"},
    "srun": {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_ID": "0"},
    "jsrun": {"JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_LOCAL_SIZE": "2", "JSM_NAMESPACE_RANK": "1"},
    "a batch job of LSF": {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "hosts"},
    "mpirun of Open MPI": {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
    "mpiexec of MPICH": {"PMI_RANK": "1", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"},
    "aprun and srun --mpi=pmi2": {"PMI_SIZE": "2", "PMI_RANK": "1"},
}


@pytest.mark.parametrize("kind", STARTED_BY)
def test_one_of_several_processes_asks_for_no_run_of_one_rank(
    kind: str, short_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((short_run / "record.json").read_text())["config"] | {"out": str(short_run.parent)}
    assert done_before(config) is not None
    for name, value in STARTED_BY[kind].items():
        monkeypatch.setenv(name, value)
    assert done_before(config) is None


def test_the_variables_are_read_without_pytorch() -> None:
    code = "import sys, highlight_lit.training.distributed.variables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
