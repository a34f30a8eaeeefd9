"""A network guided by a teacher: what the teacher says of the clips of the topic's tagged training videos.

    teacher = z(recurrence) + z(change) + z(mean over seeds of the logits of networks trained on bag labels)

z within the video, recurrence and change as in `methods.recurrence.recurrence_change`. A clip's target t is its rank in its
video, in [0, 1]. Nothing here reads a label of a clip: the method sees a `Videos`, which leads to none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain, identity
from highlight_lit.config.schema import DATA
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.launch import composed
from highlight_lit.runs.ledger import run_dir

Config = dict[str, Any]
_SHARED = ("rule", "training", "store", "readers", "root", "fold", "scale")  # what both stages know of the data


def check_teacher(config: Mapping[str, Any]) -> None:
    """Refuse a teacher without its loss, a loss without its teacher, and what a guided training cannot do.

    Raises:
        InputError: Names the key.
    """
    teacher = config["teacher"]
    reads = getattr(build(config["loss"], "loss"), "reads_target", False)
    if reads != (teacher["method"] is not None):
        raise InputError(
            "loss: it needs a teacher; expected teacher=recurrence_change (experiment=guided sets both)"
            if reads
            else f"teacher={teacher['method']}: the loss reads no teacher; expected loss=ranking (experiment=guided sets both)"
        )
    if not reads:
        return
    from highlight_lit import methods

    if not hasattr(methods.find(teacher["method"]).load(), "teach"):
        raise InputError(f"teacher.method={teacher['method']}: no teacher; expected recurrence_change")
    if config["data"]["_target_"] != DATA:
        raise InputError(f"data._target_={config['data']['_target_']}: a teacher guides {DATA} alone")
    if "visual" not in config["streams"]:
        raise InputError(f"teacher={teacher['method']}: reads the visual stream; expected modality=av or visual")
    if config["data"]["validation"]:
        raise InputError("data.validation: a teacher's training holds nothing out; expected data.validation=0")


def first_stage(config: Mapping[str, Any]) -> list[Config]:
    """The configurations of the networks trained on bag labels, which are runs of their own; none without a teacher."""
    seeds = config["teacher"]["seeds"] if config["teacher"]["method"] is not None else 0
    if seeds == 0:
        return []
    run = as_plain(composed("config", ["modality=visual", "topic=first", "data.root=."]))
    run |= {key: copy.deepcopy(config[key]) for key in ("topic", "out", "logger", "evaluate", "checkpoint")}
    run["data"] |= {key: config["data"][key] for key in _SHARED}
    run["trainer"] |= {key: config["trainer"][key] for key in ("accelerator", "enable_progress_bar")}
    return [{**copy.deepcopy(run), "seed": seed} for seed in range(seeds)]


def identity_with_teacher(config: Mapping[str, Any], corpus: str, ranks: int = 1) -> str:
    """`identity` of a run, which with a first stage is another where that is."""
    first = [identity(run, corpus) for run in first_stage(config)]
    return identity({**config, "first_stage": first} if first else config, corpus, ranks)


def targets(
    config: Mapping[str, Any], corpus: Corpus, first: Sequence[Mapping[str, Any]]
) -> dict[int, NDArray[np.float64]]:
    """The teacher's rank of each clip, (T_n,) in [0, 1], of the topic's tagged training videos by index.

    Args:
        config: The run's configuration.
        corpus: As the run reads it.
        first: Records of the first stage.
    """
    # Here, since `first_stage` tells what was done before without PyTorch.
    from highlight_lit import methods
    from highlight_lit.inference.loading.load import load_detector
    from highlight_lit.methods.recurrence.recurrence_change import ranks, standard
    from highlight_lit.methods.videos import Videos, view
    from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT

    modality = "av" if "audio" in config["streams"] else "visual"
    options = {key: config["data"][key] for key in ("rule", "training")}
    videos: Videos = view(corpus, config["topic"], modality=modality, **options)
    taught = methods.find(config["teacher"]["method"]).load().teach(videos, videos.tagged)
    index = [corpus.index(video.id) for video in videos.tagged]
    pupils = np.array([video for video in index if video is not None])
    # Not where a record says it was made: results may have been moved since.
    folders = [run_dir(Path(config["out"]), record["id"]) for record in first]
    detectors = [load_detector(folder / LAST_CHECKPOINT) for folder in folders]
    logits = [detector.score_corpus(corpus, pupils) for detector in detectors]
    by_video = {}
    for video, scores in zip(pupils.tolist(), taught, strict=True):
        joined = scores + standard(np.mean([scored[video] for scored in logits], axis=0)) if logits else scores
        by_video[video] = ranks(joined)
    return by_video
