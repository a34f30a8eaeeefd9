"""Every command of README and of the site's pages, in order, in small: fewer epochs, narrower networks, shorter sweeps."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from argparse import ArgumentParser
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from highlight_lit.app.command import app_arguments, offered
from highlight_lit.cli import _parser, main
from highlight_lit.config.run_identity import as_plain
from highlight_lit.config.schema import check as check_keys
from highlight_lit.launch import composed
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.logging.loggers import check_loggers
from highlight_lit.training.callbacks.run_callbacks import make_callbacks
from highlight_lit.training.distributed import cluster
from highlight_lit.training.trainer import make_trainer
from tests.docs.made import corpora, everything
from tests.docs.pages import ROOT, Block, blocks, pages

# In place of what a page says, or beside it.
SMALL = {
    "trainer.max_epochs": "1",
    "data.pairs": "4",
    "tau": "8",
    "model.d": "8",
    "evaluate.draws": "10",
    "logger": "none",
}
HYDRA = {"train": "config", "extract": "extract"}  # configuration of a verb that takes overrides
SWEPT = {"seed": 1, "rank": 2, "topic": 2, "data.fold": 2}  # values of a sweep that are run; of other keys two
STUDY = ["rank=1", "seed=0"]
GUIDED = ["trainer.max_steps=2", "teacher.seeds=1"]
RAW = re.compile(r"\$ highlight-lit (extract|reel)")  # blocks that need the extra media
LAUNCHERS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
WITH_COMMANDS = [page for page in pages() if any(block.language in ("console", "python") for block in blocks(page))]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that pages read, and the corpora they begin with."""
    root = tmp_path_factory.mktemp("inputs")
    try:
        from tests.media.conftest import write_video

        everything(root, SimpleNamespace(write_video=write_video) if import_module("av") else None)
    except ImportError:
        everything(root, None)
    before = Path.cwd()
    os.chdir(root)
    try:
        corpora(root)
        train(["data.root=youtube", "topic=dog"])
    finally:
        os.chdir(before)
    return root


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_a_page_ends_well_and_prints_what_is_shown(
    page: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.name == "exporting.md":
        pytest.importorskip("onnxruntime", reason="needs the extra export")
    found = blocks(page)
    text = page.read_text(encoding="utf-8")
    makes = set(re.findall(r"(?:--out|out=|synthesize) ?([\w-]+)", text))
    makes |= {"runs"} if re.search(r"\$ highlight-lit train (?!.*out=)", text) else set()
    for path in inputs.iterdir():
        if path.name not in makes:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for block in found:
        if find_spec("av") or not RAW.search(block.text):
            follow(block, tmp_path)


def test_each_row_of_what_to_type_is_taken(tmp_path: Path) -> None:
    text = (ROOT / "docs/pages/guides/training.md").read_text(encoding="utf-8")
    table = [line.rpartition(" | ")[2] for line in text.splitlines() if line.startswith("| ")][2:]
    typed = [words.split() for cell in table for words in re.findall(r"`([^`]+)`", cell)]
    taken = [
        words
        for words in typed
        if all(re.match(r"\+?[a-z]+[a-z_.]*=", word) for word in words) and "pkg." not in words[-1]
    ]
    assert len(taken) > 20
    for words in taken:
        if words == ["hparams_search=optuna"] and not find_spec("optuna"):
            continue
        config = composed("config", ["data.root=corpus", "topic=surf", *words])
        check_keys(config)
        plain = as_plain(config)
        check_loggers({**plain, "logger": {}} if words[0] in ("logger=tensorboard", "logger=mlflow") else plain)
        make_trainer(plain, cluster.single_process(), tmp_path, make_callbacks(plain, tmp_path, Signals()))


def follow(block: Block, folder: Path) -> None:
    """Write a block's file, or run its commands and compare what they print."""
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        assert not block.reason
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.text, "page", "exec"), {"__name__": "page"})
        assert not re.search(r"print\(scores.shape\)", block.text) or printed.getvalue().endswith("(15,)\n")
    elif block.language == "console":
        for command, shown in block.commands():
            printed_text = check(command) if block.reason else run(command)
            assert [line for line in map(masked, shown) if line not in map(masked, printed_text.splitlines())] == [], (
                command
            )


