"""A video from a stranger: no other file is opened, and no size, rate or time in it takes the machine."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("av")
import av

from highlight_lit.errors import InputError
from highlight_lit.media.io import bounds
from highlight_lit.media.io.bounds import CONTAINERS, MAX_GAP_S, MAX_SECONDS
from highlight_lit.media.io.decode import Source

IN_OPEN, IN_NONBLOCK = 0x20, 0o4000


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """The names of files in a folder that anything opens within, as the kernel tells (inotify)."""
    libc, names = ctypes.CDLL(None, use_errno=True), set[str]()
    watch = libc.inotify_init1(IN_NONBLOCK)
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN) >= 0
        yield names
        events = os.read(watch, 1 << 16)
    finally:
        os.close(watch)
    while events:
        length = struct.unpack_from("iIII", events)[3]
        names.add(os.fsdecode(events[16 : 16 + length].rstrip(b"\0")))
        events = events[16 + length :]


def test_the_watch_sees_what_ffmpeg_opens_when_it_may(tmp_path):
    (tmp_path / "other.mp4").touch()
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with opened_in(tmp_path) as names, pytest.raises(av.error.FFmpegError):
        av.open(str(tmp_path / "list.mp4"))
    assert names == {"list.mp4", "other.mp4"}


LISTS = {
    "concat.mp4": "ffconcat version 1.0\nfile other.ts\n",
    "concat.ffconcat": "ffconcat version 1.0\nfile 'other.ts'\nduration 3\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.ts\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-KEY:METHOD=AES-128,URI=\"other.ts\"\n#EXTINF:5,\nother.ts\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="9"><BaseURL>other.ts</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "sub.idx": "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\n",
    "other%d.png": "x",
    "script.avs": 'DirectShowSource("other.ts")\n',
    "edl.mp4": "# mpv EDL v0\nother.ts,0,3\n",
    "pls.mp4": "[playlist]\nNumberOfEntries=1\nFile1=other.ts\n",
    "asx.asf": '<asx version="3.0"><entry><ref href="other.ts"/></entry></asx>',
    "reference.asf": "[Reference]\r\nRef1=other.ts?MSWMExt=.asf\r\n",
    "ram.rm": "other.ts\n",
    "imf.mxf": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><AssetList><Asset>'
    "<ChunkList><Chunk><Path>other.ts</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>",
    "f4m.flv": '<manifest xmlns="http://ns.adobe.com/f4m/1.0"><media url="other.ts"/></manifest>',
    "smooth.mp4": '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Type="video" Url="other.ts"/></SmoothStreamingMedia>',
    "metadata.mp4": ";FFMETADATA1\nfile=other.ts\n",
    "sub.srt": "1\n00:00:00,000 --> 00:00:05,000\n<img src=other.ts>\n",
    "fonts.ass": "[Script Info]\nAudio File: other.ts\nVideo File: other.ts\n",
    "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="other.ts"/></svg>',
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_other_files_is_refused_before_any_of_them_is_opened(tmp_path, made, name):
    made.write_video(tmp_path / "other.ts", 1, format="mpegts", audio=None)
    (tmp_path / "sub.sub").touch()
    (tmp_path / "other1.png").touch()
    (tmp_path / name).write_text(LISTS[name])
    with opened_in(tmp_path) as names, pytest.raises(InputError, match="an image, a playlist or text is none"):
        Source(tmp_path / name)
    assert names == {name}


@pytest.mark.parametrize("kind", [b"alis", b"url "])
def test_a_movie_whose_pictures_lie_in_another_file_opens_it_not(tmp_path, made, kind):
    path = made.write_video(tmp_path / "reference.mov", 2, audio=None, format="mov")
    content = bytearray(path.read_bytes())
    at = content.index(b"dref")
    content[at + 12 : at + 16], content[at + 19] = kind, 0  # and not "in this file"
    path.write_bytes(content)
    (tmp_path / "other.mov").touch()
    with opened_in(tmp_path) as names, Source(path) as source:
        list(source.pieces())
    assert names == {"reference.mov"}


def test_what_is_attached_to_a_video_is_neither_opened_nor_taken(tmp_path, made):
    (tmp_path / "other.ts").touch()
    with av.open(str(tmp_path / "attached.mkv"), "w") as out, Source(made.write_video(tmp_path / "a.mkv", 1)) as source:
        stream = out.add_stream_from_template(source.video)
        for name, kind in (("other.ts", "video/mp2t"), ("../other.ts", "text/plain"), ("font.ttf", "font/ttf")):
            out.add_attachment(name, kind, LISTS["concat.mp4"].encode())
        for packet in source._container.demux(source.video):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with opened_in(tmp_path) as names, Source(tmp_path / "attached.mkv") as source:
        assert len(list(source.pieces())) > 5
    assert names == {"attached.mkv"}


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="a pipe; expected a video"):
        Source(tmp_path / "pipe.mp4")


def test_containers_are_ffmpegs_names():
    known = {name for listed in av.formats_available for name in listed.split(",")}
    assert set(CONTAINERS) - known == set()
    assert not set(CONTAINERS) & {
        "concat",
        "hls",
        "dash",
        "image2",
        "sdp",
        "imf",
        "vobsub",
        "tty",
        "lavfi",
        "rtsp",
    }


def png(width: int, height: int) -> bytes:
    """A black frame, in some thousand bytes for any size."""
    packed = zlib.compressobj(9)
    body = b"".join(packed.compress(bytes(3 * width + 1)) for _ in range(height)) + packed.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def write_pictures(path: Path, sizes: list[tuple[int, int]], stated: tuple[int, int]) -> Path:
    """A video of PNG frames of these sizes, in a container that states another."""
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height = stated
        stream.pix_fmt = "rgb24"
        frames = {size: png(*size) for size in set(sizes)}
        for number, size in enumerate(sizes):
            packet = av.Packet(frames[size])
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = 100 * number
            container.mux(packet)
    return path


SMALL, LARGE = (64, 48), (7000, 7000)
PICTURES = {
    "all large": ([LARGE] * 3, LARGE),
    "stated small": ([LARGE] * 3, SMALL),
    "large later": ([SMALL] * 5 + [LARGE] * 2, SMALL),
    "a line": ([(16_000, 4)] * 3, (16_000, 4)),
    "a line later": ([SMALL] * 5 + [(4, 16_000)], SMALL),
}


@pytest.mark.parametrize("case", PICTURES)
def test_large_pictures_are_refused_with_the_bound_and_take_no_memory(tmp_path, case):
    path = write_pictures(tmp_path / "large.mov", *PICTURES[case])
    code = (
        "import sys; from pathlib import Path; from highlight_lit.media.io.decode import Source\n"
        "try: list(Source(Path(sys.argv[1])).pieces())\n"
        "except ValueError as error: print(error)\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=300)
    said, peak = done.stdout.splitlines()
    assert "large.mov: frames " in said
    assert "a bound that cannot be raised; " in said
    assert int(peak) < 120_000  # KiB; one such frame is 144,000


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pictures_that_grow_in_mid_stream_are_refused(tmp_path, made, codec, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_PIXELS", 96 * 64)
    container = {"libx264": "h264", "mpeg4": "m4v"}[codec]
    wide = lambda _: np.full((128, 96, 3), 99, np.uint8)  # noqa: E731
    parts = [
        made.write_video(tmp_path / f"{number}", 1, frame, None, format=container, codec=codec).read_bytes()
        for number, frame in enumerate((made.second_as_brightness, wide))
    ]
    (tmp_path / "grows.mpg").write_bytes(b"".join(parts))
    with (
        pytest.raises(InputError, match=r"grows\.mpg: frames .* expected at most"),
        Source(tmp_path / "grows.mpg") as source,
    ):
        list(source.pieces())


def test_the_largest_pictures_are_taken(tmp_path):
    path = write_pictures(tmp_path / "largest.mov", [(4096, 4096)] * 2, (4096, 4096))
    with Source(path) as source:
        assert len(list(source.pieces())) == 2


@pytest.mark.parametrize(
    ("gap", "least", "says"),
    [
        (3600.0, 8, "timestamps jump"),
        (MAX_GAP_S - 1, 8, "at least 8 for each second"),
        (MAX_GAP_S - 1, 0.01, "longer than 12 hours"),
    ],
)
def test_few_frames_far_apart_are_no_long_video(tmp_path, made, gap, least, says, monkeypatch):
    monkeypatch.setattr(bounds, "BYTES_A_SECOND", least)
    times = [gap * number for number in range(int(MAX_SECONDS / gap) + 10)]
    path = made.write_video(tmp_path / "sparse.mkv", audio=None, times=times, format="matroska")
    with Source(path) as source, pytest.raises(InputError, match=f"{says}.*cannot be raised") as raised:
        assert max(piece.start for piece in source.pieces()) <= MAX_SECONDS
    assert "sparse.mkv" in str(raised.value)


@pytest.mark.parametrize("from_s", [0.0, 2.0])
def test_files_that_were_joined_are_refused_where_time_goes_back(tmp_path, made, from_s):
    parts = [made.write_video(tmp_path / f"{name}.ts", 4, format="mpegts", audio_codec="mp2") for name in "ab"]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with Source(path) as source, pytest.raises(InputError, match="joined.ts: timestamps go back from 4 s to 0 s"):
        list(source.pieces_from(from_s))


@pytest.mark.parametrize(("rate", "channels"), [(2_000_000_000, 1), (3, 1), (48_000, 200)])
def test_rates_and_channels_that_no_sound_has_are_refused(tmp_path, made, rate, channels):
    path = made.write_video(
        tmp_path / "audio.avi", 2, format="avi", codec="mpeg4", audio_codec="pcm_s16le", rate=16_000
    )
    content = bytearray(path.read_bytes())
    at = content.index(b"strf", content.index(b"auds")) + 8
    assert struct.unpack_from("<HHI", content, at) == (1, 1, 16_000)
    struct.pack_into("<HHI", content, at, 1, channels, rate)
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"audio of {channels} channels, {rate} samples.*cannot be raised"):
        Source(path)


def test_rates_and_channels_in_use_are_taken(tmp_path, made):
    for rate, layout in ((8_000, "mono"), (192_000, "5.1")):
        path = made.write_video(
            tmp_path / "audio.mkv", 1, format="matroska", audio_codec="pcm_s16le", rate=rate, layout=layout
        )
        with Source(path) as source:
            assert source.audio is not None


def test_a_stream_that_begins_midway_ends_nothing(tmp_path, made):
    """PyAV raises IndexError at the end of such a file, where it looks at memory that is not its own."""
    path = made.write_video(tmp_path / "midway.ts", 1, format="mpegts", audio=None)
    with Source(path) as source:
        whole = len(list(source.pieces()))

    def demux(streams):
        yield from packets(streams)
        raise IndexError("list index out of range")

    with Source(path) as source:
        packets = source._container.demux
        source._container = SimpleNamespace(demux=demux, close=source._container.close)
        assert len(list(source.pieces())) == whole
