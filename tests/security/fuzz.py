"""Changed checkpoints, records, notes and data, read while every open file, process and socket is watched.

A process of its own, since a watch cannot be taken off: `python -m tests.security.fuzz FOLDER COUNT SEED [KIND ...]`
prints what came of each as a line of JSON.
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from omegaconf import OmegaConf
from rich.console import Console

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.ledger import RECORD, read_record
from highlight_lit.runs.run_line import run_line
from highlight_lit.runs.sweep import read_note
from highlight_lit.runs.sweep_table import heading, sweep_table
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.checkpoint.resume import resumable
from highlight_lit.training.stacked.member_checkpoint import restore
from highlight_lit.training.train import make_module
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.security import fuzz_data, fuzz_hdf5
from tests.security.made import places
from tests.security.opens import Opens

resolved: list[object] = []
TEXTS = [
    "${canary:1}", "${oc.create:{_target_:os.system,command:'touch ran'}}", "${oc.decode:'${canary:2}'}",
    "${oc.env:HOME}", "${oc.env:NOTHING,'x'}", "${oc.select:topic}", "${oc.deprecated:topic}", "${oc.dict.keys:.}",
    "${oc.dict.values:model}", "${hydra:runtime.cwd}", "${now:%Y}", "${python_version:}", "${topic}", "${.d}", "${..d}",
    "${", "${}", "\\${topic}", "???", "${canary:${canary:3}}", "os.system", "builtins.eval", "", "x" * 70_000, "\x1b[2J",
    "a\nb", "\ud800", "../../etc/passwd", "/etc/passwd", "highlight_lit.models.fusion.Concatenation", "12", "nan",
    "highlight_lit.models.context.TemporalContext", "highlight_lit.models.lim.Lim", "visual", "\0",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 3, 7, 8, 12, 2**31, 2**63, 10**30, -(10**30), 0.0, -0.0, 0.5, 1e-320, 1e308, -1e308]
STRANGE = [float("nan"), float("inf"), -float("inf")]


def value(draw: random.Random, depth: int, tensors: bool) -> Any:
    """Any value of any type."""
    kind = draw.randrange(10 if tensors else 8)
    if kind == 0:
        return draw.choice([None, True, False])
    if kind == 1:
        return draw.choice(NUMBERS)
    if kind == 2:
        return draw.choice([*STRANGE, draw.randrange(-(10**6), 10**6), draw.gauss(0, 1)])
    if kind in (3, 4):
        return draw.choice(TEXTS)
    if kind == 5:
        return [value(draw, depth - 1, tensors) for _ in range(draw.randrange(4))] if depth else []
    if kind in (6, 7):
        keys = draw.sample(["_target_", "_partial_", "_args_", "_recursive_", "d", "R", "mean", *TEXTS[:8]], 3)
        return {key: value(draw, depth - 1, tensors) for key in keys} if depth else {}
    if kind == 8:
        return draw.choice([(1, 2), {3}, b"x", 1j, {1: 2}, {None: 1}, bytearray(3), torch.Size([1]), torch.float16])
    shape = [draw.randrange(0, 9) for _ in range(draw.randrange(4))]
    types = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64, torch.uint8]
    made = torch.full(shape, draw.choice([0.0, 1.0, 1e30, -3.0, *STRANGE[: draw.randrange(4)]])).to(draw.choice(types))
    return made.expand(10**6, *shape) if draw.random() < 0.1 else made


def change(draw: random.Random, whole: Any, tensors: bool) -> None:
    """Put something else at one to three places, take it away, or put what stands elsewhere there."""
    for _ in range(draw.randrange(1, 4)):
        there = list(places(whole))
        if not there:
            return
        holder, key = draw.choice(there)
        what = draw.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1:
            other, place = draw.choice(there)
            holder[key] = copy.deepcopy(other[place])
        elif what == 2 and isinstance(holder, dict):
            holder[draw.choice(TEXTS)] = holder.pop(key)
        else:
            holder[key] = value(draw, draw.randrange(6), tensors)


def checkpoints(folder: Path) -> Callable[[random.Random], None]:
    """Load a changed checkpoint, and score a video if it can be."""
    whole = torch.load(folder / "valid.ckpt", weights_only=True)
    corpus = Corpus(folder / "corpus")

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made["hyper_parameters"] if draw.random() < 0.7 else made, True)
        torch.save(made, folder / "a.ckpt")
        detector = load_detector(folder / "a.ckpt")
        for z in detector.score_corpus(corpus, np.arange(1)).values():
            assert z.shape == (corpus.clips[0],)
            assert np.isfinite(z).all()

    return case


def resumed(folder: Path) -> Callable[[random.Random], None]:
    """Go on from a changed checkpoint, and take a step."""
    run = folder / "run"
    whole = torch.load(run / "valid.ckpt", weights_only=True)
    whole["run"] = run.name  # else each case ends there
    config = read_record(run)["config"]
    corpus = Corpus(folder / "corpus")
    module = make_module(config, corpus)
    kept = LastCheckpoint(run, Signals())

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made, True)
        torch.save(made, run / "last.ckpt")
        found = resumable(run, module)
        if found is None:
            return
        checkpoint = read_checkpoint(found)
        restore(cast(Any, SimpleNamespace(module=module)), checkpoint)  # as a cell of a stack does
        kept.load_state_dict(checkpoint.get("callbacks", {}).get("LastCheckpoint", {"seconds": 0}))
        optimizers: Any = module.configure_optimizers()
        optimizers["optimizer"].load_state_dict(checkpoint["optimizer_states"][0])
        optimizers["lr_scheduler"].load_state_dict(checkpoint["lr_schedulers"][0])
        for parameter in module.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizers["optimizer"].step()
        optimizers["lr_scheduler"].step()

    return case


def records(folder: Path) -> Callable[[random.Random], None]:
    """Read a changed record and show it, alone and beside the valid one."""
    whole = json.loads((folder / "run" / RECORD).read_text())
    (folder / "other").mkdir(exist_ok=True)

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made, False)
        _write(folder / "other" / RECORD, made, draw)
        record = read_record(folder / "other")
        assert record is not None
        if record["status"] == "done":
            _show(record, whole)

    return case


def notes(folder: Path) -> Callable[[random.Random], None]:
    """Read a changed note of a sweep and show the table it makes."""
    whole = {"overrides": "seed=0", **json.loads((folder / "run" / RECORD).read_text())}

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made, False)
        _write(folder / "note.json", made, draw)
        note = read_note(folder / "note.json")
        if note["status"] == "done":
            _show(note, whole)

    return case


def _write(path: Path, made: object, draw: random.Random) -> None:
    content = json.dumps(made).encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        at = draw.randrange(len(content))
        content = content[:at] + bytes([draw.randrange(256)]) + content[at + draw.randrange(3) :]
    path.write_bytes(content)


def _show(record: dict[str, Any], beside: dict[str, Any]) -> None:
    run_line(record, ())
    for shown in ([record], [record, beside]):
        if any("evaluation" in each for each in shown):
            heading(shown)
            Console(file=io.StringIO(), width=120).print(sweep_table(shown, 120))


KINDS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "checkpoints": checkpoints, "resumed": resumed, "records": records, "notes": notes,
    **{of.__name__: partial(of, change=change) for of in (fuzz_data.manifests, fuzz_data.sidecars)},
    **{of.__name__: of for of in (fuzz_data.tables, fuzz_data.labels, fuzz_data.scores, fuzz_data.arrays)},
    **{of.__name__: of for of in (fuzz_hdf5.shards, fuzz_hdf5.foreign)},
}  # fmt: skip
# What no file may make happen. Python's own files are opened by imports that are put off, and by nothing else.
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "pty.spawn",
             "socket.", "ctypes.dlopen", "urllib.Request", "webbrowser.open", "os.putenv", "os.unsetenv", "os.kill",
             "pickle.find_class")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
           "shutil.rmtree", "shutil.move", "shutil.copyfile")  # fmt: skip
LIBRARIES = tuple({sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(Path(__file__).parents[2])})


def watch(folder: Path, touched: list[str]) -> None:
    """Note whatever is opened or changed outside a folder, and every process and socket."""
    inside = str(folder.resolve())

    def outside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file
        return not f"{os.path.realpath(os.fsdecode(path))}{os.sep}".startswith(f"{inside}{os.sep}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN) or (event in CHANGES and any(map(outside, arguments))):
            touched.append(f"{event} {arguments!r:.200}")
        elif event == "open" and outside(arguments[0]):
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            writes = writes or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            code = os.fsdecode(arguments[0]).endswith((".py", ".pyc", ".so")) or os.path.isdir(arguments[0])
            if writes or not (code and os.fsdecode(arguments[0]).startswith(LIBRARIES)):
                touched.append(f"open {arguments!r:.200}")

    sys.addaudithook(hook)


def main(root: Path, count: int, seed: int, kinds: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Run so many cases of each kind, in a folder of its name; what came of them, what was wrong, what was touched."""
    OmegaConf.register_new_resolver("canary", lambda *given: resolved.append(given))
    everything = list[str]()
    (root / "bait").mkdir(exist_ok=True)
    fuzz_hdf5.write_bait(root / "bait")
    opened = Opens(root / "bait")
    fuzz_hdf5.made.append(opened)
    watch(root, everything)
    for kind in kinds:
        os.chdir(root / kind)
        case = KINDS[kind](root / kind)
        ends, wrong = Counter[str](), list[str]()
        for number in range(-3, count):
            if number == 0:  # what is imported late has been
                everything.clear()
                resolved.clear()
            try:
                case(random.Random(f"{seed} {number}"))
                ends["right"] += 1
            except InputError as error:
                ends["refused"] += 1
                if "\n" in str(error) or len(str(error)) > 2000:
                    wrong.append(f"{number}: {str(error)[:300]!r}")
            except Exception as error:
                wrong.append(f"{number}: {type(error).__name__}: {str(error)[:300]}")
                if os.environ.get("HIGHLIGHT_LIT_TRACEBACK") == "1":
                    raise
            everything.extend(opened())
        yield {
            "kind": kind,
            "ends": ends,
            "wrong": wrong,
            "touched": list(everything),
            "resolved": len(resolved),
        }


if __name__ == "__main__":
    for found in main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] or KINDS):
        print(json.dumps(found), flush=True)
