"""Signals that stop a command: raised where it can tidy up, one line, the status that shells give."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.errors import Interrupted
from highlight_lit.files import atomic_write
from highlight_lit.processes.children import deaf
from highlight_lit.processes.ending_jobs import conducted
from highlight_lit.processes.signals import Signals, raised_signals
from tests.real_processes import exit_status, forked, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_raised_so_that_what_was_begun_is_cleared_away(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped, raised_signals("x"), atomic_write(tmp_path / "out"):
        os.kill(os.getpid(), number)
    assert stopped.value.status == 128 + number
    assert str(stopped.value) == f"stopped by {number.name}; x"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


def test_a_signal_that_is_sent_twice_does_not_stop_the_tidying_up(tmp_path: Path) -> None:
    def twice() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            (tmp_path / "tidied").touch()

    with pytest.raises(Interrupted), raised_signals():
        twice()
    assert (tmp_path / "tidied").exists()


def test_a_signal_within_an_import_is_raised_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within, a library may take it for an error of its own."""
    (tmp_path / "takes_all.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\nexcept BaseException:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        importlib.import_module("takes_all")
        time.sleep(5)

    for handled in (raised_signals("x"), Signals()):
        monkeypatch.delitem(sys.modules, "takes_all", raising=False)
        with pytest.raises(Interrupted), handled:
            work()
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_signal_within_an_import_waits_with_those_that_are_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a process starts, which an exception would leave half started."""
    (tmp_path / "is_told.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    monkeypatch.syspath_prepend(tmp_path)
    held: list[int] = []
    with raised_signals():
        importlib.import_module("is_told")
        before = signal.signal(signal.SIGTERM, lambda number, _: held.append(number))
        until(lambda: held)
        signal.signal(signal.SIGTERM, before)
    assert held == [signal.SIGTERM]


@pytest.mark.parametrize("taken", [raised_signals, Signals])
def test_a_signal_that_comes_while_an_object_is_cleared_away_is_not_lost(taken: Callable[[], Any]) -> None:
    class Thing:
        def __del__(self) -> None:
            if self.__dict__.get("loud"):
                signal.raise_signal(signal.SIGTERM)

    for loud in (True, False):
        thing = Thing()
        thing.__dict__["loud"] = loud
        if not loud:
            weakref.finalize(thing, signal.raise_signal, signal.SIGTERM)
        with pytest.raises(Interrupted), taken():  # noqa: PT012
            del thing
            time.sleep(5)


def test_a_signal_that_comes_while_hdf5_writes_waits_for_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from highlight_lit.data.shards.sink import Sink

    (tmp_path / "a").touch()
    with Sink(tmp_path / "a", "r+") as sink, pytest.raises(Interrupted), raised_signals():  # noqa: PT012
        data = Loud(b"abc")
        assert sink.write(data) == 3
        time.sleep(5)
    assert (tmp_path / "a").read_bytes() == b"abc"


class Loud(bytes):
    """Bytes whose length is asked for as a signal comes."""

    def __len__(self) -> int:
        signal.raise_signal(signal.SIGTERM)
        return super().__len__()


def test_a_command_that_was_stopped_ends_though_a_library_waits_for_a_lock() -> None:
    code = (
        "import sys, threading, signal, highlight_lit.cli, highlight_lit.__main__ as program\n"
        "program.END_S = 0.5\n"
        "highlight_lit.cli.main = lambda: 143\n"
        "threading.Thread(target=threading.Lock().__enter__).start()\n"
        "lock = threading.Lock(); lock.acquire(); threading.Thread(target=lock.acquire).start()\n"
        "sys.exit(program.main())"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 143


def test_a_signal_that_comes_when_all_is_done_changes_nothing() -> None:
    late = "import atexit, signal; atexit.register(signal.raise_signal, signal.SIGINT)"
    code = (
        f"import sys; {late}; sys.argv[1:] = ['--version']; from highlight_lit.__main__ import main; sys.exit(main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_signal_that_is_repeated_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("highlight_lit.processes.signals.REPEAT_S", -1.0)
    with raised_signals():
        for _ in range(2):
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)


def test_hangup_stays_ignored_under_nohup() -> None:
    def work() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with raised_signals():
            os.kill(os.getpid(), signal.SIGHUP)

    assert exit_status(forked(work)) == 0


def test_hangup_stays_ignored_under_nohup_by_a_sweep_whose_jobs_are_other_processes(tmp_path: Path) -> None:
    """In such a sweep the main thread takes no signal, and one that is ignored then waits as any other does."""

    def work() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Signals() as signals, conducted(tmp_path, signals):
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.6)
            assert signals.received is None
            os.kill(os.getpid(), signal.SIGTERM)
            until(lambda: signals.received == signal.SIGTERM)

    assert exit_status(forked(work)) == 0


def test_threads_of_libraries_take_no_signal_for_a_sweep_whose_main_thread_takes_none() -> None:
    """One that did would run the handler of a library: Ray's ends the process at once."""
    code = """
import os, re, signal, sys
from pathlib import Path
from highlight_lit.__main__ import main
sys.argv[1:] = []
main()
for task in Path("/proc/self/task").iterdir():
    blocked = int(re.search(r"SigBlk:\\s*(\\w+)", (task / "status").read_text())[1], 16)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        assert bool(blocked >> (number - 1) & 1) == (int(task.name) != os.getpid()), (task.name, number)
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("taken", [raised_signals, Signals])
def test_a_signal_that_a_librarys_thread_takes_while_a_process_starts_is_raised_after_that(
    taken: Callable[[], Any],
) -> None:
    over, started = threading.Event(), []
    listens = threading.Thread(target=over.wait)  # its mask is that of this thread, before it is deaf
    listens.start()
    try:
        with pytest.raises(Interrupted), taken():  # noqa: PT012
            with deaf():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.2)
                started.append("a process")
            time.sleep(5)
    finally:
        over.set()
        listens.join()
    assert started == ["a process"]


def test_a_process_that_was_forked_as_signals_were_blocked_can_take_them_again() -> None:
    def work() -> None:
        with pytest.raises(Interrupted), Signals():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with deaf():
        child = forked(work)
    assert exit_status(child) == 0


def test_another_thread_changes_no_handler() -> None:
    seen = []

    def work() -> None:
        with raised_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
