"""Words of a Hydra command line as people type them: plain text needs no quoting of Hydra's.

Hydra's grammar has its own idea of `topic=2019` (a number), `data.root="corpus (1)"` (a call) and `topic=滑雪` (an error).
Here the values of keys that are names or paths are quoted for it, and what it cannot read is said with the quoting that
works.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.errors import InputError, first_line

MAX_WORDS = 1000  # Hydra's time grows with their square
MULTIRUN = ("-m", "--multirun")
# Keys of config.yaml and extract.yaml that take any text; those of the second may be null.
NAMES = ("topic", "data.root", "out", "logger.project", "videos")
NAMES_OR_NULL = ("logger.group", "tags", "visual_weights", "audio_weights", "audio_pca")
PATHS = ("data.root", "out", "videos", "tags", "visual_weights", "audio_weights", "audio_pca")
LISTS = ("videos",)  # take several in brackets
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_QUOTED = re.compile(r"\s*('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")\s*(?=,|$)")
_PLAIN_IN_SHELLS = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def prepared(words: Sequence[str]) -> list[str]:
    """The words for Hydra: names and paths quoted where its grammar needs it, its flags where it finds them.

    Args:
        words: Overrides and flags, in any order; with -m a comma separates the values of a sweep.

    Raises:
        InputError: Over `MAX_WORDS`, or a word that Hydra cannot read; the line shows one that it can.
    """
    if len(words) > MAX_WORDS:
        raise InputError(f"{len(words)} words; expected at most {MAX_WORDS} overrides and flags")
    many = any(word in MULTIRUN for word in words)
    overrides: list[str] = []
    flags: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("-"):
            flags.append(word)
        elif before.startswith("-") and before not in MULTIRUN and "=" not in word:
            flags.append(word)  # of the flag before it, as in --cfg job
        elif "=" not in word and not word.startswith("~"):
            raise InputError(f"{word}: expected KEY=VALUE; {_joined(before, word)}")
        else:
            overrides.append(_quoted(word, many))
    return [*overrides, *flags]  # argparse takes the overrides of one place alone


def _joined(before: str, word: str) -> str:
    """How to quote a value with a blank in it, if `word` is its second half."""
    return (
        f"a value with a blank is quoted, as in {shell_word(f'{before} {word}')}"
        if "=" in before
        else "as in topic=dog"
    )


def _quoted(word: str, many: bool) -> str:
    """An override as Hydra can read it."""
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    group, at, _ = name.lstrip("~").partition("@")
    if at and (not group or group in (*NAMES, *NAMES_OR_NULL)):
        meant = f"{group or name.strip('@~') or 'topic'}={value or '...'}"
        raise InputError(
            f"{word}: @ stands between a group of conf/ and where it goes; expected KEY=VALUE, as in {meant}"
        )
    if not name.lstrip("~"):
        raise InputError(f"{word}: no key; expected KEY=VALUE, as in topic=dog")
    if equals and not key.startswith("~") and name in (*NAMES, *NAMES_OR_NULL):
        return f"{key}={_value(key, name, value, many)}"
    try:
        override = _parsed(word)
    except (HydraException, ValueError) as error:  # of a number of thousands of digits
        example = f"{key}={_literal(value)}"
        raise InputError(f"{word}: {_reason(example, error)}") from error
    if override.is_sweep_override() and not many:
        raise InputError(f"{word}: several values; expected one, or -m for a run of each")
    return word


def _reason(example: str, error: Exception) -> str:
    """What Hydra says in its first line, and the quoting that works if one does."""
    said = first_line(error)
    try:
        _parsed(example)
    except (HydraException, ValueError):
        return f"expected KEY=VALUE ({said})"
    return f"not a value as Hydra writes them ({said}); quote text: {shell_word(example)}"


def _value(key: str, name: str, value: str, many: bool) -> str:
    """The value of a name or path, or its values in a sweep."""
    try:
        override = _parsed(f"{name}={value}")
    except (HydraException, ValueError):
        override = None
    if override and override.is_sweep_override() and override.value_type is not ValueType.SIMPLE_CHOICE_SWEEP:
        return value  # choice(...) and the like: Hydra's own
    if name in LISTS and value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_element(name, part) for part in split(value[1:-1]))}]"
    parts = split(value)
    if len(parts) > 1 and not many:
        several = f"[{value}] for all of them" if name in LISTS else "-m for a run of each"
        raise InputError(
            f"{key}={value}: several values; expected {several}, or quotes for a single one with commas: "
            f"{shell_word(f'{key}={_literal(value)}')}"
        )
    return ",".join(_element(name, part) for part in parts)


def _element(name: str, text: str) -> str:
    """One value, quoted unless Hydra reads it as the text it is."""
    if name in PATHS and re.match(r"~(/|$)", text):  # which no shell expands in the middle of a word
        text = os.path.expanduser(text)
    try:
        override = _parsed(f"{name}={text}")
    except (HydraException, ValueError):
        return _literal(text)
    value = override.value()
    kept = isinstance(value, str) or (value is None and name in NAMES_OR_NULL)
    return text if kept and _interpolates(text) else _literal(text)


def _parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


def _literal(text: str) -> str:
    """Text between quotes of Hydra's."""
    if not _interpolates(text):
        text = text.replace("${", r"\${")
    return QuotedString(text, Quote.single).with_quotes()


def _interpolates(text: str) -> bool:
    """Whether OmegaConf takes text as it is, or with interpolations that it can read."""
    try:
        OmegaConf.create({"text": text})
    except OmegaConfBaseException:
        return False
    return True


def split(text: str) -> list[str]:
    """Parts between commas, but for those within quotes at a part's start, or within brackets that match.

    >>> split("dog, corpus (1,2),'a,b',:(")
    ['dog', 'corpus (1,2)', "'a,b'", ':(']
    """
    parts, start, closed = [], 0, _closed(text)
    while True:
        end = _end(text, start, closed)
        parts.append(text[start:end])
        if end == len(text):
            break
        start = end + 1
    return [part.strip() for part in parts] if len(parts) > 1 else parts


def _end(text: str, start: int, closed: set[int]) -> int:
    """Where the part of `text` that begins at `start` ends."""
    if quoted := _QUOTED.match(text, start):
        return quoted.end()
    depth = 0
    for place in range(start, len(text)):
        character = text[place]
        if character == "," and depth == 0 and (place == start or text[place - 1] != "\\"):
            return place
        if place in closed:
            depth += 1
        elif character in _CLOSING.values():
            depth = max(0, depth - 1)
    return len(text)


def _closed(text: str) -> set[int]:
    """Places of the opening and closing brackets that match each other."""
    closed: set[int] = set()
    for opening, closing in _CLOSING.items():
        left: list[int] = []
        for place, character in enumerate(text):
            if character == opening:
                left.append(place)
            elif character == closing and left:
                closed.add(left.pop())
    return closed


def shell_word(word: str) -> str:
    """A word as it can be pasted into a shell.

    >>> print(shell_word("topic='rock & roll'"), shell_word("topic='$1'"))
    "topic='rock & roll'" 'topic='"'"'$1'"'"''
    """
    if _PLAIN_IN_SHELLS.fullmatch(word):
        return word
    return f'"{word}"' if not set(word) & set('"$`\\!\n') else shlex.quote(word)
