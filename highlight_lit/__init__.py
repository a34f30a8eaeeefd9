"""Weakly supervised video highlight detection with low-rank audio-visual fusion.

Data flows one way: shards, weak labels and bags (`data`), network and losses (`models`), `training`, `inference`,
`evaluation`. Symbols such as T_n, tau and z mean the same thing everywhere: docs/pages/glossary.md.

`__all__` lists what may be built on. Each name is imported when it is first asked for: `import highlight_lit` and `Corpus`
bring in neither PyTorch nor Lightning.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from highlight_lit.data.corpus import Corpus
    from highlight_lit.data.datamodule import HighlightDataModule
    from highlight_lit.inference.detector import Detector
    from highlight_lit.inference.evaluate import evaluate
    from highlight_lit.models.highlight_net import HighlightNet
    from highlight_lit.training.module import HighlightModule

__all__ = ["Corpus", "Detector", "HighlightDataModule", "HighlightModule", "HighlightNet", "evaluate"]

__version__ = "0.1.0"

_WHERE = {
    "Corpus": "data.corpus",
    "Detector": "inference.detector",
    "HighlightDataModule": "data.datamodule",
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
