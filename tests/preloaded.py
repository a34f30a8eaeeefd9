"""A Python that has imported the libraries already: 0.1 s in place of 4 s for each process that a test starts.

`python preloaded.py serve SOCKET` imports them once and forks a process for each that asks; `python preloaded.py run SOCKET
WORDS`, which is quick to start, is Python for `-m MODULE` and `-c CODE`: the process has its folder, environment, standard
streams and signals, and its end is the process's end. Nothing of highlight_lit is imported before the fork.

For tests that neither the start of a process nor the processes that are left of it concern.
"""

import gc
import itertools
import json
import os
import select
import signal
import socket
import sys

LIBRARIES = (
    "torch",
    "pytorch_lightning",
    "torchmetrics",
    "hydra.main",
    "omegaconf",
    "h5py",
    "numpy.random",
    "rich.console",
)
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MAX_REQUEST = 1 << 20  # bytes


def serve(path: str) -> None:
    """Fork a process for each that asks, until standard input ends; returns in each of them."""
    for library in LIBRARIES:
        __import__(library)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not be in the forked processes"
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who waits for them
        while True:
            ready = select.select([server, 0], [], [])[0]
            if 0 in ready:
                os._exit(0)
            asks = server.accept()[0]
            if os.fork() == 0:
                server.close()
                return _begin(asks)
            asks.close()


def _begin(asks: socket.socket) -> None:
    """Returns in the process that was asked for; stays behind to tell how it ended, and ends it if nobody waits any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams, _, _ = socket.recv_fds(asks, MAX_REQUEST, 3)
    length = int.from_bytes(request[:8], "big")
    request = request[8:]
    while len(request) < length:
        request += asks.recv(MAX_REQUEST)
    process = os.fork()
    if process:
        for stream in (0, 1, 2, *streams):
            os.close(stream)
        asks.sendall(process.to_bytes(8, "big"))
        ended = os.pidfd_open(process)
        if ended not in select.select([ended, asks], [], [])[0]:
            os.kill(process, signal.SIGKILL)
        asks.sendall(os.waitpid(process, 0)[1].to_bytes(8, "big"))
        os._exit(0)
    os.setsid()
    asks.close()
    for number in FORWARDED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for to, stream in enumerate(streams):
        os.dup2(stream, to)
        os.close(stream)
    asked = json.loads(request)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    numpy = sys.modules["numpy"]
    numpy.random.seed()
    sys.argv[:] = ["python", *asked["words"]]


def become(words: list[str]) -> None:
    """Do what `python WORDS` does."""
    import runpy

    options = list(itertools.takewhile(lambda word: word in ("-P", "-u"), words))
    safe = "-P" in options
    how, what, *rest = words[len(options) :]
    sys.path[0:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.argv[:] = [how, *rest]
    if not safe:
        sys.path.insert(0, os.getcwd() if how == "-m" else "")
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


def run(path: str, words: list[str]) -> None:
    """Ask for a process, and end as it does."""
    with socket.socket(socket.AF_UNIX) as asks:
        asks.connect(path)
        request = json.dumps({"folder": os.getcwd(), "environment": dict(os.environ), "words": words}).encode()
        socket.send_fds(asks, [len(request).to_bytes(8, "big")], [0, 1, 2])
        asks.sendall(request)
        process = int.from_bytes(asks.recv(8), "big")
        for number in FORWARDED:
            signal.signal(number, lambda number, _: os.kill(process, number))
        ended = os.waitstatus_to_exitcode(int.from_bytes(asks.recv(8), "big"))
    if ended < 0:
        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    os._exit(ended)


if __name__ == "__main__":
    what, where, *words = sys.argv[1:]
    if what == "run":
        run(where, words)
    else:
        serve(where)
        become(sys.argv[1:])