def run(command: str) -> str:
    """Run a command as a page has it; what it printed."""
    words = shlex.split(command, comments=True)
    if words[0] in ("make", "pip"):
        return check(command)
    runs = sorted(Path("runs").glob("[0-9a-f]*[0-9a-f]"))
    words = [re.sub(r"\b[0-9a-f]{16}\b", runs[0].name if runs else "none", word) for word in words]
    words = [str(path) for word in words for path in (sorted(Path().glob(word)) if "*" in word else [word])]
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # rich draws what it can encode
    with redirect_stdout(printed):
        if words[:2] == ["python", "-m"]:
            status = import_module(words[2]).main(words[3:])
        elif words[:2] == ["highlight-lit", "train"]:
            status = train(words[2:])
        else:
            status = main(smaller(words[1:]))
    assert status == 0, command
    printed.seek(0)
    return printed.read()


def train(words: list[str]) -> int:
    """Train in small."""
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in map(shortened, words) if word.partition("=")[0] not in SMALL]
    if any(word.startswith("study=") for word in words):
        kept += [word for word in STUDY if word.partition("=")[0] not in given]
    if "experiment=guided" in words:
        kept = [re.sub(r"^(topic=[^,]*),.*", r"\1", word) for word in kept] + GUIDED
    return main(["train", *kept, *(f"{key}={value}" for key, value in SMALL.items() if applies(key, words))])


def applies(key: str, words: list[str]) -> bool:
    """Whether a small value is one of this network."""
    if "experiment=guided" in words and key == "trainer.max_epochs":
        return False
    return key != "model.d" or not any(word in ("model=lim", "model=mini_net") for word in words)


def shortened(word: str) -> str:
    """A sweep's word with its first values alone."""
    key, equals, values = word.partition("=")
    if not equals or values.startswith(("'", "[")):
        return word
    return key + equals + ",".join(values.split(",")[: SWEPT.get(key, 2)])


def smaller(words: list[str]) -> list[str]:
    """A synthetic corpus as small as it can be."""
    if words[0] != "synthesize":
        return words
    kept = [word for i, word in enumerate(words) if "--videos" not in (word, words[i - 1])]
    return [*kept, "--videos", "10", "--widths", "12,8", "--rank", "2"]


def check(command: str) -> str:
    """Look at a command that is not run here: its words are taken, and what it names is there."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif words[:2] == ["pip", "install"] and words[2].startswith("highlight-lit["):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(words[2].removeprefix("highlight-lit[").rstrip("]").split(",")) <= set(extras)
    elif words[:2] == ["python", "-m"]:
        with pytest.raises(SystemExit) as ended, redirect_stdout(io.StringIO()):
            import_module(words[2]).main(["--help"])
        assert ended.value.code == 0
    elif words[:2] == ["highlight-lit", "reproduce"]:
        for option, name in zip(words[2::2], words[3::2], strict=True):
            known = {"--profile": "profiles", "--study": "studies"}.get(option)
            assert known is None or (ROOT / "experiments" / known / f"{name}.yaml").is_file(), command
            assert known or option == "--corpus", command
    elif words[:2] == ["highlight-lit", "app"]:
        parser = ArgumentParser()
        app_arguments(parser)
        options = parser.parse_args([str(path) for word in words[2:] for path in sorted(Path().glob(word)) or [word]])
        assert offered(options.checkpoint, options.runs or Path("runs"))
    else:
        assert words[:1] == ["highlight-lit"], f"{command}: nothing here knows how to look at it"
        if words[1] not in HYDRA or (words[1] == "extract" and "-m" not in words):
            assert _parser(words[1:]).parse_args(words[1:]).run is not None
            return ""
        keys = [word.split(",")[0] for word in words[2:] if word != "-m"]
        launcher = next((word.partition("=")[2] for word in keys if word.startswith("hydra/launcher=")), None)
        if launcher and not find_spec(LAUNCHERS[launcher]):  # an extra that is not installed
            keys = [word for word in keys if not word.lstrip("+").startswith(("hydra/launcher=", "hydra.launcher."))]
        composed(HYDRA[words[1]], keys)
    return ""


def masked(line: str) -> str:
    """A line without its numbers, which differ from machine to machine, names of runs, and how wide a column is."""
    return re.sub(r"[\s─━]+", " ", re.sub(r"[0-9a-f]{16}|[0-9][0-9.]*", "#", line)).strip()
