"""Names and paths go to Hydra as people type them; what it cannot read is said with the quoting that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.cli import main
from highlight_lit.config.overrides import MULTIRUN, prepared, split
from highlight_lit.errors import InputError
from highlight_lit.launch import composed

TYPED = ["滑雪", "فیلم", "2019", "1e3", "null", "true", "nan", "#1", "!x", "rock & roll", "a b", "epoch=3", "[x]",
         "corpus (1)", "{a: 1}", "~x", "a;b", "a|b", "$1", "rock'n'roll", 'the "best"', "50%", "int(3)", "a\\b", "${",
         "${no grammar}", "'", "\\", "a(b", "`a`", "^"]  # fmt: skip


@pytest.mark.parametrize("text", TYPED)
def test_a_topic_is_the_text_that_was_typed(text: str) -> None:
    assert composed("config", ["data.root=x", f"topic={text}"]).topic == text


@pytest.mark.parametrize("key", ["data.root", "out", "logger.project", "logger.group"])
@pytest.mark.parametrize("text", ["corpus (1)", "epoch=3", "雪/2019", "2019", "[old] #2 & co"])
def test_so_are_paths_and_the_names_of_a_logger(key: str, text: str) -> None:
    config = composed("config", ["data.root=x", "topic=dog", f"{key}={text}"])
    group, _, last = key.rpartition(".")
    assert (config[group] if group else config)[last] == text


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_without_commas_interpolations_and_hydras_own_quoting(text: str) -> None:
    if set(text) & set(",\\$") or text[0] in "'\"" or text != text.strip() or re.match(r"\w+\(", text):
        return
    [override] = OverridesParser.create().parse_overrides(prepared([f"topic={text}"]))  # a configuration takes long
    assert override.value() == text
    if len(text) == 1:
        assert composed("config", ["data.root=x", f"topic={text}"]).topic == text


def test_the_home_folder_is_known_where_shells_leave_it() -> None:
    config = composed("config", ["data.root=~/corpora/one", "topic=dog", "out=~x"])
    assert (config.data.root, config.out) == (str(Path.home() / "corpora/one"), "~x")


def test_what_hydra_means_by_a_value_stays() -> None:
    config = composed("config", ["data.root=x", "topic='quoted, twice'", "out=runs/${topic}", "logger.group=null"])
    assert (config.topic, config.out, config.logger.group) == ("quoted, twice", "runs/quoted, twice", None)
    extract = composed("extract", ["videos=[a (1),b,2019]", "out=o", "slices=1", "tags=null"])
    assert (list(extract.videos), extract.tags) == (["a (1)", "b", "2019"], None)


@pytest.mark.parametrize("flag", MULTIRUN)
def test_a_sweep_has_its_commas_and_each_of_its_names_is_text(flag: str) -> None:
    assert prepared([flag, "topic=dog,滑雪,2019,'a,b',f(1,2)", "seed=0,1"]) == [
        "topic=dog,'滑雪','2019','a,b','f(1,2)'", "seed=0,1", flag,
    ]  # fmt: skip
    assert prepared([flag, "topic=choice(dog,cat)"]) == ["topic=choice(dog,cat)", flag]


def test_a_group_may_go_elsewhere() -> None:
    assert prepared(["+fusion@other=low_rank", "optimizer@a.b=adamw"]) == [
        "+fusion@other=low_rank",
        "optimizer@a.b=adamw",
    ]


def test_flags_stand_anywhere() -> None:
    words = ["data.root=x", "--multirun", "topic=dog", "--cfg", "job", "seed=1,2"]
    assert prepared(words) == ["data.root=x", "topic=dog", "seed=1,2", "--multirun", "--cfg", "job"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["topic=dog,cat"], "topic=dog,cat: several values; expected -m for a run of each, or quotes"),
        (["videos=a,b"], "videos=a,b: several values; expected [a,b] for all of them, or quotes"),
        (["data.root=a, b (1)"], "data.root=a, b (1): several values"),
        (["topic=$1,2"], "topic=$1,2: several values"),
        (["study=figure 1("], "study=figure 1(: not a value as Hydra writes them ("),
        (["+x=滑雪"], "+x=滑雪: not a value as Hydra writes them ("),
    ],
)
def test_a_value_that_stays_unclear_is_shown_with_a_quoting_that_a_shell_and_hydra_take(
    words: list[str], says: str
) -> None:
    with pytest.raises(InputError) as refused:
        prepared(words)
    line = str(refused.value)
    assert line.startswith(says)
    shown = re.search(r"(?:text|commas): (.*)$", line)
    assert shown is not None
    pasted = shlex.split(shown[1])
    assert len(pasted) == 1
    assert prepared(pasted) == pasted


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["topic=rock", "climbing"], 'climbing: expected KEY=VALUE; a value with a blank is quoted, as in "topic=rock climbing"'),
        (["dog"], "dog: expected KEY=VALUE; as in topic=dog"),
        (["rank=1,2"], "rank=1,2: several values; expected one, or -m for a run of each"),
        (["雪=1"], "雪=1: expected KEY=VALUE"),
        *[([word], f"{word}: @ stands between a group of conf/ and where it goes; expected KEY=VALUE, as in topic=dog")
          for word in ("@topic=dog", "+@topic=dog", "++@topic=dog", "topic@=dog", "topic@a=dog", "+topic@a.b=dog")],
        (["~@topic"], "~@topic: @ stands between a group of conf/"),
        (["@=x"], "@=x: @ stands between a group of conf/"),
        (["=dog"], "=dog: no key; expected KEY=VALUE, as in topic=dog"),
        (["+=dog"], "+=dog: no key"),
    ],
)  # fmt: skip
def test_a_word_that_is_no_override_is_named(words: list[str], says: str) -> None:
    with pytest.raises(InputError) as refused:
        prepared(words)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


@given(st.lists(st.text("ab (),[]{}'\"\\"), min_size=1))
def test_splitting_ends_and_loses_nothing_but_blanks(parts: list[str]) -> None:
    text = ",".join(parts)
    assert "".join(",".join(split(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--experimental-rerun", "config.pickle"], "--experimental-rerun: not taken, since Hydra would unpickle"),
        (["--exp=config.pickle"], "--experimental-rerun: not taken, since Hydra would unpickle"),
        ([], "data.root: missing; expected data.root=... (the folder of a corpus, made by"),
        (["data.root="], "data.root=: expected the folder of a corpus, made by"),
    ],
)
def test_what_a_run_cannot_start_with_is_said_with_what_to_give(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "topic=dog", *words]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
