"""All faults of a corpus are found and named."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.errors import InputError


def test_verify_finds_nothing_in_a_sound_corpus(sound: Path) -> None:
    assert list(faults(sound)) == []


def test_verify_names_the_shard_and_the_video_that_a_flipped_bit_hit(sound: Path) -> None:
    path = sound / "shard-00000.h5"
    with h5py.File(path) as file:
        at = file["visual"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[at + 40] ^= 16
    path.write_bytes(data)
    found = list(faults(sound))
    assert found[0].startswith(f"{path}: video 'short dog' (row 0): visual: rows 0 to 31 are damaged")
    with pytest.raises(InputError, match=r"shard-00000\.h5: visual: rows 0 to 31 are damaged"):
        Corpus(sound).rows(0, "visual")
