"""A manifest may come from anywhere: whatever it holds, it is read, or refused in one line that names it and the field."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.manifest import MANIFEST, read_manifest
from highlight_lit.errors import InputError

CASES = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "300"))
VALUES: list[Callable[[random.Random], Any]] = [
    lambda r: None, lambda r: r.choice([True, False]), lambda r: r.choice([0, -1, 7, 10**30, 2**63]),
    lambda r: r.choice([0.5, -1e308, 1e308]), lambda r: r.choice(["", "x", "../x", "${oc.env:HOME}", "\x1b[2J", "a\nb"]),
    lambda r: r.choice(["\ud800", "shard-00000.h5", "topic01", "é" * 300, "a" * 300, "\0", "[red]x[/red]"]),
    lambda r: [], lambda r: {}, lambda r: [VALUES[r.randrange(8)](r) for _ in range(3)],
    lambda r: {str(r.random()): VALUES[r.randrange(9)](r), "file": "shard-00000.h5"},
]  # fmt: skip


@pytest.fixture
def corpus(small_corpus: Path, tmp_path: Path) -> Path:
    """The small corpus under a manifest that may be changed."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "shard-00000.h5").hardlink_to(small_corpus / "shard-00000.h5")
    (root / MANIFEST).write_bytes((small_corpus / MANIFEST).read_bytes())
    return root


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a value of JSON, the whole included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inside for place in places(part, (*path, key)))]


def changed(manifest: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed_one = copy.deepcopy(manifest)
    part = changed_one
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return changed_one


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ((), [], "expected 'highlight-lit corpus'"),
        (("format",), 7, "expected 'highlight-lit corpus'"),
        (("version",), True, "version: expected 1 or 2"),
        (("version",), "2", "version: expected 1 or 2"),
        (("name",), ["x"], "name: expected a text"),
        (("topics",), {"topic01": 1}, "topics: expected a list of names"),
        (("topics", 0), 7, "topics: expected a list of names"),
        (("topics", 0), "topic02", "topics: expected a list of names, none twice"),
        (("topics", 0), "\ud800", "topics: expected a list of names"),
        (("benchmark",), 7, "benchmark: expected a text"),
        (("name",), "x" * 70_000, "name: expected a text of at most 65536 characters"),
        (("topics", 0), "x" * 70_000, "topics: expected a list of names, none twice, each a text of at most 65536"),
        (("shards",), {}, "shards: expected a list of objects"),
        (("shards",), [], "shards: expected a list of objects"),
        (("shards", 0), "shard-00000.h5", r"shards\[0\]: expected an object"),
        (("shards", 0, "file"), "a" * 300, r"shards\[0\].file: over 255"),
        (("shards", 0, "file"), ["x"], r"shards\[0\].file: .* is not a plain file name"),
        (("shards", 0, "bytes"), "12", r"shards\[0\].bytes: expected a whole number"),
        (("shards", 0, "bytes"), True, r"shards\[0\].bytes: expected a whole number"),
        (("shards", 0, "clips"), -1, r"shards\[0\].clips: expected a whole number"),
        (("shards", 0, "digest"), 7, r"shards\[0\].digest: expected hexadecimal digits"),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_type_is_named(corpus: Path, place: tuple[Any, ...], value: object, says: str) -> None:
    manifest = json.loads((corpus / MANIFEST).read_text())
    (corpus / MANIFEST).write_text(json.dumps(changed(manifest, place, value)))
    with pytest.raises(InputError, match=rf"manifest\.json: {says}"):
        Corpus(corpus)


def test_a_shard_that_is_listed_twice_is_refused(corpus: Path) -> None:
    manifest = json.loads((corpus / MANIFEST).read_text())
    (corpus / MANIFEST).write_text(json.dumps({**manifest, "shards": 2 * manifest["shards"]}))
    with pytest.raises(InputError, match="listed twice"):
        read_manifest(corpus)


def test_random_manifests_end_in_one_line_or_in_the_corpus(corpus: Path) -> None:
    manifest, generator = json.loads((corpus / MANIFEST).read_text()), random.Random(0)
    refused = 0
    for _ in range(CASES):
        made = manifest
        for _ in range(generator.randint(1, 2)):
            place = generator.choice(places(made))
            made = changed(made, place, generator.choice(VALUES)(generator))
        text = json.dumps(made)
        if generator.random() < 0.1:
            text = text[: generator.randrange(len(text))]
        (corpus / MANIFEST).write_text(text)
        said = refusal(corpus)
        refused += said is not None
        assert said is None or (str(corpus) in said and "\n" not in said)
    assert 0 < refused < CASES


def refusal(root: Path) -> str | None:
    """Use all of a corpus that a manifest is about; what it is refused with."""
    try:
        found = Corpus(root)
    except InputError as error:
        return str(error)
    assert [len(found.tagged(topic)) for topic in found.topics] == [40] * len(found.topics)
    return None


@pytest.mark.parametrize("verb", ["verify", "doctor"])
def test_verbs_end_with_one_line_and_status_2(corpus: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((corpus / MANIFEST).read_text())
    (corpus / MANIFEST).write_text(json.dumps({**manifest, "topics": 7}))
    assert main([verb, str(corpus)]) == 2
    said = capsys.readouterr()
    assert f"{corpus / MANIFEST}: topics: expected a list of names" in said.out + said.err


@pytest.mark.parametrize("file", ["../secret.h5", "/etc/passwd", "a/b.h5", "", ".hidden", 7])
def test_a_manifest_cannot_name_a_file_outside_its_folder(sound: Path, file: object) -> None:
    path = sound / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["file"] = file
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not a plain file name"):
        Corpus(sound)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "highlight-lit corpus", "version": 99}'])
def test_a_damaged_manifest_is_refused_by_name(sound: Path, text: str) -> None:
    (sound / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        Corpus(sound)
