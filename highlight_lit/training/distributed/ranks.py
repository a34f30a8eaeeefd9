"""A run on several devices: one process each, started by the command itself, which is rank 0.

Rank 0 alone writes: record, scores, checkpoint, W&B run. The others train and score their part. Lightning's own
launcher would start the command's words anew, with Hydra, its sweep and the run's lock; here the others get the
resolved configuration and nothing else.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port

from highlight_lit.errors import InputError, Interrupted, first_line
from highlight_lit.processes.children import deaf, end_with_parent
from highlight_lit.text import say

PATIENCE = 30.0  # seconds that ranks are given to end once one of them has

Work = Callable[..., object]
_GO_ON = "the same command goes on from the last checkpoint"


class Place(LightningEnvironment):
    """Tells Lightning which of how many processes this is, all on this machine.

    Args:
        rank, ranks: Which of how many.
        port: Where the ranks meet, on the loopback.
    """

    def __init__(self, rank: int, ranks: int, port: int) -> None:
        super().__init__()
        self._rank, self._ranks, self._port = rank, ranks, port

    def __repr__(self) -> str:
        return f"Place({self._rank}, {self._ranks}, {self._port})"

    @property
    def creates_processes_externally(self) -> bool:
        """True: the processes are started here, not by Lightning."""
        return True

    @property
    def main_address(self) -> str:
        """Address at which the ranks meet: this machine's loopback."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Port at which the ranks meet."""
        return self._port

    def world_size(self) -> int:
        """Number of ranks."""
        return self._ranks

    def local_rank(self) -> int:
        """This process' rank."""
        return self._rank

    def node_rank(self) -> int:
        """0: all ranks are on one machine."""
        return 0


class Ranks:
    """The other ranks of a run, as a context manager: started on entering, gone after leaving.

    Should one of them end badly and this process hang in a call that waits for it, this process is ended with status 1
    after `PATIENCE` seconds; the run can be resumed.

    Args:
        devices: How many ranks there are, this one included.
        work: What the others do, a function of a module, called with `arguments` and their place.
        arguments: Plain data.

    Attributes:
        place: Of this process; None if it is the only one.

    Raises:
        InputError: On leaving with an error: what another rank said of it, if this one knows no better than that it
            lost the other.
    """

    def __init__(self, devices: int, work: Work, *arguments: Any) -> None:
        self.place = None if devices == 1 else Place(0, devices, find_free_network_port())
        self._start = (devices, work, arguments)
        self._threads = torch.get_num_threads()
        self._others: list[tuple[Any, Connection]] = []
        self._over = threading.Event()
        self._asking = threading.Lock()  # of two threads that ask at once how a process ended, one is told it has not

    def __enter__(self) -> Ranks:
        if self.place is None:
            return self
        devices, work, arguments = self._start
        # Processes share the machine's cores. A thread for each core in each process is many times slower.
        torch.set_num_threads(max(1, self._threads // devices))
        start = multiprocessing.get_context("spawn")
        for rank in range(1, devices):
            ours, theirs = start.Pipe(duplex=False)
            place = (rank, devices, self.place.main_port)
            process = start.Process(target=_rank, args=(theirs, place, torch.get_num_threads(), work, arguments))
            with deaf():
                process.start()
            theirs.close()
            self._others.append((process, ours))
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def _watch(self) -> None:
        """End this process if another rank has failed and this one has not ended `PATIENCE` seconds later."""
        running = [process for process, _ in self._others]
        failed = False
        while running and not failed:
            wait([process.sentinel for process in running])
            with self._asking:
                running = [process for process in running if process.exitcode != 0]
                failed = any(process.exitcode for process in running)
        if running and not self._over.wait(PATIENCE):
            say(f"highlight-lit: {self._said() or 'a rank ended'}", file=sys.stderr)
            os._exit(1)

    def _said(self) -> str:
        """What the ranks that failed gave as the reason."""
        for rank, (process, ours) in enumerate(self._others, 1):
            try:
                if ours.poll():
                    return str(ours.recv())
            except EOFError:
                pass
            if (process.exitcode or 0) < 0:
                return f"rank {rank} of {len(self._others) + 1} was ended by signal {-process.exitcode}; " + _GO_ON
        return ""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.place is None:
            return
        self._over.set()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        torch.set_num_threads(self._threads)
        with self._asking:
            for process, _ in self._others:
                process.join(PATIENCE if error is None else 3.0)
        lost = isinstance(error, Exception) and not isinstance(error, InputError)
        said = self._said() if lost else ""
        for process, ours in self._others:
            with self._asking:
                if process.is_alive():
                    process.kill()
                    process.join()
            ours.close()
        if said:
            raise InputError(said) from error


def _rank(parent: Connection, place: tuple[int, int, int], threads: int, work: Work, arguments: Any) -> None:
    """The main function of another rank: do the work, say what went wrong; end when rank 0 does."""
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        work(*arguments, Place(*place))
    except Interrupted as stop:
        os._exit(stop.status)
    except Exception as error:
        where = "" if isinstance(error, InputError) else f"rank {place[0]} of {place[1]}: "
        parent.send(f"{where}{first_line(error)}")
        os._exit(1)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
