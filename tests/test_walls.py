"""Imports run one way, and each outside library is known to few files."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "highlight_lit"
# Who may import a library: these files or folders alone.
ONLY = {
    "hydra": ("launch.py", "config/", "plugins/", "training/command.py", "runs/sweep.py"),
    "wandb": ("runs/logging/tracking.py",),
    "gradio": ("app/page.py",),
    "h5py": ("data/shards/", "data/importers/", "untrusted/hdf5_"),
    "xxhash": ("data/shards/",),
    "pytorch_lightning": ("data/datamodule.py", "training/", "runs/logging/"),
    "av": ("media/",),
    "huggingface_hub": ("hub.py",),
    "safetensors": ("inference/loading/model_folder.py", "untrusted/safetensors_files.py"),
    "onnxruntime": ("export/",),
    "torchvision": ("media/extractors/of_torchvision.py",),
    "timm": ("media/extractors/of_timm.py",),
    "transformers": ("media/extractors/of_transformers.py",),
}
# What a folder must not import.
NEVER = {
    "models/": (
        "highlight_lit.data",
        "highlight_lit.training",
        "highlight_lit.evaluation",
        "pytorch_lightning",
        "hydra",
    ),
    "data/shards/": ("highlight_lit.data.corpus", "highlight_lit.data.stores", "torch"),
    "data/": ("highlight_lit.models", "highlight_lit.training", "highlight_lit.evaluation"),
    "untrusted/": ("hydra", "omegaconf", "highlight_lit.training", "highlight_lit.inference"),
    "methods/": ("highlight_lit.training", "highlight_lit.runs", "highlight_lit.inference", "pytorch_lightning"),
    # Clip labels are learnt from behind one door, `methods.videos_for`.
    "training/": ("highlight_lit.methods.supervised",),
    "inference/": ("highlight_lit.methods.supervised",),
    "methods/recurrence/": ("highlight_lit.methods.supervised",),
    "media/output/": ("highlight_lit.inference",),
    "media/": ("highlight_lit.training", "highlight_lit.runs", "pytorch_lightning"),
    "evaluation/": ("highlight_lit.models", "highlight_lit.training", "torch", "pytorch_lightning"),
}
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@cache
def nodes(name: str) -> list[ast.AST]:
    """All of a file's syntax tree."""
    return list(ast.walk(ast.parse((PACKAGE / name).read_text())))


@cache
def imports(name: str) -> set[str]:
    found = {alias.name for node in nodes(name) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module or "" for node in nodes(name) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", FILES)
def test_imports_respect_the_walls(name: str) -> None:
    for library, allowed in ONLY.items():
        if any(module.split(".")[0] == library for module in imports(name)):
            assert name.startswith(allowed), f"{name} imports {library}"
    for folder, forbidden in NEVER.items():
        if name.startswith(folder):
            assert not [m for m in imports(name) for f in forbidden if m == f or m.startswith(f"{f}.")], name


# Who may ask for labels of clips: what judges, what tells of a corpus, and what is supervised.
LABELS = ("evaluation/", "data/corpus/corpus.py", "data/corpus/labels_file.py", "data/shards/", "data/importers/", "data/topics/counts.py", "methods/supervised/",
          "training/outcome.py")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_labels_of_clips_are_asked_for_by_few(name: str) -> None:
    calls = [node.func for node in nodes(name) if isinstance(node, ast.Call)]
    asked = [f.lineno for f in calls if isinstance(f, ast.Attribute) and f.attr in ("labels", "labelled")]
    assert not asked or name.startswith(LABELS), f"{name}: lines {asked}"


# Those of experiments/ that read a corpus or runs of others; the demo, benchmarks and analyses make their own.
BESIDE = PACKAGE.parent / "experiments"
READERS = [
    f"../experiments/{path.relative_to(BESIDE).as_posix()}"
    for path in sorted(BESIDE.rglob("*.py"))
    if path.relative_to(BESIDE).parts[0] not in ("demo.py", "benchmarks", "analyses")
]


@pytest.mark.parametrize("name", [*FILES, *READERS])
def test_text_for_people_goes_through_one_function(name: str) -> None:
    calls = [node for node in nodes(name) if isinstance(node, ast.Call)]
    printed = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert not printed, f"{name}: lines {printed}: print(...); expected say(...), which escapes what a name may hold"
    tables = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "Console"]
    assert not tables or name == "text.py", f"{name}: lines {tables}: Console(...); expected say_table(...)"


def test_a_file_fits_two_screens_and_a_room_holds_a_dozen() -> None:
    long = {name: lines for name in FILES if (lines := len((PACKAGE / name).read_text().splitlines())) > 300}
    assert not long, f"{long}: expected at most 300 lines"
    rooms = Counter(str(Path(name).parent) for name in FILES)
    full = {room: files for room, files in rooms.items() if files > 12}
    assert not full, f"{full}: expected at most 12 files"
