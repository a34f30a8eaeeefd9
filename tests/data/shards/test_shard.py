"""The shard gives back what was put in, or says in one line what is wrong with it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from highlight_lit.data.shards import Shard, ShardWriter, writer
from highlight_lit.data.shards.format import PACKED
from highlight_lit.data.shards.hdf5 import MAX_OPEN
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.errors import InputError

STREAMS = {"visual": Stream(4, "resnet", "1", "float32"), "audio": Stream(3, "vggish", "2", "float32")}
MakeVideo = Callable[..., Video]


def write(path: Path, *videos: Video, streams: dict[str, Stream] = STREAMS) -> Shard:
    with ShardWriter(path, streams, 1.0) as writer:
        for video in videos:
            writer.add(video)
    return Shard(path)


def same(one: Video, other: Video) -> bool:
    for field in fields(Video):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, Labels) and isinstance(b, Labels):
            if not (np.array_equal(a.span, b.span) and np.array_equal(a.score, b.score)):
                return False
        elif isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            if not (a is not None and b is not None and np.array_equal(a, b)):
                return False
        elif a != b:
            return False
    return True


names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda name: name == name.strip()
)


@st.composite
def videos(draw: st.DrawFn) -> list[Video]:
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    found = []
    for name in ids:
        clips = draw(st.integers(1, 9))
        start = np.arange(clips) * draw(st.floats(0.1, 3.0))
        span = np.stack([start, start + draw(st.floats(0.5, 4.0))], 1)
        rng = np.random.default_rng(clips)
        with_audio = draw(st.booleans())
        audio_mask = rng.random(clips) < 0.5
        audio_mask[0] = True
        audio = np.where(audio_mask[:, None], rng.normal(size=(clips, 3)), 0).astype(np.float32)
        found.append(
            Video(
                name,
                draw(st.floats(0.1, 1e6)),
                tuple(draw(st.lists(names, max_size=3, unique=True))),
                span,
                rng.normal(size=(clips, 4)).astype(np.float32),
                audio if with_audio else None,
                audio_mask if with_audio else None,
                draw(st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)),
                draw(st.sampled_from(["", "train", "val", "test"])),
                Labels(span, rng.normal(size=(clips, 2)).astype(np.float32)) if draw(st.booleans()) else None,
            )
        )
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(videos())
def test_a_shard_gives_back_every_video_as_it_was_added(
    tmp_path_factory: pytest.TempPathFactory, made: list[Video]
) -> None:
    shard = write(tmp_path_factory.mktemp("shard") / "s.h5", *made)
    assert all(same(one, other) for one, other in zip(made, shard, strict=True))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"visual": np.full((5, 4), np.nan, np.float32)}, "video 'one': visual: NaN or infinite in clip 0 and 4 more"),
        ({"audio": np.full((5, 3), np.inf, np.float32)}, "video 'one': audio: NaN or infinite"),
        ({"visual": np.zeros((4, 4), np.float32)}, r"visual: shape \(4, 4\), expected \(5, 4\)"),
        ({"audio": np.zeros((5, 9), np.float32)}, r"audio: shape \(5, 9\), expected \(5, 3\)"),
        ({"visual": None}, "visual: missing"),
        ({"span": np.zeros((0, 2)), "visual": np.zeros((0, 4), np.float32)}, "span: zero clips"),
        ({"span": np.zeros((5, 2))}, "span: a start that is negative, not finite or not before its end"),
        ({"duration": float("nan")}, "duration: nan"),
        ({"duration": 0.0}, "duration: 0.0"),
        ({"id": ""}, "id: empty"),
        ({"split": "valid"}, "split: 'valid'"),
        ({"labels": Labels(np.array([[0.0, 1.0]]), np.zeros((2, 1), np.float32))}, "labels.score: shape"),
    ],
)
def test_a_faulty_video_is_refused_by_name_and_nothing_is_left_behind(
    tmp_path: Path, make_video: MakeVideo, fault: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        write(tmp_path / "s.h5", replace(make_video(), **fault))
    assert list(tmp_path.iterdir()) == []


def test_the_same_id_twice_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(InputError, match="video 'one': id: this video was added before"):
        write(tmp_path / "s.h5", make_video(), make_video())


def test_a_value_beyond_float16_is_refused_where_float16_is_stored(tmp_path: Path, make_video: MakeVideo) -> None:
    half = {name: replace(stream, dtype="float16") for name, stream in STREAMS.items()}
    with pytest.raises(InputError, match="range of float16"):
        write(tmp_path / "s.h5", make_video(visual=np.full((5, 4), 1e6, np.float32)), streams=half)


def test_a_silent_video_is_marked_by_its_mask(tmp_path: Path, make_video: MakeVideo) -> None:
    shard = write(tmp_path / "s.h5", make_video("a"), make_video("b", audio=None))
    assert shard.rows("audio_mask", 0, 10).tolist() == [1] * 5 + [0] * 5
    assert shard.video(1).audio is None


def test_a_flipped_bit_never_gives_a_wrong_number(tmp_path: Path, make_video: MakeVideo) -> None:
    """A flip anywhere in the file raises InputError or leaves every value as it was."""
    path = tmp_path / "s.h5"
    made = list(write(path, make_video("a"), make_video("b", clips=9)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused, read = 0, 0
    for position in rng.choice(len(whole), 200, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            shard = Shard(path)
            assert all(same(one, other) for one, other in zip(made, shard, strict=True))
            shard.close()
            read += 1
        except InputError as error:
            refused += str(path) in str(error)
    assert refused + read == 200
    assert refused > 0


def test_texts_without_an_end_are_refused_before_the_library_goes_through_them(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video()).close()
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"GCOL") + 25] ^= 1  # of the first text's length, which leads to where no text is
    path.write_bytes(whole)
    command = [
        sys.executable,
        "-c",
        "import sys, pathlib, highlight_lit.data.shards as s; s.Shard(pathlib.Path(sys.argv[1]))",
    ]
    ended = subprocess.run(
        [*command, path], capture_output=True, text=True, timeout=60, check=False
    )  # not to hang here
    assert f"InputError: {path}: damaged: its texts at byte" in ended.stderr


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_shard_is_refused_by_name(tmp_path: Path, make_video: MakeVideo, part: float) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video(clips=200)).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=r"s\.h5: truncated, damaged or not a feature shard"):
        list(Shard(path))


@pytest.mark.parametrize("kind", ["soft", "external", "external storage", "virtual", "group"])
def test_nothing_outside_the_file_is_followed(tmp_path: Path, make_video: MakeVideo, kind: str) -> None:
    path, other = tmp_path / "s.h5", tmp_path / "other.h5"
    for name in (path, other):
        write(name, make_video()).close()
    with h5py.File(path, "r+") as file:
        shape, dtype = file["visual"].shape, file["visual"].dtype
        del file["visual"]
        if kind == "soft":
            file["visual"] = h5py.SoftLink("/audio")
        elif kind == "external":
            file["visual"] = h5py.ExternalLink("other.h5", "/visual")
        elif kind == "external storage":
            file.create_dataset("visual", shape, dtype, external=str(other))
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[:] = h5py.VirtualSource(str(other), "visual", shape)
            file.create_virtual_dataset("visual", layout)
        else:
            file.create_group("visual")
    with pytest.raises(InputError, match="visual: (missing|not)"):
        Shard(path)


def test_videos_across_blocks_are_written_as_they_were_when_added(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COPY_BYTES", 32 * 16)  # 32 rows of `visual`
    monkeypatch.setattr(writer, "CHUNK_BYTES", 64)
    added = [make_video(str(clips), clips, audio_mask=np.ones(clips, bool)) for clips in (5, 16, 1, 70, 32, 9, 3)]
    with ShardWriter(tmp_path / "s.h5", STREAMS, 1.0) as made:
        for video in added:
            given_away = replace(video, visual=video.visual.copy(), span=video.span.copy())  # type: ignore[union-attr]
            made.add(given_away)
            given_away.visual[:], given_away.span[:] = np.nan, np.nan  # type: ignore[index]
    assert all(same(one, other) for one, other in zip(added, Shard(tmp_path / "s.h5"), strict=True))


def test_other_tools_find_what_the_format_says(tmp_path: Path, make_video: MakeVideo) -> None:
    videos = [make_video("a", 50), make_video("b", 40, audio=None)]
    write(tmp_path / "s.h5", *videos)
    with h5py.File(tmp_path / "s.h5") as file:
        assert (file.attrs["format"], file.attrs["version"]) == ("highlight-lit shard", 2)
        for name in ("visual", "audio", "audio_mask"):
            rows, sums = file[name], file[f"{name}_sums"]
            assert rows.chunks is None
            assert (sums.attrs["algorithm"], sums.attrs["block_rows"]) == ("xxh3-64", 32)
            expected = [xxhash.xxh3_64_intdigest(rows[at : at + 32].tobytes()) for at in (0, 32, 64)]
            assert sums[:].tolist() == expected
        np.testing.assert_array_equal(file["visual"][:50], videos[0].visual)
        assert file["audio_mask"][:].tolist() == [1] * 50 + [0] * 40
        assert all(file[name].fletcher32 for name in file if name.removesuffix("_sums") not in PACKED)


def test_the_digest_tells_any_two_contents_apart_and_no_two_copies(tmp_path: Path, make_video: MakeVideo) -> None:
    plain = make_video("a", 40)
    others = [
        replace(plain, id="b"), replace(plain, duration=39.0), replace(plain, tags=("cat",)), replace(plain, title=""),
        replace(plain, split="val"), replace(plain, labels=None), replace(plain, span=plain.span + 0.5),
        replace(plain, audio=None), replace(plain, visual=-plain.visual), replace(plain, audio=plain.audio[::-1]),
        replace(plain, audio_mask=np.arange(40) > 0),
        replace(plain, labels=Labels(plain.labels.span, -plain.labels.score)),
    ]  # type: ignore[operator, union-attr, index]  # fmt: skip
    digests = [write(tmp_path / f"{n}.h5", video).digest() for n, video in enumerate([plain, *others])]
    assert len(set(digests)) == len(digests)
    shutil.copy(tmp_path / "0.h5", tmp_path / "copy.h5")
    assert Shard(tmp_path / "copy.h5").digest() == digests[0]


def test_rows_in_a_float_format_of_its_own_are_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video()).close()
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 23, 8, 19, 4)  # h5py shows it as float32, and the library reads 4 bits of a mantissa
    with h5py.File(path, "r+") as file:
        space, attributes = h5py.h5s.create_simple(file["visual"].shape), dict(file["visual"].attrs)
        assert kind.dtype == np.float32
        del file["visual"]
        h5py.h5d.create(file.id, b"visual", kind, space)
        file["visual"].attrs.update(attributes)
    with pytest.raises(InputError, match=r"s\.h5: visual: .* expected rows of float16 or float32 of IEEE 754"):
        Shard(path)


def test_more_rows_than_its_file_can_hold_are_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video()).close()
    with h5py.File(path, "r+") as file:
        rows, attributes = len(file["visual"]), dict(file["visual"].attrs)
        del file["visual"]
        file.create_dataset("visual", (rows, 1 << 32), "f2", chunks=(1, 1 << 10)).attrs.update(attributes)
    with pytest.raises(InputError, match=r"s\.h5: visual: float16 of shape .*: more than a file of its size can hold"):
        Shard(path)


@pytest.mark.parametrize("name", ["title_bytes", "id", "duration", "span", "tag_index"])
def test_an_index_that_inflates_is_refused_before_memory_is_asked_for(
    tmp_path: Path, make_video: MakeVideo, name: str
) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video()).close()
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        bomb = file.create_dataset(
            name, (80 << 20, *shape[1:]), dtype, chunks=(1 << 20, *shape[1:]), compression="gzip"
        )
        bomb[:1] = np.zeros((1, *shape[1:]), dtype)

    def use() -> None:
        shard = Shard(path)
        for column in ("id", "duration", "tag_index"):
            shard.column(column)
        shard.video(0)

    with pytest.raises(InputError, match=rf"s\.h5: {name}: .*more than a file of its size can hold"):
        use()


def test_a_chunk_that_takes_much_memory_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "s.h5"
    write(path, make_video(clips=100)).close()
    with h5py.File(path, "r+") as file:
        attributes = dict(file["visual"].attrs)
        del file["visual"]
        stored = {"chunks": (200, 1 << 17), "maxshape": (None, 1 << 17), "compression": "gzip"}
        made = file.create_dataset("visual", (100, 1 << 17), "f2", **stored)
        made.attrs.update(attributes)
        made[0, :9] = 1
    with pytest.raises(InputError, match=r"s\.h5: visual: chunks of \(200, 131072\); expected at most 32 MiB each"):
        Shard(path)


@pytest.mark.parametrize("name", ["title_bytes", "visual"])
def test_chunks_that_take_more_memory_than_what_is_in_them_are_refused(
    tmp_path: Path, make_video: MakeVideo, name: str
) -> None:
    """The library takes 4 KB for each chunk of a read, though a hole costs nothing to store."""
    path = tmp_path / "s.h5"
    write(path, make_video(clips=100)).close()
    with h5py.File(path, "r+") as file:
        dtype, attributes = file[name].dtype, dict(file[name].attrs)
        shape = (100, 4000) if name == "visual" else (1_000_000,)
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=(1,) * len(shape)).attrs.update(attributes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"s\.h5: {name}: \d+ chunks of \d bytes; expected larger ones"):
        list(Shard(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_a_chunk_a_row_is_read_as_other_tools_write_it(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "s.h5"
    expected = [video.visual for video in write(path, make_video("a", clips=40_000, labels=None))]
    with h5py.File(path, "r+") as file:
        rows, attributes = file["visual"][:], dict(file["visual"].attrs)
        del file["visual"], file["visual_sums"]
        file.create_dataset("visual", data=rows, chunks=(1, rows.shape[1])).attrs.update(attributes)
    for video, visual in zip(Shard(path), expected, strict=True):
        assert video.visual is not None
        assert np.array_equal(video.visual, visual)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.h5"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(InputError, match=rf"s\.h5: a {kind}; expected a feature shard"):
        Shard(path)


def test_of_many_shards_few_handles_are_open(tmp_path: Path, make_video: MakeVideo) -> None:
    shards = [write(tmp_path / f"{n}.h5", make_video(str(n))) for n in range(MAX_OPEN + 5)]
    for _ in range(2):
        assert [shard.title(0) for shard in shards] == [f"Vidéo {n}" for n in range(len(shards))]
    opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert sum(str(tmp_path) in name for name in opened) <= MAX_OPEN


@pytest.mark.parametrize("closed", [0, 7])
def test_a_shard_that_was_closed_can_be_read_again_whatever_was_opened_since(
    tmp_path: Path, make_video: MakeVideo, closed: int
) -> None:
    shards = [write(tmp_path / f"{n}.h5", make_video(str(n))) for n in range(MAX_OPEN)]
    for shard in [*shards, *shards[:closed]]:
        assert shard.title(0)
        shard.close()
    for shard in [*shards, *reversed(shards)]:
        assert shard.title(0) == f"Vidéo {shard.path.stem}"


def test_attributes_of_a_fixed_length_are_the_texts_they_spell(tmp_path: Path, make_video: MakeVideo) -> None:
    """As C and MATLAB write them."""
    expected = write(tmp_path / "s.h5", make_video("a"))
    expected.close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        for node in (file, *file.values()):
            for name, value in list(node.attrs.items()):
                if isinstance(value, str):
                    node.attrs[name] = np.bytes_(value.encode())
    shard = Shard(tmp_path / "s.h5")
    assert shard.streams == expected.streams
    assert not shard.slow


@pytest.mark.parametrize("kind", [np.float64, np.uint8])
def test_attributes_that_are_arrays_of_one_are_what_is_in_them(
    tmp_path: Path, make_video: MakeVideo, kind: type[np.number[Any]]
) -> None:
    """As MATLAB writes them."""
    expected = write(tmp_path / "s.h5", make_video("a"))
    expected.close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        for node in (file, *file.values()):
            for name, value in list(node.attrs.items()):
                node.attrs[name] = [value] if isinstance(value, str) else np.array([value], kind)
    shard = Shard(tmp_path / "s.h5")
    assert shard.streams == expected.streams
    assert not shard.slow


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
def test_a_number_in_the_place_of_a_text_is_spelled_as_its_type_spells_it(
    tmp_path: Path, make_video: MakeVideo, kind: type[np.floating[Any]]
) -> None:
    """A checkpoint has it as it was: `0.1` of float32 is no 0.10000000149011612."""
    write(tmp_path / "s.h5", make_video("a")).close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["visual"].attrs["version"] = kind(0.1)
    assert Shard(tmp_path / "s.h5").streams["visual"].version == str(kind(0.1))


@pytest.mark.parametrize("value", [[2, 2], [], h5py.Empty("f"), 1j, 2.5, "2", True])
def test_an_odd_version_is_named(tmp_path: Path, make_video: MakeVideo, value: object) -> None:
    write(tmp_path / "s.h5", make_video("a")).close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs["version"] = value
    with pytest.raises(InputError, match=r"s\.h5: 'highlight-lit shard' version .*, expected 'highlight-lit shard'"):
        Shard(tmp_path / "s.h5")


@pytest.mark.parametrize("name", ["extractor", "version"])
@pytest.mark.parametrize("value", [["a", "b"], [], h5py.Empty("f"), 1j, "x" * 501])
def test_an_odd_attribute_of_a_stream_is_named(tmp_path: Path, make_video: MakeVideo, name: str, value: object) -> None:
    write(tmp_path / "s.h5", make_video("a")).close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["visual"].attrs[name] = value
    with pytest.raises(InputError, match=r"s\.h5: visual: extractor, version: expected texts of at most 500"):
        Shard(tmp_path / "s.h5")


@pytest.mark.parametrize("name", ["title_bytes", "audio_mask"])
def test_numbers_of_two_bytes_in_the_place_of_bytes_are_refused(
    tmp_path: Path, make_video: MakeVideo, name: str
) -> None:
    write(tmp_path / "s.h5", make_video("a")).close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        values = file[name][:]
        del file[name]
        file[name] = values.astype("u2")
    with pytest.raises(InputError, match=rf"s\.h5: {name}: uint16 of shape .*, expected unsigned bytes"):
        list(Shard(tmp_path / "s.h5"))
