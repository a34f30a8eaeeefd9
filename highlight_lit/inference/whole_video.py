"""The one path from a whole video to its clips' logits, in training, evaluation and scoring alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from highlight_lit.data.batch import Bags, make_bags
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError

WINDOW = 1 << 14  # clips gone through at once: 4.5 hours of seconds; some 20 KB a clip in the default network
WIDTH = 1024  # of the default network's widest layer; a wider one goes through fewer clips at once
MAX_AT_ONCE = 1 << 16  # of a video that a network must read at once
Rows = NDArray[np.floating[Any]] | Tensor


def whole_video_logits(network: Callable[..., Any], bags: Bags) -> Tensor:
    """Logits z (T_n,) of the clips of a batch of one video, whole.

    A long video is gone through in windows of `WINDOW` clips at most, with what each clip reads around it, where the
    network's `reach` says how far that is: a small file may stand for millions of clips, or for a layer of millions.

    Args:
        network: Takes visual, audio, mask and audio_mask.
        bags: As `VideoLoader` or `bag_of_rows` make them.

    Raises:
        InputError: The network reads the whole video at once, and it is over `MAX_AT_ONCE` clips, or fewer for a wide network.
    """
    clips, widest = bags.mask.shape[1], max(WIDTH, _widest(network))
    window, whole = (most * WIDTH // widest for most in (WINDOW, MAX_AT_ONCE))
    reach: int | None = getattr(network, "reach", None)
    step = 0 if reach is None else window - 2 * reach
    if clips <= window or (step < 1 and clips <= whole):
        z: Tensor = network(bags.visual, bags.audio, bags.mask, bags.audio_mask).z[0]
        return z
    if reach is None or step < 1:
        raise InputError(
            f"a video of {clips} clips; expected at most {whole}, as its network reads all at once: longer clips, or "
            "a context without a global state, of fewer steps, or of a network that is less wide"
        )
    parts = []
    for first in range(0, clips, step):
        low, end = max(0, first - reach), min(clips, first + step)
        around = slice(low, end + reach)
        rows = (None if part is None else part[:, around] for part in bags[:4])
        parts.append(network(*rows).z[0][first - low : end - low])
    return torch.cat(parts)


def _widest(network: Callable[..., Any]) -> int:
    """Numbers that its widest layer makes of a clip."""
    layers = network.modules() if isinstance(network, nn.Module) else ()
    return max((layer.out_features for layer in layers if isinstance(layer, nn.Linear)), default=1)


def bag_of_rows(
    visual: Rows | None, audio: Rows | None, audio_mask: NDArray[np.bool_] | None, streams: Mapping[str, Stream]
) -> Bags:
    """A batch of one video from its features, rounded as a corpus would store them.

    Args:
        visual: (T_n, Dv), None if the network reads no visual stream.
        audio: (T_n, Da), None for a video without audio.
        audio_mask: (T_n,) where a clip has audio; None: everywhere if there is any.
        streams: What the network reads.

    Raises:
        InputError: A stream is missing, not (T_n, D) of the width that is read, non-finite, or of another length.
    """
    given = {"visual": visual, "audio": audio}
    arrays = {
        name: _checked(rows, name, streams[name])
        for name, rows in given.items()
        if rows is not None and name in streams
    }
    if not arrays:
        raise InputError(f"no features; expected {' and '.join(streams)}, (clips, width) each")
    lengths = {name: len(rows) for name, rows in arrays.items()}
    clips = next(iter(lengths.values()))
    if len(set(lengths.values())) > 1:
        raise InputError(f"{' and '.join(f'{n} clips of {name}' for name, n in lengths.items())}; expected as many")
    for name, stream in streams.items():
        if name not in arrays and name == "visual":
            raise InputError(f"visual: missing; expected ({clips}, {stream.width})")
    rows = {name: torch.from_numpy(array)[None] for name, array in arrays.items()}
    if "audio" in streams:
        if "audio" not in arrays:
            rows["audio"] = torch.zeros(1, clips, streams["audio"].width)
        mask = np.full(clips, "audio" in arrays) if audio_mask is None else np.asarray(audio_mask, bool)
        if mask.shape != (clips,):
            raise InputError(f"audio_mask: shape {mask.shape}, expected ({clips},)")
        rows["audio_mask"] = torch.from_numpy(mask)[None]
    return make_bags(rows, torch.tensor([clips]), positive=0)


def _checked(rows: Rows, name: str, stream: Stream) -> NDArray[np.float32]:
    array = rows.detach().cpu().float().numpy() if isinstance(rows, Tensor) else np.asarray(rows)
    if array.ndim != 2 or array.shape[1] != stream.width or len(array) == 0 or array.dtype.kind not in "fiu":
        zero = "zero clips, " if array.ndim == 2 and len(array) == 0 else ""
        raise InputError(f"{name}: {zero}{array.dtype} of shape {array.shape}; expected (clips, {stream.width})")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: NaN or infinite; expected finite features")
    if (beyond := stream.overflow(array)) is not None:
        raise InputError(f"{name}: {beyond}")
    return array.astype(stream.dtype).astype(np.float32)
