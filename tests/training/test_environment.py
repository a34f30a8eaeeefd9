"""What a run makes of the machine and the variables it finds: it goes on, or a line says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.errors import InputError
from highlight_lit.processes.locks import locked
from highlight_lit.runs.ledger import records
from highlight_lit.runs.logging import tracking
from highlight_lit.training import machine
from tests.real_processes import ended, forked, until

Train = Callable[..., int]


def statuses(out: Path) -> list[str]:
    return [record["status"] for record in records(out)]


ALLOCATIONS = [
    {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train.sh", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
    {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "x",
        "SLURM_NTASKS": "8",
        "SLURM_NTASKS_PER_NODE": "4",
        "SLURM_PROCID": "5",
    },
    {"RANK": "1", "WORLD_SIZE": "2"},
    {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "8", "MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "1"},
    {"JSM_NAMESPACE_RANK": "2", "NODE_RANK": "1", "GROUP_RANK": "1"},
]


@pytest.mark.parametrize(
    ("variables", "logger"),
    [(each, "wandb" if each in (ALLOCATIONS[0], ALLOCATIONS[2]) else "csv") for each in ALLOCATIONS],
)
def test_a_run_alone_does_not_heed_what_a_cluster_has_set(
    small_corpus: Path, tmp_path: Path, variables: dict[str, str], logger: str
) -> None:
    words = [f"data.root={small_corpus}", f"out={tmp_path}", "topic=topic01", "data.pairs=4", "tau=8", "model.d=8",
             "trainer.max_epochs=1", "evaluate.draws=10", f"logger={logger}"]  # fmt: skip
    status, said = ended("train", *words, environment=variables)
    assert (status, len(said)) == (0, 1)
    assert statuses(tmp_path) == ["done"]
    assert len(list(tmp_path.glob("wandb/offline-run-*" if logger == "wandb" else "*/csv/metrics.csv"))) == 1


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_of_once_and_trained_on(
    quick_train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert quick_train("seed=0,1", multirun=True) == 0
    said = capsys.readouterr().err
    assert said.count("no file locks here (flock: ") == 1
    assert statuses(tmp_path / "runs") == ["done", "done"]


def test_who_waits_for_a_run_says_at_once_for_which_process_on_which_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "locks" / "run"

    def hold() -> None:
        with locked(lock, "surf"):
            until(lambda: (tmp_path / "enough").exists())

    holder = forked(hold)
    until(lambda: lock.exists() and lock.read_text())
    sleep, said = time.sleep, []

    def end_the_hold(seconds: float) -> None:
        said.append(capsys.readouterr().err)  # by then
        (tmp_path / "enough").touch()
        sleep(seconds)

    monkeypatch.setattr("highlight_lit.processes.locks.time.sleep", end_the_hold)
    with locked(lock, "surf"):
        monkeypatch.undo()
    assert said[0] == f"surf: waits for process {holder} on {socket.gethostname()}, which is at it\n"
    assert not any(said[1:])
    os.waitpid(holder, 0)
    assert not list(tmp_path.glob("locks*"))


def test_a_gpu_where_there_is_none_is_a_line(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for words in (["trainer.accelerator=gpu"], ["trainer.accelerator=gpu", "trainer.devices=2"]):
        with pytest.raises(InputError, match="trainer.accelerator=gpu: torch sees no GPU"):
            quick_train(*words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "slow"), [("fpu avx2 avx512f", True), ("fpu avx512_bf16", False), ("asimd bf16", False), (None, False)]
)
def test_bf16_on_a_cpu_without_its_instructions_is_told_to_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: str | None, slow: bool
) -> None:
    info = tmp_path / "cpuinfo"
    if flags is not None:
        info.write_text(f"processor : 0\n{'Features' if 'asimd' in flags else 'flags'}\t: {flags}\n")
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    machine.check_machine({"accelerator": "auto", "precision": "bf16-mixed"})
    assert ("no bfloat16 instructions" in capsys.readouterr().err) == slow
    machine.check_machine({"accelerator": "cpu", "precision": "32-true"})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("seed", [2**32 - 1, 2**32, 2**63, 2**64, 10**30])
def test_a_seed_is_any_whole_number(quick_train: Train, tmp_path: Path, seed: int) -> None:
    assert quick_train(f"seed={seed}", "trainer.max_epochs=1") == 0
    assert [record["seed"] for record in records(tmp_path / "runs")] == [seed]


@pytest.mark.parametrize(
    "word",
    [f"{key}={10**11}" for key in ("data.pairs", "tau", "trainer.max_epochs", "evaluate.draws", "data.readers", "trainer.devices", "rank")]
    + ["data.pairs=1000000", "model.d=1000000", "fusion=full_tensor model.d=20000"],
)  # fmt: skip
def test_a_number_far_too_large_is_refused_with_the_bound_before_memory_is_asked_for(
    quick_train: Train, tmp_path: Path, word: str
) -> None:
    with pytest.raises(InputError, match="at most"):
        quick_train(*word.split(), "tau=1000000" if word == "data.pairs=1000000" else "out=" + str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_wrong_root_in_a_sweep_is_said_once(
    quick_train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str], launcher: str
) -> None:
    words = ["seed=0,1,2", f"hydra/launcher={launcher}"]
    with pytest.raises(InputError, match="nowhere/manifest.json: no such file"):
        quick_train("data.root=nowhere", *words, multirun=True)
    assert quick_train(f"data.root={tmp_path}/no1,{tmp_path}/no2", *words, multirun=True) == 1
    ends = capfd.readouterr().err.partition("of the sweep's cells failed")
    for name in ("no1", "no2"):
        assert (ends[1] + ends[2]).count(f"{name}/manifest.json") == 1


MODES = [
    ({"WANDB_MODE": "disabled"}, None, "disabled"),
    ({"WANDB_MODE": "dryrun"}, None, "offline"),
    ({"WANDB_MODE": "online"}, None, "online"),
    ({"WANDB_MODE": "online"}, "offline", "offline"),
    ({"WANDB_MODE": ""}, None, "offline"),
    ({"WANDB_DISABLED": "true"}, None, "disabled"),
    ({"WANDB_DISABLED": "false", "WANDB_MODE": "offline"}, None, "offline"),
]


@pytest.mark.parametrize(("variables", "option", "expected"), MODES)
def test_wandbs_own_switches_count_where_the_option_says_nothing(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], option: str | None, expected: str
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracking.chosen_mode(option) == expected


def test_a_wandb_mode_that_there_is_not_is_refused_before_training(
    quick_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "loud")
    with pytest.raises(InputError, match="WANDB_MODE=loud: expected online, offline or disabled"):
        quick_train("logger=wandb")


@pytest.mark.parametrize("variables", [
    {},  # no key
    {"WANDB_API_KEY": "short"},
    {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"},
    {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "no address"},
    {"WANDB_RESUME": "must", "WANDB_RUN_ID": "theirs", "WANDB_DIR": "/nowhere/at/all", "WANDB_MODE": "offline"},
])  # fmt: skip
def test_wandb_without_a_key_a_server_or_sense_costs_no_run(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    variables: dict[str, str],
) -> None:  # fmt: skip
    begin = tracking._begin

    def begin_soon(mode: str, *given: Any) -> Any:
        monkeypatch.setitem(tracking._PATIENCE_S, "init_timeout", 2 if mode == "online" else 60)
        return begin(mode, *given)

    monkeypatch.setattr(tracking, "_begin", begin_soon)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert quick_train("logger=wandb") == 0
    assert statuses(tmp_path / "runs") == ["done"]
    said = capfd.readouterr().err.splitlines()
    offline = len(list((tmp_path / "runs").glob("wandb/offline-run-*")))
    fails = ["online; goes on offline"] * (variables.get("WANDB_MODE") != "offline") + ["offline; goes on without"] * (
        1 - offline
    )
    assert [line.partition(" (")[0] for line in said] == [
        f"highlight-lit: W&B could not be used {how}" for how in fails
    ]
    assert offline == ("no address" not in variables.values())


@pytest.mark.parametrize("call", ["log_metrics", "finalize", "summary"])
def test_a_logger_that_fails_is_a_line_and_the_training_is_recorded(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the server is gone")

    if call == "summary":
        monkeypatch.setattr("wandb.sdk.wandb_summary.SummaryDict.update", fail)
    else:
        monkeypatch.setattr(f"pytorch_lightning.loggers.WandbLogger.{call}", fail)
    assert quick_train("logger=wandb") == 0
    assert statuses(tmp_path / "runs") == ["done"]
    [said] = capsys.readouterr().err.splitlines()
    assert "(ConnectionError: the server is gone)" in said
