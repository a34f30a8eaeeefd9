"""The corpus: a folder of shards, their manifest, and labels that came later; opening, writing, and checking all of it."""

from highlight_lit.data.corpus.corpus import Corpus
from highlight_lit.data.corpus.manifest import write_manifest
from highlight_lit.data.corpus.writing import write_corpus

__all__ = ["Corpus", "write_corpus", "write_manifest"]
