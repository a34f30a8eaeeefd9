"""Weakly supervised video highlight detection with low-rank audio-visual fusion.

The glossary: these symbols mean the same thing everywhere in the package.

======== ==================================================================
symbol   meaning
======== ==================================================================
N        videos
T_n      clips of video n (``sum T_n`` is the number of packed rows of a shard)
S, A     labelled segments of a video, and annotators who scored them
B        bags in a batch; P pairs make ``B = 2 P`` bags
tau      clips in a bag
Dv, Da   width of a clip's visual and audio features
d        embedding width
R        rank of the fusion's core tensor
T        steps of the temporal context encoder (receptive field 2T + 1)
v, a     raw clip features; f_v, f_a embedded; f_h fused
h, c     hidden and cell state of a clip
alpha    attention weights of a bag's clips
z, p     a clip's logit and score, ``p = sigmoid(z)``; z_hat, p_hat the bag's
beta     coefficient of the loss's margins
======== ==================================================================

Data flows one way: shards -> weak labels -> bags (``data``), network and losses (``models``),
``training``, ``evaluation``.

The names below are what may be built on; each is imported when it is first asked for, so that `import highlight_lit`
and `Corpus` bring in neither PyTorch nor Lightning.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from highlight_lit.data.corpus import Corpus
    from highlight_lit.inference.detector import Detector
    from highlight_lit.inference.evaluate import evaluate
    from highlight_lit.models.highlight_net import HighlightNet
    from highlight_lit.training.from_python import HighlightDataModule
    from highlight_lit.training.module import HighlightModule

__all__ = ["Corpus", "Detector", "HighlightDataModule", "HighlightModule", "HighlightNet", "evaluate"]

__version__ = "0.1.0"

_WHERE = {
    "Corpus": "data.corpus",
    "Detector": "inference.detector",
    "HighlightDataModule": "training.from_python",
    "HighlightModule": "training.module",
    "HighlightNet": "models.highlight_net",
    "evaluate": "inference.evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
