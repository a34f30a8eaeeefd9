"""A Python that has imported the libraries already: 0.1 s in place of 4 s for each process that a test starts.

`python preloaded.py serve SOCKET` imports them once and forks a process for each that asks; `python preloaded.py run SOCKET
WORDS`, which is quick to start, is Python for `-m MODULE` and `-c CODE`: the process has its folder, environment, file
descriptors, mask of signals and signals, and its end is the process's end. Nothing of highlight_lit is imported before the
fork. What the process starts by `sys.executable`, as multiprocessing and joblib do, starts so too: by `python` in the
socket's folder.

Where a library starts a thread as it is imported, as some do beside a GPU, each process is begun as ever.

The process has a session of its own. Its number is a file's name in the folder `SESSIONS`, if the environment has one.
"""

import array
import atexit
import ctypes
import fcntl
import gc
import itertools
import json
import os
import select
import signal
import socket
import stat
import sys
import types

LIBRARIES = (
    "torch",
    "pytorch_lightning",
    "torchmetrics",
    "hydra.main",
    "omegaconf",
    "h5py",
    "multiprocessing.spawn",
    "numpy.random",
    "rich.console",
)
SESSIONS = "HIGHLIGHT_LIT_TEST_SESSIONS"
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KNOWN_BY_NUMBER = ["submitit.local._local"]  # modules whose process is told by its number; they need no library
MAX_REQUEST = 1 << 20  # bytes
MAX_DESCRIPTORS = 100


def serve(path: str) -> None:
    """Fork a process for each that asks, until standard input ends; returns in each of them."""
    libraries: dict[str, types.ModuleType] = {}
    atexit.register(_leave, libraries)  # before those of the libraries, to come after them
    for library in LIBRARIES:
        __import__(library)
        if library == "torch":
            # The end of PyTorch's static objects is left out: it would copy their pages, for 0.15 s. What is loaded later,
            # HDF5 say, ends as ever, before this.
            c = ctypes.CDLL(None)
            c.on_exit(c._exit, None)
            c.__cxa_atexit(c.fflush, None, None)
    libraries.update({name: module for name, module in sys.modules.items() if "/site-packages/" in str(module)})
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(libraries))
    if len(os.listdir("/proc/self/task")) > 1:
        sys.stderr.write(
            "tests: a library has started a thread, which a fork would lack; processes begin the slow way\n"
        )
        open(path, "w").close()
        os._exit(0)
    sys.executable = os.path.join(os.path.dirname(path), "python")
    sys.modules["multiprocessing.spawn"].set_executable(sys.executable)
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


def _leave(libraries: dict[str, types.ModuleType]) -> None:
    """Leave the libraries out of what Python takes apart at its end: it would copy each of their pages, for 0.25 s."""
    for name, module in libraries.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def _begin(asks: socket.socket) -> None:
    """Returns in the process that was asked for; stays behind to tell how it ended, and ends it if nobody waits any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, received, _, _ = socket.recv_fds(asks, MAX_REQUEST, MAX_DESCRIPTORS)
    length = int.from_bytes(request[:8], "big")
    request = request[8:]
    while len(request) < length:
        request += asks.recv(MAX_REQUEST)
    process = os.fork()
    if process:
        for descriptor in {0, 1, 2, *received}:
            os.close(descriptor)
        asks.sendall(process.to_bytes(8, "big"))
        ended = os.pidfd_open(process)
        if ended not in select.select([ended, asks], [], [])[0]:
            os.kill(process, signal.SIGKILL)
        asks.sendall(os.waitpid(process, 0)[1].to_bytes(8, "big"))
        os._exit(0)
    asked = json.loads(request)
    os.setsid()
    asks.close()
    if folder := asked["environment"].get(SESSIONS):
        open(os.path.join(folder, str(os.getpid())), "w").close()
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else
                      signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)  # fmt: skip
    signal.pthread_sigmask(signal.SIG_SETMASK, asked["blocked"])
    above = max(asked["descriptors"]) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in received]
    for descriptor in received:
        os.close(descriptor)
    for descriptor, to in zip(moved, asked["descriptors"], strict=True):
        os.dup2(descriptor, to)
        os.close(descriptor)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.modules["numpy"].random.seed()
    sys.argv[:] = ["python", *asked["words"]]


def become(words: list[str]) -> None:
    """Do what `python WORDS` does."""
    import runpy

    options = list(itertools.takewhile(lambda word: word not in ("-c", "-m"), words))
    safe = "-P" in options
    how, what, *rest = words[len(options) :]
    sys.path[0:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.argv[:] = [how, *rest]
    if not safe:
        sys.path.insert(0, os.getcwd() if how == "-m" else "")
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = main = types.ModuleType("__main__")  # it has no file, which multiprocessing would run
        exec(compile(what, "<string>", "exec"), vars(main))


def run(path: str, words: list[str]) -> None:
    """Ask for a process, and end as it does."""
    forks = stat.S_ISSOCK(os.stat(path).st_mode)
    if not forks or (words[0] == "-m" and words[1] in KNOWN_BY_NUMBER):
        os.execv(sys.executable, [sys.executable, *words])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    ignored = [number for number in FORWARDED if signal.getsignal(number) == signal.SIG_IGN]
    descriptors = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)]
    with socket.socket(socket.AF_UNIX) as asks:
        asks.connect(path)
        request = json.dumps({
            "folder": os.getcwd(), "environment": dict(os.environ), "words": words, "descriptors": descriptors,
            "blocked": list(blocked), "ignored": ignored,
        }).encode()  # fmt: skip
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        asks.sendmsg([len(request).to_bytes(8, "big")], [rights])
        asks.sendall(request)
        for descriptor in descriptors:
            if descriptor > 2:
                os.close(descriptor)  # who waits for its end would wait for this process
        process = int.from_bytes(asks.recv(8), "big")
        for number in set(FORWARDED) - set(ignored):
            signal.signal(number, lambda number, _: os.kill(process, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        ended = os.waitstatus_to_exitcode(int.from_bytes(asks.recv(8), "big"))
    if ended < 0:
        if -ended != signal.SIGKILL:
            signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    os._exit(ended)


def _is_open(descriptor: int) -> bool:
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False


if __name__ == "__main__":
    what, where, *words = sys.argv[1:]
    if what == "run":
        run(where, words)
    else:
        serve(where)
        become(sys.argv[1:])
