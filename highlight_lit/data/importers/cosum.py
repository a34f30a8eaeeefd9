"""The official labels of CoSum (Chu et al., CVPR 2015), which count frames.

    SOURCE/shots/NN_topic/NAMEk_shots.txt        N + 1 frame numbers: shot n lies between the n-th and the next
    SOURCE/annotation/NN_topic/k__JUDGE.mat      `labels` (chosen, 2): numbers, from 1, of the shots a judge chose

Three judges looked at each video. No frame rate is published, and one for all is wrong: the published total length
makes 27.8 frames a second on average. Without `fps` the spans are frames at a nominal 30 a second, and the manifest's
`clock` says `nominal`: enough to rank shots by any order that they carry themselves, not to lay features over them.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from highlight_lit.data.importers.common.frame_rates import add_fps, frame_rates, report_unmatched
from highlight_lit.data.importers.common.report import FirstOf, Say
from highlight_lit.data.importers.common.values import safe_id, text
from highlight_lit.data.importers.common.writing import write_and_report
from highlight_lit.data.video import Labels, Video, median_length
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import open_regular, read_text
from highlight_lit.text import a_few, say
from highlight_lit.unicode_forms import same_form

PURPOSE = "CoSum's labels (.mat), without features"
JUDGES = 3
MAX_BYTES = 128 << 10  # of a judge's file, 500 times the largest: compressed, it takes up to 1,032 times that
MAX_SHOTS_BYTES = 1 << 20  # of a video's shot file: some 100,000 shots
MAX_CHOSEN = 1 << 16  # rows of a judge's matrix
NOMINAL_FPS = 30.0
add_options = add_fps
_MATRICES = {"double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_MAT_ERRORS = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, EOFError, OverflowError,
    MemoryError, RuntimeError, zlib.error, scipy.io.matlab.MatReadError,
)  # fmt: skip


def import_corpus(source: Path, out: Path, *, fps: Path | None = None, report: Say = say) -> None:
    """Import CoSum's labels: a corpus without features; a shot's score is 1 for each judge who chose it, else 0.

    A video's id is the name of its shot file (`base1`, `surf4`), its tag the folder's without the number
    (`base_jump`). Its duration ends with its last shot.

    Args:
        source: The folder that holds `shots` and `annotation`.
        out: Where the corpus goes; new or empty.
        fps: Frame rates of all videos: csv with columns `id,fps`.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: A file that is missing, unreadable or does not fit, or a video without a rate where `fps` is given.
    """
    rates = None if fps is None else frame_rates(fps)
    files = sorted(source.glob("shots/*/*_shots.txt"))
    if not files:
        raise InputError(f"{source}: no shots/TOPIC/NAME_shots.txt; expected CoSum's folder of shots and annotation")
    if rates is None:
        report(f"{source}: no frame rates given: spans are frames at a nominal {NOMINAL_FPS:.0f} a second, not seconds")
    elif missing := sorted({_name(path) for path in files} - rates.keys()):
        raise InputError(f"{fps}: {len(missing)} videos have no frame rate: {a_few(missing)}")
    videos = list(_videos(source, files, rates, report))
    report_unmatched(rates or {}, (video.id for video in videos), fps, report)
    length = median_length(video.labels.span for video in videos if video.labels is not None)
    clock = "nominal" if rates is None else "exact"
    write_and_report(out, videos, {}, report, source="cosum", benchmark="cosum", clip_seconds=length, clock=clock)


def _name(path: Path) -> str:
    return same_form(path.name.removesuffix("_shots.txt"))


def _videos(source: Path, files: list[Path], rates: Mapping[str, float] | None, report: Say) -> Iterator[Video]:
    dropped = FirstOf(report, "judges' files have shots past the last")
    for path in files:
        name, topic = safe_id(_name(path), str(path.parent)), path.parent.name
        fps = NOMINAL_FPS if rates is None else rates[name]
        seconds = (_boundaries(path) - 1) / fps
        number = re.search(r"\d+$", name)
        judges = sorted((source / "annotation" / topic).glob(f"{number[0]}__*.mat")) if number else []
        if len(judges) != JUDGES:
            folder = source / "annotation" / topic
            raise InputError(
                f"{folder}: video {name!r}: {len(judges)} annotation files, expected one of {JUDGES} judges"
            )
        chosen = [_chosen(judge, name, len(seconds) - 1, dropped) for judge in judges]
        labels = Labels(np.stack([seconds[:-1], seconds[1:]], axis=1), np.stack(chosen, axis=1))
        yield Video(name, float(seconds[-1]), (re.sub(r"^\d+_", "", text(topic)),), np.empty((0, 2)), labels=labels)
    dropped.close()


def _boundaries(path: Path) -> NDArray[np.float64]:
    """(N + 1,) rising frame numbers, from 1."""
    try:
        words = read_text(path, "a list of frame numbers", MAX_SHOTS_BYTES).split()
        if strange := [word for word in words if not word.isascii() or "_" in word]:  # `int` takes 1_0 as 10
            raise ValueError(f"{strange[0][:20]!r}")
        boundaries = np.array([int(word) for word in words], np.float64)
    except InputError:
        raise
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: video {_name(path)!r}: not a list of frame numbers ({error})") from error
    if len(boundaries) < 2 or boundaries[0] < 1 or (np.diff(boundaries) <= 0).any():
        raise InputError(f"{path}: video {_name(path)!r}: expected two or more rising frame numbers from 1")
    return boundaries


def _chosen(path: Path, name: str, shots: int, report: Say) -> NDArray[np.float32]:
    """(S,) 1 where the judge chose the shot. Numbers past the last shot are dropped, and that is reported."""
    where = f"{path}: video {name!r}: labels"
    try:
        with open_regular(path, "a judge's choice of shots (.mat)") as file:
            if file.seek(0, io.SEEK_END) > MAX_BYTES:
                raise InputError(f"{where}: over {MAX_BYTES >> 10} KiB; expected a judge's choice of shots alone")
            file.seek(0)
            # By its head first: what is nested deeply ends the process as it is read.
            for variable, shape, kind in scipy.io.whosmat(file):
                if variable == "labels" and (
                    kind not in _MATRICES or len(shape) != 2 or shape[1] != 2 or shape[0] > MAX_CHOSEN
                ):
                    raise InputError(
                        f"{where}: {kind} of shape {shape}; expected a matrix of two columns, shot and 1, and at most "
                        f"{MAX_CHOSEN} rows"
                    )
            file.seek(0)
            labels: Any = scipy.io.loadmat(file, variable_names=["labels"], verify_compressed_data_integrity=True)[
                "labels"
            ]
    except InputError:
        raise
    except _MAT_ERRORS as error:
        raise InputError(f"{where}: truncated or not a MATLAB file with this matrix ({first_line(error)})") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.shape[1] != 2 or labels.dtype.kind not in "iuf":
        raise InputError(f"{where}: expected a matrix of two columns, shot and 1")
    shot = labels[labels[:, 1] > 0, 0].astype(np.float64)
    if not np.isin(shot, np.arange(1, shots + 2)).all():
        raise InputError(f"{where}: a shot that is not a whole number from 1 to {shots}")
    if len(past := shot[shot > shots]):
        report(f"{where}: shot {past[0]:.0f} lies past the last of {shots} and is dropped")
    score = np.zeros(shots, np.float32)
    score[shot[shot <= shots].astype(int) - 1] = 1
    return score
